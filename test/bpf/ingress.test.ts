import { randomBytes } from 'node:crypto';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { OmniEventType, OmniSessionFlags } from '../../src/dataplane/kernel/layout.ts';
import { type Datagram, datagram, ethernet, inner, OVERHEAD, sealed } from './frames.ts';
import { bootTimeNs, Lab, PORT, words, XDP_DROP, XDP_PASS, XDP_REDIRECT } from './lab.ts';

/** Datagrams that arrive on an underlay interface. */

const MINE = '02:00:00:00:00:01';
const THEIRS = '02:00:00:00:00:02';
const OTHERS = '02:00:00:00:00:03';
const PEER = 7n;
const OTHER_PEER = 8n;
const ID = 0x8877665544332211n;
const KEY = randomBytes(32);
const LENGTHS = [14, 15, 16, 17, 63, 64, 65, 255, 256, 257, 1426];

let lab: Lab;
beforeAll(async () => {
  lab = await Lab.open();
});
afterAll(() => lab?.close());
beforeEach(() => {
  lab.clear();
  lab.setFdb(THEIRS, PEER);
  lab.setFdb(OTHERS, OTHER_PEER);
  lab.setNeighbour('10.77.0.2', THEIRS);
  lab.setNeighbour('10.77.0.3', OTHERS);
  lab.setNeighbour('fd77::2', THEIRS);
  lab.setNeighbour('fd77::3', OTHERS);
  lab.setSession(ID, { peer: PEER, rxKey: words(KEY) });
});

const message = (frame: Uint8Array, counter = 0n) => sealed(KEY, ID, counter, frame);
const arriving = (payload: Uint8Array, more: Partial<Datagram> = {}) => datagram({ port: PORT, payload, ...more });
const frameOf = (length: number) => ethernet(MINE, THEIRS, 0x88b6, randomBytes(length - 14));
const ping = () => inner(MINE, THEIRS, '10.77.0.2', '10.77.0.1');

async function dropped(packet: Uint8Array): Promise<object> {
  const before = lab.session(ID);
  const { result, drops, stats } = await lab.counted(() => lab.run('omni_ingress', packet));
  expect({ verdict: result.retval, stats }).toEqual({ verdict: XDP_DROP, stats: {} });
  const after = lab.session(ID);
  if (!('innerMalformed' in drops)) expect(after).toEqual(before);
  return drops;
}

describe('opening', () => {
  it.each(LENGTHS)('what OpenSSL sealed, %i bytes', async (length) => {
    const frame = frameOf(length);
    const { result, drops, stats } = await lab.counted(() => lab.run('omni_ingress', arriving(message(frame))));
    expect(result.retval).toBe(XDP_REDIRECT);
    expect(result.data).toEqual(frame);
    expect({ drops, stats }).toEqual({ drops: {}, stats: { rxPackets: 1, rxBytes: length } });
  });

  it('random lengths and counters; the session’s statistics add up', async () => {
    const frames = Array.from({ length: 400 }, () => frameOf(14 + Math.floor(Math.random() * 1420)));
    const start = bootTimeNs();
    const packets = frames.map((frame, i) => arriving(message(frame, BigInt(i) * 3n)));
    for (const [i, { retval, data }] of (await lab.runAll('omni_ingress', packets)).entries()) {
      expect(retval).toBe(XDP_REDIRECT);
      expect(data).toEqual(frames[i]);
    }
    const session = lab.session(ID);
    expect(session.rxPackets).toBe(400n);
    expect(session.rxBytes).toBe(BigInt(frames.reduce((sum, frame) => sum + frame.length, 0)));
    expect(session.rxLastNs).toBeGreaterThan(start);
    expect(session.rxDataLastNs).toBe(session.rxLastNs);
  });

  it('cuts off Ethernet padding', async () => {
    const { result } = await lab.counted(() =>
      lab.run('omni_ingress', Buffer.concat([arriving(message(frameOf(20))), Buffer.alloc(7, 0x5a)])),
    );
    expect(result.data.length).toBe(20);
  });

  it('a keepalive: counted, and it ends here', async () => {
    const empty = arriving(message(new Uint8Array(0)));
    const { result, drops, stats } = await lab.counted(() => lab.run('omni_ingress', empty));
    expect(result.retval).toBe(XDP_DROP);
    expect({ drops, stats }).toEqual({ drops: {}, stats: { rxPackets: 1 } });
    const session = lab.session(ID);
    expect(session.rxPackets).toBe(1n);
    expect(session.rxLastNs).toBeGreaterThan(0n);
    expect(session.rxDataLastNs).toBe(0n);
  });
});

