import { OmniError } from '../errors.ts';
import { revMissing } from './git-errors.ts';
import { type GitObject, ObjectReader } from './git-objects.ts';
import { checkoutContext } from './git-process.ts';
import { readSnapshot, revisionOf } from './git-snapshot.ts';
import { defaultLimits } from './limits.ts';
import type { Snapshot } from './source.ts';
import { checkPath, checkRev } from './url.ts';
import { readWorkTree } from './work-tree.ts';

export interface GitRepository {
  /** The manifests of one commit, below `path` ('' is the root). Reads objects only: no work tree, no network. */
  readRevision(rev: string, path: string, signal: AbortSignal): Promise<Snapshot>;
  /** As `readRevision`, for what is compared with a later one: a commit from before the folder was made holds no manifest. */
  readEarlier(rev: string, path: string, signal: AbortSignal): Promise<Snapshot>;
  /** The manifests as they lie in the checkout, committed or not; fails for a bare repository. */
  readWorkTree(path: string, signal: AbortSignal): Promise<Snapshot>;
  close(): void;
}

/** A checkout (or bare repository) on this machine, for `omni diff --rev`. `folder` may be any folder inside it. */
export function openGitRepository(folder: string): GitRepository {
  const context = checkoutContext(folder);
  const objects = new ObjectReader(context, defaultLimits.fileBytes);
  const commitAt = async (rev: string): Promise<GitObject> => {
    checkRev(rev);
    const commit = await objects.read(`${rev}^{commit}`);
    if (commit === undefined) throw revMissing(folder, rev);
    return commit;
  };
  const readCommit = (commit: GitObject, ref: string, path: string, signal: AbortSignal): Promise<Snapshot> =>
    readSnapshot({
      context,
      objects,
      commit,
      path: checkPath(path),
      ref,
      limits: defaultLimits,
      signal,
      onDamage: () => undefined, // the reader of the file has the error
    });
  return {
    readRevision: async (rev, path, signal) => readCommit(await commitAt(rev), rev, path, signal),
    async readEarlier(rev, path, signal) {
      const commit = await commitAt(rev);
      try {
        return await readCommit(commit, rev, path, signal);
      } catch (error) {
        if (!(error instanceof OmniError) || error.code !== 'source-path-missing') throw error;
        return { revision: revisionOf(commit, rev), files: [] };
      }
    },
    readWorkTree: (path, signal) => readWorkTree(context, { path: checkPath(path), limits: defaultLimits, signal }),
    close: () => objects.close(),
  };
}
