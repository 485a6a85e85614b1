import { randomBytes } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { datagram, ethernet, sealed } from './frames.ts';
import { Lab, PORT, words, XDP_REDIRECT } from './lab.ts';

/** The replay window beside a slow, obvious model. */

const THEIRS = '02:00:00:00:00:02';
const ID = 0x0102030405060708n;
const KEY = randomBytes(32);
const WINDOW = 63n * 64n;
const FRAME = ethernet('02:00:00:00:00:01', THEIRS, 0x88b6, Buffer.alloc(4));

let lab: Lab;
beforeAll(async () => {
  lab = await Lab.open({}, ['omni_ingress']);
});
afterAll(() => lab?.close());

/** Remembers everything. Too old: at least WINDOW behind the highest counter so far. */
function model(counters: readonly bigint[]): boolean[] {
  const seen = new Set<bigint>();
  let latest = 0n;
  return counters.map((counter) => {
    if (seen.has(counter) || (counter <= latest && latest - counter >= WINDOW)) return false;
    seen.add(counter);
    if (counter > latest) latest = counter;
    return true;
  });
}

async function accepted(counters: readonly bigint[]): Promise<boolean[]> {
  lab.clear();
  lab.setFdb(THEIRS, 7n);
  lab.setSession(ID, { peer: 7n, rxKey: words(KEY) });
  const packets = counters.map((counter) => datagram({ port: PORT, payload: sealed(KEY, ID, counter, FRAME) }));
  const { result, drops, stats } = await lab.counted(() => lab.runAll('omni_ingress', packets));
  const answers = result.map(({ retval }) => retval === XDP_REDIRECT);
  const yes = answers.filter(Boolean).length;
  expect(drops.replay ?? 0).toBe(counters.length - yes);
  expect(stats.rxPackets ?? 0).toBe(yes);
  expect(lab.session(ID).rxPackets).toBe(BigInt(yes));
  return answers;
}

const range = (from: bigint, count: number, step = 1n) =>
  Array.from({ length: count }, (_, i) => from + BigInt(i) * step);
const below = (limit: bigint) => BigInt(Math.floor(Math.random() * Number(limit)));

describe('the replay window', () => {
  const cases: [string, bigint[]][] = [
    ['in order', range(0n, 300)],
    ['each twice', range(0n, 100).flatMap((n) => [n, n])],
    ['backwards over the whole window', range(0n, Number(WINDOW) + 200, -1n).map((n) => n + 5000n)],
    ['the window’s far edge', [10_000n, 10_000n - WINDOW + 1n, 10_000n - WINDOW, 10_000n - WINDOW - 1n]],
    [
      'jumps of a word, and the words between',
      range(0n, 200, 64n).flatMap((n) => [n, n + 1n, n, n > 64n ? n - 63n : n]),
    ],
    ['a jump of exactly the ring', [0n, 1n, 4096n, 0n, 1n, 65n, 4096n, 4097n]],
    [
      'far jumps',
      [0n, 2n ** 32n, 2n ** 32n - 5n, 2n ** 32n - 5n, 5n, 2n ** 63n, 2n ** 63n - WINDOW, 2n ** 63n - WINDOW + 1n],
    ],
    ['the last counters', [2n ** 64n - 3n, 2n ** 64n - 1n, 2n ** 64n - 2n, 2n ** 64n - 1n, 0n]],
    ['a word is empty when the ring comes round', [...range(0n, 64), ...range(4096n, 64), ...range(8192n, 64)]],
  ];
  it.each(cases)('%s', async (_, counters) => {
    expect(await accepted(counters)).toEqual(model(counters));
  });

  it('random orders', async () => {
    for (let round = 0; round < 8; round++) {
      const spread = [100n, 4000n, 4200n, 9000n][round % 4] ?? 0n;
      let base = below(2n ** 40n);
      const counters = Array.from({ length: 600 }, () => {
        if (Math.random() < 0.02) base += below(spread * 2n);
        return base + below(spread);
      });
      expect(await accepted(counters)).toEqual(model(counters));
    }
  });

  it('is moved by authentic datagrams only', async () => {
    await accepted([5n]);
    const forged = datagram({ port: PORT, payload: sealed(randomBytes(32), ID, 2n ** 50n, FRAME) });
    const { drops } = await lab.counted(() => lab.run('omni_ingress', forged));
    expect(drops).toEqual({ auth: 1 });
    expect(lab.session(ID).replayLatest).toBe(5n);
  });
});