describe('a flipped bit', () => {
  it.each([0, 50])('anywhere in id, counter, tag and a ciphertext of %i bytes', async (length) => {
    const frame = length ? ethernet(MINE, THEIRS, 0x88b6, Buffer.alloc(length - 14)) : Buffer.alloc(0);
    const good = arriving(message(frame, 5n));
    const before = lab.session(ID);
    const packets: Buffer[] = [];
    for (let bit = 8 * 42; bit < 8 * good.length; bit++) {
      const bad = Buffer.from(good);
      bad.writeUInt8(bad.readUInt8(bit >> 3) ^ (1 << (bit & 7)), bit >> 3);
      packets.push(bad);
    }
    const { result, drops, stats } = await lab.counted(() => lab.runAll('omni_ingress', packets));
    for (const [i, { retval, data }] of result.entries()) {
      expect(retval).toBe(XDP_DROP);
      expect(data).toEqual(packets[i]); // not a byte was decrypted
    }
    expect({ drops, stats }).toEqual({ drops: { sessionUnknown: 64, auth: 8 * (8 + 16 + length) }, stats: {} });
    expect(lab.session(ID)).toEqual(before);
    expect((await lab.run('omni_ingress', good)).retval).toBe(length ? XDP_REDIRECT : XDP_DROP);
    expect(lab.session(ID).rxPackets).toBe(1n);
  });
});

describe('drops', () => {
  it('a captured datagram sent again', async () => {
    const packet = arriving(message(ping()));
    expect((await lab.run('omni_ingress', packet)).retval).toBe(XDP_REDIRECT);
    expect(await dropped(packet)).toEqual({ replay: 1 });
  });
  it('an unknown session', async () => {
    expect(await dropped(arriving(sealed(KEY, ID + 1n, 0n, ping())))).toEqual({ sessionUnknown: 1 });
  });
  it('a session from the moment it expires', async () => {
    lab.setSession(ID, { peer: PEER, rxKey: words(KEY), expiresNs: bootTimeNs() });
    const { result, drops } = await lab.counted(() => lab.run('omni_ingress', arriving(message(ping()))));
    expect({ verdict: result.retval, drops }).toEqual({ verdict: XDP_DROP, drops: { sessionExpired: 1 } });
    expect(lab.session(ID).rxPackets).toBe(0n);
  });
  it('another session’s key', async () => {
    expect(await dropped(arriving(sealed(randomBytes(32), ID, 0n, ping())))).toEqual({ auth: 1 });
  });
  it.each([1, 13])('%i authentic bytes, which are no frame', async (length) => {
    expect(await dropped(arriving(message(Buffer.alloc(length))))).toEqual({ innerMalformed: 1 });
  });

  const whole = message(ethernet(MINE, THEIRS, 0x88b6, Buffer.alloc(50)));
  const truncated: [string, Buffer][] = [
    ['no payload', arriving(Buffer.alloc(0))],
    ['one byte less than a control header', arriving(Buffer.alloc(15))],
    ['one byte less than a header', arriving(whole.subarray(0, 31))],
    [
      'an IP length beyond the frame',
      arriving(whole, { totalLength: 28 + whole.length + 1, udpLength: 9 + whole.length }),
    ],
    ['an IP length below its headers', arriving(whole, { totalLength: 27, udpLength: 7 })],
    ['a UDP length beyond IP’s', arriving(whole, { udpLength: 9 + whole.length })],
    ['a UDP length below IP’s', arriving(whole, { udpLength: 7 + whole.length })],
    ['IP options', arriving(whole, { options: Buffer.from('01010101', 'hex') })],
    ['a first fragment', arriving(whole, { fragment: 0x2000 })],
    ['a UDP header cut off behind its ports', arriving(whole).subarray(0, 38)],
  ];
  it.each(truncated)('malformed: %s', async (_, packet) => {
    expect(await dropped(packet)).toEqual({ truncated: 1 });
  });
});

