/** Full buckets are forgotten when there are more than this, and twice as many as were left the last time. */
const KEPT = 4_096;

/**
 * A token bucket per key, each in one number: when it will be full again (the virtual scheduling form of the generic
 * cell rate algorithm, ITU-T I.371). A key that was never seen has a full one.
 */
export class TokenBuckets<K> {
  readonly #intervalMs: number;
  readonly #burst: number;
  readonly #now: () => number;
  readonly #fullAtMs = new Map<K, number>();
  #crowded = KEPT;

  /** `now`: milliseconds of a clock that never jumps. */
  constructor(options: { readonly perSecond: number; readonly burst: number; readonly now: () => number }) {
    this.#intervalMs = 1_000 / options.perSecond;
    this.#burst = options.burst;
    this.#now = options.now;
  }

  /** Buckets that are not known to be full. */
  get size(): number {
    return this.#fullAtMs.size;
  }

  /** Takes a token; false: there is none. */
  take(key: K): boolean {
    if (this.waitMs(key) > 0) return false;
    const nowMs = this.#now();
    this.#fullAtMs.set(key, Math.max(this.#fullAtMs.get(key) ?? nowMs, nowMs) + this.#intervalMs);
    if (this.#fullAtMs.size > this.#crowded) this.#forgetFull(nowMs);
    return true;
  }

  /** Gives a token back. */
  give(key: K): void {
    const fullAtMs = this.#fullAtMs.get(key);
    if (fullAtMs !== undefined) this.#fullAtMs.set(key, fullAtMs - this.#intervalMs);
  }

  /** Whole milliseconds until there is a token; 0: now. */
  waitMs(key: K): number {
    const nowMs = this.#now();
    const fullAtMs = Math.max(this.#fullAtMs.get(key) ?? nowMs, nowMs);
    return Math.max(0, Math.ceil(fullAtMs - nowMs - (this.#burst - 1) * this.#intervalMs));
  }

  #forgetFull(nowMs: number): void {
    for (const [key, fullAtMs] of this.#fullAtMs) if (fullAtMs <= nowMs) this.#fullAtMs.delete(key);
    this.#crowded = Math.max(KEPT, 2 * this.#fullAtMs.size);
  }
}
