import type { IpAddress } from '../../../../src/manifest/model.ts';
import type { Endpoint } from '../../../../src/reconcile/dataplane.ts';
import type { FakeClock } from './clock.ts';

export interface Datagram {
  readonly bytes: Uint8Array;
  readonly from: Endpoint;
  readonly to: Endpoint;
}

/** What becomes of a datagram: one delivery per delay in milliseconds; none = lost. */
export type Weather = (datagram: Datagram) => readonly number[];

const fairWeather: Weather = () => [5];

/** UDP between fake nodes: loses, delays, reorders and doubles as told; keeps a record. */
export class FakeNetwork {
  readonly clock: FakeClock;
  readonly log: Datagram[] = [];
  weather: Weather = fairWeather;
  readonly #receivers = new Map<string, (datagram: Uint8Array, from: Endpoint) => void>();

  constructor(clock: FakeClock) {
    this.clock = clock;
  }

  listen(at: Endpoint, receive: (datagram: Uint8Array, from: Endpoint) => void): void {
    this.#receivers.set(textOf(at), receive);
  }

  silence(at: Endpoint): void {
    this.#receivers.delete(textOf(at));
  }

  send(bytes: Uint8Array, from: Endpoint, to: Endpoint): void {
    const datagram = { bytes: Uint8Array.from(bytes), from, to };
    this.log.push(datagram);
    for (const delay of this.weather(datagram)) this.clock.setTimer(delay, () => this.deliver(datagram));
  }

  deliver({ bytes, from, to }: Datagram): void {
    this.#receivers.get(textOf(to))?.(Uint8Array.from(bytes), from);
  }
}

export function endpoint(address: string, port = 51820): Endpoint {
  return { address: address as IpAddress, port };
}

export function isHandshake(bytes: Uint8Array): boolean {
  return bytes.length >= 16 && Buffer.from(bytes).readBigUInt64LE() === 0n;
}

function textOf({ address, port }: Endpoint): string {
  return `${address}:${port}`;
}