describe('others’ traffic passes untouched', () => {
  const payload = message(ping());
  const cases: [string, Buffer][] = [
    ['another port', datagram({ port: PORT + 1, payload })],
    ['from our port', datagram({ port: 53, sourcePort: PORT, payload })],
    ['TCP', arriving(payload, { protocol: 6 })],
    ['IPv6', arriving(payload, { ethertype: 0x86dd })],
    ['ARP', arriving(payload, { ethertype: 0x0806 })],
    ['a later fragment', arriving(payload, { fragment: 0x2001 })],
    ['a last fragment', arriving(payload, { fragment: 0x0010 })],
    ['an IP header that is too short', ethernet(MINE, THEIRS, 0x0800, Buffer.alloc(10, 0x45))],
    ['a runt', Buffer.alloc(14)],
  ];
  it.each(cases)('%s', async (_, packet) => {
    const { result, drops, stats } = await lab.counted(() => lab.run('omni_ingress', packet));
    expect(result.retval).toBe(XDP_PASS);
    expect(result.data).toEqual(packet);
    expect({ drops, stats }).toEqual({ drops: {}, stats: {} });
  });

  /** Destined to another host on the link, and this one forwards. */
  const transit = { destination: '198.51.100.7' };
  it.each([
    ['a session of theirs', arriving(sealed(KEY, 99n, 0n, ping()), transit)],
    [
      'a handshake of theirs',
      arriving(Buffer.concat([Buffer.alloc(8), Buffer.from([1, 1]), Buffer.alloc(150)]), transit),
    ],
    ['a short one', arriving(Buffer.alloc(3), transit)],
  ])('in transit to our port elsewhere: %s', async (_, packet) => {
    const { result, drops } = await lab.counted(() => lab.run('omni_ingress', packet));
    expect({ verdict: result.retval, drops }).toEqual({ verdict: XDP_PASS, drops: {} });
  });
});

describe('an unconfirmed session', () => {
  const OLD = 5n;
  const next = { peer: PEER, rxKey: words(KEY), flags: OmniSessionFlags.unconfirmed };

  it('is what we send on after its first authentic datagram', async () => {
    lab.setSession(ID, next);
    lab.setSend(PEER, OLD);
    const events = await lab.events(() =>
      lab.runAll('omni_ingress', [arriving(message(ping())), arriving(message(ping(), 1n))]),
    );
    expect(lab.sendSession(PEER)).toBe(ID);
    expect(lab.session(ID).flags).toBe(0);
    expect(events).toEqual([{ type: OmniEventType.confirmed, sessionId: ID, peer: PEER }]);
  });
  it('is confirmed by a keepalive, and where there was no session before', async () => {
    lab.setSession(ID, next);
    await lab.run('omni_ingress', arriving(message(Buffer.alloc(0))));
    expect(lab.sendSession(PEER)).toBe(ID);
  });
  it('is not confirmed by a forgery', async () => {
    lab.setSession(ID, next);
    lab.setSend(PEER, OLD);
    const forged = arriving(message(ping()));
    forged.writeUInt8(forged.readUInt8(60) ^ 1, 60);
    expect(await lab.events(() => lab.run('omni_ingress', forged))).toEqual([]);
    expect(lab.sendSession(PEER)).toBe(OLD);
    expect(lab.session(ID).flags).toBe(OmniSessionFlags.unconfirmed);
  });
});

describe('junk', () => {
  it('draws nothing but one counted drop each: random bytes, random lengths', async () => {
    const packets = Array.from({ length: 3000 }, (_, i) => {
      const payload = randomBytes(Math.floor(Math.random() * 300));
      if (i % 3 === 0) payload.fill(0, 0, Math.min(8, payload.length)); // as if control
      if (i % 3 === 1 && payload.length >= 8) payload.writeBigUInt64LE(ID); // as if of the session
      const packet = arriving(payload);
      return i % 5 === 0 ? packet.subarray(0, 38 + Math.floor(Math.random() * (packet.length - 38))) : packet;
    });
    const before = lab.session(ID);
    const { result, drops, stats } = await lab.counted(() => lab.runAll('omni_ingress', packets));
    expect(result.every(({ retval }) => retval === XDP_DROP)).toBe(true);
    expect(Object.values(drops).reduce((sum, count) => sum + count, 0)).toBe(packets.length);
    expect(Object.keys(drops).sort()).toEqual(['auth', 'controlInvalid', 'sessionUnknown', 'truncated']);
    expect(stats).toEqual({});
    expect(lab.session(ID)).toEqual(before);
  });
  it('of any bytes at all passes or is dropped', async () => {
    const packets = Array.from({ length: 3000 }, () => randomBytes(14 + Math.floor(Math.random() * 200)));
    const runs = await lab.runAll('omni_ingress', packets);
    expect(runs.every(({ retval }) => retval === XDP_PASS || retval === XDP_DROP)).toBe(true);
  });
});

it('has room for the overhead that it takes off', () => {
  expect(arriving(message(ping())).length).toBe(ping().length + OVERHEAD);
});
