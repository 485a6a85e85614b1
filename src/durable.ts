import * as fs from 'node:fs/promises';
import { dirname } from 'node:path';

/** The calls that a durable write is made of; a parameter, so that each of them can be seen to fail. */
export type Disk = Pick<typeof fs, 'open' | 'rename' | 'unlink'>;

/**
 * Replaces a file as a whole; mode 0600. All or nothing, and there after a power cut once it resolves: a temporary file
 * beside it, fsync, rename, fsync of the folder. One write of a path at a time. Rejects with the system's error, the
 * old content in place and the temporary file gone, as far as the disk lets it be removed.
 */
export async function replaceFile(path: string, content: string | Uint8Array, disk: Disk = fs): Promise<void> {
  const temporary = `${path}.new`;
  try {
    const file = await disk.open(temporary, 'w', 0o600);
    try {
      await file.writeFile(content);
      await file.sync();
    } finally {
      await file.close();
    }
    await disk.rename(temporary, path);
  } catch (error) {
    // Why the write failed is what the caller must hear; the next write takes the temporary file over.
    await disk.unlink(temporary).catch(() => undefined);
    throw error;
  }
  await syncFolder(dirname(path), disk);
}

/** Makes what was created in, renamed into or removed from a folder outlive a power cut. */
export async function syncFolder(path: string, disk: Disk = fs): Promise<void> {
  const folder = await disk.open(path, 'r');
  try {
    await folder.sync();
  } catch (error) {
    // Some network and FUSE file systems do not offer it for folders: fsync(2), EINVAL.
    if (!(error instanceof Error && 'code' in error && error.code === 'EINVAL')) throw error;
  } finally {
    await folder.close();
  }
}
