import { ExitCode, OmniError } from '../errors.ts';
import { fingerprint } from '../manifest/keys.ts';
import type { Fleet, FleetObject, IpAddress, ObjectRef, PublicKey } from '../manifest/model.ts';
import { diff } from './diff.ts';
import { type NameOf, plan } from './plan.ts';
import { type Change, type DesiredRow, type PeerRow, type Plan, type RowKey, rowKey } from './rows.ts';
import { intentOf, objectOf, objectsOf, refOf, rowsOfObject, shareOf } from './share.ts';

/** What going from one fleet to another does, before anybody has done it. */
export interface Impact {
  readonly objects: ObjectChanges;
  /** By name; only nodes that have something to do, or the one that was asked for. */
  readonly nodes: readonly NodeImpact[];
}

export interface ObjectChanges {
  readonly added: readonly ObjectRef[];
  readonly changed: readonly ObjectRef[];
  readonly removed: readonly ObjectRef[];
}

export interface NodeImpact {
  /** The node's Peer. */
  readonly node: string;
  readonly changes: Plan;
  /** Peers whose sessions with this node end, by name. */
  readonly sessionsCut: readonly string[];
  /** Where the node does something else than carry out the change: it is no longer a member, the fleet asks too much. */
  readonly note?: string;
}

/**
 * Data-path operations from `before` to `after`, for one node or for all. Pure: no data plane, no DNS (an endpoint's
 * host name stands for its address). Cost per node: the changed objects, unless the node's own place in the fleet changed.
 */
export function impact(before: Fleet, after: Fleet, node?: string): Impact {
  const objects = objectChanges(before, after);
  const names = node === undefined ? [...new Set([...before.peers.keys(), ...after.peers.keys()])].sort() : [node];
  if (node !== undefined && !before.peers.has(node) && !after.peers.has(node)) throw unknownNode(node);
  const affected = affectedBy(before, after, objects);
  const nodes = names.map((name) => impactOn(before, after, name, affected));
  return {
    objects,
    nodes: nodes.filter((one) => node !== undefined || one.changes.length > 0 || one.note !== undefined),
  };
}

/** Names for people, from both fleets: a peer that is gone is still called by its name. */
export function namesOf(...fleets: readonly Fleet[]): NameOf {
  return (publicKey) => {
    for (const fleet of fleets) {
      const name = fleet.peerByKey.get(publicKey as PublicKey);
      if (name !== undefined) return name;
    }
    return fingerprint(publicKey as PublicKey);
  };
}

function impactOn(before: Fleet, after: Fleet, node: string, affected: ReadonlySet<ObjectRef>): NodeImpact {
  try {
    const from = placeOf(before, node);
    const to = placeOf(after, node);
    if (to === 'absent' || to === 'revoked') {
      const note = 'no longer a member: it keeps what it has, and every other node cuts it off';
      return { node, changes: [], sessionsCut: [], ...(typeof from === 'string' ? {} : { note }) };
    }
    const refs = sharesPlace(from, to) ? affected : undefined;
    const changes = plan(diff(rowsOf(after, to, refs), rowsOf(before, from, refs)));
    return { node, changes, sessionsCut: peersCut(changes, () => reachable(before, from), namesOf(before)) };
  } catch (error) {
    if (!(error instanceof OmniError)) throw error;
    return { node, changes: [], sessionsCut: [], note: error.message };
  }
}

type Place = ReturnType<typeof shareOf>;

function placeOf(fleet: Fleet, node: string): Place {
  const peer = fleet.peers.get(node);
  if (peer === undefined) return 'absent';
  return shareOf(fleet, { publicKey: peer.publicKey, resolve: (host) => host as IpAddress });
}

/** Then rows of untouched objects are the same on both sides. */
function sharesPlace(from: Place, to: Place): boolean {
  return (
    typeof from !== 'string' &&
    typeof to !== 'string' &&
    from.cluster.metadata.name === to.cluster.metadata.name &&
    from.cluster.interface === to.cluster.interface
  );
}

