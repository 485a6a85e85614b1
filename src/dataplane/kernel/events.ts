import type { MacAddress, PublicKey } from '../../manifest/model.ts';
import type { Path, PeerMessage, SessionEvent, Stop } from '../../reconcile/dataplane.ts';
import { MESSAGE_ETHERTYPE, readMessageFrame } from '../message-frame.ts';
import { addressText, macText } from './addresses.ts';
import type { Context } from './context.ts';
import { failedWith } from './errors.ts';
import { holderOf } from './fdb.ts';
import { GenerationWatch } from './generation.ts';
import { decodeOmniEvent, decodeOmniPathEvent, OmniEventType, OmniPathKind } from './layout.ts';
import type { PacketSocket, RingBuffer } from './native.ts';
import type { Overlay } from './overlay.ts';

const EVENT_MAP = 'event_map';
const ETHERNET_HEADER = 14;
/** Frames that wait for the event loop; more are dropped by the kernel, as the stack would drop them without a neighbour. */
const RECEIVE_BUFFER = 1 << 20;
/** Messages that wait likewise: some 250 of full size. */
const MESSAGE_BUFFER = 1 << 19;

interface Sources {
  readonly events: RingBuffer;
  readonly frames: PacketSocket;
  /** The overlay interface itself: sends as the stack does, and gets agents' messages. */
  readonly stack: PacketSocket;
}

/**
 * What the programs tell user space: events by ring buffer, frames without a session by what XDP lets pass on `omni0x`,
 * agents' messages by what comes out of `omni0`.
 */
export class EventHub {
  readonly #context: () => Context;
  readonly #listeners = new Set<(event: SessionEvent) => void>();
  readonly #messageListeners = new Set<(message: PeerMessage) => void>();
  readonly #sources = new Map<string, Sources>();
  #generation: GenerationWatch | undefined;

  constructor(context: () => Context) {
    this.#context = context;
  }

  onEvent(listener: (event: SessionEvent) => void): Stop {
    this.#listeners.add(listener);
    this.#generation ??= new GenerationWatch(this.#context(), () => this.tell({ type: 'new-generation' }));
    return async () => {
      this.#listeners.delete(listener);
    };
  }

  onMessage(listener: (message: PeerMessage) => void): Stop {
    this.#messageListeners.add(listener);
    return async () => {
      this.#messageListeners.delete(listener);
    };
  }

  /** Listens on the overlay's present pair; closes what listened on an earlier one. */
  open(overlay: Overlay): void {
    this.close(overlay.name);
    const { calls } = this.#context();
    const opened: { close(): void }[] = [];
    const keep = <T extends { close(): void }>(source: T): T => {
      opened.push(source);
      return source;
    };
    try {
      const pin = overlay.pins.map(EVENT_MAP);
      this.#sources.set(overlay.name, {
        events: keep(
          calls.read(pin, (native) => {
            return new native.RingBuffer({ pin, onRecord: (record) => this.#onRecord(overlay, record) });
          }),
        ),
        frames: keep(
          calls.read(`interface/${overlay.name}`, (native) => {
            return new native.PacketSocket({
              ifindex: overlay.outer,
              receiveBuffer: RECEIVE_BUFFER,
              outgoing: false,
              onFrame: (frame) => this.#onFrame(overlay, frame),
            });
          }),
        ),
        stack: keep(
          calls.read(`interface/${overlay.name}`, (native) => {
            return new native.PacketSocket({
              ifindex: overlay.inner,
              receiveBuffer: MESSAGE_BUFFER,
              outgoing: false,
              protocol: MESSAGE_ETHERTYPE,
              onFrame: (frame) => this.#onMessageFrame(overlay, frame),
            });
          }),
        ),
      });
    } catch (error) {
      for (const source of opened) source.close();
      throw error;
    }
  }

  /** Sends a frame as if the stack had: lost where the interface is absent, down or has no room. */
  send(name: string, frame: Uint8Array): void {
    const socket = this.#sources.get(name)?.stack;
    if (socket === undefined) return;
    try {
      this.#context().calls.read(`interface/${name}`, () => socket.send({ frame }));
    } catch (error) {
      if (!failedWith(error, 'ENETDOWN', 'ENXIO', 'ENODEV', 'ENOBUFS', 'EAGAIN')) throw error;
      this.#context().log('debug', 'a frame was lost', { interface: name, reason: String(error) });
    }
  }

  close(name: string): void {
    const sources = this.#sources.get(name);
    this.#sources.delete(name);
    for (const source of Object.values(sources ?? {})) source.close();
  }

  /** For good. */
  closeAll(): void {
    for (const name of [...this.#sources.keys()]) this.close(name);
    this.#generation?.close();
    this.#generation = undefined;
  }

  /** Hands an event to every listener. */
  tell(event: SessionEvent): void {
    for (const listener of this.#listeners) listener(event);
  }

  #onRecord(overlay: Overlay, record: Buffer): void {
    const { type, sessionId, peer } = decodeOmniEvent(record);
    const publicKey = overlay.peers.keyOf(peer);
    if (publicKey === undefined) return;
    const about = { interface: overlay.name, localId: sessionId, peer: publicKey };
    if (type === OmniEventType.rekeyDue) this.tell({ type: 'rekey-due', ...about });
    if (type === OmniEventType.confirmed) this.tell({ type: 'confirmed', ...about });
    if (type !== OmniEventType.pathSeen && type !== OmniEventType.pathMessage) return;
    const { path: seen, kind, nonce, length } = decodeOmniPathEvent(record);
    const path: Path = {
      remote: { address: addressText(seen.remote.bytes), port: seen.remotePort },
      local: addressText(seen.local.bytes),
    };
    if (type === OmniEventType.pathSeen) this.tell({ type: 'path-seen', ...about, path });
    else {
      const message = {
        kind: kind === OmniPathKind.challenge ? 'challenge' : 'response',
        nonce,
        size: length,
      } as const;
      this.tell({ type: 'path-message', ...about, path, message });
    }
  }

  #onFrame(overlay: Overlay, frame: Buffer): void {
    if (frame.length < ETHERNET_HEADER) return;
    const destination = macText(frame.subarray(0, 6));
    const peer = this.#peerOf(overlay, destination);
    if (peer === undefined) return;
    this.tell({ type: 'frame-without-session', interface: overlay.name, destination, peer, frame });
  }

  /** The ingress program let it pass, so its source MAC belongs to the peer whose session it came on. */
  #onMessageFrame(overlay: Overlay, frame: Buffer): void {
    const isOwn = (mac: MacAddress) => mac === overlay.meta.mac || holderOf(this.#context(), overlay, mac) === 'self';
    const message = readMessageFrame(frame, isOwn);
    if (message === undefined) return;
    const peer = this.#peerOf(overlay, message.source);
    if (peer === undefined) return;
    const { payload } = message;
    for (const listener of this.#messageListeners) listener({ interface: overlay.name, peer, payload });
  }

  #peerOf(overlay: Overlay, mac: MacAddress): PublicKey | undefined {
    const holder = holderOf(this.#context(), overlay, mac);
    return holder === undefined || holder === 'self' ? undefined : holder;
  }
}
