import {
  closeSync,
  constants,
  fchmodSync,
  fstatSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readSync,
  writeSync,
} from 'node:fs';
import { dirname } from 'node:path';
import { ExitCode, OmniError } from '../errors.ts';

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
  const line = Buffer.from(`${Buffer.from(secret).toString('base64')}\n`, 'ascii');
  secret.fill(0);
  try {
    mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
    const file = openSync(path, 'wx', 0o600);
    try {
      fchmodSync(file, 0o600);
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

/**
 * The bytes of a file that holds one base64 line. Refuses what group or others may read: a key that leaked is not
 * used. Messages carry the path and the reason, never content.
 */
export function readSecretFile(
  path: string,
  options: { readonly what: string; readonly missingFix: string; readonly length: number },
): Uint8Array {
  const { what, length } = options;
  const text = readSecretText(path, what, options.missingFix);
  const secret = decodeBase64(text.trim());
  if (secret?.length === length) return secret;
  const message = `${path} does not hold a key: one line, the base64 of ${length} bytes, was expected`;
  throw failure(`${what}-invalid`, message, path, 'Restore the file from where it was made.');
}

/**
 * The first KiB of a file that only its owner may get at. Throws OmniError `<what>-missing`, `<what>-unreadable` or
 * `<what>-exposed`.
 */
export function readSecretText(path: string, what: string, missingFix: string): string {
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
    const buffer = Buffer.alloc(MAX_FILE_LEN);
    return buffer.toString('latin1', 0, readSync(file, buffer));
  } finally {
    closeSync(file);
  }
}

/** Canonical, padded base64 only: one key has one text. */
function decodeBase64(text: string): Uint8Array | undefined {
  const bytes = Buffer.from(text, 'base64');
  return bytes.toString('base64') === text ? bytes : undefined;
}

function errnoOf(error: unknown): string {
  return (error as NodeJS.ErrnoException).code ?? 'unknown error';
}

function failure(code: string, message: string, path: string, fix: string, cause?: unknown): OmniError {
  return new OmniError(message, { code, class: 'stall', object: `file/${path}`, fix, exitCode: ExitCode.usage, cause });
}
