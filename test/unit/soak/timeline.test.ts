import { describe, expect, it } from 'vitest';
import { unwrap } from '../../soak/pinger.ts';
import { type Disturbance, explain, inexcusable } from '../../soak/timeline.ts';

const deed = (what: string, hosts: string[], fromMs: number, toMs: number, allowedMs: number): Disturbance => ({
  what,
  hosts,
  fromMs,
  toMs,
  allowedMs,
});
const lostAt = (...times: number[]) => times.map((atMs, sequence) => ({ atMs, sequence }));
const pair = { name: 'a->b', hosts: ['a', 'b'] };

describe('lost packets and what explains them', () => {
  const restart = deed('restart', ['a'], 1_000, 2_000, 0);
  const unplugged = deed('unplugged', ['b'], 3_000, 6_000, 500);

  it('belong to what concerns their pair at that time', () => {
    expect(explain(pair, lostAt(1_500, 3_100, 3_200, 9_000), [restart, unplugged])).toEqual([
      { pair: 'a->b', disturbance: restart, packets: 1, atMs: 1_500, spanMs: 0 },
      { pair: 'a->b', disturbance: unplugged, packets: 2, atMs: 3_100, spanMs: 100 },
      { pair: 'a->b', disturbance: undefined, packets: 1, atMs: 9_000, spanMs: 0 },
    ]);
  });

  it('are without excuse where nothing happened, where nothing may be lost, and where it took too long', () => {
    const losses = explain(pair, lostAt(1_500, 3_100, 3_200, 9_000), [restart, unplugged]);
    expect(inexcusable(losses).map(({ disturbance }) => disturbance?.what)).toEqual(['restart', undefined]);
    const long = explain(pair, lostAt(3_100, 3_700), [unplugged]);
    expect(inexcusable(long)).toEqual(long);
  });

  it('what was done to others excuses nobody', () => {
    const elsewhere = deed('unplugged', ['c'], 3_000, 6_000, 500);
    expect(inexcusable(explain(pair, lostAt(3_100), [elsewhere]))).toHaveLength(1);
  });
});

it.each([
  [1, 0, 1],
  [65_535, 65_530, 65_535],
  [0, 65_535, 65_536],
  [65_535, 65_537, 65_535],
  [4_464, 200_000, 201_072],
])('sequence number %i near %i is %i', (sequence, near, whole) => {
  expect(unwrap(sequence, near)).toBe(whole);
});
