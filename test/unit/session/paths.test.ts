import { describe, expect, test } from 'vitest';
import type { Endpoint } from '../../../src/reconcile/dataplane.ts';
import { initialPaths, nextPathDeadlineMs, stepPaths } from '../../../src/session/paths/machine.ts';
import type { PathEffect, PathInput, PathMoment, PathsState } from '../../../src/session/paths/model.ts';
import { pathStatuses } from '../../../src/session/paths/status.ts';
import { candidates } from '../../../src/session/paths/ways.ts';
import { endpoint } from './support/network.ts';

const START = 1_000_000;
const FULL = 1_414;
const A = endpoint('192.0.2.1');
const B = endpoint('192.0.2.2');
const C = endpoint('192.0.2.3');
const STRANGER = endpoint('198.51.100.66');
const NEVER = Number.POSITIVE_INFINITY;

type Challenge = Extract<PathEffect, { type: 'challenge' }>;

/** A peer's paths and the time that they live in. What is asked is answered after `rttMs`, where a path is in `answering`. */
class Driver {
  nowMs = START;
  state: PathsState = initialPaths();
  jitter = 0;
  stretch = 1;
  #nonce = 0n;
  readonly asked: (Challenge & { atMs: number })[] = [];
  readonly effects: PathEffect[] = [];
  answering = new Map<Endpoint, number>();
  #arriving: { atMs: number; input: PathInput }[] = [];
  /** Traffic both ways, or only out. */
  traffic: 'none' | 'both' | 'out' = 'none';

  constructor(
    hints: readonly Endpoint[],
    options: { active?: Endpoint; preferred?: boolean; keepalive?: boolean } = {},
  ) {
    const { active = hints[0], preferred = false, keepalive = false } = options;
    this.put({ type: 'settings', preferred, keepalive });
    this.put({ type: 'hints', endpoints: hints });
    if (active !== undefined) this.put({ type: 'proved', endpoint: active, only: true });
    this.put({ type: 'session', present: true, fresh: true });
    this.effects.length = 0;
  }

  put(input: PathInput): readonly PathEffect[] {
    const moment: PathMoment = {
      nowMs: this.nowMs,
      jitter: this.jitter,
      stretch: this.stretch,
      fullSize: FULL,
      nonce: () => ++this.#nonce,
    };
    const { state, effects } = stepPaths(this.state, input, moment);
    this.state = state;
    this.effects.push(...effects);
    for (const effect of effects) {
      if (effect.type === 'look') this.#arriving.push({ atMs: this.nowMs, input: this.statistics() });
      if (effect.type !== 'challenge') continue;
      this.asked.push({ ...effect, atMs: this.nowMs - START });
      const found = [...this.answering].find(([{ address }]) => address === effect.endpoint.address);
      if (found !== undefined) this.answer(effect, found[1]);
    }
    return effects;
  }

  answer({ endpoint: remote, nonce, size }: Challenge, afterMs = 0): void {
    const input: PathInput = { type: 'message', path: { remote }, message: { kind: 'response', nonce, size } };
    this.#arriving.push({ atMs: this.nowMs + afterMs, input });
  }

  statistics(): PathInput {
    const { txDataMs, rxDataMs } = this.state.seen;
    const tx = this.traffic === 'none' ? txDataMs : this.nowMs;
    const rx = this.traffic === 'both' ? this.nowMs : rxDataMs;
    return { type: 'statistics', seen: { txMs: tx, txDataMs: tx, rxMs: rx, rxDataMs: rx } };
  }

  /** As the sessions' machine does every few seconds. */
  poll(): this {
    this.put(this.statistics());
    return this;
  }

  wait(ms: number): this {
    const untilMs = this.nowMs + ms;
    for (;;) {
      this.#arriving.sort((x, y) => x.atMs - y.atMs);
      const arrivesMs = this.#arriving[0]?.atMs ?? NEVER;
      const nextMs = Math.min(arrivesMs, nextPathDeadlineMs(this.state));
      if (nextMs > untilMs) break;
      this.nowMs = Math.max(this.nowMs, nextMs);
      const arrived = arrivesMs <= nextMs ? this.#arriving.shift() : undefined;
      this.put(arrived?.input ?? { type: 'timer' });
    }
    this.nowMs = untilMs;
    return this;
  }

  of<T extends PathEffect['type']>(type: T): readonly Extract<PathEffect, { type: T }>[] {
    return this.effects.filter((effect): effect is Extract<PathEffect, { type: T }> => effect.type === type);
  }

