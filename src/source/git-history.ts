import type { ObjectReader } from './git-objects.ts';
import { type GitContext, runGit } from './git-process.ts';

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
  if ((await listCommits(context, before, after, 1, signal)).length === 0) return 'successor';
  return (await listCommits(context, after, before, 1, signal)).length === 0 ? 'ancestor' : 'diverged';
}

/** Commits that lead to `to` and not to `from`, newest first, merged branches included; at most `limit`. */
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
