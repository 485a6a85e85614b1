/**
 * An immutable map that shares its past: a new version costs the size of the change, not of the map. One base that
 * nobody writes any more, and a patch over it that is folded into a new base once it has grown past `limit(base)`.
 * So a one-peer commit to a 10,000-peer fleet copies a few dozen entries, and lookups take two probes at most.
 */
export class LayeredMap<K, V> implements ReadonlyMap<K, V> {
  readonly #base: ReadonlyMap<K, V>;
  /** `undefined` = deleted. */
  readonly #patch: ReadonlyMap<K, V | undefined>;
  readonly size: number;

  private constructor(base: ReadonlyMap<K, V>, patch: ReadonlyMap<K, V | undefined>, size: number) {
    this.#base = base;
    this.#patch = patch;
    this.size = size;
  }

  /** Takes `map` over: the caller must not write to it any more. */
  static of<K, V>(map: ReadonlyMap<K, V>): LayeredMap<K, V> {
    return map instanceof LayeredMap ? map : new LayeredMap(map, new Map(), map.size);
  }

  /** A new version; `undefined` deletes. */
  with(changes: ReadonlyMap<K, V | undefined>): LayeredMap<K, V> {
    if (changes.size === 0) return this;
    const patch = new Map(this.#patch);
    let size = this.size;
    for (const [key, value] of changes) {
      size += Number(value !== undefined) - Number(this.has(key));
      patch.set(key, value);
    }
    const next = new LayeredMap(this.#base, patch, size);
    return patch.size > limit(this.#base.size) ? new LayeredMap(new Map(next), new Map(), size) : next;
  }

  has(key: K): boolean {
    return this.get(key) !== undefined;
  }

  get(key: K): V | undefined {
    return this.#patch.has(key) ? this.#patch.get(key) : this.#base.get(key);
  }

  *entries(): MapIterator<[K, V]> {
    for (const entry of this.#base) if (!this.#patch.has(entry[0])) yield entry;
    for (const [key, value] of this.#patch) if (value !== undefined) yield [key, value];
  }

  *keys(): MapIterator<K> {
    for (const [key] of this.entries()) yield key;
  }

  *values(): MapIterator<V> {
    for (const [, value] of this.entries()) yield value;
  }

  [Symbol.iterator](): MapIterator<[K, V]> {
    return this.entries();
  }

  forEach(visit: (value: V, key: K, map: ReadonlyMap<K, V>) => void): void {
    for (const [key, value] of this.entries()) visit(value, key, this);
  }
}

/** Copying the patch on each version and folding it once in `limit` versions cost about the same at the square root. */
function limit(baseSize: number): number {
  return Math.max(64, 4 * Math.sqrt(baseSize));
}
