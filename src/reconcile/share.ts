import { ExitCode, OmniError } from '../errors.ts';
import { formatEndpoint } from '../manifest/endpoint.ts';
import { macOf } from '../manifest/keys.ts';
import type { Cluster, EndpointHint, Fleet, FleetObject, ObjectRef, Peer, PublicKey, Vip } from '../manifest/model.ts';
import type { NodeView, PeerIntent, Standing } from './desired.ts';
import type { DesiredRow, Row } from './rows.ts';

/** Where a node stands in a fleet: which Peer it is and which cluster it programs. */
export interface Share extends Onlooker {
  readonly node: NodeView;
  readonly self: Peer;
}

/** A member of a cluster; without `self`, one that no object is about: what it holds, every other member holds too. */
export interface Onlooker {
  readonly node: Pick<NodeView, 'resolve' | 'barred'>;
  readonly self?: Peer;
  readonly cluster: Cluster;
  readonly revoked: ReadonlySet<PublicKey>;
}

/** The node's share, or why it has none. Throws `several-clusters` (stall). */
export function shareOf(fleet: Fleet, node: NodeView): Share | Exclude<Standing, 'active'> {
  const self = selfOf(fleet, node);
  if (self === undefined) return 'absent';
  if (self.clusters.length > 1) throw severalClusters(self);
  const cluster = fleet.clusters.get(self.clusters[0] ?? '');
  if (cluster === undefined) return 'absent';
  const revoked = revokedBy(cluster);
  if (revoked.has(node.publicKey)) return 'revoked';
  return self.suspended ? 'suspended' : { node, self, cluster, revoked };
}

const revokedKeys = new WeakMap<Cluster, ReadonlySet<PublicKey>>();

/** A cluster's `revokedKeys`; made once for each of its versions. */
export function revokedBy(cluster: Cluster): ReadonlySet<PublicKey> {
  const known = revokedKeys.get(cluster);
  if (known !== undefined) return known;
  const made = new Set(cluster.revokedKeys);
  revokedKeys.set(cluster, made);
  return made;
}

/** A node knows itself by its key alone: the one in force, or the one it rotates to. */
export function selfOf(fleet: Fleet, node: NodeView): Peer | undefined {
  return fleet.peers.get(fleet.peerByKey.get(node.publicKey) ?? '');
}

function severalClusters(self: Peer): OmniError {
  return new OmniError(
    `peer/${self.metadata.name} is in ${self.clusters.length} clusters (${self.clusters.join(', ')}); this version joins exactly one`,
    {
      code: 'several-clusters',
      class: 'stall',
      exitCode: ExitCode.usage,
      object: `peer/${self.metadata.name}`,
      fix: `Keep one name in spec.clusters of peer/${self.metadata.name}, and give the other cluster a node of its own.`,
    },
  );
}

/** The objects that can give this node rows: its cluster, the cluster's peers and their VIPs. */
export function* objectsOf(fleet: Fleet, { cluster }: Pick<Share, 'cluster'>): Generator<ObjectRef> {
  const name = cluster.metadata.name;
  yield `cluster/${name}`;
  for (const peer of fleet.peersOfCluster.get(name) ?? []) {
    yield `peer/${peer}`;
    for (const vip of fleet.vipsOfPeer.get(`${name}/${peer}`) ?? []) yield `vip/${vip}`;
  }
}

/** As `objectsOf`, for one object. */
export function isListed(fleet: Fleet, { cluster }: Share, ref: ObjectRef): boolean {
  const [kind, name] = splitRef(ref);
  if (kind === 'cluster') return name === cluster.metadata.name;
  const members = fleet.peersOfCluster.get(cluster.metadata.name);
  if (kind === 'peer') return members?.has(name) ?? false;
  const vip = fleet.vips.get(name);
  return vip?.cluster === cluster.metadata.name && (members?.has(vip.peer) ?? false);
}

/** The rows that one object gives this node. All that a node programs is the union of these. */
export function rowsOfObject(share: Share, fleet: Fleet, ref: ObjectRef): readonly DesiredRow[] {
  const common = rowsInCommon(share, fleet, ref);
  return ref === refOf(share.cluster) ? [linkOf(share), ...common] : common;
}

/** As `rowsOfObject`, without the link, which is each node's own. */
export function rowsInCommon(view: Onlooker, fleet: Fleet, ref: ObjectRef): readonly DesiredRow[] {
  const [kind, name] = splitRef(ref);
  if (kind === 'cluster') return name === view.cluster.metadata.name ? routesOf(view) : [];
  const object = kind === 'peer' ? fleet.peers.get(name) : fleet.vips.get(name);
  if (object === undefined) return [];
  return object.kind === 'Peer' ? rowsOfPeer(view, object) : rowsOfVip(view, fleet, object);
}

