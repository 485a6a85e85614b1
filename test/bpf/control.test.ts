import { randomBytes } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { encodeSourceEntry, OMNI_UNPROVEN_PER_SECOND } from '../../src/dataplane/kernel/layout.ts';
import { datagram, ip } from './frames.ts';
import { datagram6 } from './frames6.ts';
import { ANSWERS, cookieFor, handshake, INITIATIONS, type Message, SHAPES, type Shape } from './handshakes.ts';
import { bootTimeNs, CONFIG, Lab, MAC1_KEY, PORT, XDP_DROP, XDP_PASS } from './lab.ts';

/** Handshake messages on their way to the agent's socket. */

const RATE = CONFIG.newSessionsPerSecond;
const SECOND = 1_000_000_000n;
const OURS = 0x1a2b3c4d5e6f7081n;
const SOURCE = '198.51.100.2';
const SOURCE6 = '2001:db8:51::2';
const FROM_PORT = 40_000;
const FULL_NS = 2n ** 62n;

let lab: Lab;
beforeAll(async () => {
  lab = await Lab.open({}, ['omni_ingress']);
});
afterAll(() => lab?.close());
beforeEach(() => {
  lab.clear();
  lab.setMac1Keys([MAC1_KEY]);
  lab.setPending(OURS, bootTimeNs() + 60n * SECOND);
});

const message = (shape: Shape, change: Partial<Message> = {}) =>
  handshake(shape, { mac1Key: MAC1_KEY, receiver: OURS, ...change });
function arriving(payload: Uint8Array, source = SOURCE, sourcePort = FROM_PORT): Buffer {
  return source.includes(':')
    ? datagram6({ source, sourcePort, port: PORT, payload })
    : datagram({ source, sourcePort, port: PORT, payload });
}

async function verdictOf(packet: Uint8Array): Promise<object> {
  const { result, drops, stats } = await lab.counted(() => lab.run('omni_ingress', packet));
  return { verdict: result.retval, drops, stats };
}

const PASSED = { verdict: XDP_PASS, drops: {}, stats: { controlPassed: 1 } };
const droppedFor = (reason: string) => ({ verdict: XDP_DROP, drops: { [reason]: 1 }, stats: {} });
const titled = (shapes: readonly Shape[]) => shapes.map((shape) => [shape.name, shape] as const);
const [INITIATION] = SHAPES;
const COOKIE_REPLIES: readonly Shape[] = SHAPES.filter(({ type }) => type === 3);
const TO_MEMBERS = SHAPES.filter((shape) => !COOKIE_REPLIES.includes(shape));

