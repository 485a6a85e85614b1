import { randomBytes } from 'node:crypto';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { encodeGateEntry, encodeSourceEntry } from '../../src/dataplane/kernel/layout.ts';
import { control, datagram, ip } from './frames.ts';
import { bootTimeNs, CONFIG, Lab, MAC1_KEY, PORT, XDP_DROP, XDP_PASS } from './lab.ts';

/** Handshake messages on their way to the agent's socket. */

const INITIATION = 160;
const RESPONSE = 112;
const RATE = CONFIG.newSessionsPerSecond;
const SECOND = 1_000_000_000n;

let lab: Lab;
beforeAll(async () => {
  lab = await Lab.open({}, ['omni_ingress']);
});
afterAll(() => lab?.close());
beforeEach(() => {
  lab.clear();
  lab.setMac1Keys([MAC1_KEY]);
});

const initiation = (body: Uint8Array = randomBytes(112)) => control(1, INITIATION, MAC1_KEY, body);
const response = (body: Uint8Array = randomBytes(64)) => control(2, RESPONSE, MAC1_KEY, body);
const arriving = (payload: Uint8Array, source?: string) => datagram({ port: PORT, payload, ...(source && { source }) });

async function verdictOf(payload: Uint8Array): Promise<object> {
  const { result, drops, stats } = await lab.counted(() => lab.run('omni_ingress', arriving(payload)));
  return { verdict: result.retval, drops, stats };
}

const PASSED = { verdict: XDP_PASS, drops: {}, stats: { controlPassed: 1 } };
const droppedFor = (reason: string) => ({ verdict: XDP_DROP, drops: { [reason]: 1 }, stats: {} });

describe('membership', () => {
  it('an initiation with the right mac1 passes, as it came', async () => {
    const packet = arriving(initiation());
    const { retval, data } = await lab.run('omni_ingress', packet);
    expect(retval).toBe(XDP_PASS);
    expect(data).toEqual(packet);
  });
  it('so does a response', async () => {
    expect(await verdictOf(response())).toEqual(PASSED);
  });
  it.each([INITIATION, RESPONSE])(
    'any flipped bit of a message of %i bytes ends it; mac2 is not looked at here',
    async (length) => {
      const good = length === INITIATION ? initiation() : response();
      const packets = Array.from({ length: 8 * length }, (_, bit) => {
        const bad = Buffer.from(good);
        bad.writeUInt8(bad.readUInt8(bit >> 3) ^ (1 << (bit & 7)), bit >> 3);
        // A bucket each: the limit is another test's subject.
        return arriving(bad, `10.${bit >> 8}.${bit & 255}.1`);
      });
      const { result, drops } = await lab.counted(() => lab.runAll('omni_ingress', packets));
      const passed = result.flatMap(({ retval }, bit) => (retval === XDP_PASS ? [bit >> 3] : []));
      expect(passed).toEqual(Array.from({ length: 8 * 16 }, (_, bit) => length - 16 + (bit >> 3)));
      // 64 bits of id: no session; 64 of type, version and reserved: no such message; the rest is mac1's.
      expect(drops).toEqual({ sessionUnknown: 64, controlInvalid: 64, mac1: 8 * (length - 32) });
    },
  );
  it('a mac1 under another key', async () => {
    expect(await verdictOf(control(1, INITIATION, randomBytes(32)))).toEqual(droppedFor('mac1'));
  });
});

