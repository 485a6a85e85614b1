import { resolve } from 'node:path';
import { decodePsk } from '../../secrets/psk-text.ts';
import { readPsk } from '../../session/identity.ts';
import { usageError } from '../errors.ts';
import type { Io } from '../io.ts';
import type { ManifestOptions } from '../options.ts';

/** No key's line is longer, bytes. */
const MAX_INPUT_LEN = 1024;

/** The key of `--psk-file`: a file of mode 0600, or `-` for stdin. 32 bytes, for the caller to wipe. */
export async function readKey(io: Io, path: string, { filename }: ManifestOptions): Promise<Uint8Array> {
  if (path !== '-') return readPsk(resolve(io.cwd, path));
  if (filename?.includes('-') === true) {
    throw usageError('stdin is to be both the manifests and the key', 'Name a file for one of them.');
  }
  const chunks: Uint8Array[] = [];
  let length = 0;
  for await (const chunk of io.stdin) {
    const bytes = typeof chunk === 'string' ? Buffer.from(chunk) : chunk;
    chunks.push(bytes);
    length += bytes.length;
    if (length > MAX_INPUT_LEN) break;
  }
  const text = Buffer.concat(chunks);
  try {
    const psk = decodePsk(text);
    if (psk !== undefined) return psk;
  } finally {
    for (const bytes of [text, ...chunks]) bytes.fill(0);
  }
  throw usageError('stdin holds no key', 'Give one line: the base64 of 32 bytes.');
}
