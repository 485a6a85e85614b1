import { macOf } from '../../manifest/keys.ts';
import type { Fleet, MacAddress, ObjectRef, PublicKey } from '../../manifest/model.ts';
import { namesFrom, type PeerNames } from './changes.ts';

/** Every object, clusters first, then peers and VIPs, each by name. */
export function objectRefs(fleet: Fleet): ObjectRef[] {
  const refs = (kind: 'cluster' | 'peer' | 'vip', names: Iterable<string>): ObjectRef[] =>
    [...names].sort().map((name): ObjectRef => `${kind}/${name}`);
  return [
    ...refs('cluster', fleet.clusters.keys()),
    ...refs('peer', fleet.peers.keys()),
    ...refs('vip', fleet.vips.keys()),
  ];
}

/** Names from several fleets, the first that knows a key naming it: a peer that is gone keeps its name. */
export function fleetNames(...fleets: readonly Fleet[]): PeerNames {
  const byKey = new Map<PublicKey, string>();
  const byMac = new Map<MacAddress, string>();
  for (const fleet of fleets) {
    for (const [publicKey, name] of fleet.peerByKey) {
      if (byKey.has(publicKey)) continue;
      byKey.set(publicKey, name);
      byMac.set(macOf(publicKey), name);
    }
  }
  return namesFrom(byKey, byMac);
}
