import { randomBytes } from 'node:crypto';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { OmniEventType, OmniSessionFlags } from '../../src/dataplane/kernel/layout.ts';
import { ethernet, inner, internetChecksum, ipv4, mac, OVERHEAD, opened } from './frames.ts';
import {
  bootTimeNs,
  HOST,
  HOST_MAC,
  HOST6,
  Lab,
  PORT,
  REMOTE,
  REMOTE_MAC,
  UNRESOLVED,
  u64,
  words,
  XDP_DROP,
  XDP_PASS,
  XDP_REDIRECT,
} from './lab.ts';

/** Frames that this host sends into the overlay. */

const MINE = '02:00:00:00:00:01';
const THEIRS = '02:00:00:00:00:02';
const PEER = 7n;
const ID = 0x1122334455667788n;
const REMOTE_ID = 0x99aabbccddeeff01n;
const KEY = randomBytes(32);
const EDGES = [0, 1, 15, 16, 17, 63, 64, 65, 255, 256, 257, 1426];
/** A frame has 14 bytes at least: these put the edges at the frame's own length. */
const LENGTHS = [...EDGES.filter((n) => n >= 14), 14, 14 + 64];

let lab: Lab;
beforeAll(async () => {
  lab = await Lab.open();
});
afterAll(() => lab?.close());
beforeEach(() => {
  lab.clear();
  lab.setFdb(THEIRS, PEER);
  lab.setPeer(PEER, { address: REMOTE });
  lab.setSession(ID, { peer: PEER, remoteId: REMOTE_ID, txKey: words(KEY) });
  lab.setSend(PEER, ID);
});

function frameOf(length: number): Buffer {
  return ethernet(THEIRS, MINE, 0x88b6, randomBytes(length - 14));
}

const ping = () => inner(THEIRS, MINE, '10.77.0.1', '10.77.0.2');

describe('sealing', () => {
  it.each(LENGTHS)('OpenSSL opens a frame of %i bytes', async (length) => {
    const frame = frameOf(length);
    const { result, drops, stats } = await lab.counted(() => lab.run('omni_egress', frame));
    expect(result.retval).toBe(XDP_REDIRECT);
    expect(result.data.length).toBe(length + OVERHEAD);
    expect(opened(KEY, result.data.subarray(42))).toEqual({ id: REMOTE_ID, counter: 0n, frame });
    expect(drops).toEqual({});
    expect(stats).toEqual({ txPackets: 1, txBytes: length });
  });

  it('OpenSSL opens frames of random lengths; no counter comes twice', async () => {
    const frames = Array.from({ length: 400 }, () => frameOf(14 + Math.floor(Math.random() * 1420)));
    const runs = await lab.runAll('omni_egress', frames);
    for (const [i, { retval, data }] of runs.entries()) {
      expect(retval).toBe(XDP_REDIRECT);
      expect(opened(KEY, data.subarray(42))).toEqual({ id: REMOTE_ID, counter: BigInt(i), frame: frames[i] });
    }
    const session = lab.session(ID);
    expect(session.txCounter).toBe(400n);
    expect(session.txBytes).toBe(BigInt(frames.reduce((sum, frame) => sum + frame.length, 0)));
  });

  it('carries a counter beyond 2^32 into the nonce', async () => {
    const counter = 0x1_2345_6789_abcdn;
    lab.setSession(ID, { peer: PEER, remoteId: REMOTE_ID, txKey: words(KEY), txCounter: counter });
    const { data } = await lab.run('omni_egress', ping());
    expect(opened(KEY, data.subarray(42)).counter).toBe(counter);
  });

  it('keeps VLAN tags', async () => {
    const tagged = ethernet(THEIRS, MINE, 0x8100, Buffer.concat([Buffer.from('0064', 'hex'), ping().subarray(12)]));
    const { data } = await lab.run('omni_egress', tagged);
    expect(opened(KEY, data.subarray(42)).frame).toEqual(tagged);
  });

  it('writes the outer headers byte by byte', async () => {
    lab.setPeer(PEER, { address: REMOTE, port: 4444, localPort: 5555 });
    const { data } = await lab.run('omni_egress', frameOf(100));
    const expected = Buffer.alloc(42);
    expected.set(mac(REMOTE_MAC), 0);
    expected.set(mac(HOST_MAC), 6);
    expected.writeUInt16BE(0x0800, 12);
    expected[14] = 0x45;
    expected.writeUInt16BE(20 + 8 + 32 + 100, 16);
    expected.writeUInt16BE(0x4000, 20); // don't fragment
    expected[22] = 64;
    expected[23] = 17;
    expected.set(ipv4(HOST), 26);
    expected.set(ipv4(REMOTE), 30);
    expected.writeUInt16BE(internetChecksum(expected.subarray(14, 34)), 24);
    expected.writeUInt16BE(5555, 34);
    expected.writeUInt16BE(4444, 36);
    expected.writeUInt16BE(8 + 32 + 100, 38);
    expect(data.subarray(0, 42)).toEqual(expected);
  });

  it('gets the header checksum right for every carry', async () => {
    for (const local of ['198.51.100.1', '255.255.255.255', '0.0.0.1', '255.254.0.1']) {
      lab.setPeer(PEER, { address: REMOTE, local });
      for (const { data } of await lab.runAll('omni_egress', [14, 100, 255, 1400].map(frameOf))) {
        expect(internetChecksum(data.subarray(14, 34))).toBe(0);
      }
    }
  });

  it('sends from our port where the endpoint names none', async () => {
    lab.setPeer(PEER, { address: REMOTE, localPort: 0 });
    const { data } = await lab.run('omni_egress', ping());
    expect(data.readUInt16BE(34)).toBe(PORT);
  });
});

