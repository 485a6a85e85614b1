import { randomBytes } from 'node:crypto';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { control, ethernet, inner, ip, mac, opened, sealed } from './frames.ts';
import { type Datagram6, datagram6, OUTER6, OVERHEAD6, udp6Checksum } from './frames6.ts';
import {
  HOST,
  HOST_MAC,
  HOST6,
  Lab,
  MAC1_KEY,
  PORT,
  REMOTE,
  REMOTE_MAC,
  REMOTE6,
  UNRESOLVED6,
  words,
  XDP_DROP,
  XDP_PASS,
  XDP_REDIRECT,
} from './lab.ts';

/** An underlay of IPv6: the same sessions, other outer headers. */

const MINE = '02:00:00:00:00:01';
const THEIRS = '02:00:00:00:00:02';
const PEER = 7n;
const ID = 0x1122334455667788n;
const REMOTE_ID = 0x99aabbccddeeff01n;
const KEY = randomBytes(32);
/** Of a frame, and of the bytes behind its Ethernet header, at the borders of blocks, chunks and words. */
const EDGES = [0, 1, 15, 16, 17, 63, 64, 65, 255, 256, 257, 1406];
const LENGTHS = [...EDGES.filter((n) => n >= 14), ...EDGES.filter((n) => n < 1406).map((n) => n + 14), 511, 512, 513];

let lab: Lab;
beforeAll(async () => {
  lab = await Lab.open();
});
afterAll(() => lab?.close());
beforeEach(() => {
  lab.clear();
  lab.setFdb(THEIRS, PEER);
  lab.setNeighbour('10.77.0.2', THEIRS);
  lab.setPeer(PEER, { address: REMOTE6, local: HOST6 });
  lab.setSession(ID, { peer: PEER, remoteId: REMOTE_ID, rxKey: words(KEY), txKey: words(KEY) });
  lab.setSend(PEER, ID);
});

const ours = (length: number) => ethernet(THEIRS, MINE, 0x88b6, randomBytes(length - 14));
const theirs = (length: number) => ethernet(MINE, THEIRS, 0x88b6, randomBytes(length - 14));
const message = (frame: Uint8Array, counter = 0n) => sealed(KEY, ID, counter, frame);
const arriving = (payload: Uint8Array, more: Partial<Datagram6> = {}) => datagram6({ port: PORT, payload, ...more });
const ping = () => inner(MINE, THEIRS, '10.77.0.2', '10.77.0.1');

/** As a receiver does (RFC 8200, section 8.1): a checksum that is there, and right. */
function checksumHolds(packet: Buffer): boolean {
  const udp = Buffer.from(packet.subarray(54));
  const found = udp.readUInt16BE(6);
  udp.writeUInt16BE(0, 6);
  return found !== 0 && found === udp6Checksum(packet.subarray(22, 38), packet.subarray(38, 54), udp);
}