  get moves(): readonly string[] {
    return this.of('moved').map(({ move }) => `${move.why} ${move.to.address}`);
  }
}

describe('a place that the peer was seen at', () => {
  test('is asked three times, 250, 500 and 1,000 ms apart, and forgotten', () => {
    const peer = new Driver([A]);
    peer.put({ type: 'seen', endpoint: STRANGER });
    peer.wait(10_000);
    expect(peer.asked.map(({ atMs, endpoint: to }) => [atMs, to.address])).toEqual([
      [0, STRANGER.address],
      [250, STRANGER.address],
      [750, STRANGER.address],
    ]);
    expect(peer.state.ways.map((way) => way.endpoint)).toEqual([A]);
    expect(peer.of('use')).toEqual([]);
    expect(nextPathDeadlineMs(peer.state)).toBe(NEVER);
  });

  test('is used once it answered, first with a small challenge; then it shows that it carries full frames', () => {
    const peer = new Driver([A]);
    peer.answering.set(C, 20);
    peer.put({ type: 'seen', endpoint: C });
    peer.wait(15);
    expect(peer.of('use')).toEqual([]);
    peer.wait(5);
    expect(peer.of('use')).toEqual([{ type: 'use', endpoint: C }]);
    expect(peer.moves).toEqual([`peer-moved ${C.address}`]);
    peer.wait(5_000);
    const sizes = peer.asked.filter(({ endpoint: to }) => to.address === C.address).map(({ size }) => size);
    expect(sizes[0]).toBeLessThan(100);
    expect(sizes).toContain(FULL);
    expect(peer.state.active).toEqual(C);
  });

  test('is left again where it carries small frames alone, and the old one lives', () => {
    const peer = new Driver([A]);
    peer.answering.set(A, 10);
    peer.put({ type: 'seen', endpoint: C });
    const [first] = peer.asked;
    if (first !== undefined) peer.answer(first, 5);
    peer.wait(3_000);
    expect(peer.moves).toEqual([`peer-moved ${C.address}`, `too-small ${A.address}`]);
    peer.put({ type: 'seen', endpoint: C }); // where it goes on sending from: no news
    peer.wait(5_000);
    expect(peer.state.active).toEqual(A);
  });

  test('is not left for what the peer sent before and what arrives after; but for what it sends later', () => {
    const peer = new Driver([A]);
    peer.answering.set(A, 40).set(C, 5);
    peer.put({ type: 'seen', endpoint: C });
    peer.wait(50);
    peer.put({ type: 'seen', endpoint: A });
    peer.wait(500);
    expect(peer.moves).toEqual([`peer-moved ${C.address}`]);
    peer.put({ type: 'seen', endpoint: A });
    peer.wait(500);
    expect(peer.state.active).toEqual(A);
  });

  test('stays in use where it carries small frames alone, and the old one is dead', () => {
    const peer = new Driver([A]);
    peer.put({ type: 'seen', endpoint: C });
    const [first] = peer.asked;
    if (first !== undefined) peer.answer(first, 5);
    peer.wait(5_000);
    expect(peer.moves).toEqual([`peer-moved ${C.address}`]);
  });

  test('is nothing to a node without a session', () => {
    const peer = new Driver([A]);
    peer.put({ type: 'session', present: false, fresh: false });
    expect(peer.put({ type: 'seen', endpoint: C })).toEqual([]);
    expect(nextPathDeadlineMs(peer.state)).toBe(NEVER);
  });
});

describe('an answer', () => {
  const seen = (): { peer: Driver; challenge: Challenge } => {
    const peer = new Driver([A]);
    peer.put({ type: 'seen', endpoint: C });
    const challenge = peer.asked[0];
    if (challenge === undefined) throw new Error('nothing was asked');
    return { peer, challenge };
  };
  const response = (nonce: bigint, size: number, remote = C): PathInput => ({
    type: 'message',
    path: { remote, local: A.address },
    message: { kind: 'response', nonce, size },
  });

  test('counts once', () => {
    const { peer, challenge } = seen();
    peer.put(response(challenge.nonce, challenge.size));
    expect(peer.put(response(challenge.nonce, challenge.size))).toEqual([]);
  });

  test('to another nonce counts for nothing', () => {
    const { peer, challenge } = seen();
    expect(peer.put(response(challenge.nonce + 7n, challenge.size))).toEqual([]);
    expect(peer.of('use')).toEqual([]);
  });

  test('that is smaller than the question counts for nothing', () => {
    const { peer, challenge } = seen();
    peer.put(response(challenge.nonce, challenge.size - 1));
    expect(peer.of('use')).toEqual([]);
  });

  test.each([
    [4_999, 1],
    [5_000, 0],
  ])('after %i ms counts %i times', (afterMs, times) => {
    const peer = new Driver([A, C]);
    peer.put({ type: 'seen', endpoint: C }); // a hint: it is not forgotten meanwhile
    const challenge = peer.asked[0];
    peer.wait(afterMs);
    if (challenge !== undefined) peer.put(response(challenge.nonce, challenge.size));
    const way = peer.state.ways.find(({ endpoint: at }) => at === C);
    expect(way?.answeredMs === peer.nowMs ? 1 : 0).toBe(times);
  });

  test('that comes by another path shows that the one of the question works', () => {
    const { peer, challenge } = seen();
    peer.put(response(challenge.nonce, challenge.size, STRANGER));
    expect(peer.of('use')).toEqual([{ type: 'use', endpoint: C }]);
  });
});

