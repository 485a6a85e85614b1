import type { Event } from './api.ts';

const CAPACITY = 1_000;

/** What happened on this node: numbered, dated, the last 1,000 kept. */
export class EventLog {
  readonly #now: () => number;
  readonly #ring: Event[] = [];
  readonly #listeners = new Set<(event: Event) => void>();
  #sequence = 0;

  /** `now`: milliseconds since 1970. */
  constructor(now: () => number) {
    this.#now = now;
  }

  record(event: Omit<Event, 'sequence' | 'time'>): void {
    this.#sequence += 1;
    const numbered: Event = { sequence: this.#sequence, time: new Date(this.#now()).toISOString(), ...event };
    this.#ring.push(numbered);
    if (this.#ring.length > CAPACITY) this.#ring.shift();
    for (const listener of this.#listeners) listener(numbered);
  }

  /** Oldest first, those after number `since`. */
  after(since: number): readonly Event[] {
    return this.#ring.filter(({ sequence }) => sequence > since);
  }

  /** Every event from now on; returns what ends it. */
  subscribe(listener: (event: Event) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }
}