describe.each(titled(TO_MEMBERS))('%s', (_, shape) => {
  it.each([SOURCE, SOURCE6])('with the right mac1 passes, as it came from %s', async (source) => {
    const packet = arriving(message(shape), source);
    const { retval, data } = await lab.run('omni_ingress', packet);
    expect(retval).toBe(XDP_PASS);
    expect(data).toEqual(packet);
    expect(await verdictOf(packet)).toEqual(PASSED);
  });

  it('any flipped bit of what mac1 covers, or of mac1, ends it; what lies behind is not looked at here', async () => {
    const good = message(shape);
    const checked = [...Array(shape.covered).keys(), ...Array.from({ length: 16 }, (__, i) => shape.length - 32 + i)];
    const behind = [shape.covered, shape.length - 33, shape.length - 16, shape.length - 1].filter(
      (at) => !checked.includes(at),
    );
    const flipped = (at: number, bit: number) => {
      const bad = Buffer.from(good);
      bad.writeUInt8(bad.readUInt8(at) ^ (1 << bit), at);
      // A bucket each: the limit is another test's subject.
      return arriving(bad, `10.${at >> 8}.${at & 255}.${bit}`);
    };
    const { result, drops } = await lab.counted(() =>
      lab.runAll(
        'omni_ingress',
        checked.flatMap((at) => Array.from({ length: 8 }, (__, bit) => flipped(at, bit))),
      ),
    );
    expect(result.filter(({ retval }) => retval !== XDP_DROP)).toEqual([]);
    // 64 bits of id: no session; 64 of type, version and reserved: no such message, or another one's mac1; one makes a
    // response a cookie reply that nobody waits for.
    const { sessionUnknown, controlInvalid = 0, mac1 = 0, unexpected = 0, ...others } = drops;
    expect(unexpected).toBe(shape.type === 2 && shape.version === 1 ? 1 : 0);
    expect({ sessionUnknown, all: controlInvalid + mac1 + unexpected, others }).toEqual({
      sessionUnknown: 64,
      all: 8 * (checked.length - 8),
      others: {},
    });
    expect(mac1).toBeGreaterThanOrEqual(8 * (checked.length - 16));
    const unchecked = await lab.runAll(
      'omni_ingress',
      behind.map((at) => flipped(at, 3)),
    );
    expect(unchecked.every(({ retval }) => retval === XDP_PASS)).toBe(true);
  });

  it('passes under any of up to four keys, and under no fifth', async () => {
    const keys = [MAC1_KEY, randomBytes(32), randomBytes(32), randomBytes(32)];
    for (let count = 1; count <= keys.length; count++) {
      lab.setMac1Keys(keys.slice(0, count));
      lab.map('source_map').delete({ key: ip(SOURCE) });
      for (const mac1Key of keys.slice(0, count))
        expect(await verdictOf(arriving(message(shape, { mac1Key })))).toEqual(PASSED);
      expect(await verdictOf(arriving(message(shape, { mac1Key: randomBytes(32) })))).toEqual(droppedFor('mac1'));
    }
  });

  it('a key that is no longer one lets nobody in, nor do the zeros in the place of one', async () => {
    const next = randomBytes(32);
    lab.setGate([next, MAC1_KEY], [], { mac1Count: 1 });
    expect(await verdictOf(arriving(message(shape)))).toEqual(droppedFor('mac1'));
    lab.setMac1Keys([next]);
    expect(await verdictOf(arriving(message(shape, { mac1Key: new Uint8Array(32) })))).toEqual(droppedFor('mac1'));
    expect(await verdictOf(arriving(message(shape, { mac1Key: next })))).toEqual(PASSED);
  });

  it('without any key nobody gets in', async () => {
    const nothing = message(shape, { mac1Key: new Uint8Array(32) });
    lab.map('gate_map').delete({ key: Buffer.alloc(4) });
    expect(await verdictOf(arriving(nothing))).toEqual(droppedFor('mac1'));
    lab.setMac1Keys([]);
    expect(await verdictOf(arriving(nothing))).toEqual(droppedFor('mac1'));
  });
});

describe.each(titled(SHAPES))('%s', (_, shape) => {
  it.each([-16, -1, 1, 16])('is not %i bytes longer', async (more) => {
    const other = { ...shape, length: shape.length + more } as Shape;
    expect(await verdictOf(arriving(message(other)))).toEqual(droppedFor('controlInvalid'));
  });
});

describe('shape', () => {
  const headed = (type: number, version: number, length: number) => {
    const bytes = randomBytes(length);
    bytes.fill(0, 0, 16);
    bytes[8] = type;
    bytes[9] = version;
    return arriving(bytes);
  };

  it.each([0, 4, 5, 6, 7, 255])('type %i is not accepted, whatever its length', async (type) => {
    for (const { length } of SHAPES)
      expect(await verdictOf(headed(type, 1, length))).toEqual(droppedFor('controlInvalid'));
  });
  it.each([0, 3, 255])('version %i is not accepted', async (version) => {
    for (const { type, length } of SHAPES)
      expect(await verdictOf(headed(type, version, length))).toEqual(droppedFor('controlInvalid'));
  });
  it('a message has its own version’s length, and its own type’s', async () => {
    for (const { type, version, length } of SHAPES) {
      const others = SHAPES.map((other) => other.length).filter((other) => other !== length);
      for (const other of others)
        expect(await verdictOf(headed(type, version, other))).toEqual(droppedFor('controlInvalid'));
    }
  });
  it('a header alone is no message', async () => {
    expect(await verdictOf(arriving(Buffer.alloc(16)))).toEqual(droppedFor('controlInvalid'));
  });
});

