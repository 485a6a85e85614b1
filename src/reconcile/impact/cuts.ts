import type { PublicKey } from '../../manifest/model.ts';
import type { NameOf } from '../names.ts';
import type { Change, PeerRow, Plan } from '../rows.ts';
import type { Common } from './common.ts';
import type { NodeOutcome } from './node.ts';

/** Names of the peers whose sessions `changes` end. `all`: every peer that has a row now. */
export function peersCut(changes: Plan, all: () => Iterable<PublicKey>, nameOf: NameOf): readonly string[] {
  const keys = changes.some(cutsLink)
    ? all()
    : changes.flatMap((change) => (cutsPeer(change) ? change.from.publicKey : []));
  return [...new Set([...keys].map(nameOf))].sort();
}

export function cutsLink(change: Change): boolean {
  return change.op === 'delete' && change.from.kind === 'link';
}

export function cutsPeer(change: Change): change is Change & { readonly from: PeerRow } {
  return change.op === 'delete' && change.from.kind === 'peer';
}

/**
 * Pairs of nodes, at least one of them chosen, that talked before and of which at least one cuts the other off. Linear:
 * pairs that go on are counted by what their ends have in common, and the others are the rest.
 */
export function countPairsCut(all: readonly NodeOutcome[], chosen: readonly NodeOutcome[]): number {
  const unchosen = new Set(all);
  for (const one of chosen) unchosen.delete(one);
  return pairsCut(all) - pairsCut(unchosen);
}

function pairsCut(nodes: Iterable<NodeOutcome>): number {
  const clusters = new Map<string, { total: number; groups: Map<Common | undefined, string[]> }>();
  for (const { change, impact } of nodes) {
    if (typeof change.from === 'string' || change.was === undefined) continue;
    const { name } = change.from.cluster.metadata;
    const cluster = clusters.get(name) ?? { total: 0, groups: new Map<Common | undefined, string[]>() };
    clusters.set(name, cluster);
    cluster.total++;
    if (impact.cutsAll) continue;
    const group = cluster.groups.get(impact.common) ?? [];
    cluster.groups.set(impact.common, group);
    group.push(change.was.metadata.name);
  }
  let cut = 0;
  for (const { total, groups } of clusters.values()) cut += pairs(total) - pairsKept([...groups]);
  return cut;
}

function pairsKept(groups: readonly (readonly [Common | undefined, readonly string[]])[]): number {
  const cuts = groups.map(([common]) => new Set(common?.cut.values()));
  const left = (at: number, by: number) => groups[at]?.[1].filter((name) => !cuts[by]?.has(name)).length ?? 0;
  let kept = 0;
  for (let a = 0; a < groups.length; a++) {
    kept += pairs(left(a, a));
    for (let b = 0; b < a; b++) kept += left(a, b) * left(b, a);
  }
  return kept;
}

function pairs(count: number): number {
  return (count * (count - 1)) / 2;
}
