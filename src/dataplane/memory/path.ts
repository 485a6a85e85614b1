import { macOf } from '../../manifest/keys.ts';
import type { PublicKey } from '../../manifest/model.ts';
import type { Endpoint, Path, PathMessage, SessionEvent, Stop } from '../../reconcile/dataplane.ts';
import { endpointText, macText, parseEndpoint } from '../kernel/addresses.ts';
import {
  decodeOmniPathFrame,
  OMNI_ETHERTYPE_PATH,
  OMNI_PATH_VERSION,
  OmniControl,
  OmniPathKind,
  OmniProtocol,
  type omniDropNames,
  omniPathFrameLayout,
} from '../kernel/layout.ts';
import { encodePathFrame } from '../kernel/path-frame.ts';
import type { MemoryHost, Session } from './host.ts';
import { open, readHeader, seal } from './seal.ts';

const ETHERNET_HEADER_BYTES = 14;
/** As bpf/lib/path.h: where a peer's datagrams come from is said this often. */
const TELL_MOVED_MS = 50;
const TELL_SAME_MS = 1_000;

type Drop = (typeof omniDropNames)[number];
export type FrameListener = (interfaceName: string, frame: Uint8Array) => void;
export type ControlListener = (datagram: Uint8Array, from: Endpoint) => void;

/**
 * The packets' way through a memory host, with the kernel programs' verdicts and drop reasons: frame -> FDB -> session ->
 * seal -> wire, and back. There is no stack behind it: ARP and ND are not answered, and of what is inside only the MACs are
 * checked.
 */
export class MemoryPath {
  readonly #host: MemoryHost;
  readonly #frames = new Set<FrameListener>();
  readonly #controls = new Set<ControlListener>();
  /** Where each peer's datagrams were last said to come from. */
  readonly #told = new Map<PublicKey, { readonly path: string; readonly atMs: number }>();

  constructor(host: MemoryHost) {
    this.#host = host;
    if (host.wire && host.endpoint) host.wire.attach(host.endpoint, (datagram, from) => this.deliver(datagram, from));
  }

  /** Frames that came out of sessions, as the stack would get them. */
  onFrame(listener: FrameListener): Stop {
    return subscribe(this.#frames, listener);
  }

  /** Handshake messages, as the agent's UDP socket would get them. */
  onControl(listener: ControlListener): Stop {
    return subscribe(this.#controls, listener);
  }

  sendControl(to: Endpoint, datagram: Uint8Array): void {
    if (this.#host.wire && this.#host.endpoint) this.#host.wire.send(this.#host.endpoint, to, datagram);
  }

  /** Egress: the stack sends a frame on an interface. */
  transmit(interfaceName: string, frame: Uint8Array): void {
    this.#count(this.#egress(interfaceName, frame));
  }

  /** Ingress: a datagram arrives at our port. */
  deliver(datagram: Uint8Array, from: Endpoint): void {
    this.#count(this.#ingress(datagram, from));
  }

  /** Seals and sends; an empty frame is a keepalive. */
  send(session: Session, frame: Uint8Array): void {
    this.#count(this.#seal(session, frame));
  }

  /** Seals a path message and sends it by way of `path`. */
  sendOnPath(session: Session, { remote }: Path, message: PathMessage): void {
    const source = this.#host.linkRow(session.interface)?.mac;
    if (source === undefined) return;
    const macs = { destination: macOf(session.peer), source };
    this.#count(this.#sealTo(session, remote, encodePathFrame(macs, message), false));
  }

  #egress(interfaceName: string, frame: Uint8Array): Drop | undefined {
    const host = this.#host;
    if (frame.length < ETHERNET_HEADER_BYTES) return 'frame-malformed';
    if (isGroup(frame)) return 'multicast';
    const destination = macText(frame.subarray(0, 6));
    const peer = host.peerOfMac(interfaceName, destination);
    if (peer === undefined) return 'fdb-miss';
    const session = host.sessions.get(host.sendOn.get(peer) ?? 0n);
    if (session !== undefined && session.expiresMs > host.now()) return this.#seal(session, frame);
    host.counters.queued++;
    const copy = Uint8Array.from(frame);
    this.#tell({ type: 'frame-without-session', interface: interfaceName, destination, peer, frame: copy });
    return undefined;
  }

  #seal(session: Session, frame: Uint8Array): Drop | undefined {
    const host = this.#host;
    const endpoint = host.peerRow(session.interface, session.peer)?.endpoint;
    return endpoint === undefined
      ? 'no-endpoint'
      : this.#sealTo(session, parseEndpoint(endpoint), frame, frame.length > 0);
  }

  /** `data`: what it carries is the stack's. */
  #sealTo(session: Session, to: Endpoint, frame: Uint8Array, data: boolean): Drop | undefined {
    const host = this.#host;
    const datagram = seal(session.sendKey, { sessionId: session.remoteId, counter: session.txPackets }, frame);
    session.txPackets++;
    session.txBytes += BigInt(frame.length);
    session.txLastMs = host.now();
    if (data) session.txDataLastMs = host.now();
    host.counters.txPackets++;
    host.counters.txBytes += BigInt(frame.length);
    if (host.wire && host.endpoint) host.wire.send(host.endpoint, to, datagram);
    if (session.initiator && !session.rekeySent && host.now() >= session.rekeyAtMs) {
      session.rekeySent = true;
      this.#tell({ type: 'rekey-due', ...about(session) });
    }
    return undefined;
  }

