import type { Endpoint, SessionId } from '../reconcile/dataplane.ts';
import type { PeerIntent } from '../reconcile/desired.ts';
import type { Call } from './calls.ts';
import type { Exchange } from './exchange.ts';
import { unusableKey } from './initiator.ts';
import type { PeerServices } from './services.ts';

/** At least as long as a call waits for an answer; whoever ends it says so. */
const ANSWER_MS = 10_000;

/** One peer's calls that are under way, by the ids of their initiations. */
export class PeerCalls {
  readonly #services: PeerServices;
  readonly #exchange: Exchange;
  readonly #calls = new Map<SessionId, Call>();
  #removed = false;

  constructor(services: PeerServices, exchange: Exchange) {
    this.#services = services;
    this.#exchange = exchange;
  }

  /** Sends an initiation to `to`, whatever else goes on with the peer. Its answer ends the call. */
  async call(intent: PeerIntent, to: Endpoint, call: Call): Promise<void> {
    const services = this.#services;
    await new Promise<void>((resolve) => services.pace(resolve));
    const timestampNs = await services.timestampNs();
    if (this.#removed) call.end(false);
    if (call.ended) return;
    const made = this.#exchange.call(timestampNs);
    if (made === undefined) throw unusableKey(intent);
    this.#calls.set(made.localId, call);
    await services.plane.expectAnswer(made.localId, ANSWER_MS);
    await services.plane.openWay(to);
    await services.send(this.#exchange.prove(made.datagram, to), to);
  }

  /** Answers to what was sent for `call` are no longer welcome. */
  forget(call: Call): void {
    for (const [localId, each] of this.#calls) {
      if (each !== call) continue;
      this.#calls.delete(localId);
      this.#exchange.release(localId);
    }
  }

  /** The call that an answer to `localId` ends. */
  take(localId: SessionId): Call | undefined {
    const call = this.#calls.get(localId);
    this.#calls.delete(localId);
    return call;
  }

  /** The peer is none any more. */
  end(): void {
    this.#removed = true;
    for (const call of new Set(this.#calls.values())) call.end(false);
  }
}
