import { OmniError } from '../../errors.ts';
import { macOf } from '../../manifest/keys.ts';
import type { PublicKey } from '../../manifest/model.ts';
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
} from '../../reconcile/dataplane.ts';
import { rowKey } from '../../reconcile/rows.ts';
import { addressBytes, canonicalAddress, macBytes, UNSPECIFIED } from './addresses.ts';
import { decodeSession, encodeSession, readU64, type SessionValue, sameSession, u64 } from './codec.ts';
import type { Context } from './context.ts';
import { eraseSession } from './erase.ts';
import { failedWith } from './errors.ts';
import { listenOn } from './follow.ts';
import { replaceGate } from './gate.ts';
import { encodePendingEntry, OMNI_ETHERTYPE_PATH } from './layout.ts';
import { eachEntry, type Overlay, requireOverlay } from './overlay.ts';
import { encodeOrder, encodePathFrame, newOrder } from './path-frame.ts';
import { findPeer, writePeer } from './peer.ts';
import { isOverlayInterface, wayTo } from './source.ts';

const NS_PER_MS = 1e6;
const IPV6_SOURCE_BYTES = 8;
/** The shortest Ethernet frame without its checksum (IEEE 802.3). */
const MINIMUM_FRAME = 60;

/** The key of `known_map`: an IPv4 address, or the IPv6 network of 64 bits that holds the address. */
function knownKey(address: string): Uint8Array {
  const key = Uint8Array.from(addressBytes(address));
  if (address.includes(':')) key.fill(0, IPV6_SOURCE_BYTES);
  return key;
}

/** Sessions as rows of `session_map`, and `send_map` saying which of a peer's is used. */
export class KernelSessions implements SessionPlane {
  readonly #context: Context;

  constructor(context: Context) {
    this.#context = context;
  }

