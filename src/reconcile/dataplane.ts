import type { IpAddress, MacAddress, PublicKey } from '../manifest/model.ts';
import type { Change, ObservedRow, RowKey, RowSet } from './rows.ts';

/** Undoes a subscription or a start. Idempotent. */
export type Stop = () => Promise<void>;

/**
 * What carries packets, seen by the reconciler and the sessions. Two implementations pass one contract suite
 * (`test/contract/`): `dataplane/memory` and `dataplane/kernel`. Nothing here is particular to XDP.
 *
 * All effects are idempotent: creating what is there and deleting what is absent succeed. Failures are `OmniError`s.
 */
export interface DataPlane {
  /** Takes over what an earlier process left (pinned maps, links, sessions) without touching a packet. Call once, first. */
  adopt(signal: AbortSignal): Promise<AdoptReport>;

  /**
   * What is really there now: only rows that carry our mark. With `keys`, only those rows are read (absent ones are
   * left out), at a cost in proportion to `keys`. Without, the whole truth.
   */
  observe(signal: AbortSignal, keys?: ReadonlySet<RowKey>): Promise<RowSet<ObservedRow>>;

  /**
   * Carries out one change. Resolves when the kernel took it; the caller verifies by observing again.
   * - A row on an interface whose link is absent cannot be created: `link-absent`, class `wait`.
   * - Deleting a link takes everything on it along; deleting a peer, its sessions. Changing either ends nothing: a link's MAC
   *   changes under way, and a peer whose `publicKey` changes keeps its sessions, its forwarding rows and what a handshake proved.
   * - A peer row's `endpoint` is a hint: it never displaces an endpoint that a handshake proved. Deleting the peer forgets both.
   */
  apply(change: Change, signal: AbortSignal): Promise<void>;

  /** Calls `wake` after something that we own may have changed behind our back (coalesced); never for our own writes alone. */
  watch(wake: Wake): Stop;

  /** Whole counts since the data plane was created; they survive the agent. */
  counters(): Promise<DataPlaneCounters>;

  /**
   * Frames of authenticated peers that were dropped, by reason, since the peer's row was made; those of peers without a row
   * are left out. They survive the agent.
   */
  refusals(): Promise<readonly Refusal[]>;

  /** For status: `native` or `generic` per attached interface, MTU in force, degraded modes with reasons. */
  describe(): Promise<DataPlaneDescription>;

  readonly sessions: SessionPlane;

  readonly messages: MessagePlane;

  /** Handshake sockets that the data plane stands in front of. Absent: the system's own sockets will do. */
  readonly bindSocket?: BindSocket;

  /** Number of writes to kernel objects since start (`omni_reconcile_writes_total`). */
  readonly writes: number;

  /** Releases descriptors. Traffic goes on. */
  close(): Promise<void>;
  /** Removes everything that is ours: links, pins, routes. Only `omni agent --teardown` and tests call it. */
  teardown(signal: AbortSignal): Promise<void>;
}

/** `causes`: who did it, of those rows of which the system tells. */
export type Wake = (keys: ReadonlySet<RowKey> | 'unknown', causes?: ReadonlyMap<RowKey, Cause>) => void;

/** Who changed a row, as far as the system tells. */
export interface Cause {
  readonly pid?: number;
  /** The process's name; absent where it had ended before it could be looked up. */
  readonly program?: string;
  /** What a route or an address that took a row's place says of its origin: `dhcp`, `bird`, or a number. */
  readonly protocol?: string;
}

export interface AdoptReport {
  /** False: nothing of ours was there. */
  readonly adopted: boolean;
  readonly sessions: number;
  readonly links: readonly string[];
}

export interface DataPlaneDescription {
  readonly engine: 'kernel' | 'memory';
  readonly interfaces: readonly {
    readonly name: string;
    readonly role: 'overlay' | 'outer' | 'underlay';
    readonly mode?: 'native' | 'generic';
    readonly ifindex: number;
    readonly mtu: number;
    /** Of an overlay: the CPUs that datagrams may be opened on under load; absent: each is opened where it arrives. */
    readonly receiveCpus?: readonly number[];
  }[];
  readonly notes: readonly string[];
}

export interface DataPlaneCounters {
  readonly txPackets: bigint;
  readonly txBytes: bigint;
  readonly rxPackets: bigint;
  readonly rxBytes: bigint;
  readonly queued: bigint;
  /** Data datagrams that were opened on another CPU than the one they arrived on. */
  readonly handedOver: bigint;
  readonly controlPassed: bigint;
  readonly neighboursAnswered: bigint;
  readonly neighboursResolved: bigint;
  /** By reason, the names of `enum omni_drop` in kebab-case: `fdb-miss`, `auth`, `replay`, … ; every reason is present. */
  readonly drops: Readonly<Record<string, bigint>>;
}