describe.each(titled(ANSWERS))('an answer: %s', (_, shape) => {
  it('to nobody’s initiation is dropped', async () => {
    expect(await verdictOf(arriving(message(shape, { receiver: OURS + 1n })))).toEqual(droppedFor('unexpected'));
    expect(await verdictOf(arriving(message(shape, { receiver: 0n })))).toEqual(droppedFor('unexpected'));
  });
  it('that comes too late is dropped', async () => {
    lab.setPending(OURS, bootTimeNs() - 1n);
    expect(await verdictOf(arriving(message(shape)))).toEqual(droppedFor('unexpected'));
  });
  it('costs no token', async () => {
    const answers = Array.from({ length: 4 * RATE }, () => arriving(message(shape)));
    const runs = await lab.runAll('omni_ingress', answers);
    expect(runs.every(({ retval }) => retval === XDP_PASS)).toBe(true);
    expect(lab.map('source_map').lookup({ key: ip(SOURCE) })).toBeUndefined();
  });
  it('is not asked for before its mac1 is right, which of a cookie reply nobody can tell here', async () => {
    const foreign = (receiver: bigint) => message(shape, { mac1Key: randomBytes(32), receiver });
    const isCookie = COOKIE_REPLIES.includes(shape);
    expect(await verdictOf(arriving(foreign(OURS + 1n)))).toEqual(droppedFor(isCookie ? 'unexpected' : 'mac1'));
    expect(await verdictOf(arriving(foreign(OURS)))).toEqual(isCookie ? PASSED : droppedFor('mac1'));
  });
});

const passes = (runs: { retval: number }[]) => runs.filter(({ retval }) => retval === XDP_PASS).length;
const burst = (count: number, source: string, make: () => Uint8Array = () => message(INITIATION)) =>
  Array.from({ length: count }, () => arriving(make(), source));

describe('a source', () => {
  const run = (packets: Uint8Array[]) => lab.runAll('omni_ingress', packets);

  it.each([
    ['10.1.1.1', '10.1.1.2'],
    ['2001:db8:1:1::1', '2001:db8:1:2::1'],
  ])('%s gets its burst, then nothing; %s is not concerned', async (source, other) => {
    const { result, drops } = await lab.counted(() => run(burst(RATE + 20, source)));
    expect(passes(result)).toBe(RATE);
    expect(drops).toEqual({ ratelimit: 20 });
    expect(passes(await run(burst(1, other)))).toBe(1);
  });
  it('of IPv6 is a network of 64 bits', async () => {
    const hosts = Array.from({ length: 2 * RATE }, () => `2001:db8:1:1:${randomBytes(2).toString('hex')}::1`);
    const { result, drops } = await lab.counted(() => run(hosts.map((host) => arriving(message(INITIATION), host))));
    expect(passes(result)).toBe(RATE);
    expect(drops).toEqual({ ratelimit: RATE });
  });
  it('has one bucket for both versions', async () => {
    const mixed = INITIATIONS.flatMap((shape) => burst(RATE, '10.1.1.7', () => message(shape)));
    expect(passes(await run(mixed))).toBe(RATE);
  });
  it('that was refused has a token again after one’s time', async () => {
    await run(burst(RATE + 3, '10.1.1.3'));
    // As if a token's time, and not quite two, had passed.
    const fullNs = bootTimeNs() + SECOND - (SECOND * 19n) / (10n * BigInt(RATE));
    lab.map('source_map').update({ key: ip('10.1.1.3'), value: encodeSourceEntry({ fullNs }) });
    expect(passes(await run(burst(5, '10.1.1.3')))).toBe(1);
  });
  it('that was silent for long has its burst, not more', async () => {
    lab.map('source_map').update({ key: ip('10.1.1.4'), value: encodeSourceEntry({ fullNs: 1n }) });
    expect(passes(await run(burst(RATE + 5, '10.1.1.4')))).toBe(RATE);
  });
  it('pays for its own messages only: those of others who are no members cost nothing', async () => {
    await run(burst(50, '10.1.1.6', () => message(INITIATION, { mac1Key: randomBytes(32) })));
    expect(lab.map('source_map').entries().count).toBe(0);
    expect(passes(await run(burst(RATE, '10.1.1.6')))).toBe(RATE);
  });
});