describe('a challenge', () => {
  const challenge = (nonce: bigint): PathInput => ({
    type: 'message',
    path: { remote: STRANGER, local: B.address },
    message: { kind: 'challenge', nonce, size: 999 },
  });

  test('is answered at once, as large, on the path that it came by, and moves nothing', () => {
    const peer = new Driver([A]);
    expect(peer.put(challenge(7n))).toEqual([
      { type: 'respond', path: { remote: STRANGER, local: B.address }, nonce: 7n, size: 999 },
    ]);
    expect(peer.state.ways.map((way) => way.endpoint)).toEqual([A]);
  });

  test('is answered 32 times a second at most', () => {
    const peer = new Driver([A]);
    for (let count = 0; count < 100; count++) peer.put(challenge(BigInt(count)));
    expect(peer.of('respond')).toHaveLength(32);
    peer.wait(1_000);
    peer.put(challenge(100n));
    expect(peer.of('respond')).toHaveLength(33);
  });
});

describe('what costs nothing', () => {
  test('a peer with one endpoint has no timer and is asked nothing, whatever moves', () => {
    const peer = new Driver([A], { keepalive: true });
    for (const traffic of ['none', 'both', 'out'] as const) {
      peer.traffic = traffic;
      for (let poll = 0; poll < 20; poll++) peer.poll().wait(5_000);
      expect(nextPathDeadlineMs(peer.state)).toBe(NEVER);
    }
    expect(peer.effects).toEqual([]);
  });

  test('an idle session has no timer, however many paths there are', () => {
    const peer = new Driver([A, B, C]);
    peer.wait(120_000).poll().wait(10_000);
    expect(nextPathDeadlineMs(peer.state)).toBe(NEVER);
    expect(peer.asked).toEqual([]);
  });

  test('one that was in use has none a minute later', () => {
    const peer = new Driver([A, B]);
    peer.answering.set(A, 5).set(B, 5);
    peer.traffic = 'both';
    peer.poll().wait(30_000);
    expect(peer.asked.length).toBeGreaterThan(0);
    peer.traffic = 'none';
    peer.wait(100_000).poll();
    expect(nextPathDeadlineMs(peer.state)).toBe(NEVER);
  });
});

