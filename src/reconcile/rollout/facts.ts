import type { ObjectRef } from '../../manifest/model.ts';
import { clusterOf, type Side } from '../block.ts';
import type { NodeKeys, SessionConfig } from '../desired.ts';
import type { Proposal } from '../target.ts';
import type { Facts, Intent } from './model.ts';
import { revokedBy } from './revocation.ts';

/** Where the node is in no cluster of the revision, which then says nothing about it. */
const DEFAULT_CONFIRM_WITHIN_MS = 30_000;
const DEFAULT_QUARANTINE_FOR_MS = 21_600_000;

export interface FactsInput {
  readonly proposal: Proposal;
  readonly intent: Intent;
  readonly label: string;
  /** What is trusted, and its label. */
  readonly good: (Side & { readonly label: string }) | undefined;
  readonly node: NodeKeys;
}

/** What a proposal would do. Pure; its cost is in proportion to the change. */
export function factsOf({ proposal, intent, label, good, node }: FactsInput): Facts {
  // Going back to an older one, it is the present one that took keys out.
  const back = intent === 'return' && good !== undefined;
  const probation = clusterOf(proposal)?.probation;
  return {
    changesNothing: changesNothing(proposal),
    confirmWithinMs: probation?.confirmWithinMs ?? DEFAULT_CONFIRM_WITHIN_MS,
    quarantineForMs: probation?.quarantineForMs ?? DEFAULT_QUARANTINE_FOR_MS,
    revokes: back ? revokedBy(proposal, good.fleet, node, good.label) : revokedBy(good, proposal.fleet, node, label),
  };
}

function changesNothing({ base, state, touched, objects }: Proposal): boolean {
  return (
    base !== undefined &&
    touched !== 'all' &&
    touched.size === 0 &&
    sameSessions(base.state.sessions, state.sessions, objects)
  );
}

function sameSessions(
  before: SessionConfig | undefined,
  after: SessionConfig | undefined,
  objects: ReadonlySet<ObjectRef> | 'all',
): boolean {
  if (before === after) return true;
  if (before === undefined || after === undefined || !sameSettings(before, after)) return false;
  if (before.peers === after.peers) return true;
  if (before.peers.size !== after.peers.size) return false;
  const names = objects === 'all' ? undefined : new Set([...objects].map((ref) => ref.slice(ref.indexOf('/') + 1)));
  for (const [key, intent] of after.peers) {
    if (names !== undefined && !names.has(intent.name)) continue;
    if (JSON.stringify(before.peers.get(key)) !== JSON.stringify(intent)) return false;
  }
  return true;
}

function sameSettings(before: SessionConfig, after: SessionConfig): boolean {
  const { peers: _, ...left } = before;
  const { peers: __, ...right } = after;
  return JSON.stringify(left) === JSON.stringify(right);
}