describe.each(titled(INITIATIONS))('%s under load', (_, shape) => {
  const current: Uint8Array = randomBytes(32);
  const before: Uint8Array = randomBytes(32);
  const UNPROVEN = droppedFor('overload');
  const cookie = (secret = current, source = SOURCE, port = FROM_PORT) => cookieFor(secret, source, port);

  beforeEach(() => {
    lab.setGate([MAC1_KEY], [current, before]);
    // Nobody without a proof gets in for a while.
    lab.map('source_map').update({ key: ip('::'), value: encodeSourceEntry({ fullNs: FULL_NS }) });
  });

  it.each([SOURCE, SOURCE6])('passes with a cookie of this node for %s and this port', async (source) => {
    for (const secret of [current, before]) {
      const proven = message(shape, { cookie: cookie(secret, source) });
      expect(await verdictOf(arriving(proven, source))).toEqual(PASSED);
    }
  });
  it('does not pass without', async () => {
    expect(await verdictOf(arriving(message(shape)))).toEqual(UNPROVEN);
  });
  it.each([
    ['another source’s', cookie(current, '198.51.100.3')],
    ['that of the same bytes in the other family', cookie(current, '::c633:6402')],
    ['another port’s', cookie(current, SOURCE, FROM_PORT + 1)],
    ['one under a secret that is gone', cookie(randomBytes(32))],
    ['one that is all zeros', new Uint8Array(16)],
  ])('nor with a cookie that is not its own: %s', async (__, other) => {
    expect(await verdictOf(arriving(message(shape, { cookie: other })))).toEqual(UNPROVEN);
  });
  it('nor with any bit of mac2 flipped', async () => {
    const good = message(shape, { cookie: cookie() });
    const packets = Array.from({ length: 128 }, (__, bit) => {
      const bad = Buffer.from(good);
      const at = shape.length - 16 + (bit >> 3);
      bad.writeUInt8(bad.readUInt8(at) ^ (1 << (bit & 7)), at);
      return arriving(bad);
    });
    for (const packet of packets) {
      lab.map('source_map').delete({ key: ip(SOURCE) });
      expect(await verdictOf(packet)).toEqual(UNPROVEN);
    }
  });
  it('nor with the mac2 of another message', async () => {
    const other = message(shape, { cookie: cookie() });
    const mixed = message(shape);
    mixed.set(other.subarray(-16), shape.length - 16);
    expect(await verdictOf(arriving(mixed))).toEqual(UNPROVEN);
  });
  it('nor with a cookie under secrets that are not in force, wherever they lie', async () => {
    lab.setGate([MAC1_KEY], [current, before], { cookieCount: 1 });
    expect(await verdictOf(arriving(message(shape, { cookie: cookie(before) })))).toEqual(UNPROVEN);
    lab.setGate([MAC1_KEY], [current]);
    expect(await verdictOf(arriving(message(shape, { cookie: cookie(new Uint8Array(32)) })))).toEqual(UNPROVEN);
    lab.setGate([MAC1_KEY], []);
    expect(await verdictOf(arriving(message(shape, { cookie: cookie() })))).toEqual(UNPROVEN);
  });
  it('pays from its source’s bucket with a cookie, too: one that nobody can empty in its name', async () => {
    const inItsName = await lab.runAll('omni_ingress', burst(RATE + 5, SOURCE));
    expect(passes(inItsName)).toBe(0);
    const proven = burst(RATE + 5, SOURCE, () => message(shape, { cookie: cookie() }));
    const { result, drops } = await lab.counted(() => lab.runAll('omni_ingress', proven));
    expect(passes(result)).toBe(RATE);
    expect(drops).toEqual({ ratelimit: 5 });
  });
});

