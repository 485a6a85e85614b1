import type { Clock } from './clock.ts';

/** One timer for whatever comes first. */
export class Schedule {
  readonly #clock: Clock;
  readonly #run: () => void;
  #cancel: (() => void) | undefined;
  #atMs = Number.POSITIVE_INFINITY;

  constructor(clock: Clock, run: () => void) {
    this.#clock = clock;
    this.#run = run;
  }

  /** Replaces the timer, unless it is as good as firing: a stream of wake-ups must not put the work off for ever. */
  at(atMs: number): void {
    const nowMs = this.#clock.now();
    if (this.#cancel !== undefined && this.#atMs <= nowMs && atMs <= nowMs) return;
    this.clear();
    this.#atMs = atMs;
    this.#cancel = this.#clock.setTimer(Math.max(0, atMs - nowMs), () => {
      this.#cancel = undefined;
      this.#run();
    });
  }

  clear(): void {
    this.#cancel?.();
    this.#cancel = undefined;
  }
}

/** Work that comes back here between its steps lets timers and sockets run after `sliceMs`. */
export function breather(clock: Clock, sliceMs: number): () => Promise<void> {
  let sinceMs = clock.now();
  return async () => {
    if (clock.now() - sinceMs < sliceMs) return;
    await new Promise<void>((resolve) => clock.setTimer(0, resolve));
    sinceMs = clock.now();
  };
}
