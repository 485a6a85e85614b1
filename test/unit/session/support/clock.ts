import type { Clock } from '../../../../src/reconcile/clock.ts';

interface Timer {
  readonly atMs: number;
  readonly order: number;
  readonly run: () => void;
}

/** Time that passes only when told to; what became due runs in order, and all promises settle in between. */
export class FakeClock implements Clock {
  #nowMs = 1_000_000;
  #order = 0;
  readonly #timers = new Set<Timer>();
  /** Of the wall clock against `now`; a robot without a clock boots with none. */
  wallOffsetMs = 1_790_000_000_000;

  now(): number {
    return this.#nowMs;
  }

  wall(): number {
    return this.#nowMs + this.wallOffsetMs;
  }

  setTimer(delayMs: number, run: () => void): () => void {
    const timer = { atMs: this.#nowMs + Math.max(0, delayMs), order: this.#order++, run };
    this.#timers.add(timer);
    return () => this.#timers.delete(timer);
  }

  /** Timers that are pending: an idle node has none. */
  get pending(): number {
    return this.#timers.size;
  }

  async advance(ms: number): Promise<void> {
    const untilMs = this.#nowMs + ms;
    await settle();
    for (;;) {
      const next = [...this.#timers].reduce<Timer | undefined>(
        (first, timer) =>
          first === undefined || timer.atMs < first.atMs || (timer.atMs === first.atMs && timer.order < first.order)
            ? timer
            : first,
        undefined,
      );
      if (next === undefined || next.atMs > untilMs) break;
      this.#timers.delete(next);
      this.#nowMs = Math.max(this.#nowMs, next.atMs);
      next.run();
      await settle();
    }
    this.#nowMs = untilMs;
  }
}

/** All microtasks have run when a macrotask does. */
function settle(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