describe('all sources together', () => {
  const host = (i: number) => `10.${2 + (i >> 16)}.${(i >> 8) & 255}.${i & 255}`;
  const fromEverywhere = (count: number) =>
    Array.from({ length: count }, (_, i) => arriving(message(INITIATION), host(i)));

  it('get as many initiations through without a proof as the agent is asked to look at', async () => {
    const limit = OMNI_UNPROVEN_PER_SECOND;
    const count = limit + 500;
    const started = bootTimeNs();
    const { result, drops, stats } = await lab.counted(() => lab.runAll('omni_ingress', fromEverywhere(count)));
    const seconds = Number(bootTimeNs() - started) / 1e9;
    const passed = passes(result);
    expect(passed).toBeGreaterThanOrEqual(limit);
    expect(passed).toBeLessThanOrEqual(limit + Math.ceil(limit * seconds));
    expect(stats).toEqual({ controlPassed: passed });
    expect(drops).toEqual({ overload: count - passed });
  });
  it('get as many cookie replies through as the agent is asked to look at, beside the initiations', async () => {
    const [reply] = COOKIE_REPLIES;
    if (reply === undefined) throw new Error('there is no cookie reply');
    const limit = OMNI_UNPROVEN_PER_SECOND;
    const replies = Array.from({ length: limit + 500 }, (_, i) => arriving(message(reply), host(i)));
    const started = bootTimeNs();
    const { result, drops } = await lab.counted(() => lab.runAll('omni_ingress', replies));
    const seconds = Number(bootTimeNs() - started) / 1e9;
    const passed = passes(result);
    expect(passed).toBeGreaterThanOrEqual(limit);
    expect(passed).toBeLessThanOrEqual(limit + Math.ceil(limit * seconds));
    expect(drops).toEqual({ overload: replies.length - passed });
    expect(passes(await lab.runAll('omni_ingress', burst(1, '10.1.1.9')))).toBe(1);
  });
  it('share that with no source’s own bucket: not even with one in ::/64', async () => {
    const run = (packets: Uint8Array[]) => lab.runAll('omni_ingress', packets);
    expect(passes(await run(burst(RATE + 5, '::1')))).toBe(RATE);
    const left =
      lab
        .map('source_map')
        .lookup({ key: ip('::') })
        ?.readBigUInt64LE() ?? 0n;
    expect(left - bootTimeNs()).toBeLessThanOrEqual((BigInt(RATE) * SECOND) / BigInt(OMNI_UNPROVEN_PER_SECOND));
    expect(passes(await run(burst(1, '10.1.1.9')))).toBe(1);
  });
});

/** Made by another implementation. */
describe('the vectors', async () => {
  const vectors = (name: string) =>
    readFile(new URL(`../vectors/${name}.json`, import.meta.url), 'utf8').then(JSON.parse);
  const [protocol, hybrid, cookies] = await Promise.all(['protocol', 'hybrid', 'cookie'].map(vectors));
  const cases: { version: 1 | 2; address: string; port: number; secret: string; mac2: string; reply: string }[] =
    cookies.cases;
  const hex = (text: string) => Buffer.from(text, 'hex');

  it.each(cases)('version $version, from $address:$port, secret $secret', async (each) => {
    const initiation = hex(each.version === 1 ? protocol.handshake.initiation : hybrid.initiation);
    lab.setGate([hex(protocol.responder.mac1Key)], [hex(each.secret)]);
    lab.map('source_map').update({ key: ip('::'), value: encodeSourceEntry({ fullNs: FULL_NS }) });
    const send = (payload: Uint8Array) => verdictOf(arriving(payload, each.address, each.port));
    expect(await send(initiation)).toEqual(droppedFor('overload'));
    initiation.set(hex(each.mac2), initiation.length - 16);
    expect(await send(initiation)).toEqual(PASSED);
    lab.setPending(BigInt(protocol.handshake.initiatorId), FULL_NS);
    expect(await send(hex(each.reply))).toEqual(PASSED);
  });

  it.each(['protocol', 'hybrid'])('a response of %s', async (name) => {
    lab.setMac1Keys([hex(protocol.initiator.mac1Key)]);
    const response = hex(name === 'hybrid' ? hybrid.response : protocol.handshake.response);
    expect(await verdictOf(arriving(response))).toEqual(droppedFor('unexpected'));
    lab.setPending(BigInt(protocol.handshake.initiatorId), FULL_NS);
    expect(await verdictOf(arriving(response))).toEqual(PASSED);
  });
});
