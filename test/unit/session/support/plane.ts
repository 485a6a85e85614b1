import { createCipheriv, createDecipheriv } from 'node:crypto';
import type { IpAddress, MacAddress, PublicKey } from '../../../../src/manifest/model.ts';
import type {
  Endpoint,
  NewSession,
  Path,
  PathMessage,
  SessionEvent,
  SessionId,
  SessionPlane,
  SessionState,
  Stop,
} from '../../../../src/reconcile/dataplane.ts';
import type { FakeClock } from './clock.ts';

/** What no frame of a test begins with. */
const PATH_MARK = '\u0000path ';

/** `local`: the address that it leaves from; absent: as the route says. */
type SendDatagram = (datagram: Uint8Array, to: Endpoint, local?: IpAddress) => void;

type Mutable<T> = { -readonly [K in keyof T]: T[K] };
interface Row extends Mutable<Omit<SessionState, 'current'>> {
  receiveKey: Buffer;
  sendKey: Buffer;
  rekeySent: boolean;
  window: Set<bigint>;
}

/**
 * The data plane as the sessions see it, small enough to be obviously right: real ChaCha20-Poly1305, sessions with
 * their flags, the flip on the first authentic datagram, events that arrive a little later than what they tell of.
 */
export class FakePlane implements SessionPlane {
  readonly sessions = new Map<SessionId, Row>();
  readonly sendOn = new Map<PublicKey, SessionId>();
  readonly endpoints = new Map<PublicKey, { endpoint: Endpoint; observed: boolean }>();
  /** Frames that came in, in order. */
  readonly received: string[] = [];
  readonly calls = { install: 0, list: 0, listed: 0, keepalive: 0, remove: 0, setEndpoint: 0, sendOnPath: 0 };
  /** Frames sent while no session, or one without an endpoint, was there. */
  unroutable = 0;
  /** Authentic datagrams and others. */
  refused = 0;
  eventDelayMs = 1;
  loseEvents = false;
  /** It knows nothing of paths. */
  olderBuild = false;
  /** The keys as they were handed over: their owner wipes them. */
  readonly handedOver: Uint8Array[] = [];
  refuseInstall: Error | undefined;
  /** Answers that are waited for, and until when. */
  readonly expected = new Map<SessionId, number>();
  /** As they were handed over, one after another. */
  readonly cookieSecrets: (readonly Uint8Array[])[] = [];
  /** The stack's answer to a frame, before anything else happens. */
  onFrame: ((peer: PublicKey, text: string) => void) | undefined;
  readonly #clock: FakeClock;
  readonly #send: SendDatagram;
  readonly #interface: string;
  readonly #told = new Map<PublicKey, { place: string; atMs: number }>();
  readonly #listeners = new Set<(event: SessionEvent) => void>();

  constructor(clock: FakeClock, interfaceName: string, send: SendDatagram) {
    this.#clock = clock;
    this.#interface = interfaceName;
    this.#send = send;
  }

  now(): number {
    return this.#clock.now();
  }

  async install(session: NewSession): Promise<void> {
    this.calls.install++;
    this.handedOver.push(session.receiveKey, session.sendKey);
    if (this.refuseInstall !== undefined) throw this.refuseInstall;
    const nowMs = this.now();
    this.sessions.set(session.localId, {
      interface: session.interface,
      localId: session.localId,
      remoteId: session.remoteId,
      peer: session.peer,
      initiator: session.initiator,
      unconfirmed: session.unconfirmed,
      hybrid: session.hybrid,
      createdMs: nowMs,
      rekeyAfterMs: nowMs + session.rekeyAfterMs,
      expiresMs: nowMs + session.lifetimeMs,
      txPackets: 0n,
      txBytes: 0n,
      rxPackets: 0n,
      rxBytes: 0n,
      txLastMs: 0,
      txDataLastMs: 0,
      rxLastMs: 0,
      rxDataLastMs: 0,
      receiveKey: Buffer.from(session.receiveKey),
      sendKey: Buffer.from(session.sendKey),
      rekeySent: false,
      window: new Set(),
    });
    if (!session.unconfirmed) this.sendOn.set(session.peer, session.localId);
  }

