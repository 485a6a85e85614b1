import { randomBytes } from 'node:crypto';
import fc from 'fast-check';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { datagram, ethernet, ip, OUTER, sealed } from './frames.ts';
import { datagram6 } from './frames6.ts';
import { handshake, SHAPES } from './handshakes.ts';
import { HOST, HOST6, Lab, MAC1_KEY, PORT, words, XDP_DROP, XDP_PASS } from './lab.ts';

/*
 * The ingress program under anybody's packets: every message that there is, changed where it matters, and then whatever
 * else. Nothing is accepted; what is to our port is dropped under one reason, what is not is the stack's.
 * OMNI_FUZZ_RUNS says how many (hours: millions), OMNI_FUZZ_SEED repeats a run.
 */
const RUNS = Number(process.env.OMNI_FUZZ_RUNS ?? 12_000);
const SEED = Number(process.env.OMNI_FUZZ_SEED ?? randomBytes(4).readUInt32LE());
const ROUND = 1_000;
const BATCH = 20;

const MINE = '02:00:00:00:00:01';
const THEIRS = '02:00:00:00:00:02';
const PEER = 7n;
const ID = 0x0102030405060708n;
const EXPIRED = 0x1112131415161718n;
const PENDING = 0x2122232425262728n;
const KEY = randomBytes(32);

let lab: Lab;
beforeAll(async () => {
  lab = await Lab.open({}, ['omni_ingress']);
  lab.setFdb(THEIRS, PEER);
  lab.setGate([MAC1_KEY, randomBytes(32)], [randomBytes(32), randomBytes(32)]);
  lab.setPending(PENDING, 2n ** 62n);
  lab.setSession(ID, { peer: PEER, rxKey: words(KEY), replayLatest: 5_000n });
  lab.setSession(EXPIRED, { peer: PEER, expiresNs: 0n });
});
afterAll(() => lab?.close());

// --- what is sent -------------------------------------------------------------

/** A payload to our port, and how many of its first bytes decide whether it is what it says. */
interface Message {
  readonly payload: Buffer;
  readonly proven: number;
}
const bytes = (min: number, max: number) =>
  fc.uint8Array({ minLength: min, maxLength: max }).map((b) => Buffer.from(b));

const handshakes: fc.Arbitrary<Message> = fc.constantFrom(...SHAPES).map((shape) => ({
  // Of a cookie reply the program can only ask whom it is to.
  payload: handshake(shape, { mac1Key: MAC1_KEY, receiver: shape.type === 3 ? PENDING ^ 0xffff_ffffn : PENDING }),
  proven: shape.covered,
}));
const frames = fc.oneof(
  fc.constant(Buffer.alloc(0)),
  bytes(1, 13),
  bytes(0, 200).map((text) => ethernet(MINE, THEIRS, 0x88b6, text)),
  bytes(0, 60).map((text) => ethernet(MINE, THEIRS, 0x88b5, text)),
);
const data: fc.Arbitrary<Message> = fc
  .tuple(fc.constantFrom(ID, EXPIRED, 99n), fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }), frames)
  .map(([id, counter, frame]) => {
    const payload = sealed(KEY, id, counter, frame);
    return { payload, proven: payload.length };
  });
const junk: fc.Arbitrary<Message> = bytes(0, 1_400).map((payload) => ({ payload, proven: 0 }));

/** Changes that leave nothing authentic: at least one bit of what proves it. */
const forged: fc.Arbitrary<Buffer> = fc
  .tuple(fc.oneof(handshakes, data, junk), fc.array(fc.nat(), { minLength: 1, maxLength: 4 }))
  .map(([{ payload, proven }, flips]) => {
    const bits = new Set(flips.map((flip) => flip % (8 * proven || 1)));
    if (proven > 0)
      for (const bit of bits) payload.writeUInt8(payload.readUInt8(bit >> 3) ^ (1 << (bit & 7)), bit >> 3);
    return payload;
  });

