import { formatEndpoint } from './endpoint.ts';
import { type Item, keysOf, refOf } from './item.ts';
import { canonicalKey } from './keys.ts';
import type { CanonicalKey, Kind, MacAddress, ObjectRef, Peer, PublicKey } from './model.ts';
import { MultiMap } from './multimap.ts';

/** What a cross-check looks at; a subject is one of these and a key. */
export const subjectKinds = [
  'name',
  'peer',
  'vip',
  'key',
  'derived',
  'address',
  'endpoint',
  'pair',
  'revocation',
] as const;
export type SubjectKind = (typeof subjectKinds)[number];

/** How keys become what must be unique too: a parameter, because a collision cannot be had for testing. */
export interface Derivation {
  macOf(key: PublicKey): MacAddress;
  peerIdOf(key: PublicKey): bigint;
}

function addressKey(cluster: string, address: string): string {
  return `${cluster} ${address}`;
}

/** Cluster names hold no space. */
export function pairKey(a: string, b: string): string {
  return a < b ? `${a} ${b}` : `${b} ${a}`;
}

function pairsOf(clusters: readonly string[]): string[] {
  return clusters.flatMap((a, at) => clusters.slice(at + 1).map((b) => pairKey(a, b)));
}

/**
 * Who refers to what, kept up to date item by item. Each addition and removal marks the subjects whose checks may
 * come out differently; nothing else needs to be looked at again.
 */
export class FleetIndex {
  readonly byRef = new MultiMap<ObjectRef, Item>();
  readonly members = new MultiMap<string, Item>();
  readonly vipsOfCluster = new MultiMap<string, Item>();
  readonly vipsOfPeer = new MultiMap<string, Item>();
  readonly users = new MultiMap<CanonicalKey, Item>();
  readonly derived = new MultiMap<string, Item>();
  readonly addresses = new MultiMap<string, Item>();
  readonly endpoints = new MultiMap<string, Item>();
  readonly pairs = new MultiMap<string, Item>();
  readonly revokers = new MultiMap<CanonicalKey, Item>();
  readonly #derivation: Derivation;
  #dirty = new Map<SubjectKind, Set<string>>();

  constructor(derivation: Derivation) {
    this.#derivation = derivation;
  }

  add(item: Item): void {
    this.byRef.add(item.ref, item);
    this.#each(item, (map, key) => map.add(key, item));
    this.#touch(item);
  }

  remove(item: Item): void {
    this.byRef.delete(item.ref, item);
    this.#each(item, (map, key) => map.delete(key, item));
    this.#touch(item);
  }

  *names(kind: Kind): Generator<string> {
    const prefix = refOf(kind, '');
    for (const ref of this.byRef.keys()) if (ref.startsWith(prefix)) yield ref.slice(prefix.length);
  }

  mark(kind: SubjectKind, key: string): void {
    const keys = this.#dirty.get(kind);
    if (keys === undefined) this.#dirty.set(kind, new Set([key]));
    else keys.add(key);
  }

  takeDirty(): ReadonlyMap<SubjectKind, ReadonlySet<string>> {
    const dirty = this.#dirty;
    this.#dirty = new Map();
    return dirty;
  }

  /** What a key leads to, as keys of `derived`. */
  derivedOf(key: PublicKey): readonly string[] {
    return [`MAC address ${this.#derivation.macOf(key)}`, `peer id ${this.#derivation.peerIdOf(key)}`];
  }

  #each(item: Item, visit: (map: MultiMap<string, Item>, key: string) => void): void {
    const { cluster, peer, vip } = item;
    for (const key of cluster?.revokedKeys ?? []) visit(this.revokers as MultiMap<string, Item>, canonicalKey(key));
    if (vip !== undefined) {
      visit(this.vipsOfCluster, vip.cluster);
      visit(this.vipsOfPeer, vip.peer);
      visit(this.addresses, addressKey(vip.cluster, vip.address));
    }
    if (peer === undefined) return;
    for (const cluster of peer.clusters) visit(this.members, cluster);
    for (const pair of pairsOf(peer.clusters)) visit(this.pairs, pair);
    for (const endpoint of peer.endpoints) visit(this.endpoints, formatEndpoint(endpoint));
    for (const [, key] of keysOf(peer)) {
      visit(this.users as MultiMap<string, Item>, canonicalKey(key));
      for (const derived of this.derivedOf(key)) visit(this.derived, derived);
    }
  }

  #touch(item: Item): void {
    this.mark('name', item.ref);
    if (item.kind === 'Cluster') this.#touchCluster(item);
    else if (item.kind === 'Peer') this.#touchPeer(item);
    else this.mark('vip', item.name);
    if (item.vip !== undefined) this.mark('address', addressKey(item.vip.cluster, item.vip.address));
  }

  #touchCluster(item: Item): void {
    for (const member of this.members.get(item.name)) {
      this.mark('peer', member.name);
      for (const other of member.peer?.clusters ?? []) {
        if (other !== item.name) this.mark('pair', pairKey(item.name, other));
      }
    }
    for (const vip of this.vipsOfCluster.get(item.name)) this.mark('vip', vip.name);
    for (const key of item.cluster?.revokedKeys ?? []) this.mark('revocation', canonicalKey(key));
  }

  #touchPeer(item: Item): void {
    this.mark('peer', item.name);
    for (const vip of this.vipsOfPeer.get(item.name)) this.mark('vip', vip.name);
    if (item.peer !== undefined) this.#touchValues(item.peer);
  }

  #touchValues(peer: Peer): void {
    for (const pair of pairsOf(peer.clusters)) this.mark('pair', pair);
    for (const endpoint of peer.endpoints) this.mark('endpoint', formatEndpoint(endpoint));
    for (const [, key] of keysOf(peer)) {
      const canonical = canonicalKey(key);
      this.mark('key', canonical);
      for (const derived of this.derivedOf(key)) this.mark('derived', derived);
      if (this.revokers.has(canonical)) this.mark('revocation', canonical);
    }
  }
}
