import fc from 'fast-check';
import { expect, it } from 'vitest';
import { isOpen, nextOpening, type Window } from '../../src/agent/windows.ts';

const MINUTE_MS = 60_000;
const DAY_MINUTES = 1_440;

const zones = [
  'UTC',
  'Europe/Berlin',
  'America/New_York',
  'Australia/Lord_Howe',
  'Pacific/Chatham',
  'Africa/Casablanca',
];
const windows: fc.Arbitrary<Window> = fc
  .record({
    days: fc.uniqueArray(fc.integer({ min: 0, max: 6 }), { minLength: 4 }),
    from: fc.integer({ min: 0, max: DAY_MINUTES - 1 }),
    length: fc.integer({ min: 1, max: DAY_MINUTES - 1 }),
    timeZone: fc.constantFrom(...zones),
  })
  .map(({ days, from, length, timeZone }) => ({ days, from, to: ((from + length - 1) % DAY_MINUTES) + 1, timeZone }));

/** Days around changes of the clock, of one of the zones or another. */
const moments = fc
  .tuple(
    fc.constantFrom('2026-03-08', '2026-03-29', '2026-04-04', '2026-09-27', '2026-10-25', '2026-11-01', '2026-02-15'),
    fc.integer({ min: -DAY_MINUTES, max: DAY_MINUTES }),
  )
  .map(([day, minute]) => Date.parse(`${day}T00:00:00Z`) + minute * MINUTE_MS);

it('the next opening is the first minute at which a closed window is open, whatever the clock does', () => {
  fc.assert(
    fc.property(windows, moments, (window, now) => {
      fc.pre(!isOpen(window, now));
      let first = now + MINUTE_MS;
      while (!isOpen(window, first)) first += MINUTE_MS;
      expect(nextOpening([window], now)).toBe(first);
    }),
    { numRuns: 200 },
  );
});