describe('sending', () => {
  it.each(LENGTHS)('OpenSSL opens a frame of %i bytes, and the checksum is right', async (length) => {
    const frame = ours(length);
    const { result, drops, stats } = await lab.counted(() => lab.run('omni_egress', frame));
    expect(result.retval).toBe(XDP_REDIRECT);
    expect(result.data.length).toBe(length + OVERHEAD6);
    expect(checksumHolds(result.data)).toBe(true);
    expect(opened(KEY, result.data.subarray(OUTER6))).toEqual({ id: REMOTE_ID, counter: 0n, frame });
    expect({ drops, stats }).toEqual({ drops: {}, stats: { txPackets: 1, txBytes: length } });
  });

  it('the checksum holds for any length, addresses and ports', async () => {
    for (const local of [HOST6, '2fff:ffff:ffff:ffff:ffff:ffff:ffff:ffff', '2000::1', 'fd00:ff00:ff:ffff::ff']) {
      lab.setPeer(PEER, { address: REMOTE6, local, port: 65_535, localPort: 1 + Math.floor(Math.random() * 65_535) });
      const frames = Array.from({ length: 100 }, () => ours(14 + Math.floor(Math.random() * 1393)));
      const runs = await lab.runAll('omni_egress', frames);
      expect(runs.map(({ retval }) => retval)).toEqual(frames.map(() => XDP_REDIRECT));
      expect(runs.filter(({ data }) => !checksumHolds(data)).length).toBe(0);
    }
  });

  it('never writes a checksum of zero, which would be none', async () => {
    // One datagram in 65,536 adds up to it: the port is chosen such that this one does.
    lab.setPeer(PEER, { address: REMOTE6, local: HOST6, localPort: 1 });
    const frame = ours(100);
    const first = (await lab.run('omni_egress', frame)).data;
    const restart = () => lab.setSession(ID, { peer: PEER, remoteId: REMOTE_ID, txKey: words(KEY) });
    const localPort = ((1 + first.readUInt16BE(60) - 1) % 65_535) + 1;
    lab.setPeer(PEER, { address: REMOTE6, local: HOST6, localPort });
    restart();
    const { data } = await lab.run('omni_egress', frame);
    expect(data.readUInt16BE(60)).toBe(0xffff);
    expect(checksumHolds(data)).toBe(true);
  });

  it('writes the outer headers byte by byte', async () => {
    lab.setPeer(PEER, { address: REMOTE6, local: HOST6, port: 4444, localPort: 5555 });
    const { data } = await lab.run('omni_egress', ours(100));
    const expected = Buffer.alloc(OUTER6);
    expected.set(mac(REMOTE_MAC), 0);
    expected.set(mac(HOST_MAC), 6);
    expected.writeUInt16BE(0x86dd, 12);
    expected.writeUInt32BE(0x60000000 + data.readUIntBE(15, 3), 14);
    expected.writeUInt16BE(8 + 32 + 100, 18);
    expected[20] = 17;
    expected[21] = 64;
    expected.set(ip(HOST6), 22);
    expected.set(ip(REMOTE6), 38);
    expected.writeUInt16BE(5555, 54);
    expected.writeUInt16BE(4444, 56);
    expected.writeUInt16BE(8 + 32 + 100, 58);
    expected.writeUInt16BE(data.readUInt16BE(60), 60);
    expect(data.subarray(0, OUTER6)).toEqual(expected);
  });

  it('one flow label between two endpoints, another between others, never none (RFC 6437)', async () => {
    const labelTo = async (port: number) => {
      lab.setPeer(PEER, { address: REMOTE6, local: HOST6, port });
      const runs = await lab.runAll('omni_egress', [ours(60), ours(700)]);
      const [label, again] = runs.map(({ data }) => data.readUIntBE(15, 3));
      expect(label).toBe(again);
      expect(label).toBeGreaterThan(0);
      expect(label).toBeLessThan(1 << 20);
      return label;
    };
    const labels = new Set<number | undefined>();
    for (let port = 1000; port < 1064; port++) labels.add(await labelTo(port));
    expect(labels.size).toBeGreaterThan(56);
  });

  it('a keepalive is an empty ciphertext', async () => {
    const frame = ethernet(THEIRS, MINE, 0x88b5, Buffer.alloc(46));
    const { result, stats } = await lab.counted(() => lab.run('omni_egress', frame));
    expect(result.data.length).toBe(OVERHEAD6);
    expect(checksumHolds(result.data)).toBe(true);
    expect(opened(KEY, result.data.subarray(OUTER6)).frame).toEqual(Buffer.alloc(0));
    expect(stats).toEqual({ txPackets: 1 });
  });

  it('takes the largest frame that fits, and no larger', async () => {
    expect((await lab.run('omni_egress', ours(1500 - 80))).retval).toBe(XDP_REDIRECT);
    const { drops } = await lab.counted(() => lab.run('omni_egress', ours(1500 - 79)));
    expect(drops).toEqual({ mtu: 1 });
  });

  it.each<[string, object, { address: string; local: string }]>([
    ['no local address', { noEndpoint: 1 }, { address: REMOTE6, local: '::' }],
    ['a local address of the other family', { noEndpoint: 1 }, { address: REMOTE6, local: HOST }],
    ['a remote address of the other family', { noEndpoint: 1 }, { address: REMOTE, local: HOST6 }],
    ['a blackholed endpoint', { noRoute: 1 }, { address: '2001:db8:bad::1', local: HOST6 }],
    ['an endpoint without a route', { noRoute: 1 }, { address: '2001:db8:77::1', local: HOST6 }],
  ])('drops: %s', async (_, expected, endpoint) => {
    lab.setPeer(PEER, endpoint);
    const { result, drops, stats } = await lab.counted(() => lab.run('omni_egress', ours(100)));
    expect({ verdict: result.retval, drops, stats }).toEqual({ verdict: XDP_DROP, drops: expected, stats: {} });
    expect(lab.session(ID).txCounter).toBe(0n);
  });

  it('an unresolved neighbour takes the stack’s path, sealed and with its checksum', async () => {
    lab.setPeer(PEER, { address: UNRESOLVED6, local: HOST6 });
    const frame = ours(100);
    const { result, stats } = await lab.counted(() => lab.run('omni_egress', frame));
    expect(result.retval).toBe(XDP_PASS);
    const packet = result.data.subarray(result.data.length - frame.length - OVERHEAD6);
    expect(packet.subarray(0, 12)).toEqual(Buffer.alloc(12));
    expect(checksumHolds(packet)).toBe(true);
    expect(opened(KEY, packet.subarray(OUTER6)).frame).toEqual(frame);
    expect(stats).toEqual({ txPackets: 1, txBytes: frame.length, neighResolve: 1 });
  });
});

