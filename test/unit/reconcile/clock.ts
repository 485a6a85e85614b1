import type { Clock } from '../../../src/reconcile/clock.ts';

interface Timer {
  readonly atMs: number;
  readonly sequence: number;
  readonly run: () => void;
}

/** Time that stands still until a test moves it. */
export class FakeClock implements Clock {
  #nowMs = 0;
  #sequence = 0;
  readonly #timers = new Set<Timer>();

  now(): number {
    return this.#nowMs;
  }

  wall(): number {
    return Date.UTC(2026, 0, 1) + this.#nowMs;
  }

  setTimer(delayMs: number, run: () => void): () => void {
    const timer = { atMs: this.#nowMs + delayMs, sequence: this.#sequence++, run };
    this.#timers.add(timer);
    return () => {
      this.#timers.delete(timer);
    };
  }

  /** Milliseconds until the next timer; Infinity: none. */
  get nextMs(): number {
    return Math.min(...[...this.#timers].map(({ atMs }) => atMs)) - this.#nowMs;
  }

  /** Runs every timer of the next `ms` milliseconds in order, and after each whatever it set in motion. */
  async advance(ms: number): Promise<void> {
    const untilMs = this.#nowMs + ms;
    await settled();
    for (;;) {
      const due = [...this.#timers].filter(({ atMs }) => atMs <= untilMs);
      const [next] = due.sort((a, b) => a.atMs - b.atMs || a.sequence - b.sequence);
      if (next === undefined) break;
      this.#timers.delete(next);
      this.#nowMs = Math.max(this.#nowMs, next.atMs);
      next.run();
      await settled();
    }
    this.#nowMs = Math.max(this.#nowMs, untilMs);
  }

  /** Moves the hands only, as work that takes long does. */
  spend(ms: number): void {
    this.#nowMs += ms;
  }
}

/** All promises that can go on have done so. */
function settled(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
