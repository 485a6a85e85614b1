import { withMac2 } from './cookie.ts';

/** A cookie is good for so long: the secret that it is made of was the newest then. */
const FRESH_MS = 120_000;
/** Places whose cookies are kept for one peer. */
const MAX_COOKIES = 8;

/** The cookies that one peer handed out, by the place that was asked. */
export class Cookies {
  readonly #cookies = new Map<string, { readonly cookie: Uint8Array; readonly untilMs: number }>();

  keep(to: string, cookie: Uint8Array, nowMs: number): void {
    this.#cookies.delete(to);
    for (const oldest of this.#cookies.keys()) {
      if (this.#cookies.size < MAX_COOKIES) break;
      this.#cookies.delete(oldest);
    }
    this.#cookies.set(to, { cookie, untilMs: nowMs + FRESH_MS });
  }

  /** The same initiation, with mac2 where there is a fresh cookie for the place that it goes to. */
  prove(to: string, datagram: Uint8Array, nowMs: number): Uint8Array {
    const held = this.#cookies.get(to);
    if (held === undefined) return datagram;
    if (nowMs < held.untilMs) return withMac2(datagram, held.cookie);
    this.#cookies.delete(to);
    return datagram;
  }
}
