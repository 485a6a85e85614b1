import { ExitCode, OmniError } from '../errors.ts';
import type { Fleet } from '../manifest/model.ts';
import { type AddressChange, addressChanges, type KeyChange, keyChanges } from './impact/blast.ts';
import { commonChanges } from './impact/common.ts';
import { countPairsCut } from './impact/cuts.ts';
import { type NodeImpact, nodeImpact, operationsOf } from './impact/node.ts';
import { nodeChanges } from './impact/nodes.ts';
import { type ObjectChanges, objectChanges } from './impact/objects.ts';
import { type PathLoss, pathLosses } from './impact/paths.ts';
import { type Refusal, refusals } from './impact/refusals.ts';

/** What going from one fleet to another does, before anybody has done it. Names are sorted. */
export interface Impact {
  readonly objects: ObjectChanges;
  /** Chosen nodes that have something to do or to say. */
  readonly nodes: readonly NodeImpact[];
  /** Pairs of nodes, one of them chosen at least, whose session ends. */
  readonly sessionsCut: number;
  readonly pathLosses: readonly PathLoss[];
  readonly refusals: readonly Refusal[];
  readonly addresses: readonly AddressChange[];
  readonly keys: readonly KeyChange[];
}

/**
 * Data-path operations from `before` to `after` on the nodes that are chosen (all, if nothing is said). Pure: no data
 * plane, no DNS (an endpoint's host name stands for its address). What nodes have in common is computed once, so the cost
 * is that of the fleet and of what nodes do on their own.
 */
export function impact(before: Fleet, after: Fleet, chosen: (node: string) => boolean = () => true): Impact {
  const objects = objectChanges(before, after);
  const commonOf = commonChanges(before, after, objects);
  const changes = nodeChanges(before, after);
  const all = changes.map((change) => ({ change, impact: nodeImpact(before, after, change, commonOf) }));
  const picked = all.filter(({ change: { node, was } }) => chosen(node) || (was && chosen(was.metadata.name)));
  const losses = pathLosses(after, picked);
  return {
    objects,
    nodes: picked
      .map((one) => one.impact)
      .filter((one) => one.note !== undefined || one.renamedFrom !== undefined || operationsOf(one) > 0),
    sessionsCut: countPairsCut(all, picked),
    pathLosses: losses,
    refusals: refusals(before, after, objects, picked, losses),
    addresses: addressChanges(before, after, objects),
    keys: keyChanges(before, after, changes),
  };
}

/** Throws `unknown-node` unless one of the fleets has a Peer of this name. */
export function checkNode(node: string, ...fleets: readonly Fleet[]): void {
  if (fleets.some(({ peers }) => peers.has(node))) return;
  throw new OmniError(`no peer/${node} in either revision`, {
    code: 'unknown-node',
    class: 'stall',
    exitCode: ExitCode.usage,
    object: `peer/${node}`,
    fix: 'Name a Peer of one of the two revisions, or leave --node out to see every node.',
  });
}
