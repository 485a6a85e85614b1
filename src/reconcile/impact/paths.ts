import type { Fleet, Peer } from '../../manifest/model.ts';
import { isFindable } from '../reach.ts';
import type { Share } from '../share.ts';
import type { Common } from './common.ts';
import type { NodeOutcome } from './node.ts';
import { type NodeChange, successor } from './nodes.ts';

/** Each of `nodes` could meet each of `peers` (but itself) and cannot any more. Names, sorted. */
export interface PathLoss {
  readonly nodes: readonly string[];
  readonly peers: readonly string[];
  /** They can meet nobody any more. */
  readonly isolated: boolean;
}

/** As far as manifests tell: two active members can meet where one of them has an endpoint. */
export function pathLosses(after: Fleet, nodes: readonly NodeOutcome[]): PathLoss[] {
  const kinds = new Map<string, { readonly kind: Kind; readonly nodes: NodeChange[] }>();
  const ids = new Map<Common, number>();
  for (const { change, impact } of nodes) {
    const { was, is, from, to } = change;
    if (!was || !is || typeof from === 'string' || typeof to === 'string' || !impact.common) continue;
    const stalePort = from.cluster.metadata.name === to.cluster.metadata.name ? portLeft(from, to) : undefined;
    const kind = { common: impact.common, stalePort, found: isFindable(was), findable: isFindable(is, stalePort) };
    ids.set(kind.common, ids.get(kind.common) ?? ids.size);
    const id = [ids.get(kind.common), kind.found, kind.findable].join();
    const known = kinds.get(id);
    if (known === undefined) kinds.set(id, { kind, nodes: [change] });
    else known.nodes.push(change);
  }
  return [...kinds.values()].flatMap(({ kind, nodes }) => lossesOf(after, kind, nodes));
}

/** What decides whom a node can meet: its clusters, and whether it can be found itself, before and after. */
interface Kind {
  readonly common: Common;
  readonly stalePort: number | undefined;
  readonly found: boolean;
  readonly findable: boolean;
}

function portLeft(from: Share, to: Share): number | undefined {
  return from.cluster.port === to.cluster.port ? undefined : from.cluster.port;
}

function lossesOf(
  after: Fleet,
  { common, stalePort, found, findable }: Kind,
  nodes: readonly NodeChange[],
): PathLoss[] {
  const inReach = (peers: ReadonlyMap<string, Peer>, self: boolean, stale?: number): Set<string> =>
    new Set([...peers].flatMap(([name, peer]) => (self || isFindable(peer, stale) ? [name] : [])));
  const before = inReach(common.from.talksTo, found);
  const now = inReach(common.to.talksTo, findable, stalePort);
  const lost = new Set<string>();
  for (const name of before) {
    const peer = common.from.talksTo.get(name);
    if (peer !== undefined && !now.has(successor(after, peer) ?? '')) lost.add(name);
  }
  if (lost.size === 0) return [];
  const others = (names: ReadonlySet<string>, self: Peer | undefined) =>
    names.size - Number(self !== undefined && names.has(self.metadata.name));
  const losing = nodes.filter(({ was }) => others(lost, was) > 0);
  const isIsolated = ({ is }: NodeChange): boolean => others(now, is) === 0;
  return [true, false].flatMap((isolated) => {
    const names = losing.filter((node) => isIsolated(node) === isolated).map(({ node }) => node);
    const peers = [...lost].filter((name) => names.length > 1 || name !== names[0]);
    return names.length === 0 ? [] : [{ nodes: names.sort(), peers: peers.sort(), isolated }];
  });
}
