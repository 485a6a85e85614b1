import { ExitCode, OmniError } from '../errors.ts';
import { formatEndpoint } from '../manifest/endpoint.ts';
import { etherTypeText } from '../manifest/ethertype.ts';
import { canonicalKey, macOf } from '../manifest/keys.ts';
import type {
  CanonicalKey,
  Cluster,
  EndpointHint,
  Fleet,
  FleetObject,
  ObjectRef,
  Peer,
  PublicKey,
  Vip,
} from '../manifest/model.ts';
import type { NodeKeys, NodeView, PeerIntent, Standing } from './desired.ts';
import type { DesiredRow, LinkRow, Row } from './rows.ts';

/** Where a node stands in a fleet: which Peer it is and which cluster it programs. */
export interface Share extends Onlooker {
  readonly node: NodeView;
  readonly self: Peer;
  /** Of this node's keys the one that it acts under. */
  readonly ownKey: PublicKey;
}

/** A member of a cluster; without `self`, one that no object is about: what it holds, every other member holds too. */
export interface Onlooker {
  readonly node: Pick<NodeView, 'resolve' | 'barred'>;
  readonly self?: Peer;
  readonly cluster: Cluster;
  readonly revoked: ReadonlySet<CanonicalKey>;
}

/** The node's share, or why it has none. Throws `several-clusters` (stall). */
export function shareOf(fleet: Fleet, node: NodeView): Share | Exclude<Standing, 'active'> {
  const self = selfOf(fleet, node);
  if (self === undefined) return 'absent';
  if (self.clusters.length > 1) throw severalClusters(self);
  const cluster = fleet.clusters.get(self.clusters[0] ?? '');
  if (cluster === undefined) return 'absent';
  const revoked = revokedBy(cluster);
  const ownKey = keysInForce(self, revoked).find((key) => key === node.publicKey || key === node.nextPublicKey);
  if (ownKey === undefined || revoked.has(canonicalKey(self.publicKey))) return 'revoked';
  return self.suspended ? 'suspended' : { node, self, ownKey, cluster, revoked };
}

/** A Peer's keys, the one that others call it under first. */
function keysInForce({ publicKey, nextPublicKey }: Peer, revoked: ReadonlySet<CanonicalKey>): readonly PublicKey[] {
  const keys = nextPublicKey === undefined ? [publicKey] : [publicKey, nextPublicKey];
  return keys.filter((key) => !revoked.has(canonicalKey(key)));
}

const revokedKeys = new WeakMap<Cluster, ReadonlySet<CanonicalKey>>();

/** A cluster's `revokedKeys`; made once for each of its versions. */
export function revokedBy(cluster: Cluster): ReadonlySet<CanonicalKey> {
  const known = revokedKeys.get(cluster);
  if (known !== undefined) return known;
  const made = new Set(cluster.revokedKeys.map(canonicalKey));
  revokedKeys.set(cluster, made);
  return made;
}

/** A node knows itself by its keys alone: the one that it has had, or the one that it goes over to. */
export function selfOf(fleet: Fleet, { publicKey, nextPublicKey }: NodeKeys): Peer | undefined {
  const name = fleet.peerByKey.get(publicKey) ?? (nextPublicKey && fleet.peerByKey.get(nextPublicKey));
  return fleet.peers.get(name ?? '');
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
  return ref === refOf(share.cluster) ? [linkOf(share, fleet), ...common] : common;
}

/** As `rowsOfObject`, without the link, which is each node's own. */
export function rowsInCommon(view: Onlooker, fleet: Fleet, ref: ObjectRef): readonly DesiredRow[] {
  const [kind, name] = splitRef(ref);
  if (kind === 'cluster') return name === view.cluster.metadata.name ? [...routesOf(view), ...sourcesOf(view)] : [];
  const object = kind === 'peer' ? fleet.peers.get(name) : fleet.vips.get(name);
  if (object === undefined) return [];
  return object.kind === 'Peer' ? rowsOfPeer(view, object) : rowsOfVip(view, fleet, object);
}

/** The node's end of the cluster; its MAC address is the node's. */
export function linkOf({ cluster, ownKey }: Share, fleet: Fleet): DesiredRow {
  const link: Row = {
    kind: 'link',
    interface: cluster.interface,
    cluster: cluster.metadata.name,
    mac: macOf(ownKey),
    mtu: linkMtu(cluster, fleet),
    port: cluster.port,
    newSessionsPerSecondPerSource: cluster.newSessionsPerSecondPerSource,
    arpSuppression: cluster.arpSuppression,
  };
  return desiredRow(link, cluster);
}

