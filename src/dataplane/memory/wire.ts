import type { Endpoint } from '../../reconcile/dataplane.ts';
import { endpointText } from '../kernel/addresses.ts';

export type Receive = (datagram: Uint8Array, from: Endpoint) => void;

export interface WireOptions {
  /** Uniform in [0, 1): decides what is lost. */
  readonly random?: () => number;
  /** Share of datagrams lost, 0 to 1. */
  readonly loss?: number;
  /** When a datagram arrives; default: after the sender's turn, in order. */
  readonly schedule?: (deliver: () => void) => void;
}

/** An underlay for memory hosts: UDP without a network. Whoever is attached to an endpoint gets what is sent to it. */
export class MemoryWire {
  loss: number;
  sent = 0;
  lost = 0;
  readonly #random: () => number;
  readonly #schedule: (deliver: () => void) => void;
  readonly #receivers = new Map<string, Receive>();

  constructor({ random = Math.random, loss = 0, schedule = queueMicrotask }: WireOptions = {}) {
    this.loss = loss;
    this.#random = random;
    this.#schedule = schedule;
  }

  /** One receiver per endpoint; returns what detaches it. */
  attach(endpoint: Endpoint, receive: Receive): () => void {
    const key = endpointText(endpoint);
    if (this.#receivers.has(key)) throw new RangeError(`${key} is taken`);
    this.#receivers.set(key, receive);
    return () => {
      this.#receivers.delete(key);
    };
  }

  /** Takes a copy. A datagram to nobody is lost without a word, as on a network. */
  send(from: Endpoint, to: Endpoint, datagram: Uint8Array): void {
    this.sent++;
    if (this.#random() < this.loss) {
      this.lost++;
      return;
    }
    const copy = Uint8Array.from(datagram);
    this.#schedule(() => this.#receivers.get(endpointText(to))?.(copy, from));
  }
}
