import type { Fleet } from '../manifest/model.ts';
import type { DesiredState } from './desired.ts';

/** Why a desired set is not put in force: nothing is removed, and what was in force before goes on being healed. */
export interface PruneBlock {
  readonly code: 'prune-blocked' | 'not-a-member';
  readonly reason: 'PruneBlocked' | 'NotAMember';
  readonly message: string;
}

/**
 * Deletions come from a complete, validated set only (a `Fleet` is one: a reader that timed out or
 * found an error returns none), and never from one that would empty this node.
 *
 * Issue 3 adds its guards here: a set that shrinks by more than max(5, 20 %) waits for `omni confirm` or `--prune-limit`.
 */
export function pruneBlock(fleet: Fleet, desired: DesiredState): PruneBlock | undefined {
  if (fleet.clusters.size + fleet.peers.size + fleet.vips.size === 0) {
    return {
      code: 'prune-blocked',
      reason: 'PruneBlocked',
      message: 'the fleet holds no object; this node keeps what it has until one that does is committed',
    };
  }
  if (desired.member) return undefined;
  return {
    code: 'not-a-member',
    reason: 'NotAMember',
    message:
      desired.standing === 'revoked'
        ? "this node's key is in its cluster's revokedKeys; the others cut it off, and it keeps what it has"
        : "no Peer of the fleet that is in a cluster has this node's public key; it keeps what it has: commit the documents that `omni init` prints",
  };
}
