import type { EndpointHint } from '../manifest/model.ts';
import { endpointsOf, type Ways } from './candidates.ts';
import type { PeerSessions } from './peer.ts';

/** Pause after each initiation of a call, while those before it may still be answered. */
const PAUSE_MS = 500;
/** How long the last one's answer is waited for. */
const LAST_MS = 2_000;
/** Datagrams get lost: each endpoint is tried so often. */
const ROUNDS = 2;
/** Between two calls to the same peer, counted from the last initiation: it answers one in 100 ms. */
const AGAIN_MS = 1_000;

/** An effort to be answered by a peer at given endpoints. */
export class Call {
  /** True once the peer answered, false once nobody waits any more. */
  readonly outcome: Promise<boolean>;
  #ended = false;
  #resolve: (answered: boolean) => void = () => undefined;

  constructor() {
    this.outcome = new Promise((resolve) => {
      this.#resolve = resolve;
    });
  }

  get ended(): boolean {
    return this.#ended;
  }

  /** The first one counts. */
  end(answered: boolean): void {
    this.#ended = true;
    this.#resolve(answered);
  }
}

interface CallsOptions extends Ways {
  /** Milliseconds of a clock that never jumps. */
  readonly now: () => number;
  readonly setTimer: (delayMs: number, run: () => void) => () => void;
}

interface Line {
  /** Settles when the calls before are over. */
  turn: Promise<unknown>;
  sentMs: number;
}

/** Calls peers at given endpoints, one call per peer at a time. */
export class Calls {
  readonly #options: CallsOptions;
  readonly #lines = new WeakMap<PeerSessions, Line>();
  readonly #open = new Set<Call>();

  constructor(options: CallsOptions) {
    this.#options = options;
  }

  /** Whether the peer answered a handshake at one of `hints`; false as well when `signal` is aborted first. */
  async call(peer: PeerSessions, hints: readonly EndpointHint[], signal: AbortSignal): Promise<boolean> {
    const call = new Call();
    const giveUp = (): void => call.end(false);
    signal.addEventListener('abort', giveUp, { once: true });
    if (signal.aborted) giveUp();
    const line = this.#lines.get(peer) ?? { turn: Promise.resolve(), sentMs: Number.NEGATIVE_INFINITY };
    this.#lines.set(peer, line);
    const run = line.turn.then(() => this.#run(peer, hints, call, line));
    line.turn = run.catch(() => undefined); // the caller has it
    this.#open.add(call);
    try {
      return await Promise.race([call.outcome, run]);
    } finally {
      signal.removeEventListener('abort', giveUp);
      this.#open.delete(call);
      call.end(false);
      peer.forgetCall(call);
    }
  }

  /** All calls end in vain. */
  stop(): void {
    for (const call of this.#open) call.end(false);
  }

  async #run(peer: PeerSessions, hints: readonly EndpointHint[], call: Call, line: Line): Promise<boolean> {
    const { now } = this.#options;
    await this.#pause(call, line.sentMs + AGAIN_MS - now());
    let sent = false;
    for (let round = 0; round < ROUNDS; round++) {
      for (const to of hints.flatMap((hint) => endpointsOf(hint, this.#options))) {
        if (call.ended) return call.outcome;
        if (sent) await this.#pause(call, PAUSE_MS);
        await Promise.race([peer.call(to, call), call.outcome]);
        line.sentMs = now();
        sent = true;
      }
    }
    if (sent) await this.#pause(call, LAST_MS);
    call.end(false);
    return call.outcome;
  }

  /** Shorter where the call ends meanwhile. */
  async #pause(call: Call, delayMs: number): Promise<void> {
    if (delayMs <= 0 || call.ended) return;
    let cancel = (): void => undefined;
    const over = new Promise<void>((resolve) => {
      cancel = this.#options.setTimer(delayMs, resolve);
    });
    await Promise.race([over, call.outcome]);
    cancel();
  }
}
