/**
 * Spreads work that takes the processor: `burst` pieces at once, then `perSecond`, first come first served. A node
 * that wants ten thousand sessions at once still answers whoever calls meanwhile.
 */
export class Pacer {
  readonly #intervalMs: number;
  readonly #burst: number;
  readonly #waiting: (() => void)[] = [];
  readonly #now: () => number;
  readonly #setTimer: (delayMs: number, run: () => void) => () => void;
  #cancel: (() => void) | undefined;
  #stopped = false;
  /** The time up to which the rate is used; never earlier than a burst ago. */
  #usedMs = Number.NEGATIVE_INFINITY;

  constructor(options: {
    readonly perSecond: number;
    readonly burst: number;
    readonly now: () => number;
    readonly setTimer: (delayMs: number, run: () => void) => () => void;
  }) {
    this.#intervalMs = 1000 / options.perSecond;
    this.#burst = options.burst;
    this.#now = options.now;
    this.#setTimer = options.setTimer;
  }

  run(work: () => void): void {
    if (this.#stopped) return;
    this.#waiting.push(work);
    if (this.#cancel === undefined) this.#drain();
  }

  /** Forgets what waits, and whatever comes. */
  stop(): void {
    this.#stopped = true;
    this.#cancel?.();
    this.#cancel = undefined;
    this.#waiting.length = 0;
  }

  #drain(): void {
    const nowMs = this.#now();
    this.#usedMs = Math.max(this.#usedMs, nowMs - this.#burst * this.#intervalMs);
    while (this.#waiting.length > 0 && this.#usedMs + this.#intervalMs <= nowMs) {
      this.#usedMs += this.#intervalMs;
      this.#waiting.shift()?.();
    }
    if (this.#waiting.length === 0) return;
    this.#cancel = this.#setTimer(Math.ceil(this.#usedMs + this.#intervalMs - nowMs), () => {
      this.#cancel = undefined;
      this.#drain();
    });
  }
}
