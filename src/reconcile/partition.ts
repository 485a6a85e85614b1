import { canonicalKey } from '../manifest/keys.ts';
import type { CanonicalKey, Cluster, IpAddress, Peer, Vip } from '../manifest/model.ts';
import { type Block, clusterOf, firstOf, located, type Side } from './block.ts';
import { canMeet, isBehindItself, isFindable, isInside, peerOfKeys, peersInReach, stalePortOf } from './reach.ts';
import { revokedBy } from './share.ts';

const ACCEPT = 'if it is meant, run `omni confirm --allow-partition` on this node';

/**
 * Refuses a revision after which this node could meet none of the peers that it talks to, where it could meet one before.
 * Two cases are no slip: a node that is itself suspended, and peers of which each is named in `revokedKeys`. A peer so
 * named is no loss, so that the guard never keeps a stolen key in force.
 */
export function peersBlock(before: Side, after: Side): Block | undefined {
  if (after.state.standing === 'suspended' || before.fleet === after.fleet) return undefined;
  const stalePort = stalePortOf(before, after);
  for (const _ of peersInReach(after, stalePort)) return undefined;
  const revoked = keysRevokedIn(after);
  const lost = [...peersInReach(before)].filter(({ publicKey }) => !revoked.has(canonicalKey(publicKey)));
  if (lost.length === 0) return undefined;
  const causes = new Set(lost.map((peer) => causeOf(peer, after, stalePort)));
  const [them, one] = lost.length === 1 ? ['the only peer', 'it'] : [`all ${lost.length} peers`, 'one of them'];
  return partitionBlocked(
    `this node would have no way to ${them} that it talks to: ${firstOf([...causes])}. Keep a way to ${one}, or name its key in revokedKeys if it is to be cut off`,
  );
}

function keysRevokedIn(side: Side): ReadonlySet<CanonicalKey> {
  const cluster = clusterOf(side);
  return cluster === undefined ? new Set() : revokedBy(cluster);
}

/** Why a peer that could be met before cannot be met any more, with the place that says so. */
function causeOf(was: Peer, after: Side, stalePort: number | undefined): string {
  const cluster = clusterOf(after);
  const self = after.fleet.peers.get(after.state.self ?? '');
  if (cluster === undefined || self === undefined) return 'this node is in no cluster any more';
  const peer = after.fleet.peers.get(was.metadata.name) ?? peerOfKeys(after, [was.publicKey, was.nextPublicKey]);
  if (peer === undefined) return `${located(was)} is gone`;
  if (!peer.clusters.includes(cluster.metadata.name)) return `${located(peer)} is not in ${located(cluster)}`;
  if (peer.suspended) return `${located(peer)} is suspended`;
  if (!after.state.sessions?.peers.has(peer.publicKey)) return `the key of ${located(peer)} is revoked`;
  if (isFindable(peer, stalePort) && isBehindItself(after, peer)) {
    return `the endpoint of ${located(peer)} resolves to an address inside the subnets of ${located(cluster)}`;
  }
  if (stalePort === undefined || !canMeet(after, self, peer)) {
    return `neither ${located(peer)} nor this node's own ${located(self)} has an endpoint`;
  }
  return `${located(cluster)} moves to port ${cluster.port}, and no endpoint of ${located(isFindable(peer) ? peer : self)} leaves ${stalePort}`;
}

/** Where packets to an address of the source go. `stray`: into the cluster, where nobody who can be met holds it. */
type Way = 'underlay' | 'overlay' | 'stray';

/**
 * Refuses a revision that leads packets to the source astray. That is certain for an address that was outside the
 * cluster's subnets and comes to lie inside one, unless a peer that can be met holds it; such a way is left to the probes.
 * An address that was reached through the cluster may be given up while another address of the source has a way, or
 * where its peer's key is revoked.
 */
export function sourceBlock(before: Side | undefined, after: Side, addresses: readonly IpAddress[]): Block | undefined {
  const stalePort = before && stalePortOf(before, after);
  const ways = addresses.map((address) => ({
    address,
    was: before === undefined ? 'underlay' : wayTo(before, address, { revoked: keysRevokedIn(after) }),
    is: wayTo(after, address, { stalePort }),
  }));
  const cluster = clusterOf(after);
  const captured = ways.find(({ was, is }) => was === 'underlay' && is === 'stray');
  if (captured !== undefined && cluster !== undefined) {
    const { address } = captured;
    return partitionBlocked(
      `the source's address ${address} lies inside the subnets of ${located(cluster)}, and packets to it would go there, where ${holderText(after, cluster, address)}. Choose subnets without it`,
    );
  }
  const lost = ways.find(({ was, is }) => was === 'overlay' && is !== 'overlay');
  if (lost === undefined || ways.some(({ was, is }) => is === 'overlay' || (is === 'underlay' && was === is))) {
    return undefined;
  }
  const why =
    lost.is === 'stray' && cluster ? holderText(after, cluster, lost.address) : 'the cluster leads there no more';
  return partitionBlocked(
    `this node reaches its source at ${lost.address} through the cluster, and would not any more: ${why}. Keep the way until the source is reached otherwise`,
  );
}

interface WayOptions {
  readonly stalePort?: number | undefined;
  /** Keys through which no way leads. */
  readonly revoked?: ReadonlySet<CanonicalKey>;
}

function wayTo(side: Side, address: IpAddress, { stalePort, revoked }: WayOptions): Way {
  const cluster = side.state.sessions && clusterOf(side);
  const self = side.fleet.peers.get(side.state.self ?? '');
  if (cluster === undefined || self === undefined || !isInside(cluster, address)) return 'underlay';
  const holder = side.fleet.peers.get(vipAt(side, cluster, address)?.peer ?? '');
  if (holder === self) return 'overlay';
  if (holder === undefined || !side.state.sessions?.peers.has(holder.publicKey)) return 'stray';
  if (revoked?.has(canonicalKey(holder.publicKey))) return 'stray';
  return canMeet(side, self, holder, stalePort) ? 'overlay' : 'stray';
}

function vipAt({ fleet }: Side, cluster: Cluster, address: IpAddress): Vip | undefined {
  for (const vip of fleet.vips.values()) {
    if (vip.address === address && vip.cluster === cluster.metadata.name) return vip;
  }
  return undefined;
}

function holderText(side: Side, cluster: Cluster, address: IpAddress): string {
  const vip = vipAt(side, cluster, address);
  const holder = side.fleet.peers.get(vip?.peer ?? '');
  return vip === undefined || holder === undefined
    ? 'no VIP has it'
    : `${located(vip)} is of ${located(holder)}, which this node cannot reach`;
}

function partitionBlocked(cause: string): Block {
  return { code: 'partition-blocked', reason: 'PartitionBlocked', message: `${cause}; ${ACCEPT}`, cause };
}