  now(): number {
    return Number(this.#nowNs()) / NS_PER_MS;
  }

  async install(session: NewSession): Promise<void> {
    const object = `session/${session.interface}`;
    const overlay = requireOverlay(this.#context, session.interface, object);
    const peer = findPeer(this.#context, overlay, session.peer)?.id;
    if (peer === undefined) {
      throw new OmniError(`a session needs its peer's row, and ${session.interface} has none for it`, {
        code: 'peer-missing',
        class: 'wait',
        object,
      });
    }
    const value = encodeSession(session, peer, this.#nowNs());
    try {
      this.#insert(overlay, session.localId, value);
    } finally {
      value.fill(0);
    }
    overlay.sessionPeer.set(session.localId, peer);
    if (!session.unconfirmed) this.#sendOn(overlay, peer, session.localId);
  }

  /** Never replaces: the same keys with a counter that starts again would reuse nonces. */
  #insert(overlay: Overlay, localId: SessionId, value: Buffer): void {
    const { calls } = this.#context;
    const object = `session/${overlay.name}`;
    const { session } = overlay.maps;
    try {
      calls.write(object, () => session.update({ key: u64(localId), value, mode: 'create' }));
    } catch (error) {
      if (!failedWith(error, 'EEXIST')) throw error;
      const existing = calls.read(object, () => session.lookup({ key: u64(localId) }));
      const same = existing !== undefined && sameSession(existing, value);
      existing?.fill(0);
      if (same) return;
      throw new OmniError('the session id is taken', {
        code: 'session-id-taken',
        class: 'retry',
        object,
        cause: error,
      });
    }
  }

  #sendOn(overlay: Overlay, peer: bigint, localId: SessionId): void {
    const { calls } = this.#context;
    calls.write(`session/${overlay.name}`, () => overlay.maps.send.update({ key: u64(peer), value: u64(localId) }));
  }

  async remove(localId: SessionId): Promise<SessionState | undefined> {
    for (const overlay of this.#context.overlays.values()) {
      const session = eraseSession(this.#context, `session/${overlay.name}`, overlay.maps.session, localId);
      overlay.sessionPeer.delete(localId);
      if (session === undefined) continue;
      const state = this.#state(overlay, localId, session, this.#current(overlay, session.peer));
      if (state?.current) this.#stopSendingOn(overlay, session.peer, localId);
      return state;
    }
    return undefined;
  }

  /** The kernel may have confirmed another session since it was looked up: that one stays the one to send on. */
  #stopSendingOn(overlay: Overlay, peer: bigint, localId: SessionId): void {
    const { calls } = this.#context;
    const object = `session/${overlay.name}`;
    const { send } = overlay.maps;
    const value = calls.read(object, () => send.take({ key: u64(peer) }));
    if (value === undefined) return;
    calls.counted();
    if (readU64(value) === localId) return;
    try {
      calls.write(object, () => send.update({ key: u64(peer), value, mode: 'create' }));
    } catch (error) {
      // A third one was confirmed meanwhile.
      if (!failedWith(error, 'EEXIST')) throw error;
    }
  }

  async list(ids?: readonly SessionId[]): Promise<readonly SessionState[]> {
    return [...this.#context.overlays.values()].flatMap((overlay) =>
      ids === undefined ? this.#listAll(overlay) : ids.flatMap((id) => this.#find(overlay, id) ?? []),
    );
  }

  #listAll(overlay: Overlay): SessionState[] {
    const current = new Map<bigint, bigint>();
    eachEntry(this.#context, overlay.maps.send, `sessions of ${overlay.name}`, (key, value) => {
      current.set(readU64(key), readU64(value));
    });
    const found: SessionState[] = [];
    eachEntry(this.#context, overlay.maps.session, `sessions of ${overlay.name}`, (key, value) => {
      const session = decodeSession(value);
      const state = this.#state(overlay, readU64(key), session, current.get(session.peer));
      if (state !== undefined) found.push(state);
    });
    return found;
  }

  #find(overlay: Overlay, localId: SessionId): SessionState | undefined {
    const { calls } = this.#context;
    const key = u64(localId);
    const value = calls.read(`session/${overlay.name}`, () => overlay.maps.session.lookup({ key, lock: true }));
    if (value === undefined) return undefined;
    const session = decodeSession(value);
    value.fill(0);
    return this.#state(overlay, localId, session, this.#current(overlay, session.peer));
  }

  /** The session that frames to a peer go out on. */
  #current(overlay: Overlay, peer: bigint): SessionId | undefined {
    const { calls } = this.#context;
    const value = calls.read(`session/${overlay.name}`, () => overlay.maps.send.lookup({ key: u64(peer) }));
    return value && readU64(value);
  }

  #isSendingTo(overlay: Overlay, peer: PublicKey): boolean {
    const id = overlay.peers.find(peer);
    return id !== undefined && this.#current(overlay, id) !== undefined;
  }

  /** undefined: the peer's row is gone, and the session is about to. */
  #state(
    overlay: Overlay,
    localId: SessionId,
    session: SessionValue,
    current: SessionId | undefined,
  ): SessionState | undefined {
    const peer = overlay.peers.keyOf(session.peer);
    return peer && { ...session, peer, interface: overlay.name, localId, current: current === localId };
  }

  async setEndpoint(peer: PublicKey, endpoint: Endpoint): Promise<void> {
    const address = canonicalAddress(endpoint.address);
    for (const overlay of this.#context.overlays.values()) {
      const row = findPeer(this.#context, overlay, peer);
      if (row === undefined) continue;
      const way = wayTo(this.#context, { address });
      if (way !== undefined && isOverlayInterface(this.#context, way.ifindex)) {
        this.#context.log('warn', 'refused an endpoint that is reached through the overlay', { peer, address });
        continue;
      }
      const local = way?.source ?? UNSPECIFIED;
      overlay.outlets.route(row.id, way?.ifindex);
      if (way !== undefined) listenOn(this.#context, overlay, way.ifindex);
      this.#known(overlay, address);
      const before = row.endpoint;
      const same =
        before?.address === address && before.port === endpoint.port && Buffer.compare(before.local, local) === 0;
      this.#context.waiting.delete(rowKey({ kind: 'peer', interface: overlay.name, publicKey: row.publicKey }));
      if (same && row.observed) continue;
      writePeer(this.#context, overlay, { ...row, endpoint: { address, port: endpoint.port, local }, observed: true });
    }
  }

  /** Its source completed a handshake: initiations from there have a share of their own under load. */
  #known(overlay: Overlay, address: string): void {
    const { calls } = this.#context;
    const update = { key: knownKey(address), value: u64(this.#nowNs()) };
    calls.write(`session/${overlay.name}`, () => overlay.maps.known.update(update));
  }

  async endpoint(peer: PublicKey): Promise<{ readonly endpoint: Endpoint; readonly observed: boolean } | undefined> {
    for (const overlay of this.#context.overlays.values()) {
      const row = findPeer(this.#context, overlay, peer);
      if (row?.endpoint === undefined) continue;
      return { endpoint: { address: row.endpoint.address, port: row.endpoint.port }, observed: row.observed };
    }
    return undefined;
  }

  /** No-op for a peer without a current session: an empty ciphertext has nothing to go on. */
  async keepalive(peer: PublicKey): Promise<void> {
    for (const overlay of this.#context.overlays.values()) {
      if (!this.#isSendingTo(overlay, peer)) continue;
      const frame = Buffer.alloc(MINIMUM_FRAME);
      frame.set(macBytes(macOf(peer)), 0);
      frame.set(macBytes(overlay.meta.mac), 6);
      frame.writeUInt16BE(OMNI_ETHERTYPE_PATH, 12);
      this.#context.events.send(overlay.name, frame);
    }
  }

  async resend(interfaceName: string, frame: Uint8Array): Promise<void> {
    if (!this.#context.overlays.has(interfaceName)) {
      throw new OmniError(`interface ${interfaceName} is not there`, {
        code: 'link-missing',
        class: 'wait',
        object: `link/${interfaceName}`,
      });
    }
    this.#context.events.send(interfaceName, frame);
  }

  async setMac1Keys(keys: readonly Uint8Array[]): Promise<void> {
    replaceGate(this.#context, { mac1Keys: keys });
  }

  async setCookieSecrets(secrets: readonly Uint8Array[]): Promise<void> {
    replaceGate(this.#context, { cookieSecrets: secrets });
  }

  async expectAnswer(localId: SessionId, forMs: number): Promise<void> {
    const { calls, overlays } = this.#context;
    const value = encodePendingEntry({ expiresNs: this.#nowNs() + BigInt(Math.round(forMs * NS_PER_MS)) });
    this.#context.expected.set(localId, value);
    for (const overlay of overlays.values()) {
      calls.write(`session/${overlay.name}`, () => overlay.maps.pending.update({ key: u64(localId), value }));
    }
  }

  async openWay(to: Endpoint): Promise<void> {
    const way = wayTo(this.#context, { address: canonicalAddress(to.address) });
    if (way === undefined || isOverlayInterface(this.#context, way.ifindex)) return;
    for (const overlay of this.#context.overlays.values()) listenOn(this.#context, overlay, way.ifindex);
  }

  async forgetAnswer(localId: SessionId): Promise<void> {
    const { calls, overlays, expected } = this.#context;
    expected.delete(localId);
    for (const overlay of overlays.values()) {
      calls.erase(`session/${overlay.name}`, () => overlay.maps.pending.delete({ key: u64(localId) }));
    }
  }

  async sendOnPath(peer: PublicKey, { remote, local }: Path, message: PathMessage): Promise<void> {
    const address = canonicalAddress(remote.address);
    const way = wayTo(this.#context, { address });
    if (way === undefined || isOverlayInterface(this.#context, way.ifindex)) return;
    const source = local === undefined ? way.source : addressBytes(local);
    for (const overlay of this.#context.overlays.values()) {
      const id = overlay.peers.find(peer);
      if (id === undefined || this.#current(overlay, id) === undefined) continue;
      listenOn(this.#context, overlay, way.ifindex);
      const via = { address, port: remote.port, local: source, localPort: overlay.meta.port };
      const macs = { destination: macOf(peer), source: overlay.meta.mac };
      const order = newOrder();
      const value = encodeOrder(id, message.kind, via, this.#nowNs());
      // Part of the message, and no write to anything that the reconciler keeps.
      this.#context.calls.read(`session/${overlay.name}`, () => overlay.maps.order.update({ key: u64(order), value }));
      this.#context.events.send(overlay.name, encodePathFrame(macs, message, order));
    }
  }

  onEvent(listener: (event: SessionEvent) => void): Stop {
    return this.#context.events.onEvent(listener);
  }

  #nowNs(): bigint {
    return this.#context.calls.read('clock', (native) => native.bootTimeNs());
  }
}
