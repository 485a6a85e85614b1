import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { Endpoint } from '../../../src/reconcile/dataplane.ts';
import { isUsedTwice, type KeyUse, type Observation, observeKeyUse, usedOnce } from '../../../src/session/key-use.ts';
import { FakeClock } from './support/clock.ts';
import { endpoint, FakeNetwork } from './support/network.ts';
import { configOf, FakeNode } from './support/node.ts';
import { pair } from './support/pair.ts';

const PLACES = { A: endpoint('192.0.2.1'), B: endpoint('192.0.2.3'), 'A, other port': endpoint('192.0.2.1', 40_000) };
type Place = keyof typeof PLACES;

interface Turn {
  /** Where the session that takes over comes from. */
  readonly from: Place;
  readonly afterS: number;
  /** How long after that the one before is still spoken on, seconds. */
  readonly olderSpeaksS: number;
  /** The newer one is not. */
  readonly silent?: boolean;
}

/** Sessions that take over one after another, looked at every 5 s. When it was told, seconds. */
function play(turns: readonly Turn[]): { readonly toldS: readonly number[]; readonly state: KeyUse; nowMs: number } {
  let state = usedOnce;
  let [nowMs, id] = [1_000_000, 0n];
  const startMs = nowMs;
  const toldS: number[] = [];
  let older: Endpoint | undefined;
  for (const { from, afterS, olderSpeaksS, silent } of turns) {
    const sinceMs = nowMs;
    id++;
    for (const endMs = nowMs + afterS * 1_000; nowMs < endMs; ) {
      nowMs += 5_000;
      const rxMs = Math.min(nowMs, sinceMs + olderSpeaksS * 1_000);
      const seen: Observation = {
        nowMs,
        current: { localId: id, from: PLACES[from], sinceMs, rxMs: silent ? sinceMs : nowMs },
        previous: older === undefined ? [] : [{ localId: id - 1n, from: older, rxMs }],
      };
      const told = observeKeyUse(state, seen);
      state = told.state;
      if (told.tell) toldS.push((nowMs - startMs) / 1_000);
    }
    older = PLACES[from];
  }
  return { toldS, state, nowMs };
}

/** Sessions from these places in turn. */
const turns = (places: readonly Place[], each: Omit<Turn, 'from'>): Turn[] => places.map((from) => ({ from, ...each }));
const CLONES = { afterS: 20, olderSpeaksS: 15 };

describe('sessions of one peer', () => {
  test.each<[string, readonly Turn[], boolean]>([
    ['two machines, in turns', turns(['A', 'B', 'A', 'B'], CLONES), true],
    ['two machines behind one address', turns(['A', 'A, other port', 'A', 'A, other port'], CLONES), true],
    ['two machines, of which one calls twice', turns(['A', 'B', 'A', 'A', 'B', 'A'], CLONES), true],
    ['not enough turns yet', turns(['A', 'B', 'A'], CLONES), false],
    ['turns far apart', turns(['A', 'B', 'A', 'B', 'A', 'B'], { afterS: 600, olderSpeaksS: 15 }), false],
    ['a robot that roams once', turns(['A', 'B'], { afterS: 300, olderSpeaksS: 1 }), false],
    [
      'a robot that goes to and fro by new handshakes',
      turns(['A', 'B', 'A', 'B', 'A', 'B'], { afterS: 20, olderSpeaksS: 0 }),
      false,
    ],
    [
      'the same over a path with seconds of queue',
      turns(['A', 'B', 'A', 'B', 'A', 'B'], { afterS: 20, olderSpeaksS: 7 }),
      false,
    ],
    ['rekeys at one place', turns(['A', 'A', 'A', 'A', 'A'], CLONES), false],
    ['newer sessions on which nothing comes', turns(['A', 'B', 'A', 'B', 'A'], { ...CLONES, silent: true }), false],
    ['on and on from new places, never back', turns(['A', 'B', 'B', 'B'], CLONES), false],
  ])('%s', (_, played, expected) => {
    expect(play(played).toldS.length > 0).toBe(expected);
  });

  test('are told of once an hour while it goes on, by both places, and forgotten an hour after it ended', () => {
    const for3Hours = Array.from({ length: 540 }, (_, index): Turn => ({ from: index % 2 ? 'A' : 'B', ...CLONES }));
    const { toldS, state, nowMs } = play(for3Hours);
    expect(toldS).toHaveLength(3);
    expect(toldS[0]).toBeLessThan(90);
    expect((toldS[1] ?? 0) - (toldS[0] ?? 0)).toBeGreaterThanOrEqual(3_600);
    expect(new Set(state.twice?.places)).toEqual(new Set([PLACES.A, PLACES.B]));
    expect(isUsedTwice(state, nowMs + 3_500_000)).toBe(true);
    expect(isUsedTwice(state, nowMs + 3_600_000)).toBe(false);
    expect(isUsedTwice(usedOnce, nowMs)).toBe(false);
  });

  test('of a single machine are never told of, however it moves', () => {
    const move = fc.record({
      from: fc.constantFrom<Place>('A', 'B', 'A, other port'),
      afterS: fc.integer({ min: 5, max: 200 }),
      olderSpeaksS: fc.integer({ min: 0, max: 7 }),
      silent: fc.boolean(),
    });
    fc.assert(
      fc.property(fc.array(move, { maxLength: 40 }), (moves) => {
        expect(play(moves).toldS).toEqual([]);
      }),
    );
  });
});

describe('the session manager', () => {
  test('names both places of two machines with one key within two minutes', async () => {
    const clock = new FakeClock();
    const network = new FakeNetwork(clock);
    const hub = new FakeNode(network, { seed: 2, address: '192.0.2.2' });
    const machines = ['192.0.2.1', '192.0.2.3'].map((address) => new FakeNode(network, { seed: 1, address }));
    const [robot] = machines;
    if (robot === undefined) throw new Error('two machines');
    await hub.start(configOf({ peers: [robot], hints: new Map([[robot, []]]) }));
    for (const machine of machines) await machine.start(configOf({ peers: [hub] }));
    for (let second = 0; second < 150; second++) {
      for (const machine of machines) machine.sends(hub, `${second}`);
      await clock.advance(1_000);
    }
    const told = hub.events.filter(({ type }) => type === 'key-in-use-twice');
    expect(told).toMatchObject([{ name: 'node-192.0.2.1', peer: robot.key }]);
    const [status] = await hub.manager.status();
    const places = status?.keyInUseTwice?.places.map(({ address }) => address);
    expect(places?.sort()).toEqual(['192.0.2.1', '192.0.2.3']);
  });

  test.each([
    ['that follows by challenges', false],
    ['of an older build, that calls anew', true],
  ])('says nothing of a robot %s, to and fro for ten minutes', async (_, olderBuild) => {
    const { clock, a, b } = await pair({ rekeyAfterMs: 30_000 });
    a.plane.olderBuild = olderBuild;
    for (let second = 0; second < 600; second++) {
      if (second % 20 === 19) a.roam(second % 40 === 39 ? '192.0.2.1' : '192.0.2.9');
      a.sends(b, `${second}`);
      b.sends(a, `${second}`);
      await clock.advance(1_000);
    }
    expect(a.plane.received.length).toBeGreaterThan(100);
    expect([...a.events, ...b.events].filter(({ type }) => type === 'key-in-use-twice')).toEqual([]);
  });
});
