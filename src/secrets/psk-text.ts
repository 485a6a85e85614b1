const PSK_LEN = 32;
/** Longer than any key's line, bytes: what is longer is no key, whoever sealed it. */
const MAX_TEXT_LEN = 128;

/** One canonical base64 text, white space around it aside: `openssl rand -base64 32 | age …` ends with a line break. */
export function decodePsk(text: Uint8Array): Uint8Array | undefined {
  if (text.length > MAX_TEXT_LEN) return undefined;
  const line = Buffer.from(text).toString('latin1').trim();
  const psk = Buffer.from(line, 'base64');
  return psk.length === PSK_LEN && psk.toString('base64') === line ? Uint8Array.from(psk) : undefined;
}
