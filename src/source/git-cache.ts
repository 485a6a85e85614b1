import { mkdir, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

/*
 * unpackLimit 1 keeps every fetch as one pack, and core.fsync flushes packs and refs: robots lose power. What is larger
 * than bigFileThreshold goes through in pieces, and two threads at most hold objects in memory. Nothing else writes
 * here, so that what no ref holds can go at once.
 */
const CONFIG = `${[
  '[core]',
  '\trepositoryformatversion = 0',
  '\tbare = true',
  '\thooksPath = /dev/null',
  '\taskPass = /bin/false',
  '\tattributesFile = /dev/null',
  '\tlogAllRefUpdates = false',
  '\tfsync = committed,reference',
  '\tbigFileThreshold = 4m',
  '[pack]',
  '\tthreads = 2',
  '[ssh]',
  '\tvariant = ssh',
  '[protocol]',
  '\tallow = never', // GIT_ALLOW_PROTOCOL names the exceptions
  '[transfer]',
  '\tfsckObjects = true',
  '\tunpackLimit = 1',
  '[fetch]',
  '\trecurseSubmodules = false',
  '\twriteCommitGraph = false',
  '[http]',
  '\tlowSpeedLimit = 100', // bytes per second
  '\tlowSpeedTime = 20', // seconds
  '[gc]',
  '\tautoDetach = false',
  '\tpruneExpire = now',
  '[maintenance]',
  '\tauto = false',
].join('\n')}\n`;

/**
 * A bare repository, written by one agent alone and never checked out: no work tree, no hooks, no filters, no
 * submodules. Made by hand instead of by `git init`, so that no template can add anything.
 * Makes the cache, or puts one that an earlier agent left (perhaps by crashing) in order.
 */
export async function openCache(folder: string): Promise<void> {
  await mkdir(join(folder, 'objects', 'pack'), { recursive: true, mode: 0o700 });
  await mkdir(join(folder, 'refs', 'omni'), { recursive: true, mode: 0o700 });
  await removeLeftovers(folder);
  await rm(temporaryFolder(folder), { recursive: true, force: true });
  await mkdir(temporaryFolder(folder), { mode: 0o700 });
  await ensure(join(folder, 'config'), CONFIG);
  await ensure(join(folder, 'HEAD'), 'ref: refs/heads/none\n');
}

/** For git and its helpers, which the sandbox keeps from the system's. */
export function temporaryFolder(cache: string): string {
  return join(cache, 'tmp');
}

/** A cache in order is left alone: it can be read from a disk that is full or mounted read-only. */
async function ensure(path: string, content: string): Promise<void> {
  const present = await readFile(path, 'utf8').catch(() => undefined);
  if (present !== content) await writeFile(path, content, { mode: 0o600 });
}

export async function cacheExists(folder: string): Promise<boolean> {
  return (await stat(join(folder, 'HEAD')).catch(() => undefined)) !== undefined;
}

/** After a crash: locks and half-received packs belong to nobody, for the agent holds the state folder alone. */
export async function removeLeftovers(folder: string): Promise<void> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true }).catch(() => []);
  for (const entry of entries) {
    if (entry.isFile() && (entry.name.endsWith('.lock') || entry.name.startsWith('tmp_'))) {
      await rm(join(entry.parentPath, entry.name), { force: true });
    }
  }
}

/** Bytes and number of packs; what is being received counts. Nearly everything in our caches is a pack. */
export async function measureCache(folder: string): Promise<{ readonly bytes: number; readonly packs: number }> {
  const packFolder = join(folder, 'objects', 'pack');
  let bytes = 0;
  let packs = 0;
  for (const name of await readdir(packFolder).catch(() => [])) {
    const info = await stat(join(packFolder, name)).catch(() => undefined); // may have been renamed or collected
    bytes += info?.size ?? 0;
    if (name.endsWith('.pack')) packs += 1;
  }
  return { bytes, packs };
}
