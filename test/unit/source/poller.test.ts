import fc from 'fast-check';
import { expect, it } from 'vitest';
import { Poller, pollDelay } from '../../../src/source/poller.ts';
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
