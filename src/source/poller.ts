import type { Clock } from './clock.ts';

export interface PollerOptions {
  readonly intervalMs: number;
  /** Uniform in [0, 1). */
  readonly random: () => number;
  readonly clock: Clock;
}

const JITTER = 0.1;
const BACKOFF_LIMIT = 10;
const BACKOFF_FLOOR_MS = 5_000;

/**
 * How long to wait after a poll: the interval ±10 %, so that a fleet does not ask in step; doubled for each failure in
 * a row up to ten intervals (at least 5 s), so that a remote in trouble is left alone.
 */
export function pollDelay(intervalMs: number, failures: number, random: number): number {
  const limit = Math.max(BACKOFF_LIMIT * intervalMs, BACKOFF_FLOOR_MS);
  const base = Math.min(intervalMs * 2 ** Math.min(failures, 30), limit);
  return base * (1 - JITTER + 2 * JITTER * random);
}

/** Wakes at once, then at every interval, counted from the start of the poll before. */
export class Poller {
  readonly #options: PollerOptions;
  #wake: (() => void) | undefined;
  #cancel: (() => void) | undefined;
  #failures = 0;
  #startedAt = 0;
  #nextAt: number | undefined;

  constructor(options: PollerOptions) {
    this.#options = options;
  }

  /** When the next poll is due, milliseconds since 1970; undefined while nobody watches. */
  get nextAt(): number | undefined {
    return this.#nextAt;
  }

  start(wake: () => void): () => void {
    this.#wake = wake;
    this.#schedule(0);
    return () => this.#stop();
  }

  /** A poll began, for whatever reason. */
  begin(): void {
    this.#startedAt = this.#options.clock.now();
  }

  /** It ended: the next one is counted from its begin. */
  end(ok: boolean): void {
    this.#failures = ok ? 0 : this.#failures + 1;
    const elapsed = this.#options.clock.now() - this.#startedAt;
    this.#schedule(Math.max(0, this.#delay() - elapsed));
  }

  #delay(): number {
    return pollDelay(this.#options.intervalMs, this.#failures, this.#options.random());
  }

  #schedule(delayMs: number): void {
    if (this.#wake === undefined) return;
    this.#cancel?.();
    this.#nextAt = this.#options.clock.now() + delayMs;
    this.#cancel = this.#options.clock.after(delayMs, () => {
      // Scheduled before waking: a caller that is held up, or does not poll, is woken again all the same.
      this.#schedule(this.#delay());
      this.#wake?.();
    });
  }

  #stop(): void {
    this.#cancel?.();
    this.#cancel = undefined;
    this.#wake = undefined;
    this.#nextAt = undefined;
  }
}