describe('receiving', () => {
  it.each(LENGTHS)('what OpenSSL sealed, %i bytes', async (length) => {
    const frame = theirs(length);
    const { result, drops, stats } = await lab.counted(() => lab.run('omni_ingress', arriving(message(frame))));
    expect(result.retval).toBe(XDP_REDIRECT);
    expect(result.data).toEqual(frame);
    expect({ drops, stats }).toEqual({ drops: {}, stats: { rxPackets: 1, rxBytes: length } });
  });

  it('a keepalive: counted, and it ends here', async () => {
    const { result, stats } = await lab.counted(() => lab.run('omni_ingress', arriving(message(Buffer.alloc(0)))));
    expect({ verdict: result.retval, stats }).toEqual({ verdict: XDP_DROP, stats: { rxPackets: 1 } });
  });

  it('cuts off Ethernet padding', async () => {
    const padded = Buffer.concat([arriving(message(theirs(20))), Buffer.alloc(9, 0x5a)]);
    expect((await lab.run('omni_ingress', padded)).data.length).toBe(20);
  });

  it('a flipped bit of what is authentic', async () => {
    const good = arriving(message(theirs(50)));
    const packets = Array.from({ length: 8 * (good.length - OUTER6) }, (_, i) => {
      const bad = Buffer.from(good);
      const at = OUTER6 + (i >> 3);
      bad.writeUInt8(bad.readUInt8(at) ^ (1 << (i & 7)), at);
      return bad;
    });
    const { result, drops } = await lab.counted(() => lab.runAll('omni_ingress', packets));
    expect(result.every(({ retval }) => retval === XDP_DROP)).toBe(true);
    expect(drops).toEqual({ sessionUnknown: 64, auth: 8 * (8 + 16 + 50) });
  });

  it('a captured datagram sent again, over whichever family', async () => {
    const packet = arriving(message(ping()));
    expect((await lab.run('omni_ingress', packet)).retval).toBe(XDP_REDIRECT);
    expect((await lab.counted(() => lab.run('omni_ingress', packet))).drops).toEqual({ replay: 1 });
  });

  const whole = message(theirs(64));
  const option = (type: number, length = 0) => ({
    type,
    rest: Buffer.concat([Uint8Array.from([length]), Buffer.alloc(6 + 8 * length)]),
  });
  const fragment = (offset: number) => ({ type: 44, rest: Buffer.from([0, offset >> 8, offset & 0xff, 0, 0, 0, 1]) });
  const authentication = { type: 51, rest: Buffer.from([4, ...Buffer.alloc(22)]) };
  it.each<[string, Buffer]>([
    ['no payload', arriving(Buffer.alloc(0))],
    ['one byte less than a control header', arriving(Buffer.alloc(15))],
    ['one byte less than a header', arriving(whole.subarray(0, 31))],
    [
      'an IP length beyond the frame',
      arriving(whole, { payloadLength: 9 + whole.length, udpLength: 9 + whole.length }),
    ],
    ['an IP length below its header', arriving(whole, { payloadLength: 7, udpLength: 7 })],
    ['an IP length of zero, as a jumbogram has', arriving(whole, { payloadLength: 0 })],
    ['a UDP length beyond IP’s', arriving(whole, { udpLength: 9 + whole.length })],
    ['a UDP length below IP’s', arriving(whole, { udpLength: 7 + whole.length })],
    ['a UDP header cut off behind its ports', arriving(whole).subarray(0, 58)],
    ['an IPv4 address as its source', arriving(whole, { source: REMOTE })],
    ['hop-by-hop options', arriving(whole, { extensions: [option(0)] })],
    ['destination options', arriving(whole, { extensions: [option(60, 3)] })],
    ['a routing header', arriving(whole, { extensions: [option(43, 2)] })],
    ['an authentication header', arriving(whole, { extensions: [authentication] })],
    ['a first fragment', arriving(whole, { extensions: [fragment(1)] })],
    ['a fragment that is all', arriving(whole, { extensions: [fragment(0)] })],
    [
      'several headers',
      arriving(whole, { extensions: [option(0), option(60), option(43, 2), authentication, fragment(1)] }),
    ],
    ['more headers than anybody sends', arriving(whole, { extensions: Array.from({ length: 9 }, () => option(60)) })],
    ['headers longer than a frame', arriving(whole, { extensions: [option(60, 255), option(60, 255)] })],
  ])('malformed: %s', async (_, packet) => {
    const { result, drops, stats } = await lab.counted(() => lab.run('omni_ingress', packet));
    expect({ verdict: result.retval, drops, stats }).toEqual({ verdict: XDP_DROP, drops: { truncated: 1 }, stats: {} });
    expect(lab.session(ID).rxPackets).toBe(0n);
  });

  it.each<[string, Buffer]>([
    ['another port', datagram6({ port: PORT + 1, payload: whole })],
    ['from our port', datagram6({ port: 53, sourcePort: PORT, payload: whole })],
    ['TCP', arriving(whole, { nextHeader: 6 })],
    ['ICMPv6', arriving(whole, { nextHeader: 58 })],
    ['TCP behind options', arriving(whole, { nextHeader: 6, extensions: [option(0), option(60)] })],
    ['another port behind options', datagram6({ port: PORT + 1, payload: whole, extensions: [option(60)] })],
    ['a later fragment', arriving(whole, { extensions: [fragment(8)] })],
    ['a last fragment', arriving(whole, { extensions: [fragment(0xfff0)] })],
    ['version 4', arriving(whole, { version: 4 })],
    ['a header cut short', arriving(whole).subarray(0, 53)],
    ['ports cut off', arriving(whole).subarray(0, 57)],
    ['options cut off', arriving(whole, { extensions: [option(60)] }).subarray(0, 57)],
    ['in transit: a session of theirs', arriving(sealed(KEY, 99n, 0n, ping()), { destination: '2001:db8:51::7' })],
    ['in transit: with options', arriving(whole, { destination: '2001:db8:51::7', extensions: [option(60)] })],
    [
      'in transit: a long chain',
      arriving(whole, { destination: '2001:db8:51::7', extensions: Array.from({ length: 9 }, () => option(60)) }),
    ],
  ])('passes untouched: %s', async (_, packet) => {
    const { result, drops, stats } = await lab.counted(() => lab.run('omni_ingress', packet));
    expect({ verdict: result.retval, drops, stats }).toEqual({ verdict: XDP_PASS, drops: {}, stats: {} });
    expect(result.data).toEqual(packet);
  });

  it('a handshake passes to the socket as it came, one with a wrong mac1 does not', async () => {
    const initiation = control(1, 160, MAC1_KEY, randomBytes(112));
    const good = arriving(initiation);
    const passed = await lab.counted(() => lab.run('omni_ingress', good));
    expect({ verdict: passed.result.retval, stats: passed.stats }).toEqual({
      verdict: XDP_PASS,
      stats: { controlPassed: 1 },
    });
    expect(passed.result.data).toEqual(good);
    const bad = Buffer.from(initiation);
    bad.writeUInt8(bad.readUInt8(130) ^ 1, 130);
    const refused = await lab.counted(() => lab.run('omni_ingress', arriving(bad)));
    expect({ verdict: refused.result.retval, drops: refused.drops }).toEqual({ verdict: XDP_DROP, drops: { mac1: 1 } });
  });

  it('of any bytes at all passes or is dropped', async () => {
    const packets = Array.from({ length: 2000 }, (_, i) => {
      const packet = arriving(randomBytes(Math.floor(Math.random() * 200)));
      const noise = randomBytes(packet.length);
      for (let at = i % 2 ? 54 : 18; at < packet.length; at++)
        if (noise[at] === 0 || i % 5 === 0) packet[at] = noise[at] ?? 0;
      packet[20] = [17, 0, 43, 44, 51, 60][i % 6] ?? 17;
      return packet.subarray(0, 14 + Math.floor(Math.random() * (packet.length - 13)));
    });
    const runs = await lab.runAll('omni_ingress', packets);
    expect(runs.every(({ retval }) => retval === XDP_PASS || retval === XDP_DROP)).toBe(true);
    expect(lab.session(ID).rxPackets).toBe(0n);
  });
});
