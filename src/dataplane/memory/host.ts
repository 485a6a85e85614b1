import type { MacAddress, PublicKey } from '../../manifest/model.ts';
import type {
  Cause,
  DataPlaneCounters,
  Endpoint,
  NewSession,
  Refusal,
  SessionEvent,
  SessionId,
  Wake,
} from '../../reconcile/dataplane.ts';
import {
  type LinkRow,
  type ObservedRow,
  type PeerRow,
  type Row,
  type RowKey,
  rowKey,
  sameRow,
} from '../../reconcile/rows.ts';
import { omniDropNames } from '../kernel/layout.ts';
import { ReplayWindow } from './seal.ts';
import type { MemoryWire } from './wire.ts';

export interface MemoryHostOptions {
  /** Milliseconds of a clock that never jumps. */
  readonly now?: () => number;
  /** The underlay, and where this host listens on it. Without one, datagrams go nowhere. */
  readonly wire?: MemoryWire;
  readonly endpoint?: Endpoint;
}

/** A session as the host holds it: keys, counters and window stay here while agents come and go. */
export interface Session extends Omit<NewSession, 'unconfirmed' | 'peer'> {
  peer: PublicKey;
  unconfirmed: boolean;
  rekeySent: boolean;
  readonly createdMs: number;
  readonly rekeyAtMs: number;
  readonly expiresMs: number;
  readonly window: ReplayWindow;
  txPackets: bigint;
  txBytes: bigint;
  rxPackets: bigint;
  rxBytes: bigint;
  txLastMs: number;
  txDataLastMs: number;
  rxLastMs: number;
  rxDataLastMs: number;
}

type Mutable<T> = { -readonly [K in keyof T]: T[K] };
export type Counters = Mutable<Omit<DataPlaneCounters, 'drops'>> & { drops: Record<string, bigint> };

const AUTOMATIC_MTU = 1400;
/** What an IPv6 header is longer by than an IPv4 header. */
const IPV6_EXTRA = 20;

/**
 * What a kernel would hold: rows, sessions, counters. It outlives the agents that drive it, and things happen to it that
 * no agent did (`remove`, `put`), of which watchers are told.
 */
export class MemoryHost {
  readonly now: () => number;
  readonly wire: MemoryWire | undefined;
  readonly endpoint: Endpoint | undefined;
  readonly rows = new Map<RowKey, ObservedRow>();
  /** Interfaces whose link is there. */
  readonly links = new Set<string>();
  readonly sessions = new Map<SessionId, Session>();
  /** Which of a peer's sessions its frames go out on. */
  readonly sendOn = new Map<PublicKey, SessionId>();
  /** Keys that peers went by before, and what they went over to. */
  readonly #laterKeys = new Map<PublicKey, PublicKey>();
  /** As `setMac1Keys` gave them last. */
  mac1Keys: readonly Uint8Array[] = [];
  cookieSecrets: readonly Uint8Array[] = [];
  /** Our sender ids that an answer is welcome to, and until when. */
  readonly pending = new Map<SessionId, number>();
  readonly counters: Counters = {
    txPackets: 0n,
    txBytes: 0n,
    rxPackets: 0n,
    rxBytes: 0n,
    queued: 0n,
    controlPassed: 0n,
    neighboursAnswered: 0n,
    neighboursResolved: 0n,
    handedOver: 0n,
    drops: Object.fromEntries(omniDropNames.filter((name) => name !== 'none').map((name) => [name, 0n])),
  };
  /** Dropped frames of peers, by peer and reason. */
  readonly #refused = new Map<PublicKey, Map<string, bigint>>();
  readonly watchers = new Set<Wake>();
  readonly sessionListeners = new Set<(event: SessionEvent) => void>();
  readonly #ifindexes = new Map<string, number>();

  constructor({ now = () => performance.now(), wire, endpoint }: MemoryHostOptions = {}) {
    this.now = now;
    this.wire = wire;
    this.endpoint = endpoint;
  }

