const none: ReadonlySet<never> = new Set();

/** Several values to a key; a key without values is not held. */
export class MultiMap<K, V> {
  readonly #sets = new Map<K, Set<V>>();

  add(key: K, value: V): void {
    const set = this.#sets.get(key);
    if (set === undefined) this.#sets.set(key, new Set([value]));
    else set.add(value);
  }

  delete(key: K, value: V): void {
    const set = this.#sets.get(key);
    if (set?.delete(value) && set.size === 0) this.#sets.delete(key);
  }

  has(key: K): boolean {
    return this.#sets.has(key);
  }

  get(key: K): ReadonlySet<V> {
    return this.#sets.get(key) ?? none;
  }

  keys(): IterableIterator<K> {
    return this.#sets.keys();
  }
}
