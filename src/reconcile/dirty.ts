import type { RowKey } from './rows.ts';

/** Rows that the next pass has to look at. */
export class Dirty {
  #all = false;
  #keys = new Set<RowKey>();

  get empty(): boolean {
    return !this.#all && this.#keys.size === 0;
  }

  get all(): boolean {
    return this.#all;
  }

  /** Rows named one by one. */
  get keys(): ReadonlySet<RowKey> {
    return this.#keys;
  }

  has(key: RowKey): boolean {
    return this.#all || this.#keys.has(key);
  }

  add(keys: Iterable<RowKey> | 'all'): void {
    if (keys === 'all') this.#all = true;
    else for (const key of keys) this.#keys.add(key);
  }

  /** Empties it; undefined: everything. */
  take(): ReadonlySet<RowKey> | undefined {
    const taken = this.#all ? undefined : this.#keys;
    this.#all = false;
    this.#keys = new Set();
    return taken;
  }

  /** Gives back what `take` gave, for a pass that did not get through. */
  giveBack(taken: ReadonlySet<RowKey> | undefined): void {
    this.add(taken ?? 'all');
  }
}