  async remove(localId: SessionId): Promise<SessionState | undefined> {
    this.calls.remove++;
    const row = this.sessions.get(localId);
    if (row === undefined) return undefined;
    const state = this.#state(row);
    this.sessions.delete(localId);
    if (state.current) this.sendOn.delete(row.peer);
    return state;
  }

  async list(ids?: readonly SessionId[]): Promise<readonly SessionState[]> {
    this.calls.list++;
    const rows = ids === undefined ? [...this.sessions.values()] : ids.map((id) => this.sessions.get(id));
    this.calls.listed += rows.length;
    return rows.filter((row) => row !== undefined).map((row) => this.#state(row));
  }

  async setEndpoint(peer: PublicKey, endpoint: Endpoint): Promise<void> {
    this.calls.setEndpoint++;
    this.endpoints.set(peer, { endpoint, observed: true });
  }

  async endpoint(peer: PublicKey): Promise<{ endpoint: Endpoint; observed: boolean } | undefined> {
    return this.endpoints.get(peer);
  }

  async keepalive(peer: PublicKey): Promise<void> {
    this.calls.keepalive++;
    const row = this.#sendRow(peer);
    if (row !== undefined) this.#seal(row, '');
  }

  async resend(_interfaceName: string, frame: Uint8Array): Promise<void> {
    const text = Buffer.from(frame).toString();
    this.stackSends(text.slice(0, 44) as PublicKey, text.slice(44));
  }

  /** Handshakes go past this plane. */
  async setMac1Keys(): Promise<void> {}

  async setCookieSecrets(secrets: readonly Uint8Array[]): Promise<void> {
    this.cookieSecrets.push(secrets.map((secret) => Uint8Array.from(secret)));
  }

  async expectAnswer(localId: SessionId, forMs: number): Promise<void> {
    this.expected.set(localId, this.now() + forMs);
  }

  async forgetAnswer(localId: SessionId): Promise<void> {
    this.expected.delete(localId);
  }

  /** Whether the packet filter lets an answer to this id through. */
  expects(localId: SessionId): boolean {
    return this.now() < (this.expected.get(localId) ?? 0);
  }

  async openWay(): Promise<void> {}

  async sendOnPath(peer: PublicKey, path: Path, { kind, nonce, size }: PathMessage): Promise<void> {
    this.calls.sendOnPath++;
    const row = this.#sendRow(peer);
    if (row === undefined || this.olderBuild) return;
    const text = `${PATH_MARK}${kind} ${nonce} `;
    this.#sealTo(row, text.padEnd(size, '.'), path.remote, path.local);
  }

  onEvent(listener: (event: SessionEvent) => void): Stop {
    this.#listeners.add(listener);
    return async () => {
      this.#listeners.delete(listener);
    };
  }

  /** The stack sends a frame to the peer. */
  stackSends(peer: PublicKey, text: string): void {
    const row = this.#sendRow(peer);
    if (row === undefined) {
      const destination = '02:00:00:00:00:01' as MacAddress;
      const frame = Buffer.from(peer + text);
      this.emit({ type: 'frame-without-session', interface: this.#interface, destination, peer, frame });
      return;
    }
    this.#seal(row, text);
  }

  /** A data datagram arrives, `local` being where. */
  receive(datagram: Uint8Array, path: Path): void {
    const bytes = Buffer.from(datagram);
    const row = this.sessions.get(bytes.readBigUInt64LE(0));
    const text = row === undefined || row.expiresMs <= this.now() ? undefined : open(row.receiveKey, bytes);
    const counter = bytes.readBigUInt64LE(8);
    if (row === undefined || text === undefined || row.window.has(counter)) {
      this.refused++;
      return;
    }
    row.window.add(counter);
    row.rxPackets++;
    row.rxLastMs = this.now();
    if (row.unconfirmed) {
      row.unconfirmed = false;
      this.sendOn.set(row.peer, row.localId);
      this.emit({ type: 'confirmed', interface: this.#interface, localId: row.localId, peer: row.peer });
    }
    if (text.startsWith(PATH_MARK) && !this.olderBuild) {
      const [kind, nonce] = text.slice(PATH_MARK.length).split(' ');
      const message = { kind: kind as PathMessage['kind'], nonce: BigInt(nonce ?? ''), size: text.length };
      this.emit({ type: 'path-message', ...this.#about(row), path, message });
      return;
    }
    this.#notePath(row, path);
    if (text === '') return;
    row.rxDataLastMs = this.now();
    if (text.startsWith(PATH_MARK)) return; // an EtherType that no stack knows
    this.received.push(text);
    this.onFrame?.(row.peer, text);
  }

  /** The route to the peer leaves by another address than before. */
  changeSource(peer: PublicKey): void {
    this.emit({ type: 'source-changed', interface: this.#interface, peer });
  }

  #notePath(row: Row, path: Path): void {
    const endpoint = this.endpoints.get(row.peer)?.endpoint;
    if (this.olderBuild) return;
    if (endpoint?.address === path.remote.address && endpoint.port === path.remote.port) return;
    const place = `${path.remote.address} ${path.remote.port}`;
    const told = this.#told.get(row.peer);
    if (told?.place === place && this.now() - told.atMs < 1_000) return;
    this.#told.set(row.peer, { place, atMs: this.now() });
    this.emit({ type: 'path-seen', ...this.#about(row), path });
  }

  #about({ localId, peer }: Row) {
    return { interface: this.#interface, localId, peer };
  }

  /** What the packets see of it: a peer changed its key, and its row is called by the new one. */
  renamePeer(before: PublicKey, after: PublicKey): void {
    for (const row of this.sessions.values()) if (row.peer === before) row.peer = after;
    for (const map of [this.sendOn, this.endpoints] as Map<PublicKey, unknown>[]) {
      const value = map.get(before);
      if (map.delete(before)) map.set(after, value);
    }
  }

  /** What the packets see of it: a peer row was deleted, and its sessions with it. */
  forgetPeer(peer: PublicKey): void {
    for (const row of [...this.sessions.values()]) if (row.peer === peer) this.sessions.delete(row.localId);
    this.sendOn.delete(peer);
    this.endpoints.delete(peer);
  }

  #sendRow(peer: PublicKey): Row | undefined {
    const row = this.sessions.get(this.sendOn.get(peer) ?? 0n);
    return row === undefined || row.expiresMs <= this.now() ? undefined : row;
  }

  #seal(row: Row, text: string): void {
    const to = this.endpoints.get(row.peer)?.endpoint;
    if (to === undefined) this.unroutable++;
    else this.#sealTo(row, text, to);
  }

  #sealTo(row: Row, text: string, to: Endpoint, local?: IpAddress): void {
    const header = Buffer.alloc(16);
    header.writeBigUInt64LE(row.remoteId, 0);
    header.writeBigUInt64LE(row.txPackets, 8);
    row.txPackets++;
    row.txLastMs = this.now();
    if (text !== '' && !text.startsWith(PATH_MARK)) row.txDataLastMs = this.now();
    const cipher = createCipheriv('chacha20-poly1305', row.sendKey, nonce(header), { authTagLength: 16 });
    cipher.setAAD(header, { plaintextLength: text.length });
    const ciphertext = Buffer.concat([cipher.update(text), cipher.final()]);
    this.#send(Buffer.concat([header, cipher.getAuthTag(), ciphertext]), to, local);
    if (!row.initiator || row.rekeySent || this.now() < row.rekeyAfterMs) return;
    row.rekeySent = true;
    this.emit({ type: 'rekey-due', interface: this.#interface, localId: row.localId, peer: row.peer });
  }

  /** Tells the listeners, a little later. */
  emit(event: SessionEvent): void {
    if (this.loseEvents) return;
    this.#clock.setTimer(this.eventDelayMs, () => {
      for (const listener of this.#listeners) listener(event);
    });
  }

  #state(row: Row): SessionState {
    const { receiveKey, sendKey, rekeySent, window, ...state } = row;
    return { ...state, current: this.sendOn.get(row.peer) === row.localId };
  }
}

function open(key: Buffer, bytes: Buffer): string | undefined {
  const header = bytes.subarray(0, 16);
  const decipher = createDecipheriv('chacha20-poly1305', key, nonce(header), { authTagLength: 16 });
  decipher.setAAD(header, { plaintextLength: bytes.length - 32 });
  decipher.setAuthTag(bytes.subarray(16, 32));
  const text = decipher.update(bytes.subarray(32));
  try {
    decipher.final();
    return text.toString();
  } catch {
    return undefined;
  }
}

function nonce(header: Buffer): Buffer {
  return Buffer.concat([Buffer.alloc(4), header.subarray(8, 16)]);
}