describe('alternatives', () => {
  const pathsWith = (rtts: readonly [Endpoint, number][], options = {}): Driver => {
    const peer = new Driver(
      rtts.map(([at]) => at),
      options,
    );
    peer.answering = new Map(rtts);
    peer.traffic = 'both';
    return peer.poll();
  };

  test('are asked for full frames about every 25 s while the session is in use, and so is the path in use', () => {
    const peer = pathsWith([
      [A, 5],
      [B, 5],
    ]);
    peer.jitter = 0.5;
    peer.wait(101_000);
    const rounds = (to: Endpoint) => peer.asked.filter(({ endpoint: at, size }) => at === to && size === FULL).length;
    expect(rounds(A)).toBe(5);
    expect(rounds(B)).toBe(5);
  });

  test('of many peers are asked less often', () => {
    const peer = new Driver([A, B]);
    peer.answering.set(A, 5).set(B, 5);
    peer.traffic = 'both';
    peer.stretch = 10;
    peer.poll().wait(100_000);
    expect(peer.asked.length).toBeLessThanOrEqual(2);
    expect(peer.of('look').length).toBeLessThanOrEqual(15);
  });

  test('take over from a path that went silent, the quickest first', () => {
    const peer = pathsWith([
      [A, 5],
      [B, 40],
      [C, 15],
    ]);
    peer.wait(5_000);
    peer.answering.delete(A);
    peer.traffic = 'out';
    const diedMs = peer.nowMs;
    peer.wait(3_000);
    expect(peer.moves).toEqual([`silent ${C.address}`]);
    expect((peer.of('moved')[0]?.move.atMs ?? NEVER) - diedMs).toBeLessThan(1_700);
    expect(peer.of('keepalive')).toHaveLength(1); // the peer sees it at once
  });

  test('the first to answer is used, where none had by then', () => {
    const peer = pathsWith([
      [A, 5],
      [B, 5],
    ]);
    peer.wait(5_000);
    peer.answering = new Map([[B, 1_500]]);
    peer.traffic = 'out';
    peer.wait(4_000);
    expect(peer.moves).toEqual([`silent ${B.address}`]);
  });

  test('are left alone while a path that only takes answers challenges', () => {
    const peer = pathsWith([
      [A, 5],
      [B, 5],
    ]);
    peer.wait(3_000);
    peer.traffic = 'out'; // a camera: nothing comes back
    const before = peer.asked.length;
    peer.wait(15_000);
    expect(peer.moves).toEqual([]);
    expect(peer.asked.slice(before).every(({ endpoint: to }) => to === A)).toBe(true);
    expect(peer.asked.length - before).toBeLessThanOrEqual(21); // about one a second
  });

  test.each([
    [10, 6.9, 1],
    [10, 7.1, 0],
    [3, 2, 1],
    [2.9, 2, 0],
  ])('with a round trip of %d ms in use, one of %d ms is taken %i times', (used, other, times) => {
    const peer = pathsWith([
      [A, used],
      [B, other],
    ]);
    peer.wait(600_000);
    expect(peer.moves).toHaveLength(times);
  });

  test('are not faster before they were three rounds in a row', () => {
    const peer = pathsWith([
      [A, 20],
      [B, 5],
    ]);
    for (let rounds = 0; rounds < 10; rounds++) {
      peer.answering.set(B, rounds % 3 === 1 ? 18 : 5);
      peer.wait(22_500);
    }
    expect(peer.moves).toEqual([]);
  });

  test('a path in use that never carries full frames is left for one that does', () => {
    const peer = pathsWith([
      [A, 5],
      [B, 5],
    ]);
    peer.answering.delete(A);
    for (let tick = 0; tick < 4_000; tick++) {
      const last = peer.asked.length;
      peer.wait(30);
      for (const asked of peer.asked.slice(last)) if (asked.endpoint === A && asked.size < FULL) peer.answer(asked);
    }
    expect(peer.moves).toEqual([`too-small ${B.address}`]);
  });

  test('that no manifest names are forgotten when they do not answer any more', () => {
    const peer = pathsWith([[A, 5]]);
    peer.answering.set(C, 5);
    peer.put({ type: 'seen', endpoint: C });
    peer.wait(1_000);
    expect(peer.state.active).toEqual(C);
    peer.poll();
    peer.put({ type: 'hints', endpoints: [B] }); // A is what was left, and no hint any more
    peer.answering.set(B, 5);
    expect(peer.state.ways.map(({ endpoint: at }) => at)).toEqual([B, C]);
    peer.put({ type: 'seen', endpoint: A });
    peer.wait(500);
    peer.answering.delete(C);
    peer.wait(200_000);
    expect(peer.state.ways.map(({ endpoint: at }) => at)).toEqual([B, A]);
  });
});

describe('two ends that both choose', () => {
  test('the preferred one stays on its choice while that answers, the other follows', () => {
    for (const preferred of [true, false]) {
      const peer = new Driver([A, B, C], { preferred });
      peer.answering.set(B, 5).set(C, 50);
      peer.traffic = 'out';
      peer.poll().wait(3_000);
      expect(peer.moves).toEqual([`silent ${B.address}`]);
      const last = peer.of('moved').length;
      peer.nowMs = (peer.of('moved')[0]?.move.atMs ?? 0) + 100; // the peer chose C in the same moment
      peer.put({ type: 'seen', endpoint: C });
      peer.wait(300);
      expect(peer.of('moved').length - last).toBe(preferred ? 0 : 1);
    }
  });

  test('where the peer went on sending from is no reason to go back', () => {
    const peer = new Driver([A, B]);
    peer.answering.set(A, 20).set(B, 5);
    peer.traffic = 'both';
    peer.poll();
    for (let second = 0; second < 200; second++) {
      if (peer.state.active === B) peer.put({ type: 'seen', endpoint: A });
      peer.wait(1_000);
    }
    expect(peer.moves).toEqual([`faster ${B.address}`]);
  });

  test('and a path that only we send on is judged by its own answers', () => {
    const peer = new Driver([A, B]);
    peer.answering.set(A, 20).set(B, 5);
    peer.traffic = 'both';
    peer.poll().wait(100_000);
    peer.answering.delete(B);
    for (let second = 0; second < 4; second++) {
      peer.put({ type: 'seen', endpoint: A }); // its frames keep coming, by A
      peer.wait(1_000);
    }
    expect(peer.state.active).toEqual(A);
  });
});

