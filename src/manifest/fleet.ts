import { isDeepStrictEqual } from 'node:util';
import { keysOf, refOf } from './item.ts';
import type { Cluster, Fleet, FleetObject, Kind, ObjectRef, Peer, PublicKey, Vip } from './model.ts';

export const emptyFleet: Fleet = {
  clusters: new Map(),
  peers: new Map(),
  vips: new Map(),
  peersOfCluster: new Map(),
  vipsOfPeer: new Map(),
  peerByKey: new Map(),
};

/** A map that is copied before the first write: whoever holds the old one sees no change. 10,000 entries: 1 ms. */
class Draft<K, V> {
  #map: ReadonlyMap<K, V>;
  #own: Map<K, V> | undefined;

  constructor(map: ReadonlyMap<K, V>) {
    this.#map = map;
  }

  get value(): ReadonlyMap<K, V> {
    return this.#map;
  }

  write(): Map<K, V> {
    if (this.#own === undefined) {
      this.#own = new Map(this.#map);
      this.#map = this.#own;
    }
    return this.#own;
  }
}

/** Sets of names by key, under the same rule; an empty set is not held. */
class SetsDraft {
  readonly #sets: Draft<string, ReadonlySet<string>>;
  readonly #own = new Map<string, Set<string>>();

  constructor(sets: ReadonlyMap<string, ReadonlySet<string>>) {
    this.#sets = new Draft(sets);
  }

  get value(): ReadonlyMap<string, ReadonlySet<string>> {
    return this.#sets.value;
  }

  add(key: string, name: string): void {
    this.#write(key).add(name);
  }

  delete(key: string, name: string): void {
    const set = this.#write(key);
    set.delete(name);
    if (set.size > 0) return;
    this.#sets.write().delete(key);
    this.#own.delete(key);
  }

  #write(key: string): Set<string> {
    const known = this.#own.get(key);
    if (known !== undefined) return known;
    const set = new Set(this.#sets.value.get(key));
    this.#own.set(key, set);
    this.#sets.write().set(key, set);
    return set;
  }
}

class FleetDraft {
  readonly #clusters: Draft<string, Cluster>;
  readonly #peers: Draft<string, Peer>;
  readonly #vips: Draft<string, Vip>;
  readonly #peersOfCluster: SetsDraft;
  readonly #vipsOfPeer: SetsDraft;
  readonly #peerByKey: Draft<PublicKey, string>;

  constructor(fleet: Fleet) {
    this.#clusters = new Draft(fleet.clusters);
    this.#peers = new Draft(fleet.peers);
    this.#vips = new Draft(fleet.vips);
    this.#peersOfCluster = new SetsDraft(fleet.peersOfCluster);
    this.#vipsOfPeer = new SetsDraft(fleet.vipsOfPeer);
    this.#peerByKey = new Draft(fleet.peerByKey);
  }

  get fleet(): Fleet {
    return {
      clusters: this.#clusters.value,
      peers: this.#peers.value,
      vips: this.#vips.value,
      peersOfCluster: this.#peersOfCluster.value,
      vipsOfPeer: this.#vipsOfPeer.value,
      peerByKey: this.#peerByKey.value,
    };
  }

  remove(object: FleetObject): void {
    const { name } = object.metadata;
    switch (object.kind) {
      case 'Cluster':
        this.#clusters.write().delete(name);
        break;
      case 'Peer':
        this.#peers.write().delete(name);
        for (const cluster of object.clusters) this.#peersOfCluster.delete(cluster, name);
        for (const [, key] of keysOf(object)) this.#peerByKey.write().delete(key);
        break;
      case 'VIP':
        this.#vips.write().delete(name);
        this.#vipsOfPeer.delete(`${object.cluster}/${object.peer}`, name);
        break;
    }
  }

  add(object: FleetObject): void {
    const { name } = object.metadata;
    switch (object.kind) {
      case 'Cluster':
        this.#clusters.write().set(name, object);
        break;
      case 'Peer':
        this.#peers.write().set(name, object);
        for (const cluster of object.clusters) this.#peersOfCluster.add(cluster, name);
        for (const [, key] of keysOf(object)) this.#peerByKey.write().set(key, name);
        break;
      case 'VIP':
        this.#vips.write().set(name, object);
        this.#vipsOfPeer.add(`${object.cluster}/${object.peer}`, name);
        break;
    }
  }
}

function* everyObject(fleet: Fleet): Generator<FleetObject> {
  yield* fleet.clusters.values();
  yield* fleet.peers.values();
  yield* fleet.vips.values();
}

export function refsOf(fleet: Fleet): ObjectRef[] {
  return Array.from(everyObject(fleet), ({ kind, metadata }) => refOf(kind, metadata.name));
}

const KIND_OF: Readonly<Record<string, Kind>> = { cluster: 'Cluster', peer: 'Peer', vip: 'VIP' };

function lookUp(fleet: Fleet, ref: ObjectRef): FleetObject | undefined {
  const slash = ref.indexOf('/');
  const name = ref.slice(slash + 1);
  switch (KIND_OF[ref.slice(0, slash)]) {
    case 'Cluster':
      return fleet.clusters.get(name);
    case 'Peer':
      return fleet.peers.get(name);
    default:
      return fleet.vips.get(name);
  }
}

/**
 * The fleet after `touched` objects became what `find` says (undefined: gone), and which of them really differ, their
 * position included. All removals come before all additions: a key or an address may have moved to another object.
 */
export function nextFleet(
  before: Fleet,
  touched: Iterable<ObjectRef>,
  find: (ref: ObjectRef) => FleetObject | undefined,
): { readonly fleet: Fleet; readonly changed: ReadonlySet<ObjectRef> } {
  const changed = new Set<ObjectRef>();
  const draft = new FleetDraft(before);
  const added: FleetObject[] = [];
  for (const ref of touched) {
    const old = lookUp(before, ref);
    const now = find(ref);
    if (isDeepStrictEqual(old, now)) continue;
    changed.add(ref);
    if (old !== undefined) draft.remove(old);
    if (now !== undefined) added.push(now);
  }
  for (const object of added) draft.add(object);
  return { fleet: changed.size === 0 ? before : draft.fleet, changed };
}
