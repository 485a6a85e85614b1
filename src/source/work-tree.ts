import { createHash } from 'node:crypto';
import { lstat, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { ManifestFile } from '../manifest/model.ts';
import { checkFileName } from './file-name.ts';
import { classifyGitFailure } from './git-errors.ts';
import { type GitContext, inspectGit } from './git-process.ts';
import { fileTooLarge, type SourceLimits, tooLarge, tooManyFiles } from './limits.ts';
import { comparePaths, isManifestPath } from './manifest-path.ts';
import type { Snapshot } from './source.ts';
import { sourceInvalid } from './url.ts';

const TIMEOUT_MS = 30_000;
const LIST_BYTES = 64 * 1024 * 1024;
/** Listing needs neither; the first could name a command. */
const QUIET = ['-c', 'core.fsmonitor=false', '-c', 'core.untrackedCache=false', '--literal-pathspecs'];

/**
 * The manifests of a checkout as they lie there, below `path` ('' is the root): what a commit of everything would hold,
 * with new files and without ignored ones. Contents as they are on disk: filters are not run.
 */
export async function readWorkTree(
  context: GitContext,
  request: { readonly path: string; readonly limits: SourceLimits; readonly signal: AbortSignal },
): Promise<Snapshot> {
  const { path, limits, signal } = request;
  const root = await topLevel(context, signal);
  const inside = { ...context, folder: root, options: [...context.options, ...QUIET] };
  const listing = await inspectGit(inside, {
    args: ['ls-files', '-z', '--cached', '--others', '--exclude-standard', '--', path === '' ? '.' : path],
    timeoutMs: TIMEOUT_MS,
    maxOutputBytes: LIST_BYTES,
    signal,
  });
  if (listing.status !== 0) throw classifyGitFailure(context.kind, root, listing.stderr);
  const start = path === '' ? '' : `${path.replace(/\/+$/, '')}/`;
  const files: ManifestFile[] = [];
  let bytes = 0;
  for (const listed of new Set(listing.stdout.split('\0'))) {
    const below = listed.slice(start.length);
    if (!listed.startsWith(start) || !isManifestPath(below)) continue;
    checkFileName(listed, ' in the work tree', 'Rename the file; git ls-files shows such names quoted.');
    const file = await fileAt(join(root, listed), below, limits);
    signal.throwIfAborted();
    if (file === undefined) continue;
    if (files.push(file) > limits.files) throw tooManyFiles(limits.files);
    bytes += file.size;
    if (bytes > limits.totalBytes) {
      throw tooLarge('the manifests are larger than the limit for the whole source', 'Split the fleet.');
    }
  }
  if (files.length === 0) {
    throw sourceInvalid(
      `${root} has no .yaml, .yml or .json file ${path === '' ? '' : `below "${path}" `}in its work tree`,
      'Name the folder of the fleet with --path.',
    );
  }
  return { revision: { id: 'work-tree', label: 'work tree' }, files: files.sort(comparePaths) };
}

async function topLevel(context: GitContext, signal: AbortSignal): Promise<string> {
  const args = ['rev-parse', '--is-bare-repository', '--show-toplevel'];
  try {
    const { stdout } = await inspectGit(context, { args, timeoutMs: TIMEOUT_MS, maxOutputBytes: 64 * 1024, signal });
    return stdout.slice(stdout.indexOf('\n') + 1).replace(/\n$/, '');
  } catch (error) {
    if (!(error instanceof Error && /must be run in a work tree/.test(error.message))) throw error;
    throw sourceInvalid(
      `${context.origin} is no work tree, so one commit has nothing to be compared with`,
      'Name two commits, as in `--rev main..HEAD`.',
    );
  }
}

/** Undefined for what is gone from the disk, and for what is no regular file. */
async function fileAt(full: string, path: string, limits: SourceLimits): Promise<ManifestFile | undefined> {
  const found = await lstat(full).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT' || error.code === 'ENOTDIR') return undefined;
    throw error;
  });
  if (found === undefined || !found.isFile()) return undefined;
  if (found.size > limits.fileBytes) throw fileTooLarge(path, found.size, limits.fileBytes);
  const data = await readFile(full);
  return { path, blob: blobId(data), size: data.length, read: async () => data };
}

/** As git names a content (gitformat-pack, object names), so that a parse of the same content in a commit serves here. */
function blobId(data: Uint8Array): string {
  return createHash('sha1').update(`blob ${data.length}\0`).update(data).digest('hex');
}
