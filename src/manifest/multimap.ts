const none: ReadonlySet<never> = new Set();

/** Several values to a key; a key without values is not held. Most keys have one value, and a Set for each would be most of the memory. */
export class MultiMap<K, V extends object> {
  readonly #values = new Map<K, V | Several<V>>();

  add(key: K, value: V): void {
    const held = this.#values.get(key);
    if (held === undefined) this.#values.set(key, value);
    else if (held instanceof Several) held.add(value);
    else if (held !== value) this.#values.set(key, new Several([held, value]));
  }

  delete(key: K, value: V): void {
    const held = this.#values.get(key);
    if (held === value) this.#values.delete(key);
    else if (held instanceof Several && held.delete(value) && held.size === 0) this.#values.delete(key);
  }

  has(key: K): boolean {
    return this.#values.has(key);
  }

  get(key: K): ReadonlySet<V> {
    const held = this.#values.get(key);
    if (held === undefined) return none;
    return held instanceof Several ? held : new Set([held]);
  }

  keys(): IterableIterator<K> {
    return this.#values.keys();
  }
}

/** Told from a value that is a Set itself. */
class Several<V> extends Set<V> {}
