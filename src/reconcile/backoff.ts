export interface BackoffOptions {
  /** Monotonic milliseconds. */
  readonly now: () => number;
  /** Uniform in [0, 1). */
  readonly random: () => number;
  readonly baseMs?: number;
  readonly maxMs?: number;
}

interface Attempt {
  readonly failures: number;
  readonly dueMs: number;
}

/**
 * When to try again what failed, per subject: exponential from 100 ms to 60 s with full jitter above the base, so that
 * ten thousand nodes that failed together do not come back together.
 */
export class Backoff {
  readonly #now: () => number;
  readonly #random: () => number;
  readonly #baseMs: number;
  readonly #maxMs: number;
  readonly #attempts = new Map<string, Attempt>();

  constructor(options: BackoffOptions) {
    this.#now = options.now;
    this.#random = options.random;
    this.#baseMs = options.baseMs ?? 100;
    this.#maxMs = options.maxMs ?? 60_000;
  }

  /** Notes one more failure; returns the delay in milliseconds. */
  fail(subject: string): number {
    const failures = (this.#attempts.get(subject)?.failures ?? 0) + 1;
    const ceiling = Math.min(this.#maxMs, this.#baseMs * 2 ** failures);
    const delayMs = this.#baseMs + this.#random() * (ceiling - this.#baseMs);
    this.#attempts.set(subject, { failures, dueMs: this.#now() + delayMs });
    return delayMs;
  }

  /** On success, and when what is desired of the subject changed. */
  reset(subject: string): void {
    this.#attempts.delete(subject);
  }

  resetAll(): void {
    this.#attempts.clear();
  }

  get isEmpty(): boolean {
    return this.#attempts.size === 0;
  }

  /** True for a subject that never failed, or whose delay is over. */
  due(subject: string): boolean {
    const attempt = this.#attempts.get(subject);
    return attempt === undefined || attempt.dueMs <= this.#now();
  }

  /** The earliest time at which a subject becomes due; Infinity if none failed. */
  nextMs(): number {
    let next = Number.POSITIVE_INFINITY;
    for (const { dueMs } of this.#attempts.values()) next = Math.min(next, dueMs);
    return next;
  }
}
