import { closeSync, fstatSync, fsyncSync, ftruncateSync, openSync, renameSync, unlinkSync, writeSync } from 'node:fs';
import { dirname } from 'node:path';
import { ExitCode, OmniError } from '../errors.ts';
import { createIdentity, type Identity, readIdentity } from './identity.ts';
import { createSecretFile } from './secrets.ts';

/** Where the key lies that a node goes over to: `identity.next.key` beside `identity.key`. */
export function nextIdentityPath(path: string): string {
  return `${path.replace(/\.key$/, '')}.next.key`;
}

/** The identity that the one at `path` is to be replaced by; undefined: none is. Throws as `readIdentity` does. */
export function readNextIdentity(path: string): Identity | undefined {
  try {
    return readIdentity(nextIdentityPath(path));
  } catch (error) {
    if (error instanceof OmniError && error.code === 'identity-missing') return undefined;
    throw error;
  }
}

/** Makes the identity that the one at `path` is to be replaced by, durably, mode 0600. Throws `identity-exists` rather than overwrite. */
export function makeNextIdentity(path: string): Identity {
  const next = createIdentity();
  const file = nextIdentityPath(path);
  createSecretFile(file, next.seed(), { what: 'identity', existsFix: 'Run `omni rotate` to see what is to be done.' });
  syncFolder(dirname(file));
  return next;
}

/** The next identity takes the other one's place, atomically and durably; the other one's key is wiped. Throws `identity-unwritable`. */
export function promoteNextIdentity(path: string): void {
  wiping(path, () => renameSync(nextIdentityPath(path), path));
}

/** Removes the next identity, and wipes it. Throws `identity-unwritable`. */
export function discardNextIdentity(path: string): void {
  const file = nextIdentityPath(path);
  wiping(file, () => unlinkSync(file));
}

/** Overwrites what `path` holds, once `unlink` has taken the name from it for good: nobody ever finds half a key. */
function wiping(path: string, unlink: () => void): void {
  try {
    const file = openSync(path, 'r+');
    try {
      unlink();
      syncFolder(dirname(path));
      const { size } = fstatSync(file);
      writeSync(file, Buffer.alloc(size), 0, size, 0);
      fsyncSync(file);
      ftruncateSync(file);
    } finally {
      closeSync(file);
    }
  } catch (cause) {
    throw new OmniError(`cannot change ${path}: ${(cause as NodeJS.ErrnoException).code ?? String(cause)}`, {
      code: 'identity-unwritable',
      class: 'stall',
      object: `file/${path}`,
      exitCode: ExitCode.usage,
      fix: 'Run as the user who owns the file, on a file system that is writable.',
      cause,
    });
  }
}

/** Makes what was created in, renamed into or removed from a folder outlive a power cut. */
function syncFolder(path: string): void {
  const folder = openSync(path, 'r');
  try {
    fsyncSync(folder);
  } catch (error) {
    // Some network and FUSE file systems do not offer it for folders: fsync(2), EINVAL.
    if ((error as NodeJS.ErrnoException).code !== 'EINVAL') throw error;
  } finally {
    closeSync(folder);
  }
}
