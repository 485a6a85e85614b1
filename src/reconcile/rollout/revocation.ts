import { canonicalKey, fingerprint, holderOf } from '../../manifest/keys.ts';
import type { Cluster, Fleet, PublicKey } from '../../manifest/model.ts';
import { clusterOf, type Side } from '../block.ts';
import type { NodeKeys } from '../desired.ts';
import { revokedBy as keysRevokedBy, selfOf } from '../share.ts';
import type { Revocation } from './record.ts';

/** A key that a revision newly names in `revokedKeys`. */
export interface Cut extends Revocation {
  /** A Peer that this node knows has the key. */
  readonly held: boolean;
}

/**
 * Keys that a revision takes out of this node's cluster, compared with an older one: of Peers that are gone by name and
 * whose key nobody else has, and those that `revokedKeys` newly names. A key that is replaced under the same name is an
 * ordinary change. `label`: of the newer one.
 */
export function revokedBy(older: Side | undefined, newer: Fleet, node: NodeKeys, label: string): readonly Revocation[] {
  const before = older && clusterOf(older);
  if (older === undefined || before === undefined) return [];
  const revocation = (publicKey: PublicKey, name: string): Revocation => ({ publicKey, name, revision: label });
  const named = newlyNamed(before, newer, node).flatMap((key) => {
    const name = holderOf(older.fleet, key);
    return name === undefined ? [] : [revocation(key, name)];
  });
  const known = new Set(named.map(({ publicKey }) => canonicalKey(publicKey)));
  const gone = goneFrom(older.fleet, newer, before.metadata.name).flatMap(([name, keys]) =>
    keys
      .filter((key) => holderOf(newer, key) === undefined && !known.has(canonicalKey(key)) && !isOwn(key, node))
      .map((key) => revocation(key, name)),
  );
  return [...named, ...gone];
}

/** Keys that a revision names in `revokedKeys` and one of these did not, whoever has them: what is trusted, what is in force. */
export function cutsOf(sides: readonly Side[], newer: Fleet, node: NodeKeys, label: string): readonly Cut[] {
  const fleets = [...sides.map(({ fleet }) => fleet), newer];
  const befores = sides.length === 0 ? [undefined] : sides.map(clusterOf);
  const named = new Map(
    befores.flatMap((before) => newlyNamed(before, newer, node).map((key) => [canonicalKey(key), key] as const)),
  );
  return [...named.values()].map((publicKey) => {
    const name = fleets.map((fleet) => holderOf(fleet, publicKey)).find((each) => each !== undefined);
    return { publicKey, name: name ?? fingerprint(publicKey), revision: label, held: name !== undefined };
  });
}

function isOwn(key: PublicKey, { publicKey, nextPublicKey }: NodeKeys): boolean {
  const canonical = canonicalKey(key);
  return (
    canonical === canonicalKey(publicKey) || (nextPublicKey !== undefined && canonical === canonicalKey(nextPublicKey))
  );
}

/** In the cluster of that name, and in those that the node is moved to. A node does not cut itself off. */
function newlyNamed(before: Cluster | undefined, newer: Fleet, node: NodeKeys): readonly PublicKey[] {
  const known = before && keysRevokedBy(before);
  const found = new Map<string, PublicKey>();
  for (const name of new Set([before?.metadata.name ?? '', ...(selfOf(newer, node)?.clusters ?? [])])) {
    for (const key of newer.clusters.get(name)?.revokedKeys ?? []) {
      const canonical = canonicalKey(key);
      if (!known?.has(canonical) && !isOwn(key, node)) found.set(canonical, key);
    }
  }
  return [...found.values()];
}

/** Fleets share what did not change: where membership is the same value, nobody can be gone. */
function goneFrom(older: Fleet, newer: Fleet, cluster: string): readonly (readonly [string, readonly PublicKey[]])[] {
  const members = older.peersOfCluster.get(cluster);
  if (members === undefined || members === newer.peersOfCluster.get(cluster)) return [];
  return [...members].flatMap((name) => {
    const peer = newer.peers.has(name) ? undefined : older.peers.get(name);
    if (peer === undefined) return [];
    const { publicKey, nextPublicKey } = peer;
    return [[name, nextPublicKey === undefined ? [publicKey] : [publicKey, nextPublicKey]] as const];
  });
}
