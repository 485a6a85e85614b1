import type { Cluster, Fleet, PublicKey } from '../../manifest/model.ts';
import { clusterOf, type Side } from '../block.ts';
import type { NodeKeys } from '../desired.ts';
import type { Revocation } from './record.ts';

export interface Revoked {
  /** All keys that it takes out. */
  readonly revokes: readonly Revocation[];
  /** Those that it names in `revokedKeys`. */
  readonly cuts: readonly Revocation[];
}

/**
 * Keys that a revision takes out of this node's cluster, compared with an older one: of Peers that are gone by name and
 * whose key nobody else has, and those that `revokedKeys` newly names. A key that is replaced under the same name is an
 * ordinary change. `label`: of the newer one.
 */
export function revokedBy(older: Side | undefined, newer: Side, node: NodeKeys, label: string): Revoked {
  const before = older && clusterOf(older);
  const after = clusterOf(newer) ?? newer.fleet.clusters.get(before?.metadata.name ?? '');
  if (older === undefined || before === undefined) return { revokes: [], cuts: [] };
  const revocation = (name: string) => (publicKey: PublicKey) => ({ publicKey, name, revision: label });
  const cuts = newlyNamed(before, after).flatMap((key) => {
    const name = older.fleet.peerByKey.get(key);
    return name === undefined || isOwn(key, node) ? [] : [revocation(name)(key)];
  });
  const named = new Set(cuts.map(({ publicKey }) => publicKey));
  const gone = [...goneFrom(older.fleet, newer.fleet, before.metadata.name)].flatMap(([name, keys]) =>
    keys.filter((key) => !newer.fleet.peerByKey.has(key) && !named.has(key) && !isOwn(key, node)).map(revocation(name)),
  );
  return { revokes: [...cuts, ...gone], cuts };
}

function isOwn(key: PublicKey, { publicKey, nextPublicKey }: NodeKeys): boolean {
  return key === publicKey || key === nextPublicKey;
}

function newlyNamed(before: Cluster, after: Cluster | undefined): readonly PublicKey[] {
  if (after === undefined || after.revokedKeys.length === 0) return [];
  const known = new Set(before.revokedKeys);
  return after.revokedKeys.filter((key) => !known.has(key));
}

/** Fleets share what did not change: where membership is the same value, nobody can be gone. */
function* goneFrom(older: Fleet, newer: Fleet, cluster: string): Generator<[string, readonly PublicKey[]]> {
  const members = older.peersOfCluster.get(cluster);
  if (members === undefined || members === newer.peersOfCluster.get(cluster)) return;
  for (const name of members) {
    const peer = newer.peers.has(name) ? undefined : older.peers.get(name);
    if (peer === undefined) continue;
    yield [name, peer.nextPublicKey === undefined ? [peer.publicKey] : [peer.publicKey, peer.nextPublicKey]];
  }
}
