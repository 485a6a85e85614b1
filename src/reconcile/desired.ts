import { holderOf } from '../manifest/keys.ts';
import type {
  CanonicalKey,
  Cidr,
  EndpointHint,
  Fleet,
  IpAddress,
  ObjectRef,
  Peer,
  PostQuantum,
  PublicKey,
} from '../manifest/model.ts';
import { LayeredMap } from './layered.ts';
import { type DesiredRow, type RowKey, type RowSet, rowKey, sameRow } from './rows.ts';
import {
  hasIpv6,
  intentOf,
  isListed,
  linkMtu,
  objectsOf,
  refOf,
  rowsOfObject,
  type Share,
  selfOf,
  shareOf,
  splitRef,
} from './share.ts';

/** What a node is known by. */
export interface NodeKeys {
  readonly publicKey: PublicKey;
  /** The key that it is to go over to, which it holds as well. */
  readonly nextPublicKey?: PublicKey | undefined;
}

/** What of this node, besides git, decides its desired state. */
export interface NodeView extends NodeKeys {
  /** DNS results gathered outside; undefined while a name does not resolve. IP literals never ask. */
  resolve(host: string): IpAddress | undefined;
  /**
   * Keys that get nothing here whatever the fleet says, be they a peer's current or next one: what newer revisions took
   * out stays out where an older one is in force again. Not mutated: other keys are another set.
   */
  readonly barred?: ReadonlySet<CanonicalKey>;
}

/** A peer as the sessions need it. */
export interface PeerIntent {
  readonly name: string;
  readonly publicKey: PublicKey;
  readonly nextPublicKey?: PublicKey;
  readonly endpoints: readonly EndpointHint[];
  readonly keepaliveMs?: number;
}

/** What the session manager needs of an applied revision. */
export interface SessionConfig {
  readonly cluster: string;
  readonly interface: string;
  readonly port: number;
  readonly rekeyAfterMs: number;
  readonly lifetimeMs: number;
  readonly handshakeTimeoutMs: number;
  readonly postQuantum: PostQuantum;
  /** The key that this node calls under: its Peer's `publicKey` or, if it does not hold that one, the `nextPublicKey` that it holds. */
  readonly self?: PublicKey;
  readonly newSessionsPerSecondPerSource: number;
  /** The cluster's own networks: no endpoint lies inside. */
  readonly subnets: readonly Cidr[];
  readonly peers: ReadonlyMap<PublicKey, PeerIntent>;
  /** The cluster's keys, sealed, as the manifest has them. */
  readonly psk?: string;
  readonly nextPsk?: string;
}

/**
 * `absent`: no Peer of the fleet has this node's key, or its Peer is in no cluster. `revoked`: the cluster names its key
 * in `revokedKeys`. `suspended`: a member that is told to carry nothing.
 */
export type Standing = 'active' | 'suspended' | 'revoked' | 'absent';

/** One node's share of a fleet. `member` false: this node is in no cluster of the fleet, and `rows` is empty. */
export interface DesiredState {
  readonly member: boolean;
  readonly standing: Standing;
  readonly self?: string;
  readonly rows: RowSet<DesiredRow>;
  readonly sessions?: SessionConfig;
  /** Rows by the object that they come from, for incremental updates; empty for an object that gives this node none. */
  readonly rowsOf: ReadonlyMap<ObjectRef, readonly RowKey[]>;
  /** `NodeView.barred` of the node that it was made for. */
  readonly barred: ReadonlySet<CanonicalKey>;
}

const NO_KEYS: ReadonlySet<CanonicalKey> = new Set();

/** Everything that `node` should hold, from scratch. Pure. Throws an `OmniError` of class stall where the fleet asks for more than this version can do. */
export function desiredState(fleet: Fleet, node: NodeView): DesiredState {
  const share = shareOf(fleet, node);
  if (typeof share === 'string') return nothing(share, selfOf(fleet, node), node);
  const rows = new Map<RowKey, DesiredRow>();
  const rowsOf = new Map<ObjectRef, readonly RowKey[]>();
  for (const ref of objectsOf(fleet, share)) {
    const keys: RowKey[] = [];
    for (const desired of rowsOfObject(share, fleet, ref)) {
      const key = rowKey(desired.row);
      if (!rows.has(key)) keys.push(key);
      rows.set(key, desired);
    }
    rowsOf.set(ref, keys);
  }
  return {
    member: true,
    standing: 'active',
    self: share.self.metadata.name,
    rows: LayeredMap.of(rows),
    rowsOf: LayeredMap.of(rowsOf),
    barred: node.barred ?? NO_KEYS,
    sessions: sessionsOf(fleet, share),
  };
}

