import type { Endpoint, SessionEvent, Stop } from '../../reconcile/dataplane.ts';
import { macText, parseEndpoint } from '../kernel/addresses.ts';
import { OMNI_PROTOCOL_VERSION, OmniControl, type omniDropNames } from '../kernel/layout.ts';
import type { MemoryHost, Session } from './host.ts';
import { open, readHeader, seal } from './seal.ts';

const ETHERNET_HEADER_BYTES = 14;

type Drop = (typeof omniDropNames)[number];
export type FrameListener = (interfaceName: string, frame: Uint8Array) => void;
export type ControlListener = (datagram: Uint8Array, from: Endpoint) => void;

/**
 * The packets' way through a memory host, with the kernel programs' verdicts and drop reasons: frame -> FDB -> session ->
 * seal -> wire, and back. There is no stack behind it: ARP and ND are not answered, and of the inner source only the MAC
 * is checked.
 */
export class MemoryPath {
  readonly #host: MemoryHost;
  readonly #frames = new Set<FrameListener>();
  readonly #controls = new Set<ControlListener>();

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

  #egress(interfaceName: string, frame: Uint8Array): Drop | undefined {
    const host = this.#host;
    if (frame.length < ETHERNET_HEADER_BYTES) return 'frame-malformed';
    if (((frame[0] ?? 0) & 1) === 1) return 'multicast';
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
    if (endpoint === undefined) return 'no-endpoint';
    const datagram = seal(session.sendKey, { sessionId: session.remoteId, counter: session.txPackets }, frame);
    session.txPackets++;
    session.txBytes += BigInt(frame.length);
    session.txLastMs = host.now();
    if (frame.length > 0) session.txDataLastMs = host.now();
    host.counters.txPackets++;
    host.counters.txBytes += BigInt(frame.length);
    if (host.wire && host.endpoint) host.wire.send(host.endpoint, parseEndpoint(endpoint), datagram);
    if (session.initiator && !session.rekeySent && host.now() >= session.rekeyAtMs) {
      session.rekeySent = true;
      this.#tell({ type: 'rekey-due', interface: session.interface, localId: session.localId, peer: session.peer });
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
    if (frame.length === 0) return undefined;
    if (frame.length < ETHERNET_HEADER_BYTES) return 'inner-malformed';
    const source = macText(frame.subarray(6, 12));
    if (host.peerOfMac(session.interface, source) !== session.peer) return 'inner-source';
    session.rxDataLastMs = host.now();
    for (const listener of this.#frames) listener(session.interface, frame);
    return undefined;
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
    this.#tell({ type: 'confirmed', interface: session.interface, localId: session.localId, peer: session.peer });
  }

  #control(datagram: Uint8Array, from: Endpoint): Drop | undefined {
    const known = datagram[8] === OmniControl.initiation || datagram[8] === OmniControl.response;
    if (!known || datagram[9] !== OMNI_PROTOCOL_VERSION) return 'control-invalid';
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

export function subscribe<T>(listeners: Set<T>, listener: T): Stop {
  listeners.add(listener);
  return async () => {
    listeners.delete(listener);
  };
}
