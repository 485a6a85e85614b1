import type { Clock } from './clock.ts';

export interface PollerOptions {
  readonly intervalMs: number;
  /** In [0, 1): where in the interval this node asks. Nodes of different phase spread evenly; absent: no rhythm is kept. */
  readonly phase?: number;
  /** Uniform in [0, 1). */
  readonly random: () => number;
  readonly clock: Clock;
}

const JITTER = 0.1;
const BACKOFF_LIMIT = 10;
const BACKOFF_FLOOR_MS = 5_000;
/** A fleet that is told at once does not ask at once. */
const NUDGE_SPREAD_MS = 1_000;
const NUDGES_PER_SPAN = 3;
const NUDGE_SPAN_MS = 30_000;

/**
 * How long to wait after a poll: the interval ±10 %, so that a fleet does not ask in step; doubled for each failure in
 * a row up to ten intervals (at least 5 s), so that a remote in trouble is left alone.
 */
export function pollDelay(intervalMs: number, failures: number, random: number): number {
  const base = backoff(intervalMs, failures);
  return base + jitter(base, random);
}

/**
 * The same, brought forward by at most an interval so that polls fall on `phase` of every interval since 1970: a node
 * keeps its place among the others through restarts and failures, and wherever its polls began.
 */
export function alignedDelay(
  options: { readonly intervalMs: number; readonly phase: number; readonly nowMs: number },
  failures: number,
  random: number,
): number {
  const { intervalMs, phase, nowMs } = options;
  const base = backoff(intervalMs, failures);
  const offset = phase * intervalMs;
  const delay = Math.floor((nowMs + base - offset) / intervalMs) * intervalMs + offset - nowMs;
  // So soon after another one a poll would tell nothing new.
  return (delay < 2 * JITTER * base ? delay + intervalMs : delay) + jitter(base, random);
}

function backoff(intervalMs: number, failures: number): number {
  const limit = Math.max(BACKOFF_LIMIT * intervalMs, BACKOFF_FLOOR_MS);
  return Math.min(intervalMs * 2 ** Math.min(failures, 30), limit);
}

function jitter(baseMs: number, random: number): number {
  return baseMs * JITTER * (2 * random - 1);
}

/** Wakes at once, then at every interval, counted from the start of the poll before. */
export class Poller {
  readonly #options: PollerOptions;
  #wake: (() => void) | undefined;
  #cancel: (() => void) | undefined;
  #failures = 0;
  #startedAt = 0;
  #nextAt: number | undefined;
  #nudges: readonly number[] = [];
  #nudgedFor: number | undefined;

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

  /**
   * Brings the next poll forward to within a second from now. At most one is pending, and three are taken per interval
   * or half a minute, whichever is shorter: whoever may nudge cannot make this node ask all the time.
   */
  nudge(): void {
    const { clock, intervalMs, random } = this.#options;
    const now = clock.now();
    if (this.#nextAt === undefined || this.#nudgedFor === this.#nextAt) return;
    // A clock that was set back must not shut nudges out until it catches up.
    const span = Math.min(intervalMs, NUDGE_SPAN_MS);
    const recent = this.#nudges.filter((at) => at > now - span && at <= now);
    const due = now + NUDGE_SPREAD_MS * random();
    if (recent.length >= NUDGES_PER_SPAN || due >= this.#nextAt) return;
    this.#nudges = [...recent, now];
    this.#schedule(due - now);
    this.#nudgedFor = this.#nextAt;
  }

  /** A poll began, for whatever reason. */
  begin(): void {
    this.#startedAt = this.#options.clock.now();
  }

  /** It ended: the next one is counted from its begin. A nudge that came meanwhile keeps its time. */
  end(ok: boolean): void {
    this.#failures = ok ? 0 : this.#failures + 1;
    if (this.#nudgedFor !== undefined && this.#nudgedFor === this.#nextAt) return;
    // A clock that was set back meanwhile must not put the next poll off by as much.
    const elapsed = Math.max(0, this.#options.clock.now() - this.#startedAt);
    this.#schedule(Math.max(0, this.#delay(this.#startedAt) - elapsed));
  }

  #delay(fromMs: number): number {
    const { intervalMs, phase, random } = this.#options;
    return phase === undefined
      ? pollDelay(intervalMs, this.#failures, random())
      : alignedDelay({ intervalMs, phase, nowMs: fromMs }, this.#failures, random());
  }

  #schedule(delayMs: number): void {
    if (this.#wake === undefined) return;
    this.#cancel?.();
    this.#nextAt = this.#options.clock.now() + delayMs;
    this.#cancel = this.#options.clock.after(delayMs, () => {
      // Scheduled before waking: a caller that is held up, or does not poll, is woken again all the same.
      this.#nudgedFor = undefined;
      this.#schedule(this.#delay(this.#options.clock.now()));
      this.#wake?.();
    });
  }

  #stop(): void {
    this.#cancel?.();
    this.#cancel = undefined;
    this.#wake = undefined;
    this.#nextAt = undefined;
    this.#nudgedFor = undefined;
  }
}
