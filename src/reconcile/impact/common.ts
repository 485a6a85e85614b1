import type { Cluster, Fleet, IpAddress, ObjectRef, Peer } from '../../manifest/model.ts';
import { diff } from '../diff.ts';
import { plan } from '../plan.ts';
import { type Change, type DesiredRow, type Plan, type RowKey, rowKey } from '../rows.ts';
import {
  isReachable,
  linkMtu,
  type Onlooker,
  objectOf,
  objectsOf,
  refOf,
  revokedBy,
  rowsInCommon,
  splitRef,
} from '../share.ts';
import type { Place } from './nodes.ts';
import { affectedBy, type ObjectChanges } from './objects.ts';

/** What members of one cluster have before them, seen by one that no object is about. */
export interface View {
  readonly cluster: string | undefined;
  readonly rows: ReadonlyMap<RowKey, DesiredRow>;
  /** By the name of the peer that they are about. */
  readonly keysOf: ReadonlyMap<string, readonly RowKey[]>;
  readonly vipsOf: ReadonlyMap<string, readonly ObjectRef[]>;
  /** Peers that its members talk to, by name. */
  readonly talksTo: ReadonlyMap<string, Peer>;
}

/** What all nodes do that go from one cluster to one cluster, most often the same, but for rows that are about themselves. */
export interface Common {
  readonly from: View;
  readonly to: View;
  readonly changes: Plan;
  readonly byKey: ReadonlyMap<RowKey, Change>;
  /** Names of the peers whose rows go, and their sessions with them. */
  readonly cut: ReadonlyMap<RowKey, string>;
  /** The link of a node that no object is about may differ too. */
  readonly relinks: boolean;
}

/** Computes each pair of clusters once. Cost: the changed objects; where the cluster or its interface differ, all of them. */
export function commonChanges(before: Fleet, after: Fleet, objects: ObjectChanges): (from: Place, to: Place) => Common {
  const affected = affectedBy(before, after, objects);
  const known = new Map<string, Common>();
  return (from, to) => {
    const [was, is] = [clusterAt(from), clusterAt(to)];
    const id = JSON.stringify([was?.metadata.name, is?.metadata.name]);
    const made = known.get(id) ?? commonOf(before, after, affected, was, is);
    known.set(id, made);
    return made;
  };
}

function clusterAt(place: Place): Cluster | undefined {
  return typeof place === 'string' ? undefined : place.cluster;
}

function commonOf(
  before: Fleet,
  after: Fleet,
  affected: ReadonlySet<ObjectRef>,
  was: Cluster | undefined,
  is: Cluster | undefined,
): Common {
  // Then rows of untouched objects are the same on both sides.
  const stays = was?.metadata.name === is?.metadata.name && was?.interface === is?.interface;
  const from = viewOf(before, was, stays ? affected : undefined);
  const to = viewOf(after, is, stays ? affected : undefined);
  const changes = plan(diff(to.rows, from.rows));
  const cut = new Map<RowKey, string>();
  for (const change of changes) {
    if (change.op !== 'delete' || change.from.kind !== 'peer') continue;
    const name = before.peerByKey.get(change.from.publicKey);
    if (name !== undefined) cut.set(change.key, name);
  }
  return {
    from,
    to,
    changes,
    byKey: new Map(changes.map((change) => [change.key, change])),
    cut,
    relinks: !stays || (is !== undefined && (affected.has(refOf(is)) || remeasures(before, after, was, is))),
  };
}

/** A member's endpoint can decide how large the frames of all may be. */
function remeasures(before: Fleet, after: Fleet, was: Cluster | undefined, is: Cluster): boolean {
  return was === undefined || linkMtu(was, before) !== linkMtu(is, after);
}

function viewOf(fleet: Fleet, cluster: Cluster | undefined, refs: ReadonlySet<ObjectRef> | undefined): View {
  const rows = new Map<RowKey, DesiredRow>();
  const keysOf = new Map<string, RowKey[]>();
  const vipsOf = new Map<string, ObjectRef[]>();
  const talksTo = new Map<string, Peer>();
  if (cluster === undefined) return { cluster: undefined, rows, keysOf, vipsOf, talksTo };
  const view: Onlooker = { node: { resolve: (host) => host as IpAddress }, cluster, revoked: revokedBy(cluster) };
  for (const ref of refs ?? objectsOf(fleet, view)) {
    const owner = ownerOf(fleet, ref);
    if (owner !== undefined && ref.startsWith('vip/')) listed(vipsOf, owner).push(ref);
    for (const desired of rowsInCommon(view, fleet, ref)) {
      const key = rowKey(desired.row);
      rows.set(key, desired);
      if (owner !== undefined) listed(keysOf, owner).push(key);
    }
  }
  for (const name of fleet.peersOfCluster.get(cluster.metadata.name) ?? []) {
    const peer = fleet.peers.get(name);
    if (peer !== undefined && isReachable(view, peer)) talksTo.set(name, peer);
  }
  return { cluster: cluster.metadata.name, rows, keysOf, vipsOf, talksTo };
}

/** The peer that an object is about. */
function ownerOf(fleet: Fleet, ref: ObjectRef): string | undefined {
  const [kind, name] = splitRef(ref);
  if (kind === 'peer') return name;
  const vip = objectOf(fleet, ref);
  return vip?.kind === 'VIP' ? vip.peer : undefined;
}

/** The peer that a row of a view is about. */
export function subjectOf(fleet: Fleet, { origin }: DesiredRow): string | undefined {
  return ownerOf(fleet, origin.object);
}

function listed<T>(lists: Map<string, T[]>, name: string): T[] {
  const list = lists.get(name) ?? [];
  lists.set(name, list);
  return list;
}
