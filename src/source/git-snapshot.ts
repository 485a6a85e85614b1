import type { ManifestFile } from '../manifest/model.ts';
import { checkFileName, shownName } from './file-name.ts';
import { damaged, pathMissing } from './git-errors.ts';
import type { GitObject, ObjectReader } from './git-objects.ts';
import { type GitContext, runGit } from './git-process.ts';
import { fileTooLarge, type SourceLimits, tooLarge, tooManyFiles } from './limits.ts';
import { comparePaths, isManifestPath } from './manifest-path.ts';
import type { Revision, Signature, Snapshot } from './source.ts';
import { printable, sourceInvalid } from './url.ts';

export interface SnapshotRequest {
  readonly context: GitContext;
  readonly objects: ObjectReader;
  readonly commit: GitObject;
  /** Folder below the root, checked; '' is the root. */
  readonly path: string;
  /** What the label says before `@`: the branch, tag or revision that was asked for. */
  readonly ref: string;
  readonly limits: SourceLimits;
  /** Whose signature made the commit acceptable. */
  readonly signature?: Signature | undefined;
  /** What else to tell with the snapshot. */
  readonly notes?: readonly string[];
  readonly signal: AbortSignal;
  /** A content that is read later turned out to be missing or damaged. */
  readonly onDamage: () => void;
}

const LIST_TIMEOUT_MS = 30_000;
/** 100,000 paths of 600 bytes; a tree that lists longer than this is no fleet. */
const LIST_BYTES = 64 * 1024 * 1024;
const NOTES = 20;
const RENAME = 'Rename the file and push; git ls-tree -r --name-only HEAD shows such names quoted.';

/** Lists one commit's manifests; contents are read when they are asked for. */
export async function readSnapshot(request: SnapshotRequest): Promise<Snapshot> {
  const { context, commit, path, signal } = request;
  const signature = request.signature === undefined ? {} : { signature: request.signature };
  const revision: Revision = { ...revisionOf(commit, request.ref), ...signature };
  let listing: string;
  try {
    const treeish = path === '' ? commit.id : `${commit.id}:${path}`;
    listing = await runGit(context, {
      args: ['ls-tree', '-r', '-z', '-l', '--full-tree', treeish],
      timeoutMs: LIST_TIMEOUT_MS,
      maxOutputBytes: LIST_BYTES,
      signal,
    });
  } catch (error) {
    if (error instanceof Error && /Not a valid object name|not a tree object/.test(error.message)) {
      throw pathMissing(context.origin, path, revision.label);
    }
    throw error;
  }
  const { files, notes } = manifestsOf(listing, revision.label, request);
  if (files.length === 0) {
    throw sourceInvalid(
      `${context.origin} has no .yaml, .yml or .json file ${path === '' ? '' : `below "${path}" `}at ${revision.label}`,
      'Restore the fleet if it was deleted; else commit it there, or name its folder with --path.',
    );
  }
  return notes.length === 0 ? { revision, files } : { revision, files, notes };
}

function manifestsOf(
  listing: string,
  label: string,
  request: SnapshotRequest,
): { files: ManifestFile[]; notes: string[] } {
  const { context, limits } = request;
  const files: ManifestFile[] = [];
  const notes: string[] = [...(request.notes ?? [])];
  let bytes = 0;
  const note = (text: string) => {
    if (notes.length < NOTES) notes.push(text);
  };
  for (const record of listing.split('\0')) {
    if (record === '') continue;
    const match = /^([0-7]{6}) (\w+) ([0-9a-f]{40,64}) +([0-9]+|-|BAD)\t([\s\S]+)$/.exec(record);
    if (match === null) throw damaged(context.kind, context.origin, 'git ls-tree printed an unknown form');
    const [, mode = '', , blob = '', sizeText = '', path = ''] = match;
    if (mode === '160000') note(`${shownName(path)} is a submodule: skipped`);
    if (!isManifestPath(path) || mode === '160000') continue;
    if (mode === '120000') {
      note(`${shownName(path)} is a symbolic link: skipped`);
      continue;
    }
    checkFileName(path, ` in ${label}`, RENAME);
    if (sizeText === 'BAD') throw damaged(context.kind, context.origin, `${path} (blob ${blob}) is missing`);
    const size = Number(sizeText);
    if (size > limits.fileBytes) throw fileTooLarge(`${path} in ${label}`, size, limits.fileBytes);
    if (files.length === limits.files) throw tooManyFiles(limits.files);
    bytes += size;
    files.push({ path, blob, size, read: () => readBlob(request, path, blob) });
  }
  if (bytes > limits.totalBytes) {
    throw tooLarge('the manifests are larger than the limit for the whole source', 'Split the fleet.');
  }
  return { files: files.sort(comparePaths), notes };
}

async function readBlob(request: SnapshotRequest, path: string, blob: string): Promise<Uint8Array> {
  const { kind, origin } = request.context;
  try {
    const object = await request.objects.read(blob);
    if (object?.type === 'blob') return object.data;
    throw damaged(kind, origin, `${path} (blob ${blob}) is missing`);
  } catch (error) {
    request.onDamage();
    throw error;
  }
}

/** The commit's identity and the headers that people ask for (gitformat-commit: headers, blank line, message). */
export function revisionOf(commit: GitObject, ref: string): Revision {
  const text = commit.data.toString('utf8');
  const blank = text.indexOf('\n\n');
  const headers = (blank < 0 ? text : text.slice(0, blank)).split('\n');
  const subject = blank < 0 ? '' : (text.slice(blank + 2).split('\n', 1)[0] ?? '');
  const author = person(headers, 'author');
  const committer = person(headers, 'committer');
  const algorithm = commit.id.length === 64 ? 'sha256' : 'sha1';
  return {
    id: commit.id,
    label: `${ref}@${algorithm}:${commit.id}`,
    subject: printable(subject).trim().slice(0, 200),
    ...(author === undefined ? {} : { author: author.name }),
    ...(committer === undefined ? {} : { time: committer.time }),
  };
}

function person(headers: readonly string[], header: string): { name: string; time: string } | undefined {
  const line = headers.find((candidate) => candidate.startsWith(`${header} `));
  const match = /^\w+ (.*) (-?[0-9]{1,12}) ([+-])([0-9]{2})([0-9]{2})$/.exec(line ?? '');
  if (match === null) return undefined;
  const [, name = '', seconds = '0', sign = '+', hours = '00', minutes = '00'] = match;
  const offsetMs = (Number(hours) * 60 + Number(minutes)) * 60_000 * (sign === '-' ? -1 : 1);
  const local = new Date(Number(seconds) * 1000 + offsetMs);
  if (Number.isNaN(local.getTime())) return undefined;
  const zone = offsetMs === 0 ? 'Z' : `${sign}${hours}:${minutes}`;
  return { name: printable(name).trim().slice(0, 200), time: `${local.toISOString().slice(0, 19)}${zone}` };
}