function nothing(standing: Exclude<Standing, 'active'>, self: Peer | undefined, node: NodeView): DesiredState {
  return {
    member: standing === 'suspended',
    standing,
    rows: new Map(),
    rowsOf: new Map(),
    barred: node.barred ?? NO_KEYS,
    ...(self === undefined ? {} : { self: self.metadata.name }),
  };
}

function sessionsOf(fleet: Fleet, share: Share): SessionConfig {
  const { cluster } = share;
  const peers = new Map<PublicKey, PeerIntent>();
  for (const name of fleet.peersOfCluster.get(cluster.metadata.name) ?? []) {
    const peer = fleet.peers.get(name);
    const intent = peer && intentOf(share, peer);
    if (intent !== undefined) peers.set(intent.publicKey, intent);
  }
  return {
    cluster: cluster.metadata.name,
    interface: cluster.interface,
    port: cluster.port,
    ...cluster.sessions,
    self: share.ownKey,
    newSessionsPerSecondPerSource: cluster.newSessionsPerSecondPerSource,
    subnets: cluster.subnets,
    peers: LayeredMap.of(peers),
    ...(cluster.psk === undefined ? {} : { psk: cluster.psk }),
    ...(cluster.nextPsk === undefined ? {} : { nextPsk: cluster.nextPsk }),
  };
}

export interface DesiredUpdate {
  readonly state: DesiredState;
  /** Rows that are new, gone or different. */
  readonly touched: ReadonlySet<RowKey>;
  /** Objects whose rows were computed again. */
  readonly objects: ReadonlySet<ObjectRef> | 'all';
}

/**
 * The same value as `desiredState(fleet, node)`, at a cost in proportion to `changed`. `previous` belongs to the fleet that
 * `changed` is relative to, but may have been made with other `barred` keys. A change of the cluster or of this node's own
 * Peer may touch anything and recomputes all.
 */
export function updateDesired(
  previous: DesiredState,
  fleet: Fleet,
  changed: ReadonlySet<ObjectRef> | 'all',
  node: NodeView,
): DesiredUpdate {
  const share = shareOf(fleet, node);
  if (changed === 'all' || typeof share === 'string' || !isIncremental(previous, changed, share)) {
    const state = desiredState(fleet, node);
    return { state, touched: difference(previous.rows, state.rows), objects: 'all' };
  }
  const unlike = peersBarredOtherwise(previous, fleet, node);
  const affected = affectedBy(previous, fleet, share, unlike.length === 0 ? changed : new Set([...changed, ...unlike]));
  return updateObjects(previous, fleet, affected, share);
}

/** Peers whose key was barred and is no more, or the other way round. One whose key changed is in `changed` anyway. */
function peersBarredOtherwise(previous: DesiredState, fleet: Fleet, { barred = NO_KEYS }: NodeView): ObjectRef[] {
  if (previous.barred === barred) return [];
  return [...barred, ...previous.barred].flatMap((key): ObjectRef[] => {
    const name = barred.has(key) && previous.barred.has(key) ? undefined : holderOf(fleet, key);
    return name === undefined ? [] : [`peer/${name}`];
  });
}

function isIncremental(previous: DesiredState, changed: ReadonlySet<ObjectRef>, share: Share): boolean {
  return (
    previous.standing === 'active' &&
    previous.self === share.self.metadata.name &&
    previous.sessions?.self === share.ownKey &&
    previous.sessions?.cluster === share.cluster.metadata.name &&
    !changed.has(`peer/${share.self.metadata.name}`) &&
    !changed.has(`cluster/${share.cluster.metadata.name}`)
  );
}