describe("this node's own address", () => {
  test('that changed is told at once; an idle session costs one datagram', () => {
    const idle = new Driver([A, B]);
    expect(idle.put({ type: 'source-changed' })).toEqual([{ type: 'keepalive', urgent: false }]);
    expect(nextPathDeadlineMs(idle.state)).toBe(NEVER);
  });

  test('is told again with each challenge while the path in use does not answer, and once more when it does', () => {
    const peer = new Driver([A]);
    peer.traffic = 'both';
    peer.poll();
    peer.put({ type: 'source-changed' });
    peer.wait(300);
    const [, second] = peer.asked;
    if (second !== undefined) peer.answer(second, 5);
    peer.wait(5_000);
    expect(peer.of('keepalive')).toHaveLength(3);
    expect(peer.of('handshake')).toEqual([]);
  });

  test('where nothing answers, a handshake is asked for', () => {
    const peer = new Driver([A]);
    peer.traffic = 'out';
    peer.poll();
    peer.put({ type: 'source-changed' });
    peer.wait(1_749);
    expect(peer.of('handshake')).toEqual([]);
    peer.wait(1);
    expect(peer.of('handshake')).toHaveLength(1);
  });

  test('where another path answers, that is taken in time', () => {
    const peer = new Driver([A, B]);
    peer.answering.set(B, 30);
    peer.traffic = 'out';
    peer.poll();
    peer.put({ type: 'source-changed' });
    peer.wait(1_000);
    expect(peer.moves).toEqual([`silent ${B.address}`]);
  });
});

test('a peer of an older build is left alone once it showed that it lives and does not answer', () => {
  const peer = new Driver([A, B]);
  peer.traffic = 'out';
  peer.poll().wait(10_000);
  const seen = { txMs: peer.nowMs, txDataMs: peer.nowMs, rxMs: peer.nowMs, rxDataMs: 0 };
  peer.put({ type: 'statistics', seen });
  expect(peer.state.answers).toBe('no');
  const before = peer.asked.length;
  peer.wait(60_000);
  expect(peer.asked.length).toBe(before);
  expect(pathStatuses(peer.state, seen.rxMs + 1_000).find(({ active }) => active)?.state).toBe('live');
  peer.put({ type: 'session', present: true, fresh: true }); // it may have been upgraded
  expect(peer.state.answers).toBe('unknown');
});

describe('handshakes', () => {
  test('move a path that is not known to work, and leave one that is', () => {
    const peer = new Driver([A, B]);
    peer.answering.set(A, 5);
    peer.traffic = 'both';
    peer.poll().wait(5_000);
    peer.put({ type: 'proved', endpoint: C, only: false }); // answered from whichever address the routes say
    expect(peer.state.active).toEqual(A);
    peer.wait(20_000);
    peer.put({ type: 'session', present: true, fresh: true });
    peer.traffic = 'none';
    peer.answering.clear();
    peer.nowMs += 15_000;
    peer.put({ type: 'proved', endpoint: B, only: false });
    expect(peer.state.active).toEqual(B);
    expect(peer.moves).toEqual([`handshake ${B.address}`]);
  });

  test('go to the path in use alone while it works, else to all, the proved one first', () => {
    const peer = new Driver([A, B, C], { active: B });
    expect(candidates(peer.state, true)).toEqual([B]);
    expect(candidates(peer.state, false)).toEqual([B, A, C]);
    const fresh = stepPaths(initialPaths(), { type: 'hints', endpoints: [C, A] }, {} as PathMoment).state;
    expect(candidates(fresh, false)).toEqual([C, A]);
  });
});

test('no more than eight paths are kept, and of places that were only seen no more than four', () => {
  const hints = Array.from({ length: 12 }, (_, index) => endpoint(`192.0.2.${index + 1}`));
  expect(new Driver(hints).state.ways).toHaveLength(8);
  const peer = new Driver([A]);
  for (let index = 0; index < 100; index++) peer.put({ type: 'seen', endpoint: endpoint(`198.51.100.${index}`) });
  expect(peer.state.ways).toHaveLength(5);
  expect(peer.state.active).toEqual(A);
});
