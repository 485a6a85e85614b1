import { expect, it } from 'vitest';
import { makeFleet } from '../../../bench/fleets.ts';
import { EventLog } from '../../../src/agent/events.ts';
import { Follower } from '../../../src/agent/follower.ts';
import { createFleetReader } from '../../../src/manifest/load.ts';
import type { FleetReader } from '../../../src/manifest/model.ts';
import type { Snapshot, Source } from '../../../src/source/source.ts';

/** A source whose first answer is `first`, and then `next`. */
class Bench {
  fetches = 0;
  mostReads = 0;
  readonly offered: string[] = [];
  readonly follower: Follower;
  #reads = 0;
  #wake: () => void = () => undefined;

  constructor() {
    const inner = createFleetReader();
    const reader: FleetReader = {
      read: async (files) => {
        this.mostReads = Math.max(this.mostReads, ++this.#reads);
        try {
          return await inner.read(files);
        } finally {
          this.#reads -= 1;
        }
      },
    };
    const source: Source = {
      kind: 'git',
      description: 'a test',
      fetch: async () => {
        this.fetches += 1;
        return snapshot(this.fetches === 1 ? 'first' : 'next');
      },
      cached: async () => undefined,
      at: async (rev) => snapshot(rev),
      watch: (wake) => {
        this.#wake = wake;
        return async () => undefined;
      },
      nextFetchAt: () => undefined,
      reachable: async () => undefined,
    };
    this.follower = new Follower({
      source,
      reader,
      offer: async ({ revision }) => {
        this.offered.push(revision.id);
      },
      suspended: () => false,
      events: new EventLog(() => 0),
      log: () => undefined,
      now: () => 0,
      monotonic: () => 0,
    });
  }

  wake(): void {
    this.#wake();
  }
}

function snapshot(id: string): Snapshot {
  const files = makeFleet(1).map(({ path, text }) => {
    return { path, blob: `${id} ${path}`, size: text.length, read: async () => Buffer.from(text) };
  });
  return { revision: { id, label: `main@${id}` }, files };
}

it('asks and reads one revision at a time, however many ask at once, and offers it once', async () => {
  const bench = new Bench();
  const { signal } = new AbortController();
  bench.follower.start(signal);
  await Promise.all([bench.follower.poll(signal), bench.follower.poll(signal), bench.follower.poll(signal)]);
  expect(bench.mostReads).toBe(1);
  expect(bench.offered).toEqual(['first', 'next']);
  expect(bench.fetches).toBe(3);
});

it('looks again for whoever woke it while a person waited for an answer', async () => {
  const bench = new Bench();
  const { signal } = new AbortController();
  const stop = bench.follower.start(signal);
  const polled = bench.follower.poll(signal);
  await Promise.resolve(); // it is asking
  bench.wake();
  await polled;
  await stop();
  expect(bench.offered).toEqual(['first', 'next']);
});