describe('a keepalive', () => {
  it('is an empty ciphertext and no data', async () => {
    const frame = ethernet(THEIRS, MINE, 0x88b5, Buffer.alloc(46));
    const { result, stats } = await lab.counted(() => lab.run('omni_egress', frame));
    expect(result.retval).toBe(XDP_REDIRECT);
    expect(opened(KEY, result.data.subarray(42))).toEqual({ id: REMOTE_ID, counter: 0n, frame: Buffer.alloc(0) });
    expect(result.data.readUInt16BE(16)).toBe(60);
    expect(stats).toEqual({ txPackets: 1 });
    const session = lab.session(ID);
    expect(session.txLastNs).toBeGreaterThan(0n);
    expect(session.txDataLastNs).toBe(0n);
  });
});

describe('without a session', () => {
  const cases: [string, () => void][] = [
    ['nothing to send on', () => lab.map('send_map').delete({ key: u64(PEER) })],
    ['the session is gone', () => lab.map('session_map').delete({ key: u64(ID) })],
    ['it has expired', () => lab.setSession(ID, { peer: PEER, expiresNs: bootTimeNs() })],
    ['it is not confirmed', () => lab.setSession(ID, { peer: PEER, flags: OmniSessionFlags.unconfirmed })],
  ];
  it.each(cases)('the frame goes up untouched: %s', async (_, arrange) => {
    arrange();
    const { result, drops, stats } = await lab.counted(() => lab.run('omni_egress', ping()));
    expect(result.retval).toBe(XDP_PASS);
    expect(result.data).toEqual(ping());
    expect({ drops, stats }).toEqual({ drops: {}, stats: { queued: 1 } });
  });
});

