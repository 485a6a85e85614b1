interface Entry<T> {
  readonly atMs: number;
  readonly item: T;
}

/**
 * Who is due next, among many: a binary heap. An item has one deadline; setting another leaves the old entry behind,
 * to be passed over when it comes up. Costs nothing for items without a deadline.
 */
export class Deadlines<T> {
  readonly #heap: Entry<T>[] = [];
  readonly #current = new Map<T, number>();

  /** Infinity: none. */
  set(item: T, atMs: number): void {
    if (this.#current.get(item) === atMs) return;
    if (atMs === Number.POSITIVE_INFINITY) {
      this.#current.delete(item);
      return;
    }
    this.#current.set(item, atMs);
    this.#push({ atMs, item });
  }

  /** The earliest deadline; Infinity where there is none. */
  next(): number {
    for (;;) {
      const top = this.#heap[0];
      if (top === undefined) return Number.POSITIVE_INFINITY;
      if (this.#current.get(top.item) === top.atMs) return top.atMs;
      this.#pop();
    }
  }

  /** Takes out everything that is due, in order. */
  due(nowMs: number): T[] {
    const items: T[] = [];
    while (this.next() <= nowMs) {
      const entry = this.#pop();
      if (entry === undefined) break;
      this.#current.delete(entry.item);
      items.push(entry.item);
    }
    return items;
  }

  #push(entry: Entry<T>): void {
    const heap = this.#heap;
    let index = heap.push(entry) - 1;
    while (index > 0) {
      const parent = (index - 1) >> 1;
      const above = heap[parent];
      if (above === undefined || above.atMs <= entry.atMs) break;
      heap[index] = above;
      index = parent;
    }
    heap[index] = entry;
  }

  #pop(): Entry<T> | undefined {
    const heap = this.#heap;
    const top = heap[0];
    const last = heap.pop();
    if (last === undefined || heap.length === 0) return top;
    let index = 0;
    for (;;) {
      const left = 2 * index + 1;
      const right = left + 1;
      const smaller =
        (heap[right]?.atMs ?? Number.POSITIVE_INFINITY) < (heap[left]?.atMs ?? Number.POSITIVE_INFINITY) ? right : left;
      const child = heap[smaller];
      if (child === undefined || child.atMs >= last.atMs) break;
      heap[index] = child;
      index = smaller;
    }
    heap[index] = last;
    return top;
  }
}
