import type { Peer, PublicKey } from '../manifest/model.ts';
import { clusterOf, type Side } from './block.ts';

/**
 * Whether a session between two members can come about from what the manifests say: one of them must say where it
 * listens. `stalePort`: a port that nobody listens on any more; a hint that still names it leads nowhere.
 */
export function canMeet(a: Peer, b: Peer, stalePort?: number): boolean {
  return isFindable(a, stalePort) || isFindable(b, stalePort);
}

export function isFindable({ endpoints }: Peer, stalePort?: number): boolean {
  return stalePort === undefined ? endpoints.length > 0 : endpoints.some(({ port }) => port !== stalePort);
}

/** The port that a cluster's members listened on, where a revision moves them to another one. */
export function stalePortOf(before: Side, after: Side): number | undefined {
  const [was, is] = [clusterOf(before), clusterOf(after)];
  return was?.metadata.name === is?.metadata.name && was?.port !== is?.port ? was?.port : undefined;
}

/** Peers that this node talks to and can meet. */
export function* peersInReach({ fleet, state }: Side, stalePort?: number): Generator<Peer> {
  const self = fleet.peers.get(state.self ?? '');
  for (const { name } of state.sessions?.peers.values() ?? []) {
    const peer = fleet.peers.get(name);
    if (self !== undefined && peer !== undefined && canMeet(self, peer, stalePort)) yield peer;
  }
}

/** The Peer that has one of these keys, as its current or next one. */
export function peerOfKeys({ fleet }: Side, keys: readonly (PublicKey | undefined)[]): Peer | undefined {
  for (const key of keys) {
    const name = key === undefined ? undefined : fleet.peerByKey.get(key);
    if (name !== undefined) return fleet.peers.get(name);
  }
  return undefined;
}