/** What a peer sent and this node did not take. */
export interface Refusal {
  readonly interface: string;
  readonly peer: PublicKey;
  /** Of `DataPlaneCounters.drops`: `multicast`, `inner-source`, … */
  readonly reason: string;
  readonly count: bigint;
}

/** A UDP socket of one family, on all of this node's addresses. */
export interface DatagramSocket {
  /** Best effort, as UDP is. Resolves false where the system refused. */
  send(datagram: Uint8Array, to: Endpoint): Promise<boolean>;
  close(): Promise<void>;
}

/** Rejects with the system's error, or an `OmniError` whose cause that is: its `code` is an errno name. */
export type BindSocket = (options: {
  readonly family: 4 | 6;
  readonly port: number;
  readonly onDatagram: (datagram: Uint8Array, from: Endpoint) => void;
  readonly onError: (error: Error) => void;
}) => Promise<DatagramSocket>;

/** A way to a peer: where its datagrams arrive, and where they come from here. */
export interface Path {
  readonly remote: Endpoint;
  /** Of this node; absent: as the route to `remote` says. */
  readonly local?: IpAddress;
}

/**
 * A question whether a path works, or its answer; authentic, encrypted and seen once by the session that carries it
 * (docs/protocol.md). Agents make them; frames of the fabric wait for none.
 */
export interface PathMessage {
  readonly kind: 'challenge' | 'response';
  /** 64 bits; a response repeats its challenge's. */
  readonly nonce: bigint;
  /** Bytes of the whole frame that carries it, Ethernet header included; at least PATH_MESSAGE_MIN. */
  readonly size: number;
}

/** Ethernet header, version, kind, nonce, and room for the address that the egress program takes it to. */
export const PATH_MESSAGE_MIN = 70;

/** Opaque, chosen by the receiver, never 0. */
export type SessionId = bigint;

/** An underlay address. IP literal and port. */
export interface Endpoint {
  readonly address: IpAddress;
  readonly port: number;
}

export interface NewSession {
  readonly interface: string;
  readonly localId: SessionId;
  readonly remoteId: SessionId;
  readonly peer: PublicKey;
  readonly initiator: boolean;
  /** Responder's `next`: receive only until the first authentic datagram flips sending to it (in the data plane itself). */
  readonly unconfirmed: boolean;
  /** Its handshake was a hybrid one: ML-KEM-768 beside X25519. */
  readonly hybrid: boolean;
  /** 32 bytes each. The data plane copies them; the caller wipes its own. */
  readonly receiveKey: Uint8Array;
  readonly sendKey: Uint8Array;
  /** Milliseconds from now. */
  readonly rekeyAfterMs: number;
  readonly lifetimeMs: number;
}

/** What the data plane knows of a session. No keys. Times are milliseconds of `SessionPlane.now()`. */
export interface SessionState {
  readonly interface: string;
  readonly localId: SessionId;
  readonly remoteId: SessionId;
  readonly peer: PublicKey;
  readonly initiator: boolean;
  readonly unconfirmed: boolean;
  readonly hybrid: boolean;
  /** The CPU that opens its datagrams while there is load; absent: the one that they arrive on. */
  readonly receiveCpu?: number;
  /** True if frames to the peer go out on this session. */
  readonly current: boolean;
  readonly createdMs: number;
  readonly rekeyAfterMs: number;
  readonly expiresMs: number;
  readonly txPackets: bigint;
  readonly txBytes: bigint;
  readonly rxPackets: bigint;
  readonly rxBytes: bigint;
  /** 0 = never. `Data`: datagrams that carried a frame of the stack's; keepalives and path messages excluded. */
  readonly txLastMs: number;
  readonly txDataLastMs: number;
  readonly rxLastMs: number;
  readonly rxDataLastMs: number;
}

export type SessionEvent =
  | PeerEvent
  /**
   * This machine goes on from a snapshot, maybe as one of several: keys and counters, ids and secrets are those of before.
   * What the data plane draws random numbers from was renewed.
   */
  | { readonly type: 'new-generation' };

