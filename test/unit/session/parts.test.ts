import { describe, expect, test } from 'vitest';
import type { EndpointHint, IpAddress } from '../../../src/manifest/model.ts';
import { Agenda } from '../../../src/session/agenda.ts';
import { allEndpoints } from '../../../src/session/candidates.ts';
import { Deadlines } from '../../../src/session/deadlines.ts';
import { Pacer } from '../../../src/session/pacer.ts';
import { FrameQueues } from '../../../src/session/queue.ts';
import { FakeClock } from './support/clock.ts';

describe('frame queues', () => {
  const frame = (size: number, mark = 0) => new Uint8Array(size).fill(mark);
  const limits = { framesPerPeer: 3, bytesPerPeer: 100, bytes: 150 };

  test('give back in order what was put in', () => {
    const queues = new FrameQueues<string>(limits);
    for (const mark of [1, 2, 3]) queues.push('a', frame(10, mark));
    expect(queues.has('a')).toBe(true);
    expect(queues.take('a').map((each) => each[0])).toEqual([1, 2, 3]);
    expect(queues.take('a')).toEqual([]);
    expect(queues.has('a')).toBe(false);
    expect(queues.counts).toEqual({ waiting: 0, queued: 3, dropped: 0 });
  });

  test("a peer's oldest goes for its newest, by number and by bytes", () => {
    const queues = new FrameQueues<string>(limits);
    for (const mark of [1, 2, 3, 4]) queues.push('a', frame(10, mark));
    expect(queues.take('a').map((each) => each[0])).toEqual([2, 3, 4]);
    for (const mark of [1, 2]) queues.push('b', frame(60, mark));
    expect(queues.take('b').map((each) => each[0])).toEqual([2]);
    queues.push('c', frame(101));
    expect(queues.counts).toEqual({ waiting: 0, queued: 7, dropped: 3 });
  });

  test('all together are bounded: who waits longest loses first', () => {
    const queues = new FrameQueues<string>(limits);
    queues.push('a', frame(60, 1));
    queues.push('a', frame(30, 2));
    queues.push('b', frame(60, 3));
    queues.push('c', frame(50, 4));
    expect(queues.take('a').map((each) => each[0])).toEqual([2]);
    expect(queues.take('b').map((each) => each[0])).toEqual([3]);
    expect(queues.counts.waiting).toBe(1);
  });

  test('the total holds whatever comes', () => {
    const queues = new FrameQueues<number>(limits);
    for (let index = 0; index < 1000; index++) {
      queues.push(index % 7, frame((index * 37) % 90));
      const { waiting, queued, dropped } = queues.counts;
      expect(waiting).toBe(queued - dropped);
      expect(waiting).toBeLessThanOrEqual(21);
    }
    let bytes = 0;
    for (let peer = 0; peer < 7; peer++) bytes += queues.take(peer).reduce((sum, each) => sum + each.length, 0);
    expect(bytes).toBeLessThanOrEqual(150);
    expect(queues.counts.waiting).toBe(0);
  });

  test('dropping counts', () => {
    const queues = new FrameQueues<string>();
    queues.push('a', frame(10));
    queues.push('a', frame(10));
    queues.drop('a');
    queues.countDropped(1);
    expect(queues.counts).toEqual({ waiting: 0, queued: 2, dropped: 3 });
  });
});

describe('deadlines', () => {
  test('come up in order; the last one set counts', () => {
    const deadlines = new Deadlines<string>();
    deadlines.set('late', 30);
    deadlines.set('early', 10);
    deadlines.set('moved', 5);
    deadlines.set('moved', 20);
    deadlines.set('gone', 1);
    deadlines.set('gone', Number.POSITIVE_INFINITY);
    expect(deadlines.next()).toBe(10);
    expect(deadlines.due(20)).toEqual(['early', 'moved']);
    expect(deadlines.next()).toBe(30);
    expect(deadlines.due(29)).toEqual([]);
    expect(deadlines.due(30)).toEqual(['late']);
    expect(deadlines.next()).toBe(Number.POSITIVE_INFINITY);
  });

  test('agree with a sorted list', () => {
    const deadlines = new Deadlines<number>();
    const model = new Map<number, number>();
    let random = 1;
    const next = (below: number) => {
      random = (random * 48_271) % 2_147_483_647;
      return random % below;
    };
    for (let round = 0; round < 5000; round++) {
      const item = next(50);
      const at = next(10) === 0 ? Number.POSITIVE_INFINITY : next(1000) + round;
      deadlines.set(item, at);
      if (at === Number.POSITIVE_INFINITY) model.delete(item);
      else model.set(item, at);
      if (round % 7 !== 0) continue;
      expect(deadlines.next()).toBe(Math.min(Number.POSITIVE_INFINITY, ...model.values()));
      const due = deadlines.due(round);
      const expected = [...model].filter(([, each]) => each <= round).map(([key]) => key);
      expect([...due].sort()).toEqual([...expected].sort());
      for (const each of expected) model.delete(each);
    }
  });
});

