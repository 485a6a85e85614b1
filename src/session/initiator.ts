import { OmniError } from '../errors.ts';
import type { PeerIntent } from '../reconcile/desired.ts';
import type { Unanswered } from './contract.ts';
import type { Exchange } from './exchange.ts';
import type { MachineEffect } from './model.ts';
import type { PeerSessions } from './peer.ts';
import type { PeerServices } from './services.ts';

/** Jitter, and what the pacing adds: an answer to the last initiation is welcome until the next one leaves. */
const ANSWER_MARGIN_MS = 1_000;

type Initiate = Extract<MachineEffect, { type: 'initiate' }>;
type Repeat = Extract<MachineEffect, { type: 'repeat' }>;

/** Makes and sends one peer's initiations, each in its turn. */
export class Initiator {
  readonly #services: PeerServices;
  readonly #exchange: Exchange;
  readonly #peer: PeerSessions;
  /** The initiation that waits for its turn to be made. */
  #due: Initiate | undefined;
  /** The pending one, for other endpoints. */
  #made: { readonly sequence: number; readonly datagram: Uint8Array } | undefined;
  #unanswered: Unanswered | undefined;

  constructor(services: PeerServices, exchange: Exchange, peer: PeerSessions) {
    this.#services = services;
    this.#exchange = exchange;
    this.#peer = peer;
  }

  /** What was tried since the last session. */
  get unanswered(): Unanswered | undefined {
    return this.#unanswered;
  }

  answered(): void {
    this.#unanswered = undefined;
  }

  /** A retry that falls due in the line takes the place of its predecessor: else the line fills with what is no longer wanted. */
  awaitTurn(initiate: Initiate): void {
    const services = this.#services;
    const inLine = this.#due !== undefined;
    this.#due = initiate;
    if (inLine) return;
    services.pace(() => {
      const due = this.#due;
      this.#due = undefined;
      if (due !== undefined) this.#initiate(due).catch((error) => services.report(error));
    });
  }

  async #initiate({ sequence, tries }: Initiate): Promise<void> {
    const services = this.#services;
    const peer = this.#peer;
    const wanted = () => peer.state.attempt?.pending === sequence;
    if (!wanted()) return;
    const candidates = await peer.paths.candidates();
    if (candidates.length === 0) {
      this.#tried({ sent: false });
      services.failed(peer, 'no-endpoint');
      return;
    }
    const timestampNs = await services.timestampNs();
    if (!wanted()) return;
    const welcomeMs = peer.state.settings.handshakeTimeoutMs;
    const offer = this.#exchange.initiate({ sequence, timestampNs, tries, welcomeMs });
    if (offer === undefined) throw unusableKey(peer.intent);
    const { localId, datagram } = offer;
    this.#made = { sequence, datagram };
    await services.plane.expectAnswer(localId, welcomeMs + ANSWER_MARGIN_MS);
    for (let nth = 0; nth < candidates.length; nth++) {
      const to = candidates[(tries + nth) % candidates.length];
      if (to === undefined || !wanted()) return;
      await services.plane.openWay(to);
      const sent = await services.send(this.#exchange.prove(datagram, to), to);
      const last = sent || nth + 1 === candidates.length;
      if (last && wanted()) this.#tried({ to, sent });
      if (sent) return;
    }
    services.failed(peer, 'send');
  }

  /** Sends the initiation that was made last to the next endpoint, if it is still waiting for its answer. */
  async repeat({ sequence, tries, nth }: Repeat): Promise<void> {
    const services = this.#services;
    const peer = this.#peer;
    const candidates = await peer.paths.candidates();
    const to = nth < candidates.length ? candidates[(tries + nth) % candidates.length] : undefined;
    const made = this.#made;
    if (to === undefined || made?.sequence !== sequence || peer.state.attempt?.pending !== sequence) return;
    await services.plane.openWay(to);
    const sent = await services.send(this.#exchange.prove(made.datagram, to), to);
    if (sent && this.#unanswered !== undefined) this.#unanswered = { ...this.#unanswered, to, sent };
  }

  #tried(outcome: Pick<Unanswered, 'to' | 'sent'>): void {
    const nowMs = this.#services.plane.now();
    const { tries, firstMs } = this.#unanswered ?? { tries: 0, firstMs: nowMs };
    this.#unanswered = { tries: tries + 1, firstMs, lastMs: nowMs, ...outcome };
  }
}

export function unusableKey(intent: PeerIntent): OmniError {
  return new OmniError(`the public key of peer/${intent.name} is of low order`, {
    code: 'peer-key-unusable',
    class: 'stall',
    object: `peer/${intent.name}`,
    fix: 'Make a new identity on that node with `omni init` and commit its key.',
  });
}