/** What `spec.mtu` says; else such that frames fit the datagrams of whichever family the members' endpoints are of. */
export function linkMtu(cluster: Cluster, fleet: Fleet): LinkRow['mtu'] {
  return cluster.mtu ?? (mayUseIpv6(cluster, fleet) ? 'auto-ipv6' : 'auto');
}

const ipv6Clusters = new WeakMap<Fleet, Map<string, boolean>>();

/** Whether a member's endpoint is an IPv6 address; looked up once for each version of a fleet. */
function mayUseIpv6({ metadata: { name } }: Cluster, fleet: Fleet): boolean {
  const known = ipv6Clusters.get(fleet) ?? new Map<string, boolean>();
  ipv6Clusters.set(fleet, known);
  const found = known.get(name) ?? [...(fleet.peersOfCluster.get(name) ?? [])].some((peer) => hasIpv6(fleet, peer));
  known.set(name, found);
  return found;
}

/** Hosts are canonical by now: only an IPv6 literal has a colon. */
export function hasIpv6(fleet: Fleet, peer: string): boolean {
  return fleet.peers.get(peer)?.endpoints.some(({ host }) => host.includes(':')) ?? false;
}

function routesOf({ cluster }: Onlooker): readonly DesiredRow[] {
  return cluster.subnets.map((destination) =>
    desiredRow({ kind: 'route', interface: cluster.interface, destination }, cluster),
  );
}

/** Which sources the frames of peers may have, beside the addresses that are declared for them. */
function sourcesOf({ cluster }: Onlooker): readonly DesiredRow[] {
  const { interface: name, foreignSources, etherTypes } = cluster;
  const policy: Row = {
    kind: 'policy',
    interface: name,
    foreignSources,
    etherTypes: etherTypes.map(etherTypeText).join(','),
  };
  const subnets = cluster.subnets.map((subnet): Row => ({ kind: 'subnet', interface: name, subnet }));
  return [...subnets, policy].map((row) => desiredRow(row, cluster));
}

/**
 * One row for a peer, whatever its keys, and a forwarding row for each of them: nodes that have the next revision already,
 * and those that do not yet, send to and from either key's MAC.
 */
function rowsOfPeer(share: Onlooker, peer: Peer): readonly DesiredRow[] {
  if (peer.metadata.name === share.self?.metadata.name) return ownForwarding(share, peer);
  if (!isReachable(share, peer)) return [];
  const endpoint = firstEndpoint(peer.endpoints, share.node);
  const { publicKey } = peer;
  const [, nextPublicKey] = keysInForce(peer, share.revoked);
  const row: Row = {
    kind: 'peer',
    interface: share.cluster.interface,
    publicKey,
    ...(nextPublicKey === undefined ? {} : { nextPublicKey }),
    ...(peer.roles.length === 0 ? {} : { roles: [...peer.roles].sort().join(',') }),
    ...(endpoint === undefined ? {} : { endpoint }),
  };
  return [desiredRow(row, peer), ...forwardingOf(share, peer, publicKey)];
}

/** A node with one key takes frames to its link's MAC, and needs no row for that. */
function ownForwarding(share: Onlooker, self: Peer): readonly DesiredRow[] {
  return keysInForce(self, share.revoked).length < 2 ? [] : forwardingOf(share, self, 'self');
}

function forwardingOf({ cluster, revoked }: Onlooker, peer: Peer, publicKey: PublicKey | 'self'): DesiredRow[] {
  return keysInForce(peer, revoked).map((key) =>
    desiredRow({ kind: 'fdb', interface: cluster.interface, mac: macOf(key), publicKey }, peer),
  );
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
  const [, nextPublicKey] = keysInForce(peer, share.revoked);
  return {
    name: peer.metadata.name,
    publicKey: peer.publicKey,
    endpoints: peer.endpoints,
    ...(nextPublicKey === undefined ? {} : { nextPublicKey }),
    ...(peer.keepaliveMs === undefined ? {} : { keepaliveMs: peer.keepaliveMs }),
  };
}

export function isReachable({ node, self, cluster, revoked }: Onlooker, peer: Peer): boolean {
  return (
    peer.metadata.name !== self?.metadata.name &&
    peer.clusters.includes(cluster.metadata.name) &&
    !peer.suspended &&
    !revoked.has(canonicalKey(peer.publicKey)) &&
    !isBarred(node, peer)
  );
}

function isBarred({ barred }: Onlooker['node'], { publicKey, nextPublicKey }: Peer): boolean {
  if (barred === undefined || barred.size === 0) return false;
  return (
    barred.has(canonicalKey(publicKey)) || (nextPublicKey !== undefined && barred.has(canonicalKey(nextPublicKey)))
  );
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