/** The node's end of the cluster; its MAC address is the node's. */
export function linkOf({ cluster, node }: Share): DesiredRow {
  const link: Row = {
    kind: 'link',
    interface: cluster.interface,
    cluster: cluster.metadata.name,
    mac: macOf(node.publicKey),
    mtu: cluster.mtu ?? 'auto',
    port: cluster.port,
    newSessionsPerSecondPerSource: cluster.newSessionsPerSecondPerSource,
    arpSuppression: cluster.arpSuppression,
  };
  return desiredRow(link, cluster);
}

function routesOf({ cluster }: Onlooker): readonly DesiredRow[] {
  return cluster.subnets.map((destination) =>
    desiredRow({ kind: 'route', interface: cluster.interface, destination }, cluster),
  );
}

/**
 * Rotation (issue 4) gives a peer with a `nextPublicKey` a second pair of rows here, and an fdb row that follows the key
 * whose session is newest. Until then only `publicKey` is programmed.
 */
function rowsOfPeer(share: Onlooker, peer: Peer): readonly DesiredRow[] {
  if (!isReachable(share, peer)) return [];
  const { publicKey } = peer;
  const endpoint = firstEndpoint(peer.endpoints, share.node);
  const base = { interface: share.cluster.interface, publicKey };
  return [
    desiredRow({ kind: 'peer', ...base, ...(endpoint === undefined ? {} : { endpoint }) }, peer),
    desiredRow({ kind: 'fdb', ...base, mac: macOf(publicKey) }, peer),
  ];
}

function rowsOfVip(share: Onlooker, fleet: Fleet, vip: Vip): readonly DesiredRow[] {
  if (vip.cluster !== share.cluster.metadata.name) return [];
  const base = { interface: share.cluster.interface, address: vip.address };
  if (vip.peer === share.self?.metadata.name) return [desiredRow({ kind: 'address', ...base }, vip)];
  const peer = fleet.peers.get(vip.peer);
  if (peer === undefined || !isReachable(share, peer)) return [];
  return [desiredRow({ kind: 'neighbour', ...base, mac: macOf(peer.publicKey) }, vip)];
}

/** What the sessions need of a peer; undefined for one that this node must not talk to. */
export function intentOf(share: Share, peer: Peer): PeerIntent | undefined {
  if (!isReachable(share, peer)) return undefined;
  const next = peer.nextPublicKey;
  return {
    name: peer.metadata.name,
    publicKey: peer.publicKey,
    endpoints: peer.endpoints,
    ...(next !== undefined && !share.revoked.has(next) ? { nextPublicKey: next } : {}),
    ...(peer.keepaliveMs === undefined ? {} : { keepaliveMs: peer.keepaliveMs }),
  };
}

export function isReachable({ node, self, cluster, revoked }: Onlooker, peer: Peer): boolean {
  return (
    peer.metadata.name !== self?.metadata.name &&
    peer.clusters.includes(cluster.metadata.name) &&
    !peer.suspended &&
    !revoked.has(peer.publicKey) &&
    !isBarred(node, peer)
  );
}

function isBarred({ barred }: Onlooker['node'], { publicKey, nextPublicKey }: Peer): boolean {
  return barred !== undefined && (barred.has(publicKey) || (nextPublicKey !== undefined && barred.has(nextPublicKey)));
}

function firstEndpoint(hints: readonly EndpointHint[], node: Onlooker['node']): string | undefined {
  for (const { host, port } of hints) {
    const address = isIpLiteral(host) ? host : node.resolve(host);
    if (address !== undefined) return formatEndpoint({ host: address, port });
  }
  return undefined;
}

/** Hosts are canonical by now: only an IPv6 literal has a colon, and only an IPv4 literal ends in a numeric label. */
function isIpLiteral(host: string): boolean {
  return host.includes(':') || /(^|\.)\d+$/.test(host);
}

function desiredRow(row: Row, object: FleetObject): DesiredRow {
  return { row, origin: { object: refOf(object), position: object.position } };
}

export function refOf(object: FleetObject): ObjectRef {
  const kinds = { Cluster: 'cluster', Peer: 'peer', VIP: 'vip' } as const;
  return `${kinds[object.kind]}/${object.metadata.name}`;
}

/** The object behind a reference, as the fleet has it now. */
export function objectOf(fleet: Fleet, ref: ObjectRef): FleetObject | undefined {
  const [kind, name] = splitRef(ref);
  return { cluster: fleet.clusters, peer: fleet.peers, vip: fleet.vips }[kind].get(name);
}

export function splitRef(ref: ObjectRef): ['cluster' | 'peer' | 'vip', string] {
  const slash = ref.indexOf('/');
  return [ref.slice(0, slash) as 'cluster' | 'peer' | 'vip', ref.slice(slash + 1)];
}
