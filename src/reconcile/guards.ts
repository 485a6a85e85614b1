import { ExitCode, OmniError } from '../errors.ts';
import type { IpAddress } from '../manifest/model.ts';
import type { Block, Side } from './block.ts';
import { peersBlock, sourceBlock } from './partition.ts';
import { shrinkBlock, standingBlock } from './prune.ts';

/** How much a revision may take away unasked: the greater of a number of objects and a share of what is there, in percent. */
export interface PruneLimit {
  readonly objects: number;
  readonly percent: number;
}

export const DEFAULT_PRUNE_LIMIT: PruneLimit = { objects: 5, percent: 20 };

export interface GuardPolicy {
  readonly pruneLimit: PruneLimit;
  /** A human accepts any deletion, even that this node is no member any more. */
  readonly allowPrune: boolean;
  /** A human accepts that this node is cut off from its peers or its source. */
  readonly allowPartition: boolean;
}

/**
 * What must wait for a human, judged before the first write; undefined: `after` may be put in force. Pure.
 * `before` is what is in force; without it there is nothing to lose but the way to the source. A last known good
 * revision passed its probes and needs no judgement. `sourceAddresses` are what the hosts of the source resolve to.
 */
export function guard(
  before: Side | undefined,
  after: Side,
  policy: GuardPolicy,
  sourceAddresses: readonly IpAddress[],
): Block | undefined {
  const standing = standingBlock(after.fleet, after.state);
  if (standing !== undefined) {
    const accepted = before !== undefined && (policy.allowPrune || standingBlock(before.fleet, before.state));
    if (!accepted) return standing;
  }
  const pruned = before && !policy.allowPrune ? shrinkBlock(before, after, policy.pruneLimit) : undefined;
  if (pruned !== undefined || policy.allowPartition) return pruned;
  return (before && peersBlock(before, after)) ?? sourceBlock(before, after, sourceAddresses);
}

/** `30%`: more than 30 % and more than 5 wait for a human; `12`: more than 12 do. Throws `prune-limit-invalid`. */
export function parsePruneLimit(text: string): PruneLimit {
  const [, digits, percent] = /^(\d{1,9})(%?)$/.exec(text.trim()) ?? [];
  const value = Number(digits);
  if (digits === undefined || (percent && value > 100)) {
    throw new OmniError(`'${text}' is no limit for deletions`, {
      code: 'prune-limit-invalid',
      class: 'stall',
      exitCode: ExitCode.usage,
      fix: 'Write a number of objects, as in 12, or a share of what is there, as in 20%.',
    });
  }
  return percent ? { ...DEFAULT_PRUNE_LIMIT, percent: value } : { objects: value, percent: 0 };
}
