import { randomBytes } from 'node:crypto';
import { setImmediate } from 'node:timers/promises';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { Calls } from '../../src/dataplane/kernel/calls.ts';
import { eraseSession, SPENT_COUNTER } from '../../src/dataplane/kernel/erase.ts';
import { decodeSessionEntry, type SessionEntry } from '../../src/dataplane/kernel/layout.ts';
import { type BpfMap, loadNative } from '../../src/dataplane/kernel/native.ts';
import { datagram, ethernet, OUTER, opened, sealed } from './frames.ts';
import { Lab, PORT, REMOTE, u64, words, XDP_DROP, XDP_PASS, XDP_REDIRECT } from './lab.ts';

/** A session's keys go before its row does, beside programs that use them. */

const MINE = '02:00:00:00:00:01';
const THEIRS = '02:00:00:00:00:02';
const PEER = 7n;
const ROUNDS = 4;
const PACKETS = 2_500;
const NO_KEY = new Uint8Array(32);

const calls = new Calls(loadNative());
let lab: Lab;
beforeAll(async () => {
  lab = await Lab.open();
});
afterAll(() => lab?.close());
beforeEach(() => {
  lab.clear();
  lab.setFdb(THEIRS, PEER);
  lab.setPeer(PEER, { address: REMOTE });
});

const erase = (id: bigint, map: BpfMap = lab.map('session_map')) => eraseSession({ calls }, 'test', map, id);

/** The map, and what another descriptor of it shows after each step. */
function watched(id: bigint): { readonly map: BpfMap; readonly seen: (SessionEntry | undefined)[] } {
  const map = lab.map('session_map');
  const seen: (SessionEntry | undefined)[] = [];
  const watch =
    <A, R>(step: (options: A) => R) =>
    (options: A) => {
      const result = step(options);
      const value = map.lookup({ key: u64(id), lock: true });
      seen.push(value && decodeSessionEntry(value));
      return result;
    };
  const steps: Pick<BpfMap, 'lookup' | 'update' | 'delete'> = {
    lookup: (options) => map.lookup(options),
    update: watch((options: Parameters<BpfMap['update']>[0]) => map.update(options)),
    delete: watch((options: Parameters<BpfMap['delete']>[0]) => map.delete(options)),
  };
  return { map: steps as BpfMap, seen };
}

it('first nobody begins to use the row, then its keys are gone, then it is', () => {
  const ID = 5n;
  const keys = { rxKey: words(randomBytes(32)), txKey: words(randomBytes(32)) };
  lab.setSession(ID, { peer: PEER, ...keys, txCounter: 9n, rxPackets: 8n, replayLatest: 7n });
  const { map, seen } = watched(ID);
  expect(erase(ID, map)).toMatchObject({ txPackets: 9n, rxPackets: 8n });
  const over = { expiresNs: 0n, txCounter: SPENT_COUNTER, rxPackets: 8n, replayLatest: 7n };
  expect(seen).toMatchObject([
    { ...over, ...keys },
    { ...over, rxKey: words(NO_KEY), txKey: words(NO_KEY) },
    undefined,
  ]);
  expect(seen).toHaveLength(3);
});

describe('while sessions come and go', () => {
  /** Runs packets through a program in another process, and `each` here all the while. */
  async function beside(program: 'omni_egress' | 'omni_ingress', packets: Uint8Array[], each: () => void) {
    let running = true;
    const runs = lab.runAll(program, packets).finally(() => {
      running = false;
    });
    while (running) {
      for (let i = 0; i < 8; i++) each();
      await setImmediate();
    }
    return runs;
  }

  it('nothing leaves under a wiped key, or twice under one counter', async () => {
    const frame = ethernet(THEIRS, MINE, 0x88b6, Buffer.alloc(50));
    const keys = new Map<bigint, Uint8Array>();
    const sealedUnder = new Set<string>();
    const before = lab.stats().txPackets;
    let id = 1n;
    for (let round = 0; round < ROUNDS; round++) {
      const runs = await beside('omni_egress', new Array<Uint8Array>(PACKETS).fill(frame), () => {
        const key = randomBytes(32);
        keys.set(++id, key);
        lab.setSession(id, { peer: PEER, remoteId: id, txKey: words(key) });
        lab.setSend(PEER, id);
        if (id % 3n === 0n) for (let spin = 0; spin < 20; spin++) lab.sendSession(PEER);
        expect(erase(id)).toBeDefined();
      });
      for (const { retval, data } of runs) {
        expect([XDP_REDIRECT, XDP_PASS, XDP_DROP]).toContain(retval);
        if (retval !== XDP_REDIRECT) continue;
        const message = data.subarray(OUTER);
        const key = keys.get(message.readBigUInt64LE());
        if (key === undefined) throw new Error('it names a session that never was');
        // Throws unless it was sealed under that session's key.
        const { counter } = opened(key, message);
        sealedUnder.add(`${message.readBigUInt64LE()} ${counter}`);
      }
    }
    const txPackets = lab.stats().txPackets - before;
    expect(sealedUnder.size).toBe(txPackets);
    expect(txPackets).toBeGreaterThan(100);
    expect(keys.size).toBeGreaterThan(100);
  });

  it('nothing is accepted under a wiped key', async () => {
    const ID = 9n;
    const text = ethernet(MINE, THEIRS, 0x88b6, Buffer.alloc(50));
    const forged = Array.from({ length: PACKETS }, (_, i) =>
      datagram({ port: PORT, payload: sealed(NO_KEY, ID, BigInt(i), text) }),
    );
    let sessions = 0;
    const { drops, stats } = await lab.counted(async () => {
      for (let round = 0; round < ROUNDS; round++) {
        const runs = await beside('omni_ingress', forged, () => {
          lab.setSession(ID, { peer: PEER, rxKey: words(randomBytes(32)), expiresNs: 2n ** 62n + BigInt(sessions++) });
          for (let spin = 0; spin < 20; spin++) lab.sendSession(PEER);
          expect(erase(ID)).toMatchObject({ rxPackets: 0n });
        });
        expect(runs.every(({ retval }) => retval === XDP_DROP)).toBe(true);
      }
    });
    expect(stats).toEqual({});
    // They did meet.
    expect(drops.auth).toBeGreaterThan(100);
    expect(drops.sessionUnknown).toBeGreaterThan(100);
    const { auth = 0, sessionUnknown = 0, sessionExpired = 0, replay = 0 } = drops;
    expect(auth + sessionUnknown + sessionExpired + replay).toBe(ROUNDS * PACKETS);
  });
});