/** A peer's key and standing decide the rows of its VIPs too, its endpoints the link's MTU. */
function affectedBy(
  previous: DesiredState,
  fleet: Fleet,
  share: Share,
  changed: ReadonlySet<ObjectRef>,
): ReadonlySet<ObjectRef> {
  const affected = new Set(changed);
  if (remeasures(previous, fleet, share, changed)) affected.add(refOf(share.cluster));
  for (const ref of changed) {
    const [kind, name] = splitRef(ref);
    if (kind !== 'peer') continue;
    for (const vip of fleet.vipsOfPeer.get(`${share.cluster.metadata.name}/${name}`) ?? []) affected.add(`vip/${vip}`);
  }
  return affected;
}

/** Looks at all peers only where those that changed may have been the last ones with an IPv6 endpoint, or the first. */
function remeasures(
  previous: DesiredState,
  fleet: Fleet,
  { cluster }: Share,
  changed: ReadonlySet<ObjectRef>,
): boolean {
  const row = previous.rows.get(`link/${cluster.interface}` as RowKey)?.row;
  if (row?.kind !== 'link' || typeof row.mtu === 'number') return false;
  const peers = [...changed].map(splitRef).flatMap(([kind, name]) => (kind === 'peer' ? [name] : []));
  if (peers.length === 0 || (row.mtu === 'auto' && !peers.some((peer) => hasIpv6(fleet, peer)))) return false;
  return linkMtu(cluster, fleet) !== row.mtu;
}

function updateObjects(
  previous: DesiredState,
  fleet: Fleet,
  affected: ReadonlySet<ObjectRef>,
  share: Share,
): DesiredUpdate {
  const rows = new Map<RowKey, DesiredRow | undefined>();
  const rowsOf = new Map<ObjectRef, readonly RowKey[] | undefined>();
  const peers = new Map<PublicKey, PeerIntent | undefined>();
  // All old rows go before any new one comes: a row may pass from one object to another (an address whose VIP was renamed).
  for (const key of keysOf(previous, affected)) {
    rows.set(key, undefined);
    const row = previous.rows.get(key)?.row;
    if (row?.kind === 'peer') peers.set(row.publicKey, undefined);
  }
  for (const ref of affected) {
    const produced = rowsOfObject(share, fleet, ref);
    for (const desired of produced) rows.set(rowKey(desired.row), desired);
    rowsOf.set(ref, isListed(fleet, share, ref) ? produced.map(({ row }) => rowKey(row)) : undefined);
    const [kind, name] = splitRef(ref);
    const peer = kind === 'peer' ? fleet.peers.get(name) : undefined;
    const intent = peer && intentOf(share, peer);
    if (intent !== undefined) peers.set(intent.publicKey, intent);
  }
  const touched = new Set<RowKey>();
  for (const [key, next] of rows) if (!sameRow(previous.rows.get(key)?.row, next?.row)) touched.add(key);
  return {
    touched,
    objects: affected,
    state: {
      ...previous,
      barred: share.node.barred ?? NO_KEYS,
      rows: LayeredMap.of(previous.rows).with(rows),
      rowsOf: LayeredMap.of(previous.rowsOf).with(rowsOf),
      ...(previous.sessions && {
        sessions: peers.size === 0 ? previous.sessions : withPeers(previous.sessions, peers),
      }),
    },
  };
}

function* keysOf(state: DesiredState, refs: ReadonlySet<ObjectRef>): Generator<RowKey> {
  for (const ref of refs) yield* state.rowsOf.get(ref) ?? [];
}

function withPeers(config: SessionConfig, peers: ReadonlyMap<PublicKey, PeerIntent | undefined>): SessionConfig {
  return { ...config, peers: LayeredMap.of(config.peers).with(peers) };
}

function difference(before: RowSet<DesiredRow>, after: RowSet<DesiredRow>): ReadonlySet<RowKey> {
  const keys = new Set<RowKey>();
  for (const [key, { row }] of before) if (!sameRow(row, after.get(key)?.row)) keys.add(key);
  for (const key of after.keys()) if (!before.has(key)) keys.add(key);
  return keys;
}
