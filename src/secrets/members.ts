import type { Cluster, Fleet, PublicKey } from '../manifest/model.ts';

/** A key that a cluster's secret is sealed for, and whose it is. */
export interface Member {
  /** The Peer's name. */
  readonly peer: string;
  readonly publicKey: PublicKey;
}

/**
 * Who may know a cluster's secret, by name: each of its peers, under its key and under the next one, so that the peer can
 * change over. Suspended peers are among them: they are to come back. Whoever is not to belongs in `revokedKeys`: no peer of
 * a valid fleet has such a key.
 */
export function membersOf(fleet: Fleet, cluster: Cluster): readonly Member[] {
  const names = [...(fleet.peersOfCluster.get(cluster.metadata.name) ?? [])].sort();
  return names.flatMap((name) => {
    const peer = fleet.peers.get(name);
    const keys = peer === undefined ? [] : [peer.publicKey, ...(peer.nextPublicKey ? [peer.nextPublicKey] : [])];
    return keys.map((publicKey) => ({ peer: name, publicKey }));
  });
}
