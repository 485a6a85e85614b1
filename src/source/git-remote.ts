import { measureCache, removeLeftovers } from './git-cache.ts';
import { refMissing } from './git-errors.ts';
import { type GitContext, runGit } from './git-process.ts';
import { mebibytes, type SourceLimits, tooLarge } from './limits.ts';
import { sourceInvalid } from './url.ts';

/** What a ref of the remote points at: a commit, or an annotated tag. */
export interface RemoteRef {
  /** Fully qualified. */
  readonly name: string;
  readonly id: string;
}

const SIZE_CHECK_MS = 50;
const OUTPUT_BYTES = 1024 * 1024;

/** The remote's refs live below `refs/omni/`, so that nothing in the cache looks like a branch of its own. */
export function localName(remoteName: string): string {
  return remoteName.replace(/^refs\//, 'refs/omni/');
}

/** Fully qualified names that `ref` may mean, best first. */
export function candidates(ref: string): readonly string[] {
  return ref.startsWith('refs/') ? [ref] : [`refs/heads/${ref}`, `refs/tags/${ref}`];
}

/** One `git ls-remote`, limited to the names that matter (protocol v2 lets the server filter). */
export async function askRemote(
  context: GitContext,
  url: string,
  ref: string,
  limits: SourceLimits,
  signal: AbortSignal,
): Promise<RemoteRef> {
  const names = candidates(ref);
  const output = await runGit(context, {
    args: ['ls-remote', '--quiet', '--refs', '--', url, ...names],
    remote: true,
    timeoutMs: limits.pollTimeoutMs,
    maxOutputBytes: OUTPUT_BYTES,
    signal,
  });
  const ids = new Map<string, string>();
  for (const line of output.split('\n')) {
    const match = /^([0-9a-f]{40}|[0-9a-f]{64})\t(\S+)$/.exec(line);
    if (match !== null) ids.set(match[2] ?? '', match[1] ?? '');
  }
  for (const name of names) {
    const id = ids.get(name);
    if (id?.length === 64) {
      throw sourceInvalid(
        `${context.origin} names its objects by SHA-256, which the cache does not support`,
        'Serve the fleet from a repository with the default object format (SHA-1).',
      );
    }
    if (id !== undefined) return { name, id };
  }
  throw refMissing(context.origin, ref);
}

/**
 * Brings the ref with its whole history (`diff --rev`, `history` and rollback need it offline). Follows the remote
 * wherever it points: issue 3 refuses a rewound history and checks signatures here, before the local ref moves.
 * Resolves with the number of packs in the cache.
 */
export async function transfer(
  context: GitContext,
  url: string,
  remote: RemoteRef,
  limits: SourceLimits,
  signal: AbortSignal,
): Promise<number> {
  const tooBig = new AbortController();
  const timer = setInterval(() => {
    void measureCache(context.folder).then(({ bytes }) => {
      if (bytes > limits.totalBytes) tooBig.abort(tooLargeWithHistory(context, limits));
    });
  }, SIZE_CHECK_MS);
  try {
    await runGit(context, {
      args: [
        'fetch',
        '--no-tags',
        '--no-write-fetch-head',
        '--no-recurse-submodules',
        '--no-auto-maintenance',
        '--force',
        '--',
        url,
        `+${remote.name}:${localName(remote.name)}`,
      ],
      remote: true,
      timeoutMs: limits.fetchTimeoutMs,
      maxOutputBytes: OUTPUT_BYTES,
      signal: AbortSignal.any([signal, tooBig.signal]),
    });
  } catch (error) {
    await removeLeftovers(context.folder);
    throw error;
  } finally {
    clearInterval(timer);
  }
  const { bytes, packs } = await measureCache(context.folder);
  if (bytes > limits.totalBytes) throw tooLargeWithHistory(context, limits);
  return packs;
}

function tooLargeWithHistory(context: GitContext, limits: SourceLimits) {
  return tooLarge(
    `${context.origin} needs more than ${mebibytes(limits.totalBytes)} MiB with its history`,
    'Keep the fleet in a repository of its own, without large files in its history.',
  );
}