  // --- rows ---------------------------------------------------------------------

  /** Returns whether anything was written. A peer's endpoint that a handshake proved stays. */
  write(asked: Row): boolean {
    const key = rowKey(asked);
    const before = this.rows.get(key);
    const row = before === undefined ? asked : withProvedEndpoint(asked, before);
    if (sameRow(before?.row, row)) return false;
    this.#set(key, { ...before, row });
    return true;
  }

  /** A peer goes on under another key, with its sessions, its forwarding rows and an endpoint that a handshake proved. */
  rename(from: PeerRow, to: PeerRow): boolean {
    const before = this.rows.get(rowKey(from));
    if (before?.row.kind !== 'peer' || this.rows.has(rowKey(to))) return this.write(to);
    this.rows.delete(rowKey(from));
    const { publicKey } = to;
    this.#set(rowKey(to), { ...before, row: withProvedEndpoint(to, before) });
    for (const [key, { row }] of this.rows) {
      const follows = row.kind === 'fdb' && row.interface === to.interface && row.publicKey === from.publicKey;
      if (follows) this.#set(key, { row: { ...row, publicKey } });
    }
    for (const session of this.sessions.values()) if (session.peer === from.publicKey) session.peer = publicKey;
    const current = this.sendOn.get(from.publicKey);
    this.sendOn.delete(from.publicKey);
    if (current !== undefined) this.sendOn.set(publicKey, current);
    this.#laterKeys.set(from.publicKey, publicKey);
    const refused = this.#refused.get(from.publicKey);
    if (refused !== undefined) this.#refused.set(publicKey, refused);
    this.#refused.delete(from.publicKey);
    return true;
  }

  /** The key that a peer's row has now: callers learn of a change a moment later. */
  currentKey(publicKey: PublicKey): PublicKey {
    return this.peerRows(publicKey).length > 0 ? publicKey : (this.#laterKeys.get(publicKey) ?? publicKey);
  }

  /** Returns whether it was there. What a link carries goes with it, and a peer's sessions with the peer. */
  erase(key: RowKey): boolean {
    const found = this.rows.get(key)?.row;
    this.rows.delete(key);
    if (found?.kind === 'peer') {
      this.#endSessions((session) => session.interface === found.interface && session.peer === found.publicKey);
      this.#refused.delete(found.publicKey);
    }
    if (found?.kind === 'link') {
      this.links.delete(found.interface);
      for (const other of this.#carriedBy(found.interface)) this.rows.delete(other);
      this.#endSessions((session) => session.interface === found.interface);
    }
    return found !== undefined;
  }

  #set(key: RowKey, observed: ObservedRow): void {
    this.rows.set(key, observed);
    if (observed.row.kind === 'link') this.links.add(observed.row.interface);
  }

  #endSessions(ended: (session: Session) => boolean): void {
    for (const [id, session] of this.sessions) {
      if (!ended(session)) continue;
      this.sessions.delete(id);
      if (this.sendOn.get(session.peer) === id) this.sendOn.delete(session.peer);
    }
  }

  /** A frame of the peer's is dropped. */
  refuse(peer: PublicKey, reason: string): void {
    const counts = this.#refused.get(peer) ?? new Map<string, bigint>();
    this.#refused.set(peer, counts.set(reason, (counts.get(reason) ?? 0n) + 1n));
  }

  refusals(): Refusal[] {
    return [...this.#refused].flatMap(([peer, counts]) =>
      this.peerRows(peer).flatMap(({ interface: name }) =>
        [...counts].map(([reason, count]) => ({ interface: name, peer, reason, count })),
      ),
    );
  }

  linkRow(interfaceName: string): LinkRow | undefined {
    const row = this.rows.get(`link/${interfaceName}` as RowKey)?.row;
    return row?.kind === 'link' ? row : undefined;
  }

