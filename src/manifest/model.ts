/**
 * The typed fleet: what YAML becomes once it is validated. Plain data, parsed once at the edge;
 * everything below trusts these types.
 */

/** Ed25519 public key, canonical base64 of 32 bytes. */
export type PublicKey = string & { readonly __brand: 'PublicKey' };
/** A public key without the sign of its point, as `canonicalKey` makes it: equal for a key and its negative. */
export type CanonicalKey = string & { readonly __brand: 'CanonicalKey' };
/** `02:aa:bb:cc:dd:ee`, lower case. */
export type MacAddress = string & { readonly __brand: 'MacAddress' };
/** Canonical text of an IPv4 or (RFC 5952) IPv6 address. */
export type IpAddress = string & { readonly __brand: 'IpAddress' };
/** Canonical `network/prefix`; host bits are zero. */
export type Cidr = string & { readonly __brand: 'Cidr' };

/** 1-based, as editors count. `file` is relative to the manifests' root, `/`-separated. */
export interface Position {
  readonly file: string;
  readonly line: number;
  readonly column: number;
}

/** A hint of where a peer listens. `host` is an IP literal (canonical, no brackets) or a DNS name. */
export interface EndpointHint {
  readonly host: string;
  readonly port: number;
}

export interface ObjectMeta {
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
}

/** Defaults are filled in; durations are milliseconds. */
/** `off`: begun by nobody, answered to everybody; `preferred`: tried first; `required`: nothing else. */
export type PostQuantum = 'off' | 'preferred' | 'required';

export interface Cluster {
  readonly kind: 'Cluster';
  readonly metadata: ObjectMeta;
  readonly subnets: readonly Cidr[];
  readonly interface: string;
  readonly port: number;
  /** Absent: smallest underlay MTU less the overhead (74 bytes over IPv4, 94 over IPv6). */
  readonly mtu?: number;
  readonly sessions: {
    readonly rekeyAfterMs: number;
    readonly lifetimeMs: number;
    readonly handshakeTimeoutMs: number;
    /** Whether handshakes are hybrid ones (ML-KEM-768). */
    readonly postQuantum: PostQuantum;
  };
  readonly newSessionsPerSecondPerSource: number;
  readonly arpSuppression: boolean;
  readonly revokedKeys: readonly PublicKey[];
  /** Whether addresses outside the subnets may be sources. */
  readonly foreignSources: 'deny' | 'allow';
  /** Let in beside those that are looked at; each once, ascending. */
  readonly etherTypes: readonly number[];
  /** `flood` is refused by a rule. */
  readonly multicast: 'flood' | 'none';
  /** What a node does about differences that no commit asked for. */
  readonly mode: 'enforce' | 'report';
  readonly probation: {
    readonly confirmWithinMs: number;
    /** How long a revision whose probes failed stays quarantined before it is tried once more. */
    readonly quarantineForMs: number;
    readonly probes: readonly DeclaredProbe[];
  };
  /** age files in ASCII armor: what seals them is the members' keys, what is in them base64 of 32 bytes. */
  readonly psk?: string;
  readonly nextPsk?: string;
  readonly position: Position;
}

/** A check that the fleet declares. `host` as in `EndpointHint`; `timeoutMs` is for one try. */
export type DeclaredProbe = { readonly name: string; readonly timeoutMs: number } & (
  | { readonly kind: 'tcp'; readonly host: string; readonly port: number }
  | { readonly kind: 'ping'; readonly address: IpAddress }
  | { readonly kind: 'http'; readonly url: string }
);

/** What a node does for others that they take from nobody else. */
type PeerRole = 'router' | 'dhcp-server';

export interface Peer {
  readonly kind: 'Peer';
  readonly metadata: ObjectMeta;
  readonly clusters: readonly string[];
  readonly publicKey: PublicKey;
  readonly nextPublicKey?: PublicKey;
  readonly endpoints: readonly EndpointHint[];
  readonly keepaliveMs?: number;
  readonly roles: readonly PeerRole[];
  readonly suspended: boolean;
  readonly position: Position;
}

export interface Vip {
  readonly kind: 'VIP';
  readonly metadata: ObjectMeta;
  readonly cluster: string;
  readonly address: IpAddress;
  readonly peer: string;
  readonly position: Position;
}

export type FleetObject = Cluster | Peer | Vip;
export type Kind = FleetObject['kind'];

/**
 * A complete, validated fleet. Immutable: a new revision is a new value that shares what did not change.
 * The order of the maps and sets means nothing.
 */
export interface Fleet {
  readonly clusters: ReadonlyMap<string, Cluster>;
  readonly peers: ReadonlyMap<string, Peer>;
  readonly vips: ReadonlyMap<string, Vip>;
  /** Peer names by cluster, and VIP names by `cluster/peer`; what has none has no entry. Suspended peers are in. */
  readonly peersOfCluster: ReadonlyMap<string, ReadonlySet<string>>;
  readonly vipsOfPeer: ReadonlyMap<string, ReadonlySet<string>>;
  /** By current and by next key. */
  readonly peerByKey: ReadonlyMap<PublicKey, string>;
}

/** `peer/robot-17`, as the command line prints objects. */
export type ObjectRef = `${'cluster' | 'peer' | 'vip'}/${string}`;

/** One finding. A fleet with one `error` changes nothing at all. */
export interface Diagnostic {
  readonly severity: 'error' | 'warning';
  /** Stable, kebab-case: `vip-outside-subnets`. */
  readonly rule: string;
  /** What is wrong and why. */
  readonly message: string;
  /** What to do. */
  readonly fix: string;
  readonly position: Position;
  /** The other place, where there is one: the first of two duplicates. */
  readonly related?: Position;
}

/** A file as a source hands it over. `read` is called only when `blob` is not in the parse cache. */
export interface ManifestFile {
  readonly path: string;
  /** Identifies the content: a git blob id, or a hash. Equal blob = equal bytes. */
  readonly blob: string;
  readonly size: number;
  read(): Promise<Uint8Array>;
}

/** The outcome of reading one complete snapshot. */
export type FleetResult =
  | {
      readonly ok: true;
      readonly fleet: Fleet;
      readonly diagnostics: readonly Diagnostic[];
      /**
       * Objects that differ, in what they say or in their position, from the last fleet that was returned (sets with
       * errors return none); gone ones are in. `all` on the first.
       */
      readonly changed: ReadonlySet<ObjectRef> | 'all';
    }
  | { readonly ok: false; readonly diagnostics: readonly Diagnostic[] };

/**
 * Reads snapshots into fleets, doing work in proportion to what changed: parse results are cached by blob,
 * indexes and cross-checks are updated by the difference. Implemented in `load.ts`.
 */
export interface FleetReader {
  read(files: readonly ManifestFile[]): Promise<FleetResult>;
}
