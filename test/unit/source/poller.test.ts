import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { alignedDelay, Poller, pollDelay } from '../../../src/source/poller.ts';
import { ManualClock } from './lab.ts';

it('waits the interval ±10 %, doubled per failure, at most ten intervals or 5 s', () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 100, max: 600_000 }),
      fc.integer({ min: 0, max: 100 }),
      fc.double({ min: 0, max: 0.999, noNaN: true }),
      (interval, failures, random) => {
        const limit = Math.max(10 * interval, 5_000);
        const base = Math.min(interval * 2 ** Math.min(failures, 30), limit);
        const delay = pollDelay(interval, failures, random);
        expect(delay).toBeGreaterThanOrEqual(base * 0.9 - 1e-6);
        expect(delay).toBeLessThanOrEqual(base * 1.1 + 1e-6);
      },
    ),
  );
  expect(pollDelay(1_000, 0, 0)).toBe(900);
  expect(pollDelay(30_000, 50, 0.5)).toBe(300_000);
});

it('wakes at once, again after each interval, counts from the begin of a poll, and stops', () => {
  const clock = new ManualClock();
  const poller = new Poller({ intervalMs: 1_000, random: () => 0.5, clock });
  let wakes = 0;
  const stop = poller.start(() => {
    wakes += 1;
  });
  clock.advance(0);
  expect(wakes).toBe(1);
  poller.begin();
  clock.advance(300);
  poller.end(true);
  expect(poller.nextAt).toBe(clock.now() + 700);
  clock.advance(700);
  expect(wakes).toBe(2);
  clock.advance(3_000); // nobody polls: woken all the same
  expect(wakes).toBe(5);
  stop();
  clock.advance(10_000);
  expect(wakes).toBe(5);
});

it('keeps its interval whatever the wall clock is set to during a poll', () => {
  for (const years of [-30, -1 / 8_760, 1 / 8_760, 30]) {
    const clock = new ManualClock();
    const poller = new Poller({ intervalMs: 1_000, random: () => 0.5, clock });
    let wakes = 0;
    poller.start(() => {
      wakes += 1;
    });
    clock.advance(0);
    poller.begin();
    clock.set(clock.now() + years * 8_760 * 3_600_000);
    poller.end(true);
    clock.advance(1_000);
    expect(wakes).toBeGreaterThanOrEqual(2);
    expect(wakes).toBeLessThanOrEqual(3);
  }
});

it('polls on its phase of the interval, spreads a fleet evenly, and keeps its rhythm through failures', () => {
  const interval = 30_000;
  const nodes = Array.from({ length: 60 }, (_, index) => {
    const clock = new ManualClock();
    clock.advance((index * 7_919) % interval); // started at any time
    const phase = index / 60;
    const poller = new Poller({ intervalMs: interval, phase, random: () => 0.5, clock });
    const polls: number[] = [];
    poller.start(() => {
      polls.push(clock.now());
      poller.begin();
      poller.end(polls.length !== 4); // the fourth fails
    });
    clock.advance(10 * interval);
    return { phase, polls };
  });
  for (const { phase, polls } of nodes) {
    const [first = 0, second = 0] = polls;
    expect(second - first).toBeGreaterThanOrEqual(0.2 * interval);
    expect(second - first).toBeLessThanOrEqual(1.2 * interval);
    for (const at of polls.slice(1)) expect(((at % interval) - phase * interval + interval) % interval).toBeCloseTo(0);
    const gaps = polls.slice(2).map((at, index) => at - (polls[index + 1] ?? 0));
    expect(gaps.slice(0, 4)).toEqual([interval, interval, 2 * interval, interval]);
  }
});

it('keeps its jitter around the phase', () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 100, max: 600_000 }),
      fc.integer({ min: 0, max: 20 }),
      fc.double({ min: 0, max: 0.999, noNaN: true }),
      fc.double({ min: 0, max: 0.999, noNaN: true }),
      fc.integer({ min: 0, max: 2_000_000_000_000 }),
      (intervalMs, failures, phase, random, nowMs) => {
        const delay = alignedDelay({ intervalMs, phase, nowMs }, failures, random);
        const plain = pollDelay(intervalMs, failures, random);
        expect(delay).toBeGreaterThanOrEqual(plain - intervalMs - 1e-3);
        expect(delay).toBeLessThanOrEqual(plain + 0.2 * intervalMs + 1e-3);
        expect(delay).toBeGreaterThan(0);
      },
    ),
  );
});

describe('a nudge', () => {
  it('is taken more often than three times in a long interval', () => {
    const clock = new ManualClock();
    const poller = new Poller({ intervalMs: 3_600_000, random: () => 0.5, clock });
    let polls = 0;
    poller.start(() => {
      polls += 1;
      poller.begin();
      poller.end(true);
    });
    clock.advance(1_000);
    for (let minute = 0; minute < 10; minute += 1) {
      poller.nudge();
      clock.advance(60_000);
    }
    expect(polls).toBe(11);
  });

  function polling(random = () => 0.5) {
    const clock = new ManualClock();
    const poller = new Poller({ intervalMs: 30_000, random, clock });
    const polls: number[] = [];
    poller.start(() => {
      polls.push(clock.now());
      poller.begin();
      poller.end(true);
    });
    clock.advance(10_000);
    return { clock, poller, polls };
  }

  it('asks within a second, once for many, and leaves the rhythm to the polls', () => {
    const { clock, poller, polls } = polling();
    const at = clock.now();
    for (let index = 0; index < 100; index += 1) poller.nudge();
    clock.advance(1_000);
    expect(polls.slice(1)).toEqual([at + 500]);
    expect(poller.nextAt).toBe(at + 500 + 30_000);
  });

  it('is taken three times in half a minute', () => {
    const { clock, poller, polls } = polling();
    for (let second = 0; second < 10; second += 1) {
      poller.nudge();
      clock.advance(1_000);
    }
    expect(polls).toHaveLength(4);
    clock.advance(60_000);
    const before = polls.length;
    poller.nudge();
    clock.advance(1_000);
    expect(polls).toHaveLength(before + 1);
  });

  it('that comes during a poll is not lost with its end', () => {
    const { clock, poller, polls } = polling();
    poller.begin();
    poller.nudge();
    poller.end(true);
    clock.advance(1_000);
    expect(polls).toHaveLength(2);
  });

  it('does not make a poll that is due later than the next one, and wakes nobody who does not watch', () => {
    const { clock, poller, polls } = polling(() => 0.999);
    clock.advance((poller.nextAt ?? 0) - clock.now() - 100);
    const due = poller.nextAt;
    poller.nudge();
    expect(poller.nextAt).toBe(due);
    expect(polls).toHaveLength(1);
    const idle = new Poller({ intervalMs: 1_000, random: () => 0, clock });
    idle.nudge();
    expect(idle.nextAt).toBeUndefined();
  });
});