  /** Bytes; 0 without the link. */
  mtu(interfaceName: string): number {
    const mtu = this.linkRow(interfaceName)?.mtu ?? 0;
    if (mtu === 'auto') return AUTOMATIC_MTU;
    return mtu === 'auto-ipv6' ? AUTOMATIC_MTU - IPV6_EXTRA : mtu;
  }

  peerRow(interfaceName: string, publicKey: PublicKey): PeerRow | undefined {
    const row = this.rows.get(rowKey({ kind: 'peer', interface: interfaceName, publicKey }))?.row;
    return row?.kind === 'peer' ? row : undefined;
  }

  /** A peer's rows on all interfaces. */
  peerRows(publicKey: PublicKey): readonly PeerRow[] {
    return [...this.links].flatMap((name) => this.peerRow(name, publicKey) ?? []);
  }

  /** The peer that frames to a MAC go to. */
  peerOfMac(interfaceName: string, mac: MacAddress): PublicKey | undefined {
    const row = this.rows.get(`fdb/${interfaceName}/${mac}` as RowKey)?.row;
    return row?.kind === 'fdb' && row.publicKey !== 'self' ? row.publicKey : undefined;
  }

  /** Whether frames to a MAC are for this host. */
  isOwnMac(interfaceName: string, mac: MacAddress): boolean {
    const row = this.rows.get(`fdb/${interfaceName}/${mac}` as RowKey)?.row;
    return this.linkRow(interfaceName)?.mac === mac || (row?.kind === 'fdb' && row.publicKey === 'self');
  }

  ifindex(interfaceName: string): number {
    const known = this.#ifindexes.get(interfaceName) ?? this.#ifindexes.size + 1;
    this.#ifindexes.set(interfaceName, known);
    return known;
  }

  // --- sessions -------------------------------------------------------------------

  addSession(session: NewSession): void {
    const nowMs = this.now();
    this.sessions.set(session.localId, {
      ...session,
      receiveKey: Uint8Array.from(session.receiveKey),
      sendKey: Uint8Array.from(session.sendKey),
      rekeySent: false,
      createdMs: nowMs,
      rekeyAtMs: nowMs + session.rekeyAfterMs,
      expiresMs: nowMs + session.lifetimeMs,
      window: new ReplayWindow(),
      txPackets: 0n,
      txBytes: 0n,
      rxPackets: 0n,
      rxBytes: 0n,
      txLastMs: 0,
      txDataLastMs: 0,
      rxLastMs: 0,
      rxDataLastMs: 0,
    });
    if (!session.unconfirmed) this.sendOn.set(session.peer, session.localId);
  }

  // --- what happens behind an agent's back -----------------------------------------

  /** Somebody deletes an object by hand. */
  remove(key: RowKey, cause?: Cause): boolean {
    const row = this.rows.get(key)?.row;
    const gone = row?.kind === 'link' ? this.#carriedBy(row.interface) : new Set([key]);
    const was = this.erase(key);
    if (was) this.#wake(gone, cause && new Map([[key, cause]]));
    return was;
  }

  /** The link's row and those of everything on it. */
  #carriedBy(interfaceName: string): ReadonlySet<RowKey> {
    return new Set([...this.rows].filter(([, { row }]) => row.interface === interfaceName).map(([key]) => key));
  }

  /** Somebody makes or changes an object by hand. */
  put(row: Row, endpointObserved = false): void {
    this.#set(rowKey(row), { row, ...(endpointObserved && { endpointObserved }) });
    this.#wake(new Set([rowKey(row)]));
  }

  #wake(keys: ReadonlySet<RowKey>, causes?: ReadonlyMap<RowKey, Cause>): void {
    for (const wake of this.watchers) wake(keys, causes);
  }
}

/** A peer's hint never displaces what a handshake proved. */
function withProvedEndpoint(row: Row, { row: before, endpointObserved }: ObservedRow): Row {
  if (row.kind !== 'peer' || before.kind !== 'peer' || !endpointObserved || before.endpoint === undefined) return row;
  return { ...row, endpoint: before.endpoint };
}