describe('rekeying', () => {
  const due = () => ({ peer: PEER, txKey: words(KEY), rekeyAfterNs: bootTimeNs() });

  it('tells the agent once, and goes on sending', async () => {
    lab.setSession(ID, { ...due(), flags: OmniSessionFlags.initiator });
    const events = await lab.events(async () => {
      const runs = await lab.runAll('omni_egress', [ping(), ping(), ping()]);
      expect(runs.map(({ retval }) => retval)).toEqual([XDP_REDIRECT, XDP_REDIRECT, XDP_REDIRECT]);
    });
    expect(events).toEqual([{ type: OmniEventType.rekeyDue, sessionId: ID, peer: PEER }]);
    expect(lab.session(ID).flags).toBe(OmniSessionFlags.initiator | OmniSessionFlags.rekeySent);
  });
  it('is the initiator’s business', async () => {
    lab.setSession(ID, due());
    expect(await lab.events(() => lab.run('omni_egress', ping()))).toEqual([]);
  });
  it('waits for its time', async () => {
    const rekeyAfterNs = bootTimeNs() + 10n ** 12n;
    lab.setSession(ID, { ...due(), flags: OmniSessionFlags.initiator, rekeyAfterNs });
    expect(await lab.events(() => lab.run('omni_egress', ping()))).toEqual([]);
  });
});

describe('drops', () => {
  const LAST = 2n ** 64n - 1n - 2n ** 13n;
  const OTHERS = '02:00:00:00:00:99';
  const to = (destination: string) => ethernet(destination, MINE, 0x0800, Buffer.alloc(50));
  const exhausted = { peer: PEER, txKey: words(KEY), txCounter: LAST };
  const cases: [string, object, Uint8Array, () => unknown][] = [
    ['an unknown destination', { fdbMiss: 1 }, to(OTHERS), () => {}],
    ['a broadcast', { multicast: 1 }, to('ff:ff:ff:ff:ff:ff'), () => {}],
    ['a multicast', { multicast: 1 }, to('01:00:5e:00:00:fb'), () => {}],
    ['a peer without an endpoint', { noEndpoint: 1 }, ping(), () => lab.setPeer(PEER)],
    ['a peer that is gone', { noEndpoint: 1 }, ping(), () => lab.map('peer_map').delete({ key: u64(PEER) })],
    ['no local address', { noEndpoint: 1 }, ping(), () => lab.setPeer(PEER, { address: REMOTE, local: '::' })],
    ['used-up counters', { counterExhausted: 1 }, ping(), () => lab.setSession(ID, exhausted)],
    ['a frame larger than the path takes', { mtu: 1 }, frameOf(1500 - 60 + 1), () => {}],
    ['a blackholed endpoint', { noRoute: 1 }, ping(), () => lab.setPeer(PEER, { address: '203.0.113.5' })],
    ['an endpoint without a route', { noRoute: 1 }, ping(), () => lab.setPeer(PEER, { address: '192.0.2.5' })],
  ];
  it.each(cases)('%s', async (_, expected, frame, arrange) => {
    arrange();
    const { result, drops, stats } = await lab.counted(() => lab.run('omni_egress', frame));
    expect(result.retval).toBe(XDP_DROP);
    expect({ drops, stats }).toEqual({ drops: expected, stats: {} });
  });

  it('takes the largest frame that fits', async () => {
    const { retval } = await lab.run('omni_egress', frameOf(1500 - 60));
    expect(retval).toBe(XDP_REDIRECT);
  });
  it.each([
    ['IPv4', '198.51.100.77', HOST, 1500 - 60],
    ['IPv6', '2001:db8:51::77', HOST6, 1500 - 80],
  ])(
    'asks the device what fits, not the route: that is what ICMP errors change (%s)',
    async (_, remote, local, size) => {
      const [family, length] = local === HOST ? ['-4', 32] : ['-6', 128];
      const neighbour = `${remote} lladdr ${REMOTE_MAC} dev u0 nud permanent`;
      await lab.child.sh(`ip ${family} route add ${remote}/${length} dev u0 mtu 1280`, `ip neigh add ${neighbour}`);
      lab.setPeer(PEER, { address: remote, local });
      expect((await lab.run('omni_egress', frameOf(size))).retval).toBe(XDP_REDIRECT);
      const { drops } = await lab.counted(() => lab.run('omni_egress', frameOf(size + 1)));
      expect(drops).toEqual({ mtu: 1 });
    },
  );
  it.each([
    ['IPv4', '192.0.2.77', HOST],
    ['IPv6', '2001:db8:77::1', HOST6],
  ])('an endpoint that is reached through the overlay would loop (%s)', async (_, remote, local) => {
    // The test's interfaces of the overlay are the loopback.
    await lab.child.sh(`ip route add ${remote} dev lo`);
    lab.setPeer(PEER, { address: remote, local });
    const { result, drops } = await lab.counted(() => lab.run('omni_egress', ping()));
    expect({ verdict: result.retval, drops }).toEqual({ verdict: XDP_DROP, drops: { loop: 1 } });
  });
  it('does not spend a counter on what it drops', async () => {
    await lab.run('omni_egress', frameOf(1500));
    expect(lab.session(ID).txCounter).toBe(0n);
  });
  it('says so when user space did not enable forwarding', async () => {
    await lab.child.sh('sysctl -qw net.ipv4.conf.lo.forwarding=0');
    const { drops } = await lab.counted(() => lab.run('omni_egress', ping()));
    await lab.child.sh('sysctl -qw net.ipv4.conf.lo.forwarding=1');
    expect(drops).toEqual({ internal: 1 });
  });
});