  #ingress(datagram: Uint8Array, from: Endpoint): Drop | undefined {
    const header = readHeader(datagram);
    if (header === undefined) return 'truncated';
    if (header.sessionId === 0n) return this.#control(datagram, from);
    const host = this.#host;
    const session = host.sessions.get(header.sessionId);
    if (session === undefined) return 'session-unknown';
    if (session.expiresMs <= host.now()) return 'session-expired';
    const frame = open(session.receiveKey, datagram);
    if (frame === undefined) return 'auth';
    if (!session.window.accept(header.counter)) return 'replay';
    this.#authentic(session, frame);
    const isFrame = frame.length >= ETHERNET_HEADER_BYTES;
    const isPathMessage = isFrame && Buffer.from(frame.subarray(12, 14)).readUInt16BE() === OMNI_ETHERTYPE_PATH;
    if (!isPathMessage) this.#notePath(session, from);
    if (frame.length === 0) return undefined;
    const refused = this.#refused(session, frame);
    if (refused !== undefined) {
      host.refuse(session.peer, refused);
      return refused;
    }
    if (isPathMessage) return this.#pathMessage(session, frame, from);
    session.rxDataLastMs = host.now();
    for (const listener of this.#frames) listener(session.interface, frame);
    return undefined;
  }

  #refused(session: Session, frame: Uint8Array): Drop | undefined {
    if (frame.length < ETHERNET_HEADER_BYTES) return 'inner-malformed';
    const source = macText(frame.subarray(6, 12));
    if (this.#host.peerOfMac(session.interface, source) !== session.peer) return 'inner-source';
    return isGroup(frame) ? 'multicast' : undefined;
  }

  #authentic(session: Session, frame: Uint8Array): void {
    const host = this.#host;
    session.rxPackets++;
    session.rxBytes += BigInt(frame.length);
    session.rxLastMs = host.now();
    host.counters.rxPackets++;
    host.counters.rxBytes += BigInt(frame.length);
    if (!session.unconfirmed) return;
    session.unconfirmed = false;
    host.sendOn.set(session.peer, session.localId);
    this.#tell({ type: 'confirmed', ...about(session) });
  }

  #notePath(session: Session, from: Endpoint): void {
    const host = this.#host;
    const seen = endpointText(from);
    if (host.peerRow(session.interface, session.peer)?.endpoint === seen) return;
    const before = this.#told.get(session.peer);
    const pauseMs = before?.path === seen ? TELL_SAME_MS : TELL_MOVED_MS;
    if (before !== undefined && host.now() - before.atMs < pauseMs) return;
    this.#told.set(session.peer, { path: seen, atMs: host.now() });
    this.#tell({ type: 'path-seen', ...about(session), path: { remote: from } });
  }

  #pathMessage(session: Session, frame: Uint8Array, from: Endpoint): Drop | undefined {
    if (frame.length < ETHERNET_HEADER_BYTES + omniPathFrameLayout.size) return 'path';
    const { version, kind, nonce } = decodeOmniPathFrame(frame, ETHERNET_HEADER_BYTES);
    if (version !== OMNI_PATH_VERSION) return 'path';
    const name =
      kind === OmniPathKind.challenge ? 'challenge' : kind === OmniPathKind.response ? 'response' : undefined;
    if (name === undefined) return 'path';
    const message: PathMessage = { kind: name, nonce, size: frame.length };
    this.#tell({ type: 'path-message', ...about(session), path: { remote: from }, message });
    return undefined;
  }

  #control(datagram: Uint8Array, from: Endpoint): Drop | undefined {
    const known = datagram[8] === OmniControl.initiation || datagram[8] === OmniControl.response;
    if (!known || datagram[9] !== OmniProtocol.classic) return 'control-invalid';
    this.#host.counters.controlPassed++;
    for (const listener of this.#controls) listener(datagram, from);
    return undefined;
  }

  #tell(event: SessionEvent): void {
    for (const listener of this.#host.sessionListeners) listener(event);
  }

  #count(drop: Drop | undefined): void {
    if (drop === undefined) return;
    const { drops } = this.#host.counters;
    drops[drop] = (drops[drop] ?? 0n) + 1n;
  }
}

/** Whether a frame is for more than one. */
function isGroup(frame: Uint8Array): boolean {
  return ((frame[0] ?? 0) & 1) === 1;
}

function about({ interface: name, localId, peer }: Session) {
  return { interface: name, localId, peer };
}

export function subscribe<T>(listeners: Set<T>, listener: T): Stop {
  listeners.add(listener);
  return async () => {
    listeners.delete(listener);
  };
}