export type PeerEvent =
  /** A frame had no session to go on. `frame` is the whole Ethernet frame, owned by the receiver. */
  | {
      readonly type: 'frame-without-session';
      readonly interface: string;
      readonly destination: MacAddress;
      readonly peer: PublicKey;
      readonly frame: Uint8Array;
    }
  | { readonly type: 'rekey-due'; readonly interface: string; readonly localId: SessionId; readonly peer: PublicKey }
  | { readonly type: 'confirmed'; readonly interface: string; readonly localId: SessionId; readonly peer: PublicKey }
  /**
   * An authentic datagram came from elsewhere than the peer's endpoint: a frame or a keepalive, for path messages tell of
   * their path themselves, and are no sign that traffic moved. At most twenty a second and peer; one a second while it
   * stays there.
   */
  | {
      readonly type: 'path-seen';
      readonly interface: string;
      readonly localId: SessionId;
      readonly peer: PublicKey;
      readonly path: Path;
    }
  /** `path`: whence it came, and where it arrived. */
  | {
      readonly type: 'path-message';
      readonly interface: string;
      readonly localId: SessionId;
      readonly peer: PublicKey;
      readonly path: Path;
      readonly message: PathMessage;
    }
  /** Somebody else changed the rows of the peer's sessions. `lost`: those that are gone; the others were put right. */
  | {
      readonly type: 'session-disturbed';
      readonly interface: string;
      readonly peer: PublicKey;
      readonly lost: readonly SessionId[];
    }
  /** This node's own address towards the peer's endpoint is another one now, or there is none any more. */
  | { readonly type: 'source-changed'; readonly interface: string; readonly peer: PublicKey };

/**
 * The half of the data plane that the session manager drives. A peer may be named by the key that it went by until its row
 * was changed; answers and events have its present one.
 */
export interface SessionPlane {
  /** Monotonic across suspend (CLOCK_BOOTTIME), milliseconds. The clock of every session time here. */
  now(): number;
  /**
   * Inserts keys; sending moves to it at once unless `unconfirmed`. Refused for a peer without a row (`peer-missing`, class `wait`):
   * a handshake that was under way when its peer was revoked must not let it back in. Installing a session twice changes
   * nothing; another one under the same id is refused (`session-id-taken`, class `retry`).
   */
  install(session: NewSession): Promise<void>;
  /** Deletes; resolves with its last statistics, undefined if it was not there. */
  remove(localId: SessionId): Promise<SessionState | undefined>;
  /** All sessions, or those named (absent ones are left out). */
  list(ids?: readonly SessionId[]): Promise<readonly SessionState[]>;
  /** Where datagrams to the peer go from now on, proved by an authenticated handshake. No-op for a peer without a row. */
  setEndpoint(peer: PublicKey, endpoint: Endpoint): Promise<void>;
  /** Where they go now. */
  endpoint(peer: PublicKey): Promise<{ readonly endpoint: Endpoint; readonly observed: boolean } | undefined>;
  /** Sends an empty ciphertext on the peer's current session; no-op without one, or without the peer. */
  keepalive(peer: PublicKey): Promise<void>;
  /** Sends a frame again as if the stack had sent it on `interface`; lost, and counted, where its peer is gone; `link-missing`, class `wait`, without the interface. */
  resend(interfaceName: string, frame: Uint8Array): Promise<void>;
  onEvent(listener: (event: SessionEvent) => void): Stop;
  /**
   * Keys of mac1 in messages to this node (docs/protocol.md), one to four of 32 bytes, current first: handshakes under any
   * other are dropped before they reach anybody. In force when it resolves. The data plane copies them.
   */
  setMac1Keys(keys: readonly Uint8Array[]): Promise<void>;
  /**
   * Secrets that cookies are made of, at most two of 32 bytes, newest first. An initiation whose mac2 verifies under one of
   * them has proved its source address; the others share one allowance for all sources. The data plane copies them.
   */
  setCookieSecrets(secrets: readonly Uint8Array[]): Promise<void>;
  /** An initiation that offers `localId` is about to leave: answers to it pass for so long. Others never reach anybody. */
  expectAnswer(localId: SessionId, forMs: number): Promise<void>;
  /** A handshake message is about to leave for `to`: what comes back that way must find this node listening. */
  openWay(to: Endpoint): Promise<void>;
  /** No answer to it is welcome any more. */
  forgetAnswer(localId: SessionId): Promise<void>;
  /**
   * Sends a path message on the peer's current session by way of `path`, whatever endpoint is in use. No-op without a
   * session, a peer, or a route.
   */
  sendOnPath(peer: PublicKey, path: Path, message: PathMessage): Promise<void>;
}

/** An agent's message to the agent of a peer, or from it: authenticated and encrypted by the session that it goes on. */
export interface PeerMessage {
  readonly interface: string;
  /** Whose session carried it. The data path has checked that the sender's MAC is this peer's. */
  readonly peer: PublicKey;
  readonly payload: Uint8Array;
}

/**
 * Frames of our own EtherType through the same data path as everybody's frames: what reaches the peer this way shows that
 * frames of this size do. Bounded, unordered, lossy, like Ethernet.
 */
export interface MessagePlane {
  /** Longest payload that one frame on the interface carries now, bytes: its MTU. 0: no such interface. */
  capacity(interfaceName: string): Promise<number>;
  /**
   * A frame like any other: without a session it asks for one and may wait for it; lost without a word where there is no
   * peer, no link. Throws `message-too-long` (class bug) beyond `capacity`.
   */
  send(message: PeerMessage): Promise<void>;
  onMessage(listener: (message: PeerMessage) => void): Stop;
}