describe('an underlay neighbour that is not resolved', () => {
  it('takes the stack’s path, sealed', async () => {
    lab.setPeer(PEER, { address: UNRESOLVED });
    const { result, stats } = await lab.counted(() => lab.run('omni_egress', ping()));
    expect(result.retval).toBe(XDP_PASS);
    // BPF_PROG_TEST_RUN gives the metadata back in front of the packet, or leaves it out.
    const packet = result.data.subarray(result.data.length - ping().length - OVERHEAD);
    expect(packet.subarray(0, 12)).toEqual(Buffer.alloc(12));
    expect(opened(KEY, packet.subarray(42)).frame).toEqual(ping());
    expect(stats).toEqual({ txPackets: 1, txBytes: ping().length, neighResolve: 1 });
  });
});

describe('an underlay that takes no redirected frames', () => {
  const device = async () => {
    const bytes = Buffer.alloc(4);
    bytes.writeUInt32LE(await lab.child.ifindex('u0'));
    return bytes;
  };
  afterAll(() => lab.transmit('u0'));

  it('is sent to by way of the stack, sealed, and nothing counts as unresolved', async () => {
    lab.map('xmit_map').delete({ key: await device() });
    const { result, stats } = await lab.counted(() => lab.run('omni_egress', ping()));
    expect(result.retval).toBe(XDP_PASS);
    const packet = result.data.subarray(result.data.length - ping().length - OVERHEAD);
    expect(opened(KEY, packet.subarray(42)).frame).toEqual(ping());
    expect(stats).toEqual({ txPackets: 1, txBytes: ping().length });
  });
});

it('does something defined with any bytes at all, and nothing undefined to them', async () => {
  const frames = Array.from({ length: 3000 }, (_, i) => {
    const frame = randomBytes(14 + Math.floor(Math.random() * 120));
    frame.set(mac(i % 2 ? THEIRS : '33:33:ff:00:00:02'));
    frame.writeUInt16BE([0x0806, 0x86dd, 0x88b5, 0x0800][Math.floor(Math.random() * 4)] ?? 0, 12);
    return frame;
  });
  const { result, drops, stats } = await lab.counted(() => lab.runAll('omni_egress', frames));
  const sent = result.filter(({ retval }) => retval === XDP_REDIRECT);
  const dropped = result.filter(({ retval }) => retval === XDP_DROP);
  expect(sent.length + dropped.length).toBe(frames.length);
  expect(stats.txPackets).toBe(sent.length);
  const { multicast = 0, path = 0, ...others } = drops;
  expect(others).toEqual({});
  expect(multicast + path).toBe(dropped.length);
});
