import type { Cluster, Peer, PublicKey } from '../manifest/model.ts';
import { contains, network, parseIp } from '../manifest/net.ts';
import { clusterOf, type Side } from './block.ts';
import { rowKey } from './rows.ts';

/**
 * Whether this node and a peer can come to a session by what manifests and DNS say: one of them must tell where it listens,
 * outside of the cluster that the session is to carry. `stalePort`: a port that nobody listens on any more; a hint that
 * still names it leads nowhere.
 */
export function canMeet(side: Side, self: Peer, peer: Peer, stalePort?: number): boolean {
  return isFindable(self, stalePort) || (isFindable(peer, stalePort) && !isBehindItself(side, peer));
}

export function isFindable({ endpoints }: Peer, stalePort?: number): boolean {
  return stalePort === undefined ? endpoints.length > 0 : endpoints.some(({ port }) => port !== stalePort);
}

/** Whether a peer's only endpoint is a name that resolves to an address inside the cluster. */
export function isBehindItself(side: Side, { publicKey, endpoints }: Peer): boolean {
  const cluster = clusterOf(side);
  if (cluster === undefined || endpoints.length !== 1) return false;
  const row = side.state.rows.get(rowKey({ kind: 'peer', interface: cluster.interface, publicKey }))?.row;
  const host = row?.kind === 'peer' ? row.endpoint?.replace(/:\d+$/, '').replace(/^\[|\]$/g, '') : undefined;
  return host !== undefined && isInside(cluster, host);
}

/** Whether packets to an address are routed into the cluster. */
export function isInside({ subnets }: Cluster, address: string): boolean {
  const ip = parseIp(address);
  return ip.ok && subnets.some((subnet) => contains(network(subnet), ip.value));
}

/** The port that a cluster's members listened on, where a revision moves them to another one. */
export function stalePortOf(before: Side, after: Side): number | undefined {
  const [was, is] = [clusterOf(before), clusterOf(after)];
  return was?.metadata.name === is?.metadata.name && was?.port !== is?.port ? was?.port : undefined;
}

/** Peers that this node talks to and can meet. */
export function* peersInReach(side: Side, stalePort?: number): Generator<Peer> {
  const { fleet, state } = side;
  const self = fleet.peers.get(state.self ?? '');
  for (const { name } of state.sessions?.peers.values() ?? []) {
    const peer = fleet.peers.get(name);
    if (self !== undefined && peer !== undefined && canMeet(side, self, peer, stalePort)) yield peer;
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