type Change = (packet: Buffer) => Buffer;
/** Never in the payload, where it could undo what makes it a forgery. */
const inHeaders = (packet: Buffer, n: number, length: number) => n % (Math.min(OUTER, packet.length) - length + 1);
const changes: fc.Arbitrary<Change> = fc.oneof(
  { weight: 6, arbitrary: fc.constant<Change>((packet) => packet) },
  fc.nat().map(
    (n): Change =>
      (packet) =>
        packet.subarray(0, 14 + (n % (packet.length - 13))),
  ),
  bytes(1, 64).map(
    (more): Change =>
      (packet) =>
        Buffer.concat([packet, more]),
  ),
  fc.tuple(fc.nat(), bytes(1, 4)).map(
    ([n, some]): Change =>
      (packet) => {
        packet.set(some, inHeaders(packet, n, some.length));
        return packet;
      },
  ),
  fc.nat().map(
    (bit): Change =>
      (packet) => {
        const at = inHeaders(packet, bit >> 3, 1);
        packet.writeUInt8(packet.readUInt8(at) ^ (1 << (bit & 7)), at);
        return packet;
      },
  ),
);

const packets: fc.Arbitrary<Buffer> = fc
  .tuple(forged, fc.boolean(), fc.array(changes, { maxLength: 2 }))
  .map(([payload, six, list]) => {
    const packet = six ? datagram6({ port: PORT, payload }) : datagram({ port: PORT, payload });
    return list.reduce((changed, change) => change(changed), packet);
  });

// --- whose it is ----------------------------------------------------------------

/** By rules of its own. `perhaps`: it is to our port, but of another host, or behind extension headers. */
function whose(packet: Buffer): 'ours' | 'others' | 'perhaps' {
  const type = packet.readUInt16BE(12);
  if (type === 0x0800) {
    const length = ((packet[14] ?? 0) & 15) * 4;
    const udp = 14 + length;
    if (packet.length < 34 || (packet[14] ?? 0) >> 4 !== 4 || length < 20 || packet[23] !== 17) return 'others';
    if ((packet.readUInt16BE(20) & 0x1fff) !== 0 || packet.length < udp + 4) return 'others';
    if (packet.readUInt16BE(udp + 2) !== PORT) return 'others';
    return packet.subarray(30, 34).equals(ip(HOST).subarray(12)) ? 'ours' : 'perhaps';
  }
  if (type !== 0x86dd || packet.length < 54 || (packet[14] ?? 0) >> 4 !== 6) return 'others';
  if (packet[20] !== 17) return 'perhaps';
  if (packet.length < 58 || packet.readUInt16BE(56) !== PORT) return 'others';
  return packet.subarray(38, 54).equals(ip(HOST6)) ? 'ours' : 'perhaps';
}

it('accepts nothing, counts what is ours once, and leaves the rest to the stack', {
  timeout: 60_000 + RUNS * 5,
}, async () => {
  const session = lab.session(ID);
  const seen = { ours: 0, others: 0, perhaps: 0 };
  const reasons = new Set<string>();
  for (let round = 0; round * ROUND < RUNS; round++) {
    const made = fc.sample(packets, { numRuns: ROUND, seed: SEED + round });
    for (let at = 0; at < made.length; at += BATCH) {
      const batch = made.slice(at, at + BATCH);
      const where = `OMNI_FUZZ_SEED=${SEED + round}, packets from ${at} on`;
      const { result, drops, stats } = await lab.counted(() => lab.runAll('omni_ingress', batch));
      const verdicts = batch.map((packet, i) => ({ whose: whose(packet), verdict: result[i]?.retval }));
      for (const [i, { whose, verdict }] of verdicts.entries()) {
        seen[whose]++;
        const allowed = { ours: [XDP_DROP], others: [XDP_PASS], perhaps: [XDP_DROP, XDP_PASS] }[whose];
        expect(allowed, `${where}: ${batch[i]?.toString('hex')}`).toContain(verdict);
      }
      const dropped = verdicts.filter(({ verdict }) => verdict === XDP_DROP).length;
      const counted = Object.values(drops).reduce((sum, count) => sum + count, 0);
      expect({ counted, stats }, where).toEqual({ counted: dropped, stats: {} });
      for (const reason of Object.keys(drops)) reasons.add(reason);
    }
  }
  expect(lab.session(ID)).toEqual(session);
  for (const name of ['send_map', 'source_map', 'path_map'] as const) expect(lab.map(name).entries().count).toBe(0);
  // It went everywhere.
  for (const reason of ['auth', 'controlInvalid', 'mac1', 'replay', 'sessionExpired', 'sessionUnknown', 'truncated'])
    expect(reasons).toContain(reason);
  expect(seen.ours).toBeGreaterThan(RUNS / 3);
  expect(seen.others).toBeGreaterThan(RUNS / 100);
});
