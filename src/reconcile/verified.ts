import type { RowKey } from './rows.ts';

/**
 * When each row was last read back as desired. One time for all that the last whole pass found right, and one per row
 * looked at or expected since: a few entries, however large the fleet.
 */
export class Verified {
  #allMs: number | undefined;
  /** `undefined`: not since it is desired. */
  #since = new Map<RowKey, number | undefined>();

  /** Milliseconds since 1970; `undefined`: never. Only to be asked for rows that are desired. */
  at(key: RowKey): number | undefined {
    return this.#since.has(key) ? this.#since.get(key) : this.#allMs;
  }

  /** These rows are desired anew, or differently. */
  forget(keys: Iterable<RowKey> | 'all'): void {
    if (keys === 'all') {
      this.#allMs = undefined;
      this.#since.clear();
      return;
    }
    for (const key of keys) this.#since.set(key, undefined);
  }

  /** A pass looked at `keys` (undefined: at all) and found them as desired, but for `unmet`. */
  note(keys: ReadonlySet<RowKey> | undefined, unmet: ReadonlyMap<RowKey, unknown>, nowMs: number): void {
    if (keys !== undefined) {
      for (const key of keys) if (!unmet.has(key)) this.#since.set(key, nowMs);
      return;
    }
    this.#since = new Map([...unmet.keys()].map((key) => [key, this.at(key)]));
    this.#allMs = nowMs;
  }
}
