import { decodeSecret, trimmed } from '../session/base64.ts';

const PSK_LEN = 32;
/** Longer than any key's line, bytes: what is longer is no key, whoever sealed it. */
const MAX_TEXT_LEN = 128;

/** One canonical base64 text, white space around it aside: `openssl rand -base64 32 | age …` ends with a line break. */
export function decodePsk(text: Uint8Array): Uint8Array | undefined {
  if (text.length > MAX_TEXT_LEN) return undefined;
  const psk = decodeSecret(trimmed(text));
  if (psk?.length === PSK_LEN) return psk;
  psk?.fill(0);
  return undefined;
}