describe('two keys', () => {
  const next = randomBytes(32);
  const lengths = [
    [1, INITIATION],
    [2, RESPONSE],
  ] as const;

  it.each(lengths)('a message of type %i passes under either, and under no third', async (type, length) => {
    lab.setMac1Keys([MAC1_KEY, next]);
    for (const key of [MAC1_KEY, next]) expect(await verdictOf(control(type, length, key))).toEqual(PASSED);
    expect(await verdictOf(control(type, length, randomBytes(32)))).toEqual(droppedFor('mac1'));
  });
  it.each(lengths)('type %i: a key that is no longer one does not let in, wherever it lies', async (type, length) => {
    lab.setMac1Keys([next]);
    expect(await verdictOf(control(type, length, MAC1_KEY))).toEqual(droppedFor('mac1'));
    const value = encodeGateEntry({
      mac1Count: 1,
      cookieCount: 0,
      mac1Keys: Buffer.concat([next, MAC1_KEY, Buffer.alloc(64)]),
      cookieSecrets: Buffer.alloc(64),
    });
    lab.map('gate_map').update({ key: Buffer.alloc(4), value });
    expect(await verdictOf(control(type, length, MAC1_KEY))).toEqual(droppedFor('mac1'));
    expect(await verdictOf(control(type, length, next))).toEqual(PASSED);
  });
  it('where one key is in force, the zeros in the place of a second let nobody in', async () => {
    expect(await verdictOf(control(1, INITIATION, new Uint8Array(32)))).toEqual(droppedFor('mac1'));
  });
  it('without any key nobody gets in', async () => {
    lab.map('gate_map').delete({ key: Buffer.alloc(4) });
    expect(await verdictOf(control(1, INITIATION, new Uint8Array(32)))).toEqual(droppedFor('mac1'));
    lab.setMac1Keys([]);
    expect(await verdictOf(control(1, INITIATION, new Uint8Array(32)))).toEqual(droppedFor('mac1'));
  });
});

describe('shape', () => {
  it.each([0, 3, 4, 5, 6, 7, 255])('type %i is not accepted', async (type) => {
    expect(await verdictOf(control(type, INITIATION, MAC1_KEY))).toEqual(droppedFor('controlInvalid'));
  });
  it.each([
    [1, INITIATION - 1],
    [1, INITIATION + 1],
    [1, RESPONSE],
    [2, INITIATION],
    [2, RESPONSE - 1],
    [2, RESPONSE + 1],
  ])('type %i is not %i bytes long', async (type, length) => {
    expect(await verdictOf(control(type, length, MAC1_KEY))).toEqual(droppedFor('controlInvalid'));
  });
  it('a header alone is no message', async () => {
    expect(await verdictOf(Buffer.alloc(16))).toEqual(droppedFor('controlInvalid'));
  });
});

describe('rate', () => {
  const burst = (count: number, source: string) => Array.from({ length: count }, () => arriving(initiation(), source));
  const passes = (runs: { retval: number }[]) => runs.filter(({ retval }) => retval === XDP_PASS).length;

  it('a source gets its burst, then nothing; another source is not concerned', async () => {
    const first = await lab.counted(() => lab.runAll('omni_ingress', burst(RATE + 20, '10.1.1.1')));
    expect(passes(first.result)).toBe(RATE);
    expect(first.drops).toEqual({ ratelimit: 20 });
    expect(passes(await lab.runAll('omni_ingress', burst(1, '10.1.1.2')))).toBe(1);
  });
  it('a source that was refused has a token again after one’s time', async () => {
    await lab.runAll('omni_ingress', burst(RATE + 3, '10.1.1.3'));
    const key = ip('10.1.1.3');
    // As if a token's time, and not quite two, had passed.
    const fullNs = bootTimeNs() + SECOND - (SECOND * 19n) / (10n * BigInt(RATE));
    lab.map('source_map').update({ key, value: encodeSourceEntry({ fullNs }) });
    expect(passes(await lab.runAll('omni_ingress', burst(5, '10.1.1.3')))).toBe(1);
  });
  it('a long silence fills the bucket to the burst, not beyond', async () => {
    lab.map('source_map').update({ key: ip('10.1.1.4'), value: encodeSourceEntry({ fullNs: 1n }) });
    expect(passes(await lab.runAll('omni_ingress', burst(RATE + 5, '10.1.1.4')))).toBe(RATE);
  });
  it('responses cost no token', async () => {
    const responses = Array.from({ length: 4 * RATE }, () => arriving(response(), '10.1.1.5'));
    expect(passes(await lab.runAll('omni_ingress', responses))).toBe(4 * RATE);
  });
  it('only members take tokens', async () => {
    const foreign = Array.from({ length: 50 }, () => arriving(control(1, INITIATION, randomBytes(32)), '10.1.1.6'));
    await lab.runAll('omni_ingress', foreign);
    expect(passes(await lab.runAll('omni_ingress', burst(RATE, '10.1.1.6')))).toBe(RATE);
  });
});
