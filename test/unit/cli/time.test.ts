import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { clockTime, humanTook } from '../../../src/cli/format.ts';
import { parseUntil } from '../../../src/cli/time.ts';

/* Times of day are this machine's: on one in Berlin, where the clock is an hour ahead of UTC in winter. */

let zone: string | undefined;
beforeAll(() => {
  zone = process.env.TZ;
  process.env.TZ = 'Europe/Berlin';
});
afterAll(() => {
  if (zone === undefined) delete process.env.TZ;
  else process.env.TZ = zone;
});

const NOON = '2026-03-01T11:00:00.000Z';

function until(text: string, now = NOON): string {
  return new Date(parseUntil(text, Date.parse(now))).toISOString();
}

describe('a time to come', () => {
  it.each([
    ['2h', '2026-03-01T13:00:00.000Z'],
    ['1h30m', '2026-03-01T12:30:00.000Z'],
    ['18:30', '2026-03-01T17:30:00.000Z'],
    ['6:05', '2026-03-02T05:05:00.000Z'],
    ['12:00', '2026-03-02T11:00:00.000Z'],
    ['2026-03-01T18:30:00Z', '2026-03-01T18:30:00.000Z'],
    ['2026-03-01t18:30:00.25+01:00', '2026-03-01T17:30:00.250Z'],
  ])('%s', (text, expected) => {
    expect(until(text)).toBe(expected);
  });

  it('counts on the clock, not in hours, where the clock is put forward in between', () => {
    expect(until('06:00', '2026-03-28T20:00:00Z')).toBe('2026-03-29T04:00:00.000Z');
    expect(() => until('02:30', '2026-03-28T20:00:00Z')).toThrow(/skips it/);
  });

  it.each([
    ['', /no/],
    ['90', /90s would be seconds/],
    ['-2h', /negative/],
    ['0s', /over already/],
    ['24:00', /no such time of day/],
    ['12:60', /no such time of day/],
    ['2026-03-01', /no time, or no offset/],
    ['2026-03-01T18:30:00', /no offset/],
    ['2026-02-30T18:30:00Z', /no such time/],
    ['2026-03-01T24:30:00Z', /no such time/],
    ['2026-03-01T10:59:59Z', /over already: the clock says 2026-03-01T11:00:00.000Z/],
    ['tomorrow', /cannot be read/],
  ])('refuses %j', (text, problem) => {
    expect(() => until(text)).toThrow(problem);
    expect(() => until(text)).toThrow(expect.objectContaining({ exitCode: 2, fix: expect.stringMatching(/\w/) }));
  });
});

it('times on the clock of the machine, with a date unless it is today', () => {
  expect(clockTime('2026-03-01T17:30:00Z', Date.parse(NOON))).toBe('18:30');
  expect(clockTime('2026-03-01T23:30:00Z', Date.parse(NOON))).toBe('2026-03-02 00:30');
});

it('how long something took', () => {
  expect([640, 2_140, 30_250, 200_000].map(humanTook)).toEqual(['640ms', '2.1s', '30s', '3m20s']);
});