function rowsOf(fleet: Fleet, place: Place, refs: ReadonlySet<ObjectRef> | undefined): Map<RowKey, DesiredRow> {
  const rows = new Map<RowKey, DesiredRow>();
  if (typeof place === 'string') return rows;
  const clusterRef = refOf(place.cluster);
  for (const ref of refs ? new Set([...refs, clusterRef]) : objectsOf(fleet, place)) {
    for (const desired of rowsOfObject(place, fleet, ref)) rows.set(rowKey(desired.row), desired);
  }
  return rows;
}

/** Names of the peers whose sessions `changes` end. `all`: every peer that has a row now. */
export function peersCut(changes: Plan, all: () => Iterable<PublicKey>, nameOf: NameOf): readonly string[] {
  const keys = changes.some(cutsLink)
    ? all()
    : changes.flatMap((change) => (cutsPeer(change) ? change.from.publicKey : []));
  return [...new Set([...keys].map(nameOf))].sort();
}

function cutsLink(change: Change): boolean {
  return (change.op === 'delete' || change.op === 'replace') && change.from.kind === 'link';
}

function cutsPeer(change: Change): change is Change & { readonly from: PeerRow } {
  return (change.op === 'delete' || change.op === 'replace') && change.from.kind === 'peer';
}

function* reachable(fleet: Fleet, place: Place): Generator<PublicKey> {
  if (typeof place === 'string') return;
  for (const name of fleet.peersOfCluster.get(place.cluster.metadata.name) ?? []) {
    const peer = fleet.peers.get(name);
    const intent = peer && intentOf(place, peer);
    if (intent !== undefined) yield intent.publicKey;
  }
}

/** The changed objects and those whose rows they decide: VIPs of a changed peer, peers that a cluster newly (un)revokes. */
function affectedBy(before: Fleet, after: Fleet, objects: ObjectChanges): ReadonlySet<ObjectRef> {
  const affected = new Set<ObjectRef>([...objects.added, ...objects.changed, ...objects.removed]);
  for (const fleet of [before, after]) {
    for (const ref of [...affected]) {
      const object = objectOf(fleet, ref);
      if (object?.kind === 'Cluster') {
        for (const key of object.revokedKeys) {
          const peer = fleet.peerByKey.get(key);
          if (peer !== undefined) affected.add(`peer/${peer}`);
        }
      }
    }
    for (const ref of [...affected]) {
      const object = objectOf(fleet, ref);
      if (object?.kind !== 'Peer') continue;
      for (const cluster of object.clusters) {
        for (const vip of fleet.vipsOfPeer.get(`${cluster}/${object.metadata.name}`) ?? []) affected.add(`vip/${vip}`);
      }
    }
  }
  return affected;
}

function objectChanges(before: Fleet, after: Fleet): ObjectChanges {
  const added: ObjectRef[] = [];
  const changed: ObjectRef[] = [];
  const removed: ObjectRef[] = [];
  for (const object of objectsIn(after)) {
    const old = objectOf(before, refOf(object));
    if (old === undefined) added.push(refOf(object));
    else if (old !== object && !sameSpec(old, object)) changed.push(refOf(object));
  }
  for (const object of objectsIn(before)) if (objectOf(after, refOf(object)) === undefined) removed.push(refOf(object));
  return { added: added.sort(), changed: changed.sort(), removed: removed.sort() };
}

function* objectsIn(fleet: Fleet): Generator<FleetObject> {
  yield* fleet.clusters.values();
  yield* fleet.peers.values();
  yield* fleet.vips.values();
}

/** Equal but for where it stands in which file. */
function sameSpec(a: FleetObject, b: FleetObject): boolean {
  return sameValue({ ...a, position: undefined }, { ...b, position: undefined });
}

function sameValue(a: unknown, b: unknown): boolean {
  if (typeof a !== 'object' || typeof b !== 'object' || a === null || b === null) return a === b;
  const [left, right] = [Object.entries(a), new Map(Object.entries(b))];
  return left.length === right.size && left.every(([key, value]) => right.has(key) && sameValue(value, right.get(key)));
}

function unknownNode(node: string): OmniError {
  return new OmniError(`no peer/${node} in either revision`, {
    code: 'unknown-node',
    class: 'stall',
    exitCode: ExitCode.usage,
    object: `peer/${node}`,
    fix: 'Name a Peer of one of the two revisions, or leave --node out to see every node.',
  });
}
