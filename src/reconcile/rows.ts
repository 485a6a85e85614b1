import type { Cidr, IpAddress, MacAddress, ObjectRef, Position, PublicKey } from '../manifest/model.ts';

/**
 * Desired and observed state of one node are sets of rows: small, flat, comparable, printable.
 * To add something to the data plane: add a row here, produce it in `desired.ts`, carry it out in one
 * file per data plane, add a fixture.
 */

/** The cluster's interface: a veth pair in the kernel engine, a TAP in others. */
export interface LinkRow {
  readonly kind: 'link';
  readonly interface: string;
  readonly cluster: string;
  readonly mac: MacAddress;
  /**
   * `auto`: the data plane derives it from an IPv4 underlay, `auto-ipv6` from one that may be IPv6; observed rows carry
   * the same while it is right.
   */
  readonly mtu: number | 'auto' | 'auto-ipv6';
  readonly port: number;
  readonly newSessionsPerSecondPerSource: number;
  readonly arpSuppression: boolean;
}

/** An address of this node (a VIP) on the interface. Prefix length is 32 or 128: reach comes from routes. */
export interface AddressRow {
  readonly kind: 'address';
  readonly interface: string;
  readonly address: IpAddress;
}

/** An on-link route of a cluster subnet. */
export interface RouteRow {
  readonly kind: 'route';
  readonly interface: string;
  readonly destination: Cidr;
}

/** Somebody else whom this node may talk to. Its sessions live and die with it. */
export interface PeerRow {
  readonly kind: 'peer';
  readonly interface: string;
  readonly publicKey: PublicKey;
  /**
   * The other key that is its own, during a rotation: a row becomes that of the other key with all that it has. A data
   * plane remembers it while it is open, and after a restart once it was told.
   */
  readonly nextPublicKey?: PublicKey;
  /** What its Peer says in `spec.roles`: sorted, with commas between them; absent: nothing. */
  readonly roles?: string;
  /** `ip:port`, `[ip6]:port`; absent: it must call us. In desired rows the observed endpoint has been folded in. */
  readonly endpoint?: string;
}

/** Forwarding: frames to this MAC go to this peer, and frames from it are this peer's. */
export interface FdbRow {
  readonly kind: 'fdb';
  readonly interface: string;
  readonly mac: MacAddress;
  /** `self`: a key of this node has this MAC, be it its link's or not: frames to it are delivered here. */
  readonly publicKey: PublicKey | 'self';
}

/**
 * ARP and ND are answered from this; only the peer that has this MAC may use the address as a source; and the stack sends
 * what is for the address to this MAC, whatever anybody says by ARP or ND.
 */
export interface NeighbourRow {
  readonly kind: 'neighbour';
  readonly interface: string;
  readonly address: IpAddress;
  readonly mac: MacAddress;
  /** Of observed rows alone: what keeps the row from being in force in full. */
  readonly fault?: NeighbourFault;
}

/** `not-in-map`: questions are not answered from it; the others are of the stack's own table. */
export type NeighbourFault = 'not-in-map' | 'not-in-stack' | 'other-in-stack' | 'not-permanent';

/** A subnet of the cluster: inside it only the addresses of neighbour rows are sources. */
export interface SubnetRow {
  readonly kind: 'subnet';
  readonly interface: string;
  readonly subnet: Cidr;
}

/** What frames of peers may be beside packets from their own addresses. Without a row: nothing. */
export interface PolicyRow {
  readonly kind: 'policy';
  readonly interface: string;
  readonly foreignSources: 'deny' | 'allow';
  /** As `0x8892`: ascending, with commas between them; empty: none. */
  readonly etherTypes: string;
}

export type Row = LinkRow | AddressRow | RouteRow | PeerRow | FdbRow | NeighbourRow | SubnetRow | PolicyRow;
export type RowKind = Row['kind'];

/** Unique within a node: `fdb/omni0/02:ab:…`. See `rowKey`. */
export type RowKey = string & { readonly __brand: 'RowKey' };

/** Where a desired row comes from: for status, `why` and errors; never part of equality. */
interface Origin {
  readonly object: ObjectRef;
  readonly position: Position;
}

export interface DesiredRow {
  readonly row: Row;
  readonly origin: Origin;
}

/** `endpoint` of an observed peer row is what the data plane uses now; `observed` says that a handshake proved it. */
export interface ObservedRow {
  readonly row: Row;
  readonly endpointObserved?: boolean;
}

export type RowSet<T> = ReadonlyMap<RowKey, T>;

export function rowKey(row: Row): RowKey {
  switch (row.kind) {
    case 'link':
    case 'policy':
      return `${row.kind}/${row.interface}` as RowKey;
    case 'subnet':
      return `subnet/${row.interface}/${row.subnet}` as RowKey;
    case 'address':
    case 'neighbour':
      return `${row.kind}/${row.interface}/${row.address}` as RowKey;
    case 'route':
      return `route/${row.interface}/${row.destination}` as RowKey;
    case 'peer':
      return `peer/${row.interface}/${row.publicKey}` as RowKey;
    case 'fdb':
      return `fdb/${row.interface}/${row.mac}` as RowKey;
  }
}

/**
 * A difference between desired and observed. `fields` names what differs, for people. An update of a peer whose
 * `publicKey` differs is a change of key: `key` is that of the new row.
 */
export type Change =
  | { readonly op: 'create'; readonly key: RowKey; readonly to: Row }
  | {
      readonly op: 'update';
      readonly key: RowKey;
      readonly from: Row;
      readonly to: Row;
      readonly fields: readonly string[];
    }
  | { readonly op: 'delete'; readonly key: RowKey; readonly from: Row };

/** The row that a change is about: as it becomes, or as it was. */
export function rowOf(change: Change): Row {
  return change.op === 'delete' ? change.from : change.to;
}

/**
 * Ordered by dependency: link, peer, address, fdb and neighbour and subnet, route and policy; deletions in reverse, after
 * what they replace.
 * Peers that go are cut before anything else happens. See `plan.ts`.
 */
export type Plan = readonly Change[];

/** What two rows of one object can differ in. */
const fieldsOf: { readonly [K in RowKind]: readonly Exclude<keyof Extract<Row, { kind: K }>, 'kind' | 'interface'>[] } =
  {
    link: ['cluster', 'mac', 'mtu', 'port', 'newSessionsPerSecondPerSource', 'arpSuppression'],
    address: [],
    route: [],
    peer: ['publicKey', 'nextPublicKey', 'roles', 'endpoint'],
    fdb: ['publicKey'],
    neighbour: ['mac', 'fault'],
    subnet: [],
    policy: ['foreignSources', 'etherTypes'],
  };

/** Names of the fields in which two rows of one object differ; empty = equal. */
export function changedFields(from: Row, to: Row): readonly string[] {
  const [a, b] = [from as unknown as Record<string, unknown>, to as unknown as Record<string, unknown>];
  return fieldsOf[to.kind].filter((field) => a[field] !== b[field]);
}

export function sameRow(a: Row | undefined, b: Row | undefined): boolean {
  if (a === undefined || b === undefined) return a === b;
  return a.kind === b.kind && changedFields(a, b).length === 0;
}
