import { createHash } from 'node:crypto';
import { lstat, opendir, readdir, readFile, realpath, stat } from 'node:fs/promises';
import { join, sep } from 'node:path';
import { ExitCode, OmniError } from '../errors.ts';
import type { ManifestFile } from '../manifest/model.ts';
import { exposureOf, writersOf } from './exposure.ts';
import { checkFileName, shownName } from './file-name.ts';
import { fileTooLarge, type SourceLimits, tooLarge, tooManyFiles } from './limits.ts';
import { comparePaths, isManifestPath } from './manifest-path.ts';
import { sourceInvalid } from './url.ts';

/** What is known of a file's content without reading it again. */
interface FileState {
  readonly path: string;
  readonly absolute: string;
  /** Inode, size, mtime and ctime: equal = not written in between, as far as the file system can tell. */
  readonly stamp: string;
  /** Milliseconds since 1970. */
  readonly modifiedMs: number;
  readonly size: number;
  /** Why others may write it; undefined: they may not. */
  readonly writers: string | undefined;
}

/** Hashes by path, kept from scan to scan so that only what changed is read. */
export type HashCache = Map<string, { readonly stamp: string; readonly file: ManifestFile }>;

export interface Scan {
  readonly files: readonly ManifestFile[];
  readonly notes: readonly string[];
  /** Why others than root and this user can change it. */
  readonly exposure: string | undefined;
}

/** A file changed under the reader; scanning again helps. */
export class ScanDisturbed extends Error {}

const NOTES = 20;
const BATCH = 64;
/** File systems stamp by timer ticks: a file written again within one keeps its stamp. As git's "racily clean". */
const STAMP_TRUST_MS = 1_000;

/** One complete view of the folder: lists, hashes what changed, lists again. Throws `ScanDisturbed` if the two differ. */
export async function scan(
  root: string,
  cache: HashCache,
  limits: SourceLimits,
  nowMs: number,
  signal: AbortSignal,
): Promise<Scan> {
  const before = await list(root, limits, signal);
  const files = await inBatches(before.states, signal, async (state) => {
    const known = cache.get(state.path);
    return known?.stamp === state.stamp ? known.file : hashFile(state);
  });
  cache.clear();
  for (const [index, { path, stamp, modifiedMs }] of before.states.entries()) {
    const file = files[index];
    if (file !== undefined && nowMs - modifiedMs > STAMP_TRUST_MS) cache.set(path, { stamp, file });
  }
  const after = await list(root, limits, signal);
  if (fingerprint(before.states) !== fingerprint(after.states)) throw new ScanDisturbed();
  return { files, notes: before.notes, exposure: await exposureIn(root, before.states) };
}

async function exposureIn(root: string, states: readonly FileState[]): Promise<string | undefined> {
  const folder = await exposureOf(root).catch(disturbedIfGone);
  if (folder !== undefined) return folder;
  const state = states.find(({ writers }) => writers !== undefined);
  return state && `${state.absolute} ${state.writers}`;
}

/** In order; a few at a time, for the file system answers them side by side. */
async function inBatches<T, R>(items: readonly T[], signal: AbortSignal, map: (item: T) => Promise<R>): Promise<R[]> {
  const results: R[] = [];
  for (let from = 0; from < items.length; from += BATCH) {
    signal.throwIfAborted();
    results.push(...(await Promise.all(items.slice(from, from + BATCH).map(map))));
  }
  return results;
}

function fingerprint(states: readonly FileState[]): string {
  return states.map(({ path, stamp }) => `${path}\0${stamp}`).join('\n');
}

async function list(
  root: string,
  limits: SourceLimits,
  signal: AbortSignal,
): Promise<{ states: FileState[]; notes: string[] }> {
  const realRoot = await rootOf(root);
  const paths = await walk(root, limits, signal);
  const found = await inBatches(paths, signal, (path) => stateOf(root, realRoot, path));
  const states: FileState[] = [];
  const notes: string[] = [];
  let bytes = 0;
  for (const [index, state] of found.entries()) {
    if (state === undefined) {
      const path = shownName(paths[index] ?? '');
      if (notes.length < NOTES) notes.push(`${path} is no regular file inside the folder: skipped`);
      continue;
    }
    if (state.size > limits.fileBytes) throw fileTooLarge(state.path, state.size, limits.fileBytes);
    bytes += state.size;
    states.push(state);
  }
  if (bytes > limits.totalBytes) {
    throw tooLarge('the manifests are larger than the limit for the whole source', 'Split the fleet.');
  }
  return { states: states.sort(comparePaths), notes };
}

