import { createHash } from 'node:crypto';
import { lstat, readdir, readFile, realpath, stat } from 'node:fs/promises';
import { join, sep } from 'node:path';
import { ExitCode, OmniError } from '../errors.ts';
import type { ManifestFile } from '../manifest/model.ts';
import { fileTooLarge, type SourceLimits, tooLarge, tooManyFiles } from './limits.ts';
import { comparePaths, isManifestPath } from './manifest-path.ts';
import { hasControlCharacter, printable, sourceInvalid } from './url.ts';

/** What is known of a file's content without reading it again. */
interface FileState {
  readonly path: string;
  readonly absolute: string;
  /** Inode, size, mtime and ctime: equal = not written in between, as far as the file system can tell. */
  readonly stamp: string;
  /** Milliseconds since 1970. */
  readonly modifiedMs: number;
  readonly size: number;
}

/** Hashes by path, kept from scan to scan so that only what changed is read. */
export type HashCache = Map<string, { readonly stamp: string; readonly file: ManifestFile }>;

export interface Scan {
  readonly files: readonly ManifestFile[];
  readonly notes: readonly string[];
}

/** A file changed under the reader; scanning again helps. */
export class ScanDisturbed extends Error {}

const NOTES = 20;
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
  const files: ManifestFile[] = [];
  const seen = new Set<string>();
  for (const state of before.states) {
    signal.throwIfAborted();
    const known = cache.get(state.path);
    const file = known?.stamp === state.stamp ? known.file : await hashFile(state);
    if (nowMs - state.modifiedMs > STAMP_TRUST_MS) cache.set(state.path, { stamp: state.stamp, file });
    else cache.delete(state.path);
    seen.add(state.path);
    files.push(file);
  }
  for (const path of cache.keys()) if (!seen.has(path)) cache.delete(path);
  const after = await list(root, limits, signal);
  if (fingerprint(before.states) !== fingerprint(after.states)) throw new ScanDisturbed();
  return { files, notes: before.notes };
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
  const states: FileState[] = [];
  const notes: string[] = [];
  const folders = [''];
  let bytes = 0;
  for (let folder = folders.pop(); folder !== undefined; folder = folders.pop()) {
    signal.throwIfAborted();
    for (const entry of await readdir(join(root, folder), { withFileTypes: true }).catch(disturbedIfGone)) {
      const path = folder === '' ? entry.name : `${folder}/${entry.name}`;
      if (entry.name.startsWith('.')) continue;
      if (entry.isDirectory()) folders.push(path);
      if (entry.isDirectory() || !isManifestPath(path)) continue;
      const state = await stateOf(root, realRoot, path);
      if (state === undefined) {
        if (notes.length < NOTES) notes.push(`${printable(path)} is no regular file inside the folder: skipped`);
        continue;
      }
      if (state.size > limits.fileBytes) throw fileTooLarge(path, state.size, limits.fileBytes);
      if (states.length === limits.files) throw tooManyFiles(limits.files);
      bytes += state.size;
      states.push(state);
    }
  }
  if (bytes > limits.totalBytes) {
    throw tooLarge('the manifests are larger than the limit for the whole source', 'Split the fleet.');
  }
  return { states: states.sort(comparePaths), notes };
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
    fix: 'Create it, mount it, or name another folder with --source.',
    cause,
  });
}

/**
 * A symbolic link to a file inside the folder counts as the file (Kubernetes mounts ConfigMaps that way); links to
 * folders and links that lead outside are not followed, so there are no loops. Undefined: skip it.
 */
async function stateOf(root: string, realRoot: string, path: string): Promise<FileState | undefined> {
  if (hasControlCharacter(path) || path.includes('\ufffd')) {
    throw sourceInvalid(`the file name "${printable(path)}" holds control characters or is not UTF-8`, 'Rename it.');
  }
  const absolute = join(root, path);
  try {
    let info = await lstat(absolute, { bigint: true });
    if (info.isSymbolicLink()) {
      if (!(await realpath(absolute)).startsWith(realRoot + sep)) return undefined;
      info = await stat(absolute, { bigint: true });
    }
    if (!info.isFile()) return undefined;
    const stamp = `${info.dev}:${info.ino}:${info.size}:${info.mtimeNs}:${info.ctimeNs}`;
    return { path, absolute, stamp, modifiedMs: Number(info.mtimeMs), size: Number(info.size) };
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
