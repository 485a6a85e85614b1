import { Deadlines } from './deadlines.ts';

/** Node's timers hold 31 bits of milliseconds; what is further off is looked at again. */
const MAX_TIMER_MS = 3_600_000;

/** One timer for everybody's deadlines. Idle costs nothing: no deadline, no timer. */
export class Agenda<T> {
  readonly #deadlines = new Deadlines<T>();
  readonly #now: () => number;
  readonly #setTimer: (delayMs: number, run: () => void) => () => void;
  readonly #onDue: (items: readonly T[]) => void;
  #stopped = false;
  #timer: { readonly atMs: number; readonly cancel: () => void } | undefined;

  constructor(options: {
    readonly now: () => number;
    readonly setTimer: (delayMs: number, run: () => void) => () => void;
    readonly onDue: (items: readonly T[]) => void;
  }) {
    this.#now = options.now;
    this.#setTimer = options.setTimer;
    this.#onDue = options.onDue;
  }

  /** When the item is due next; Infinity: never. */
  set(item: T, atMs: number): void {
    this.#deadlines.set(item, atMs);
    this.#arm();
  }

  /** For good: what still comes in is no longer due. */
  stop(): void {
    this.#stopped = true;
    this.#timer?.cancel();
    this.#timer = undefined;
  }

  #arm(): void {
    if (this.#stopped) return;
    const nowMs = this.#now();
    const atMs = Math.min(this.#deadlines.next(), nowMs + MAX_TIMER_MS);
    if (this.#timer !== undefined && this.#timer.atMs <= atMs) return;
    this.#timer?.cancel();
    this.#timer = undefined;
    if (this.#deadlines.next() === Number.POSITIVE_INFINITY) return;
    const cancel = this.#setTimer(Math.max(0, Math.ceil(atMs - nowMs)), () => {
      this.#timer = undefined;
      this.#onDue(this.#deadlines.due(this.#now()));
      this.#arm();
    });
    this.#timer = { atMs, cancel };
  }
}
