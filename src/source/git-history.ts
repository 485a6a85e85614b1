import { classifyGitFailure } from './git-errors.ts';
import type { ObjectReader } from './git-objects.ts';
import { type GitContext, inspectGit, runGit } from './git-process.ts';

const TIMEOUT_MS = 30_000;
const OUTPUT_BYTES = 1024 * 1024;

/** What `after` is to `before`, both full ids: `lost` where `before` is not even there. */
export type Relation = 'same' | 'successor' | 'ancestor' | 'diverged' | 'lost';

export async function relation(
  context: GitContext,
  objects: ObjectReader,
  before: string,
  after: string,
  signal: AbortSignal,
): Promise<Relation> {
  if (before === after) return 'same';
  if ((await objects.read(before)) === undefined) return 'lost';
  if (await isAncestor(context, before, after, signal)) return 'successor';
  return (await isAncestor(context, after, before, signal)) ? 'ancestor' : 'diverged';
}

/** Both are in the cache. True for one and the same. Right whatever the commits' dates say, which rev-list is not. */
export async function isAncestor(
  context: GitContext,
  ancestor: string,
  of: string,
  signal: AbortSignal,
): Promise<boolean> {
  const { status, stderr } = await inspectGit(context, {
    args: ['merge-base', '--is-ancestor', ancestor, of],
    timeoutMs: TIMEOUT_MS,
    maxOutputBytes: OUTPUT_BYTES,
    signal,
  });
  if (status > 1) throw classifyGitFailure(context.kind, context.origin, stderr);
  return status === 0;
}

/**
 * Commits that lead to `to` and not to `from`, newest first, merged branches included; at most `limit`. None of these is
 * left out, but some that lead to `from` may be among them where commits are dated before their parents.
 */
export async function listCommits(
  context: GitContext,
  to: string,
  from: string,
  limit: number,
  signal: AbortSignal,
): Promise<readonly string[]> {
  const output = await runGit(context, {
    args: ['rev-list', `--max-count=${limit}`, to, `^${from}`, '--'],
    timeoutMs: TIMEOUT_MS,
    maxOutputBytes: OUTPUT_BYTES,
    signal,
  });
  return output.split('\n').filter((line) => line !== '');
}