describe('agenda', () => {
  test('wakes once for what is due together, and not at all for nothing', async () => {
    const clock = new FakeClock();
    const woken: (readonly string[])[] = [];
    const agenda = new Agenda<string>({
      now: () => clock.now(),
      setTimer: (delayMs, run) => clock.setTimer(delayMs, run),
      onDue: (items) => woken.push([...items].sort()), // at one time, no order is promised
    });
    expect(clock.pending).toBe(0);
    agenda.set('b', clock.now() + 20);
    agenda.set('a', clock.now() + 10);
    agenda.set('c', clock.now() + 20);
    await clock.advance(15);
    expect(woken).toEqual([['a']]);
    await clock.advance(10);
    expect(woken).toEqual([['a'], ['b', 'c']]);
    expect(clock.pending).toBe(0);
    agenda.set('far', clock.now() + 30 * 86_400_000);
    await clock.advance(30 * 86_400_000);
    expect(woken.filter((items) => items.length > 0)).toEqual([['a'], ['b', 'c'], ['far']]);
    agenda.set('never', clock.now() + 10);
    agenda.stop();
    await clock.advance(100);
    expect(clock.pending).toBe(0);
  });
});

describe('pacer', () => {
  test('lets a burst through, then so many a second, first come first served', async () => {
    const clock = new FakeClock();
    const ran: number[] = [];
    const pacer = new Pacer({
      perSecond: 100,
      burst: 5,
      now: () => clock.now(),
      setTimer: (delayMs, run) => clock.setTimer(delayMs, run),
    });
    for (let index = 0; index < 50; index++) pacer.run(() => ran.push(index));
    expect(ran).toHaveLength(5);
    await clock.advance(100);
    expect(ran).toHaveLength(15);
    await clock.advance(1000);
    expect(ran).toEqual(Array.from({ length: 50 }, (_, index) => index));
    expect(clock.pending).toBe(0);
    for (let index = 0; index < 50; index++) pacer.run(() => ran.push(index));
    pacer.stop();
    await clock.advance(1000);
    expect(ran).toHaveLength(55);
  });
});

describe('endpoints of hints', () => {
  const hint = (host: string, port = 1): EndpointHint => ({ host, port });
  const names = new Map([['known.lan', ['192.0.2.9', '192.0.2.8', '2001:db8::9'] as IpAddress[]]]);
  const ways = (ipv6: boolean) => ({
    resolve: (host: string) => names.get(host) ?? [],
    reaches: (address: IpAddress) => ipv6 || !address.includes(':'),
  });

  test('are all addresses of all hints, in their order, none twice', () => {
    const hints = [hint('192.0.2.8', 7), hint('unknown.lan'), hint('known.lan', 7), hint('2001:DB8:0::1')];
    expect(allEndpoints(hints, ways(true))).toEqual([
      { address: '192.0.2.8', port: 7 },
      { address: '192.0.2.9', port: 7 },
      { address: '2001:db8::9', port: 7 },
      { address: '2001:db8::1', port: 1 }, // as datagrams' sources are written
    ]);
  });

  test('leave out families that the transport does not have', () => {
    expect(allEndpoints([hint('2001:db8::1'), hint('known.lan')], ways(false))).toEqual([
      { address: '192.0.2.9', port: 1 },
      { address: '192.0.2.8', port: 1 },
    ]);
  });
});