/** Paths of all manifests; links to folders are not entered. */
async function walk(root: string, limits: SourceLimits, signal: AbortSignal): Promise<string[]> {
  const paths: string[] = [];
  const folders = [''];
  for (let folder = folders.pop(); folder !== undefined; folder = folders.pop()) {
    signal.throwIfAborted();
    for (const entry of await readdir(join(root, folder), { withFileTypes: true }).catch(disturbedIfGone)) {
      if (entry.name.startsWith('.')) continue;
      const path = folder === '' ? entry.name : `${folder}/${entry.name}`;
      if (entry.isDirectory()) folders.push(path);
      else if (isManifestPath(path)) paths.push(path);
      if (paths.length > limits.files) throw tooManyFiles(limits.files);
    }
  }
  return paths;
}

/** Throws `source-path-missing` unless the folder can be listed. */
export async function checkFolder(root: string, signal: AbortSignal): Promise<void> {
  signal.throwIfAborted();
  await rootOf(root);
  const folder = await opendir(root).catch((error: unknown) => {
    throw missing(`${root} cannot be listed`, error);
  });
  await folder.close();
}

async function rootOf(root: string): Promise<string> {
  try {
    if (!(await stat(root)).isDirectory()) throw missing(`${root} is not a folder`);
    return await realpath(root);
  } catch (error) {
    if (error instanceof OmniError) throw error;
    const denied = error instanceof Error && 'code' in error && error.code === 'EACCES';
    throw missing(denied ? `${root} may not be read by this user` : `there is no folder ${root}`, error);
  }
}

function missing(message: string, cause?: unknown): OmniError {
  return new OmniError(message, {
    code: 'source-path-missing',
    class: 'stall',
    exitCode: ExitCode.source,
    fix: 'Create it, mount it, or name another folder with --source and --path.',
    cause,
  });
}

/**
 * A symbolic link to a file inside the folder counts as the file (Kubernetes mounts ConfigMaps that way); links to
 * folders and links that lead outside are not followed, so there are no loops. Undefined: skip it.
 */
async function stateOf(root: string, realRoot: string, path: string): Promise<FileState | undefined> {
  checkFileName(path, '', 'Rename it; ls -b shows such names quoted.');
  const absolute = join(root, path);
  try {
    let info = await lstat(absolute, { bigint: true });
    if (info.isSymbolicLink()) {
      if (!(await realpath(absolute)).startsWith(realRoot + sep)) return undefined;
      info = await stat(absolute, { bigint: true });
    }
    if (!info.isFile()) return undefined;
    const stamp = `${info.dev}:${info.ino}:${info.size}:${info.mtimeNs}:${info.ctimeNs}`;
    const writers = writersOf({ mode: Number(info.mode), uid: Number(info.uid) });
    return { path, absolute, stamp, modifiedMs: Number(info.mtimeMs), size: Number(info.size), writers };
  } catch (error) {
    return disturbedIfGone(error);
  }
}

function disturbedIfGone(error: unknown): never {
  if (error instanceof Error && 'code' in error && (error.code === 'ENOENT' || error.code === 'ELOOP')) {
    throw new ScanDisturbed();
  }
  throw sourceInvalid(
    `a folder or file of the source cannot be read: ${error instanceof Error ? error.message : String(error)}`,
    'Check its permissions.',
  );
}

async function hashFile(state: FileState): Promise<ManifestFile> {
  const bytes = await readFile(state.absolute).catch(disturbedIfGone);
  const blob = hashOf(bytes);
  // Handed out once from memory; whoever asks again reads the disk and must find the same content.
  let first: Uint8Array | undefined = bytes;
  const read = async (): Promise<Uint8Array> => {
    const held = first;
    first = undefined;
    if (held !== undefined) return held;
    const again = await readFile(state.absolute).catch(() => undefined);
    if (again !== undefined && hashOf(again) === blob) return again;
    throw new OmniError(`${state.path} changed while it was being read`, {
      code: 'source-changed',
      class: 'retry',
      exitCode: ExitCode.source,
      fix: 'Nothing to do: the folder is read again.',
    });
  };
  return { path: state.path, blob, size: bytes.length, read };
}

function hashOf(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex');
}
