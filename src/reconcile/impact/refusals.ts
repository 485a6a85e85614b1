import type { Fleet, IpAddress, Peer } from '../../manifest/model.ts';
import type { Block, Side } from '../block.ts';
import { desiredState } from '../desired.ts';
import { DEFAULT_PRUNE_LIMIT, type GuardPolicy, guard } from '../guards.ts';
import type { Common } from './common.ts';
import type { NodeOutcome } from './node.ts';
import { keysOf, type NodeChange } from './nodes.ts';
import type { ObjectChanges } from './objects.ts';
import type { PathLoss } from './paths.ts';

/** Nodes that would wait for a human. */
export interface Refusal extends Omit<Block, 'cause'> {
  /** `message` is as this one would say it. */
  readonly node: string;
  /** All of them, by name. */
  readonly nodes: readonly string[];
}

/**
 * What guards would refuse, with the limits that nodes have unless they are told otherwise. Nodes that go the same way are
 * judged once. A source's addresses are each node's own affair and unknown here.
 */
export function refusals(
  before: Fleet,
  after: Fleet,
  objects: ObjectChanges,
  nodes: readonly NodeOutcome[],
  losses: readonly PathLoss[],
): Refusal[] {
  const judge = ({ was, is }: NodeChange, policy: Partial<GuardPolicy>): Block | undefined =>
    was && guard(sideOf(before, was), sideOf(after, is ?? was), { ...STRICT, ...policy }, []);
  const found: Refusal[] = [];
  const refused = new Set<string>();
  const refuse = ({ code, reason, message }: Block, names: readonly string[]): void => {
    const [node] = names;
    if (node === undefined) return;
    found.push({ code, reason, message, node, nodes: [...names].sort() });
    for (const name of names) refused.add(name);
  };
  if (objects.removed.length + objects.changed.length > DEFAULT_PRUNE_LIMIT.objects || after.peers.size === 0) {
    for (const group of byWay(nodes)) {
      const block = group[0] && judge(group[0], { allowPartition: true });
      const names = group.map(({ node }) => node);
      // A node that is no member any more is told of as such.
      if (block?.code === 'prune-blocked') refuse(block, names);
    }
  }
  const changes = new Map(nodes.map(({ change }) => [change.node, change]));
  for (const { nodes: names, isolated } of losses) {
    const rest = isolated ? names.filter((name) => !refused.has(name)) : [];
    const first = changes.get(rest[0] ?? '');
    const block = first && judge(first, { allowPrune: true });
    if (block !== undefined) refuse(block, rest);
  }
  return found;
}

const STRICT: GuardPolicy = { pruneLimit: DEFAULT_PRUNE_LIMIT, allowPrune: false, allowPartition: false };

function sideOf(fleet: Fleet, peer: Peer): Side {
  return { fleet, state: desiredState(fleet, { ...keysOf(peer), resolve: (host) => host as IpAddress }) };
}

/** Active nodes, by what they have in common. */
function byWay(nodes: readonly NodeOutcome[]): NodeChange[][] {
  const groups = new Map<Common | undefined, NodeChange[]>();
  for (const { change, impact } of nodes) {
    if (typeof change.from === 'string' || change.problem !== undefined) continue;
    const group = groups.get(impact.common) ?? [];
    groups.set(impact.common, group);
    group.push(change);
  }
  return [...groups.values()];
}
