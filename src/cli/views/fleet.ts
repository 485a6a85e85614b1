import type { Fleet, ObjectRef } from '../../manifest/model.ts';
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

/** Names from several fleets: a peer that is gone from the last one keeps its name. */
export function fleetNames(...fleets: readonly Fleet[]): PeerNames {
  return namesFrom(new Map(fleets.flatMap((fleet) => [...fleet.peerByKey])));
}
