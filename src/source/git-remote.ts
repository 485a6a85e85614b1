import { accessTo } from './git-access.ts';
import { measureCache, removeLeftovers } from './git-cache.ts';
import { refMissing } from './git-errors.ts';
import { type GitContext, remoteContext, runGit } from './git-process.ts';
import type { Remote } from './git-remotes.ts';
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

/** One `git ls-remote`, limited to the names that matter (protocol v2 lets the server filter). */
async function listRemote(
  context: GitContext,
  remote: Remote,
  names: readonly string[],
  timeoutMs: number,
  signal: AbortSignal,
): Promise<string> {
  return runGit(remoteContext(context, remote, await accessTo(remote)), {
    args: ['ls-remote', '--quiet', '--refs', '--', remote.url, ...names],
    remote: true,
    timeoutMs,
    maxOutputBytes: OUTPUT_BYTES,
    signal,
  });
}

/** Resolves when the remote answered; what it has is not looked at. */
export async function pingRemote(
  context: GitContext,
  remote: Remote,
  limits: SourceLimits,
  signal: AbortSignal,
): Promise<void> {
  await listRemote(context, remote, ['refs/heads/none'], limits.pollTimeoutMs, signal);
}

/** What the remote has under the first of `names` that it knows. `ref` is what the user called it. */
export async function askRemote(
  context: GitContext,
  remote: Remote,
  names: readonly string[],
  ref: string,
  limits: SourceLimits,
  signal: AbortSignal,
): Promise<RemoteRef> {
  const output = await listRemote(context, remote, names, limits.pollTimeoutMs, signal);
  const ids = new Map<string, string>();
  for (const line of output.split('\n')) {
    const match = /^([0-9a-f]{40}|[0-9a-f]{64})\t(\S+)$/.exec(line);
    if (match !== null) ids.set(match[2] ?? '', match[1] ?? '');
  }
  for (const name of names) {
    const id = ids.get(name);
    if (id?.length === 64) {
      throw sourceInvalid(
        `${remote.display} names its objects by SHA-256, which the cache does not support`,
        'Serve the fleet from a repository with the default object format (SHA-1).',
      );
    }
    if (id !== undefined) return { name, id };
  }
  throw refMissing(remote.display, ref);
}

/**
 * Brings a ref with its whole history (`diff --rev`, `history` and rollback need it offline) and points `localRef` at
 * it. Nothing is accepted by that.
 */
export async function transfer(
  context: GitContext,
  remote: Remote,
  offered: RemoteRef,
  localRef: string,
  limits: SourceLimits,
  signal: AbortSignal,
): Promise<void> {
  const tooBig = new AbortController();
  const before = (await measureCache(context.folder)).bytes;
  const timer = setInterval(() => {
    void measureCache(context.folder).then(({ bytes }) => {
      // What lay here before is dealt with afterwards: it may be garbage.
      if (bytes - before > limits.totalBytes) tooBig.abort(tooLargeWithHistory(remote.display, limits));
    });
  }, SIZE_CHECK_MS);
  try {
    await runGit(remoteContext(context, remote, await accessTo(remote)), {
      args: [
        'fetch',
        '--no-tags',
        '--no-write-fetch-head',
        '--no-recurse-submodules',
        '--no-auto-maintenance',
        '--force',
        '--',
        remote.url,
        `+${offered.name}:${localRef}`,
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
}

export function tooLargeWithHistory(origin: string, limits: SourceLimits) {
  return tooLarge(
    `${origin} needs more than ${mebibytes(limits.totalBytes)} MiB with its history`,
    'Keep the fleet in a repository of its own, without large files in its history.',
  );
}
