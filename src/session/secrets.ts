import {
  closeSync,
  constants,
  fchmodSync,
  fchownSync,
  fstatSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readSync,
  statSync,
  writeSync,
} from 'node:fs';
import { dirname } from 'node:path';
import { ExitCode, OmniError } from '../errors.ts';
import { decodeSecret, encodeSecret, trimmed } from './base64.ts';
import { secretBytes } from './secret-bytes.ts';

/** Longer than any secret's line, shorter than anything worth reading by mistake. Bytes. */
const MAX_FILE_LEN = 1024;

/**
 * Writes `secret` as one base64 line into a new file of mode 0600, durably, and wipes it. Never overwrites.
 * Throws OmniError `<what>-exists` or `<what>-unwritable`.
 */
export function createSecretFile(
  path: string,
  secret: Uint8Array,
  options: { readonly what: string; readonly existsFix: string },
): void {
  const { what, existsFix } = options;
  const line = secretLine(secret);
  secret.fill(0);
  try {
    mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
    const file = openSync(path, 'wx', 0o600);
    try {
      fchmodSync(file, 0o600);
      giveToOwnerOf(dirname(path), file);
      writeSync(file, line);
      fsyncSync(file);
    } finally {
      closeSync(file);
    }
  } catch (error) {
    // A folder of the path that is a file is EEXIST as well, from mkdir.
    const exists = errnoOf(error) === 'EEXIST' && (error as NodeJS.ErrnoException).syscall === 'open';
    if (exists) throw failure(`${what}-exists`, `${path} exists already`, path, existsFix, error);
    const message = `cannot write ${path}: ${errnoOf(error)}`;
    throw failure(`${what}-unwritable`, message, path, 'Choose a folder that this user may write to.', error);
  } finally {
    line.fill(0);
  }
}

/** Root makes keys for an agent that runs as the user whom the state folder belongs to, and reads them itself. */
function giveToOwnerOf(folder: string, file: number): void {
  if (process.geteuid?.() !== 0) return;
  const { uid, gid } = statSync(folder);
  fchownSync(file, uid, gid);
}

/**
 * The bytes of a file that holds one base64 line. Refuses what group or others may read: a key that leaked is not
 * used. Messages carry the path and the reason, never content.
 */
export function readSecretFile(
  path: string,
  options: { readonly what: string; readonly missingFix: string; readonly length: number },
): Uint8Array {
  const { what, length } = options;
  const content = readOwnFile(path, what, options.missingFix);
  const secret = decodeSecret(trimmed(content));
  content.fill(0);
  if (secret?.length === length) return secret;
  secret?.fill(0);
  const message = `${path} does not hold a key: one line, the base64 of ${length} bytes, was expected`;
  throw failure(`${what}-invalid`, message, path, 'Restore the file from where it was made.');
}

/** As base64, with a line break, in bytes. The caller wipes both. */
export function secretLine(secret: Uint8Array): Uint8Array {
  const text = encodeSecret(secret);
  const line = secretBytes(text.length + 1);
  line.set(text);
  line[text.length] = 0x0a;
  text.fill(0);
  return line;
}

/**
 * The first KiB of a file that only its owner may get at, for what is compared with a text in the end. Throws as
 * `readSecretFile` does, but for `<what>-invalid`.
 */
export function readSecretText(path: string, what: string, missingFix: string): string {
  const content = readOwnFile(path, what, missingFix);
  const text = Buffer.from(content.buffer, content.byteOffset, content.length).toString('latin1');
  content.fill(0);
  return text;
}

/**
 * The first KiB of a file that only its owner may get at; the caller wipes it. Throws OmniError `<what>-missing`,
 * `<what>-unreadable` or `<what>-exposed`.
 */
function readOwnFile(path: string, what: string, missingFix: string): Uint8Array {
  let file: number;
  try {
    // O_NONBLOCK: opening a named pipe must not hang the agent.
    file = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
  } catch (error) {
    const errno = errnoOf(error);
    if (errno === 'ENOENT') throw failure(`${what}-missing`, `${path} does not exist`, path, missingFix, error);
    const fix = 'Run as the user who owns the file.';
    throw failure(`${what}-unreadable`, `cannot read ${path}: ${errno}`, path, fix, error);
  }
  try {
    const { mode } = fstatSync(file);
    if ((mode & constants.S_IFMT) !== constants.S_IFREG) {
      throw failure(`${what}-unreadable`, `${path} is not a regular file`, path, 'Name the key file itself.');
    }
    if ((mode & 0o077) !== 0) {
      const octal = (mode & 0o777).toString(8).padStart(4, '0');
      const message = `${path} has mode ${octal}: others than its owner may get at the key`;
      throw failure(
        `${what}-exposed`,
        message,
        path,
        `Run \`chmod 600 ${path}\`; if others had access, make a new key.`,
      );
    }
    const content = secretBytes(MAX_FILE_LEN);
    return content.subarray(0, readSync(file, content));
  } finally {
    closeSync(file);
  }
}

function errnoOf(error: unknown): string {
  return (error as NodeJS.ErrnoException).code ?? 'unknown error';
}

function failure(code: string, message: string, path: string, fix: string, cause?: unknown): OmniError {
  return new OmniError(message, { code, class: 'stall', object: `file/${path}`, fix, exitCode: ExitCode.usage, cause });
}
