import { randomBytes } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import {
  encodeSourceEntry,
  OMNI_KNOWN_PER_SECOND,
  OMNI_PREFIX48_FACTOR,
  OMNI_PREFIX56_FACTOR,
  OMNI_PROVEN_PER_SECOND,
  OMNI_RESPONSES_PER_SECOND,
  OMNI_UNPROVEN_PER_SECOND,
} from '../../src/dataplane/kernel/layout.ts';
import { datagram, ip } from './frames.ts';
import { datagram6 } from './frames6.ts';
import {
  ANSWERS,
  cookieFor,
  handshake,
  INITIATIONS,
  type Message,
  SHAPES,
  type Shape,
  withCookie,
} from './handshakes.ts';
import { bootTimeNs, CONFIG, Lab, MAC1_KEY, type MapName, PORT, u64, XDP_DROP, XDP_PASS } from './lab.ts';

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
  lab = await Lab.open({}, ['omni_ingress', 'omni_socket']);
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
    expect(await verdictOf(arriving(message(shape), source))).toEqual(PASSED);
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
  it('costs its source no token', async () => {
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

/** A secret of this node's cookies. */
const SECRET: Uint8Array = randomBytes(32);
const proving = (source: string, shape: Shape = INITIATION) =>
  message(shape, { cookie: cookieFor(SECRET, source, FROM_PORT) });
const proven = (source: string, shape: Shape = INITIATION) => arriving(proving(source, shape), source);
const provenBurst = (count: number, source: string) => Array.from({ length: count }, () => proven(source));
/** The key of a source's own bucket. */
function bucketOf(source: string): Uint8Array {
  const key = Uint8Array.from(ip(source));
  key[8] = 1;
  return key;
}

describe('a source that proved its address', () => {
  const run = (packets: Uint8Array[]) => lab.runAll('omni_ingress', packets);
  beforeEach(() => lab.setGate([MAC1_KEY], [SECRET]));

  it.each([
    ['10.1.1.1', '10.1.1.2'],
    ['2001:db8:1:1::1', '2001:db8:1:2::1'],
  ])('%s gets its burst, then nothing; %s is not concerned', async (source, other) => {
    const { result, drops } = await lab.counted(() => run(provenBurst(RATE + 20, source)));
    expect(passes(result)).toBe(RATE);
    expect(drops).toEqual({ ratelimit: 20 });
    expect(passes(await run(provenBurst(1, other)))).toBe(1);
  });
  it('of IPv6 is a network of 64 bits', async () => {
    const hosts = Array.from({ length: 2 * RATE }, () => `2001:db8:1:1:${randomBytes(2).toString('hex')}::1`);
    const { result, drops } = await lab.counted(() => run(hosts.map((host) => proven(host))));
    expect(passes(result)).toBe(RATE);
    expect(drops).toEqual({ ratelimit: RATE });
  });
  it.each([
    [56, OMNI_PREFIX56_FACTOR, (i: number) => `2001:db8:1:1${i.toString(16).padStart(2, '0')}::1`],
    [48, OMNI_PREFIX48_FACTOR, (i: number) => `2001:db8:2:${i.toString(16).padStart(2, '0')}00::1`],
  ])('of an IPv6 network of %i bits gets %i bursts, whatever the sources within', async (_, factor, host) => {
    const packets = Array.from({ length: 2 * factor * RATE }, (__, i) => proven(host(i)));
    const { result, drops } = await lab.counted(() => run(packets));
    expect(passes(result)).toBe(factor * RATE);
    expect(drops).toEqual({ ratelimit: factor * RATE });
    expect(passes(await run(provenBurst(1, '2001:db8:3:300::1')))).toBe(1);
  });
  it('has one bucket for both versions', async () => {
    const mixed = INITIATIONS.flatMap((shape) => Array.from({ length: RATE }, () => proven('10.1.1.7', shape)));
    expect(passes(await run(mixed))).toBe(RATE);
  });
  it('that was refused has a token again after one’s time', async () => {
    await run(provenBurst(RATE + 3, '10.1.1.3'));
    // As if a token's time, and not quite two, had passed.
    const fullNs = bootTimeNs() + SECOND - (SECOND * 19n) / (10n * BigInt(RATE));
    lab.map('source_map').update({ key: bucketOf('10.1.1.3'), value: encodeSourceEntry({ fullNs }) });
    expect(passes(await run(provenBurst(5, '10.1.1.3')))).toBe(1);
  });
  it('that was silent for long has its burst, not more', async () => {
    lab.map('source_map').update({ key: bucketOf('10.1.1.4'), value: encodeSourceEntry({ fullNs: 1n }) });
    expect(passes(await run(provenBurst(RATE + 5, '10.1.1.4')))).toBe(RATE);
  });
  it('pays for no message of others in its name: neither of non-members nor of those without its cookie', async () => {
    await run(burst(50, '10.1.1.6', () => message(INITIATION, { mac1Key: randomBytes(32) })));
    expect(lab.map('source_map').entries().count).toBe(0);
    expect(passes(await run(burst(50, '10.1.1.6')))).toBe(50);
    expect(lab.map('source_map').lookup({ key: bucketOf('10.1.1.6') })).toBeUndefined();
    expect(passes(await run(provenBurst(RATE, '10.1.1.6')))).toBe(RATE);
  });
});

describe('an initiation that came before', () => {
  beforeEach(() => lab.setGate([MAC1_KEY], [SECRET]));
  const RECORDED = droppedFor('recorded');

  it.each([SOURCE, SOURCE6])('from %s is dropped, and nobody pays for it', async (source) => {
    const packet = arriving(message(INITIATION), source);
    expect(await verdictOf(packet)).toEqual(PASSED);
    const [{ key, value } = { key: '', value: '' }] = rowsOf('source_map');
    for (let i = 0; i < 3; i++) expect(await verdictOf(packet)).toEqual(RECORDED);
    expect(rowsOf('source_map')).toEqual([{ key, value }]);
  });
  it('with proof is dropped as well, and its source keeps its tokens', async () => {
    const packet = proven(SOURCE);
    expect(await verdictOf(packet)).toEqual(PASSED);
    for (let i = 0; i < 2 * RATE; i++) expect(await verdictOf(packet)).toEqual(RECORDED);
    expect(passes(await lab.runAll('omni_ingress', provenBurst(RATE, SOURCE)))).toBe(RATE - 1);
  });
  it('passes once more with proof: it was answered with a cookie', async () => {
    const plain = message(INITIATION);
    expect(await verdictOf(arriving(plain))).toEqual(PASSED);
    const again = withCookie(plain, INITIATION.covered, cookieFor(SECRET, SOURCE, FROM_PORT));
    expect(await verdictOf(arriving(again))).toEqual(PASSED);
    expect(await verdictOf(arriving(again))).toEqual(RECORDED);
    expect(await verdictOf(arriving(plain))).toEqual(RECORDED);
  });
  it('passes from another source: robots roam, and recordings say nothing of who sends them', async () => {
    const plain = message(INITIATION);
    expect(await verdictOf(arriving(plain, '10.1.1.1'))).toEqual(PASSED);
    expect(await verdictOf(arriving(plain, '10.1.1.2'))).toEqual(PASSED);
  });
  it('and was refused is not held against it', async () => {
    const packet = arriving(message(INITIATION));
    lab.map('source_map').update({ key: ip('::'), value: encodeSourceEntry({ fullNs: FULL_NS }) });
    expect(await verdictOf(packet)).toEqual(droppedFor('overload'));
    lab.map('source_map').delete({ key: ip('::') });
    expect(await verdictOf(packet)).toEqual(PASSED);
  });
});

function rowsOf(name: MapName): { key: string; value: string }[] {
  const map = lab.map(name);
  const { keySize, valueSize } = map.info;
  const { count, keys, values } = map.entries();
  const part = (bytes: Buffer, size: number, i: number) => bytes.subarray(i * size, (i + 1) * size).toString('hex');
  return Array.from({ length: count }, (_, i) => ({ key: part(keys, keySize, i), value: part(values, valueSize, i) }));
}

describe('while no agent listens', () => {
  beforeEach(() => lab.child.stopListening());
  afterEach(() => lab.child.listen(PORT));

  it.each(titled(SHAPES))('a %s is dropped: the stack would answer with an ICMP error', async (_, shape) => {
    for (const source of [SOURCE, SOURCE6]) {
      const packet = arriving(message(shape), source);
      expect(await verdictOf(packet)).toEqual(droppedFor('noAgent'));
      expect(await verdictOf(packet)).toEqual(droppedFor('noAgent')); // not: recorded
    }
    expect(lab.map('ticket_map').entries().count).toBe(0);
  });
});

describe('behind VLAN tags', () => {
  const PRIORITY = ['81002000', '88a80000', '8100e000', '81000000', '88a8a000'];
  const tagged = (packet: Buffer, ...tags: string[]) =>
    Buffer.concat([packet.subarray(0, 12), Buffer.from(tags.join(''), 'hex'), packet.subarray(12)]);
  const PASSED_BY = { verdict: XDP_PASS, drops: {}, stats: {} };
  const kinds = (source: string, port = PORT): Buffer[] =>
    [message(INITIATION), randomBytes(100), Buffer.alloc(4)].map((payload) =>
      source === SOURCE ? datagram({ source, port, payload }) : datagram6({ source, port, payload }),
    );

  it.each([1, 2, 3, 4, 5])('of VLAN 0, %i of them, a datagram to our port is dropped', async (count) => {
    for (const packet of [...kinds(SOURCE), ...kinds(SOURCE6)])
      expect(await verdictOf(tagged(packet, ...PRIORITY.slice(0, count)))).toEqual(droppedFor('tagged'));
  });
  it('of VLAN 0 so is one with IP options, and a first fragment', async () => {
    const odd = [
      datagram({ port: PORT, payload: randomBytes(50), options: Buffer.alloc(8, 1) }),
      datagram({ port: PORT, payload: randomBytes(50), fragment: 0x2000 }),
    ];
    for (const packet of odd) expect(await verdictOf(tagged(packet, '81000000'))).toEqual(droppedFor('tagged'));
  });
  it('what is to other ports passes', async () => {
    for (const packet of [...kinds(SOURCE, PORT + 1), ...kinds(SOURCE6, PORT + 1)])
      for (const count of [1, 4])
        expect(await verdictOf(tagged(packet, ...PRIORITY.slice(0, count)))).toEqual(PASSED_BY);
  });
  it('another VLAN is another network', async () => {
    for (const packet of [...kinds(SOURCE), ...kinds(SOURCE6)])
      for (const tags of [['81000001'], ['88a82fff'], ['81000000', '81000064']])
        expect(await verdictOf(tagged(packet, ...tags))).toEqual(PASSED_BY);
  });
  it('a tag that is cut short passes', async () => {
    for (let length = 14; length < 42; length++) {
      const short = tagged(datagram({ port: PORT, payload: randomBytes(50) }), '81000000').subarray(0, length);
      expect(await verdictOf(short)).toEqual(PASSED_BY);
    }
  });
});

describe('the filter on the agent’s socket', () => {
  /** What it returns: how many bytes of the datagram get in. Test runs give it the packet without its Ethernet header. */
  const admits = async (packet: Uint8Array): Promise<boolean> => {
    const { result, drops } = await lab.counted(() => lab.run('omni_socket', packet));
    expect(drops).toEqual(result.retval === 0 ? { bypass: 1 } : {});
    expect([0, packet.length - 14]).toContain(result.retval);
    return result.retval > 0;
  };

  it.each(titled(SHAPES))('lets a %s in that the ingress program passed, once', async (_, shape) => {
    for (const source of [SOURCE, SOURCE6]) {
      const packet = arriving(message(shape), source);
      expect(await admits(packet)).toBe(false);
      expect(await verdictOf(packet)).toEqual(PASSED);
      expect(await admits(packet)).toBe(true);
      expect(await admits(packet)).toBe(false);
    }
  });
  it('lets nothing else in', async () => {
    for (const payload of [message(INITIATION), randomBytes(56), randomBytes(24), Buffer.alloc(160)])
      expect(await admits(arriving(payload))).toBe(false);
  });
  it('nor what was passed long ago, and got lost on the way', async () => {
    const payload = message(INITIATION);
    const key = payload.subarray(-32, -16);
    lab.map('ticket_map').update({ key, value: u64(bootTimeNs() - 3n * SECOND) });
    expect(await admits(arriving(payload))).toBe(false);
    lab.map('ticket_map').update({ key, value: u64(bootTimeNs()) });
    expect(await admits(arriving(payload))).toBe(true);
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
  it('pays from its source’s bucket: one that nobody can empty in its name', async () => {
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
  it.each([
    ['cookie replies', COOKIE_REPLIES[0], OMNI_UNPROVEN_PER_SECOND],
    ['responses', ANSWERS.find(({ type }) => type === 2), OMNI_RESPONSES_PER_SECOND],
  ])('get as many %s through as the agent is asked to look at, beside the initiations', async (_, shape, limit) => {
    if (shape === undefined) throw new Error('there is no such shape');
    const replies = Array.from({ length: limit + 500 }, (__, i) => arriving(message(shape), host(i)));
    const started = bootTimeNs();
    const { result, drops } = await lab.counted(() => lab.runAll('omni_ingress', replies));
    const seconds = Number(bootTimeNs() - started) / 1e9;
    const passed = passes(result);
    expect(passed).toBeGreaterThanOrEqual(limit);
    expect(passed).toBeLessThanOrEqual(limit + Math.ceil(limit * seconds));
    expect(drops).toEqual({ overload: replies.length - passed });
    expect(passes(await lab.runAll('omni_ingress', burst(1, '10.1.1.9')))).toBe(1);
  });
  it.each([
    ['that completed no handshake lately', false, OMNI_PROVEN_PER_SECOND],
    ['that did', true, OMNI_KNOWN_PER_SECOND],
  ])('with proof, those %s have a share of their own', async (_, known, limit) => {
    lab.setGate([MAC1_KEY], [SECRET]);
    const knownSince = (source: string, ns: bigint) => lab.map('known_map').update({ key: ip(source), value: u64(ns) });
    const others = known ? '10.9.9.1' : '10.9.9.2';
    knownSince('10.9.9.2', bootTimeNs());
    const sources = Array.from({ length: limit + 100 }, (__, i) => host(i));
    for (const source of known ? sources : []) knownSince(source, bootTimeNs());
    const started = bootTimeNs();
    const packets = sources.map((source) => proven(source));
    const { result, drops } = await lab.counted(() => lab.runAll('omni_ingress', packets));
    const seconds = Number(bootTimeNs() - started) / 1e9;
    const passed = passes(result);
    expect(passed).toBeGreaterThanOrEqual(limit);
    expect(passed).toBeLessThanOrEqual(limit + Math.ceil(limit * seconds));
    expect(drops).toEqual({ overload: packets.length - passed });
    expect(passes(await lab.runAll('omni_ingress', [proven(others)]))).toBe(1);
  });
  it('a source is known for a day, an IPv6 one by its network of 64 bits', async () => {
    lab.setGate([MAC1_KEY], [SECRET]);
    const full = { key: Uint8Array.from(ip('::')), value: encodeSourceEntry({ fullNs: FULL_NS }) };
    full.key[8] = 4;
    lab.map('source_map').update(full);
    // The machine may have been up for less: the programs' arithmetic wraps, too.
    const day = 24n * 3600n * SECOND;
    lab.map('known_map').update({ key: ip('10.9.9.3'), value: u64(BigInt.asUintN(64, bootTimeNs() - day - SECOND)) });
    lab
      .map('known_map')
      .update({ key: ip('2001:db8:7:7::'), value: u64(BigInt.asUintN(64, bootTimeNs() - day + 60n * SECOND)) });
    expect(await verdictOf(proven('10.9.9.3'))).toEqual(droppedFor('overload'));
    expect(await verdictOf(proven('2001:db8:7:8::1'))).toEqual(droppedFor('overload'));
    expect(await verdictOf(proven('2001:db8:7:7::1'))).toEqual(PASSED);
  });
  it('share that with no source’s own bucket: not even with one in ::/64', async () => {
    lab.setGate([MAC1_KEY], [SECRET]);
    const run = (packets: Uint8Array[]) => lab.runAll('omni_ingress', packets);
    expect(passes(await run(provenBurst(RATE + 5, '::1')))).toBe(RATE);
    expect(lab.map('source_map').lookup({ key: ip('::') })).toBeUndefined();
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
