import { describe, expect, it } from 'vitest';
import { Backoff } from '../../../src/reconcile/backoff.ts';
import { FakeClock } from './clock.ts';

function backoff(random: number): { readonly clock: FakeClock; readonly backoff: Backoff } {
  const clock = new FakeClock();
  return { clock, backoff: new Backoff({ now: () => clock.now(), random: () => random }) };
}

describe('backoff', () => {
  it('doubles its ceiling from 200 ms to 60 s', () => {
    const { backoff: subject } = backoff(1 - Number.EPSILON);
    const delays = Array.from({ length: 12 }, () => Math.round(subject.fail('peer/a')));
    expect(delays).toEqual([200, 400, 800, 1600, 3200, 6400, 12_800, 25_600, 51_200, 60_000, 60_000, 60_000]);
  });

  it('never goes below 100 ms', () => {
    const { backoff: subject } = backoff(0);
    expect(Array.from({ length: 20 }, () => subject.fail('peer/a')).every((delay) => delay === 100)).toBe(true);
  });

  it('keeps subjects apart, and forgets one that is reset', () => {
    const { clock, backoff: subject } = backoff(0.5);
    subject.fail('peer/a');
    subject.fail('peer/a');
    subject.fail('peer/b');
    expect([subject.due('peer/a'), subject.due('peer/b'), subject.due('peer/c')]).toEqual([false, false, true]);
    expect(subject.nextMs()).toBe(150);
    clock.spend(150);
    expect([subject.due('peer/a'), subject.due('peer/b')]).toEqual([false, true]);
    subject.reset('peer/a');
    expect(subject.due('peer/a')).toBe(true);
    expect(subject.fail('peer/a')).toBe(150);
    subject.resetAll();
    expect(subject.nextMs()).toBe(Number.POSITIVE_INFINITY);
  });
});
