import { randomBytes } from 'node:crypto';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Child } from './child.ts';
import { datagram, ethernet, sealed } from './frames.ts';
import { Lab, PORT, u64, words, XDP_DROP, XDP_REDIRECT } from './lab.ts';

/** The replay window of one session, with its datagrams arriving on several processors at once. */

const THEIRS = '02:00:00:00:00:02';
const PEER = 7n;
const KEY = randomBytes(32);
const WINDOW = 63 * 64;
const FRAME = ethernet('02:00:00:00:00:01', THEIRS, 0x88b6, Buffer.alloc(4));
const CPUS = Math.min(4, availableParallelism());
const ROUNDS = 2;
/** Of one run of `bpf/omni_selftest_window.bpf.c`. */
const SELFTEST_COUNTERS = 64;

let lab: Lab;
let receivers: Child[] = [];
let id = 1n;
beforeAll(async () => {
  lab = await Lab.open({}, ['omni_ingress']);
  lab.setFdb(THEIRS, PEER);
  receivers = await Promise.all(Array.from({ length: CPUS }, (_, cpu) => Child.start({ cpu })));
});
afterAll(async () => {
  await Promise.all(receivers.map((each) => each.close()));
  await lab?.close();
});

const shuffled = <T>(list: readonly T[]) =>
  list
    .map((item) => ({ item, at: Math.random() }))
    .sort((a, b) => a.at - b.at)
    .map(({ item }) => item);

/** Each processor gets its list of counters at the same time; how often each counter was accepted. */
async function received(lists: readonly (readonly bigint[])[]): Promise<Map<bigint, number>> {
  lab.setSession(++id, { peer: PEER, rxKey: words(KEY) });
  const made = new Map<bigint, Buffer>();
  const packet = (counter: bigint) => {
    const found = made.get(counter) ?? datagram({ port: PORT, payload: sealed(KEY, id, counter, FRAME) });
    made.set(counter, found);
    return found;
  };
  const pin = lab.pin('omni_ingress');
  const { result, drops, stats } = await lab.counted(() =>
    Promise.all(receivers.map((each, cpu) => each.runAll({ pin, packets: (lists[cpu] ?? []).map(packet) }))),
  );
  const accepted = new Map<bigint, number>();
  let total = 0;
  for (const [cpu, runs] of result.entries()) {
    for (const [i, { retval }] of runs.entries()) {
      expect([XDP_REDIRECT, XDP_DROP]).toContain(retval);
      const counter = lists[cpu]?.[i];
      if (retval !== XDP_REDIRECT || counter === undefined) continue;
      accepted.set(counter, (accepted.get(counter) ?? 0) + 1);
      total++;
    }
  }
  const sent = lists.reduce((sum, list) => sum + list.length, 0);
  expect({ drops, stats }).toEqual({
    drops: { replay: sent - total },
    stats: { rxPackets: total, rxBytes: total * FRAME.length },
  });
  const session = lab.session(id);
  const highest = lists.flat().toSorted((a, b) => (a < b ? 1 : -1))[0];
  expect({ packets: session.rxPackets, bytes: session.rxBytes, latest: session.replayLatest }).toEqual({
    packets: BigInt(total),
    bytes: BigInt(total * FRAME.length),
    latest: highest,
  });
  return accepted;
}

const once = (counters: readonly bigint[]) => new Map(counters.map((counter) => [counter, 1]));
const byCounter = (counts: Map<bigint, number>) => [...counts].sort(([a], [b]) => (a < b ? -1 : 1));
const range = (from: number, count: number) => Array.from({ length: count }, (_, i) => BigInt(from + i));

describe(`on ${CPUS} processors at once`, () => {
  it('every counter within the window is accepted exactly once, however many copies come in whatever order', async () => {
    for (let round = 0; round < ROUNDS; round++) {
      const counters = range(round * 100, WINDOW - 100);
      const lists = receivers.map((_, cpu) =>
        cpu === 0 ? counters : shuffled([...counters, ...counters.slice(0, 500)]),
      );
      expect(byCounter(await received(lists))).toEqual(byCounter(once(counters)));
    }
  });

  it('where all run through the same counters side by side, each is accepted exactly once', async () => {
    const counters = range(0, WINDOW);
    expect(byCounter(await received(receivers.map(() => counters)))).toEqual(byCounter(once(counters)));
  });

  it('where the window moves under the others’ feet, none is accepted twice', async () => {
    const spread = WINDOW;
    for (let round = 0; round < ROUNDS; round++) {
      const jumps = receivers.map(() =>
        Array.from({ length: 2_000 }, (_, i) => BigInt(i * 40 + Math.floor(Math.random() * spread))),
      );
      const lists = jumps.map((own, cpu) => [...own, ...(jumps[(cpu + 1) % jumps.length] ?? [])]);
      const accepted = await received(lists);
      expect([...accepted.values()].every((times) => times === 1)).toBe(true);
      expect(accepted.size).toBeGreaterThan(100);
    }
  });

  /*
   * Between two packets of the real program lies its cipher, and processors hardly ever meet in the window. Here they do
   * nothing else. Whoever is ahead accepts a counter, whoever comes later finds it taken, or too old.
   */
  it('the window alone, a million counters through each: all once, none lost from the count', async () => {
    const pin = lab.pin('selftest_window');
    const object = fileURLToPath(new URL('../../build/bpf/omni_selftest_window.bpf.o', import.meta.url));
    await lab.child.load({
      object,
      pinMaps: join(lab.folder, 'maps'),
      pinPrograms: { selftest_window: pin },
      rodata: {},
    });
    lab.setSession(++id, { peer: PEER, rxKey: words(KEY) });
    const repeat = 16_384;
    const runs = await Promise.all(
      receivers.map((each) => each.run({ pin, repeat, data: Buffer.concat([u64(id), Buffer.alloc(16)]) })),
    );
    const total = BigInt(repeat * SELFTEST_COUNTERS);
    const [last, accepted] = [8, 16].map((at) => runs.map(({ data }) => Buffer.from(data).readBigUInt64LE(at)));
    expect(last).toEqual(runs.map(() => total));
    const sum = (accepted ?? []).reduce((a, b) => a + b, 0n);
    const { rxPackets, rxBytes, replayLatest } = lab.session(id);
    expect({ sum, rxPackets, rxBytes, replayLatest }).toEqual({
      sum: total,
      rxPackets: total,
      rxBytes: total,
      replayLatest: total - 1n,
    });
  });
});
