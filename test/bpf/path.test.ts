import { randomBytes } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { OmniEventType, OmniPathKind } from '../../src/dataplane/kernel/layout.ts';
import { encodeOrder, encodePathFrame, newOrder } from '../../src/dataplane/kernel/path-frame.ts';
import type { MacAddress } from '../../src/manifest/model.ts';
import { datagram, ethernet, inner, ip, mac, opened, sealed } from './frames.ts';
import { datagram6, OUTER6 } from './frames6.ts';
import { bootTimeNs, HOST, HOST6, Lab, PORT, REMOTE, REMOTE6, u64, words, XDP_DROP, XDP_REDIRECT } from './lab.ts';

/** Ways to a peer: those that the agent tries, and those that its datagrams come by. */

const MINE = '02:00:00:00:00:01' as MacAddress;
const THEIRS = '02:00:00:00:00:02' as MacAddress;
const FORMER = '02:00:00:00:00:0a';
const PEER = 7n;
const ID = 0x1122334455667788n;
const REMOTE_ID = 0x99aabbccddeeff01n;
const KEY = randomBytes(32);
const NONCE = 0xfedc_ba98_7654_3210n;
const ELSEWHERE = '198.51.100.77';
const OUTER = 42;

let lab: Lab;
beforeAll(async () => {
  lab = await Lab.open();
});
afterAll(() => lab?.close());
beforeEach(() => {
  lab.clear();
  lab.setFdb(THEIRS, PEER);
  lab.setNeighbour('10.77.0.2', THEIRS);
  lab.setPeer(PEER, { address: '203.0.113.9' });
  lab.setSession(ID, { peer: PEER, remoteId: REMOTE_ID, rxKey: words(KEY), txKey: words(KEY) });
  lab.setSend(PEER, ID);
});

type Kind = 'challenge' | 'response';
const FOUR = { address: REMOTE, local: HOST, port: 4444, localPort: 5555 };
const SIX = { address: REMOTE6, local: HOST6, port: 4444, localPort: 5555 };

interface Order {
  readonly key?: bigint;
  readonly peer?: bigint;
  readonly kind?: Kind;
  readonly madeNs?: bigint;
}

/** A frame as the agent sends it, and its order in the map, unless `change` says otherwise of the latter. */
function ordered(via: typeof FOUR, kind: Kind = 'challenge', size = 100, change: Order = {}): Buffer {
  const way = { ...via, address: via.address as never, local: ip(via.local) };
  const order = newOrder();
  const { key = order, peer = PEER, madeNs = bootTimeNs() } = change;
  lab.map('order_map').update({ key: u64(key), value: encodeOrder(peer, change.kind ?? kind, way, madeNs) });
  return encodePathFrame({ destination: THEIRS, source: MINE }, { kind, nonce: NONCE, size }, order);
}

/** What a peer's program makes of an order: the way is not its receiver's business. */
function messageOf(kind: number, size = 100): Buffer {
  const frame = ethernet(MINE, THEIRS, 0x88b5, Buffer.alloc(size - 14));
  frame.set([1, kind], 14);
  frame.writeBigUInt64LE(NONCE, 22);
  return frame;
}

describe('a path message that the agent sends', () => {
  it.each<[string, typeof FOUR, Kind, number, number]>([
    ['a challenge by IPv4', FOUR, 'challenge', 70, OUTER],
    ['a response by IPv4', FOUR, 'response', 100, OUTER],
    ['a challenge by IPv6', SIX, 'challenge', 1400, OUTER6],
    ['a response by IPv6', SIX, 'response', 70, OUTER6],
  ])('goes by its own way, sealed: %s', async (_, via, kind, size, outer) => {
    const { result, drops, stats } = await lab.counted(() => lab.run('omni_egress', ordered(via, kind, size)));
    expect(result.retval).toBe(XDP_REDIRECT);
    const six = outer === OUTER6;
    expect(result.data.subarray(six ? 38 : 30, six ? 54 : 34)).toEqual(
      Buffer.from(six ? ip(via.address) : ip(via.address).subarray(12)),
    );
    expect(result.data.readUInt16BE(outer - 8)).toBe(5555);
    expect(result.data.readUInt16BE(outer - 6)).toBe(4444);
    const { id, frame } = opened(KEY, result.data.subarray(outer));
    expect(id).toBe(REMOTE_ID);
    const expected = ethernet(THEIRS, MINE, 0x88b5, messageOf(OmniPathKind[kind], size).subarray(14));
    expect(frame).toEqual(expected);
    expect({ drops, stats }).toEqual({ drops: {}, stats: { txPackets: 1, txBytes: size } });
    const session = lab.session(ID);
    expect(session.txLastNs).toBeGreaterThan(0n);
    expect(session.txDataLastNs).toBe(0n);
  });

  it('works for a peer without an endpoint; not for one that is gone', async () => {
    lab.setPeer(PEER);
    expect((await lab.run('omni_egress', ordered(FOUR))).retval).toBe(XDP_REDIRECT);
    lab.map('peer_map').delete({ key: u64(PEER) });
    const { drops } = await lab.counted(() => lab.run('omni_egress', ordered(FOUR)));
    expect(drops).toEqual({ noEndpoint: 1 });
  });

  it('goes once: the order is gone then', async () => {
    const frame = ordered(FOUR);
    expect((await lab.run('omni_egress', frame)).retval).toBe(XDP_REDIRECT);
    const { result, drops } = await lab.counted(() => lab.run('omni_egress', frame));
    expect({ verdict: result.retval, drops }).toEqual({ verdict: XDP_DROP, drops: { path: 1 } });
  });

  it('goes where the order says, whatever the frame does', async () => {
    const frame = ordered(FOUR);
    frame.set(ip(ELSEWHERE), 38);
    const { data } = await lab.run('omni_egress', frame);
    expect(data.subarray(30, 34)).toEqual(Buffer.from(ip(REMOTE).subarray(12)));
    expect(opened(KEY, data.subarray(OUTER)).frame.subarray(30, 70)).toEqual(Buffer.alloc(40));
  });

  it('leaves the way of the next frame alone', async () => {
    lab.setPeer(PEER, { address: REMOTE });
    await lab.run('omni_egress', ordered(SIX));
    const { data } = await lab.run('omni_egress', ethernet(THEIRS, MINE, 0x88b6, Buffer.alloc(50)));
    expect(data.subarray(30, 34)).toEqual(Buffer.from(ip(REMOTE).subarray(12)));
  });

  it.each<[string, object, () => Buffer]>([
    ['without a way', { noEndpoint: 1 }, () => ordered({ ...FOUR, local: '::' })],
    ['of two families', { noEndpoint: 1 }, () => ordered({ ...FOUR, local: HOST6 })],
    ['without a route', { noRoute: 1 }, () => ordered({ ...FOUR, address: '192.0.2.5' })],
    ['of another version', { path: 1 }, () => patched(ordered(FOUR), 14, 2)],
    ['of another kind', { path: 1 }, () => patched(ordered(FOUR), 15, 3)],
    ['to nobody', { fdbMiss: 1 }, () => patched(ordered(FOUR), 5, 0x99)],
    ['by an order that nobody gave', { path: 1 }, () => ordered(FOUR, 'challenge', 100, { key: newOrder() })],
    ['without an order', { path: 1 }, () => messageOf(OmniPathKind.challenge).fill(Buffer.from(mac(THEIRS)), 0, 6)],
    ['by an order for another peer', { path: 1 }, () => ordered(FOUR, 'challenge', 100, { peer: 8n })],
    ['by an order for the other kind', { path: 1 }, () => ordered(FOUR, 'challenge', 100, { kind: 'response' })],
    ['by an order that came too late', { path: 1 }, () => ordered(FOUR, 'challenge', 100, { madeNs: 1n })],
  ])('is dropped: %s', async (_, expected, frame) => {
    const { result, drops, stats } = await lab.counted(() => lab.run('omni_egress', frame()));
    expect({ verdict: result.retval, drops, stats }).toEqual({ verdict: XDP_DROP, drops: expected, stats: {} });
  });

  it.each<[string, () => Buffer]>([
    ['a challenge', () => ordered(FOUR)],
    ['a keepalive', () => ethernet(THEIRS, MINE, 0x88b5, Buffer.alloc(46))],
  ])('is dropped, never queued, without a session: %s', async (_, frame) => {
    lab.setPeer(PEER, { address: REMOTE });
    lab.map('send_map').delete({ key: u64(PEER) });
    const { result, drops, stats } = await lab.counted(() => lab.run('omni_egress', frame()));
    expect({ verdict: result.retval, drops, stats }).toEqual({ verdict: XDP_DROP, drops: { path: 1 }, stats: {} });
  });

  it('a frame that is too short for one, or of kind 0, is a keepalive', async () => {
    lab.setPeer(PEER, { address: REMOTE });
    for (const frame of [ordered(FOUR).subarray(0, 69), patched(ordered(FOUR), 15, 0)]) {
      const { data } = await lab.run('omni_egress', frame);
      expect(opened(KEY, data.subarray(OUTER)).frame).toEqual(Buffer.alloc(0));
    }
  });
});

function patched(frame: Buffer, at: number, value: number): Buffer {
  const copy = Buffer.from(frame);
  copy[at] = value;
  return copy;
}

let counter = 0n;
const arriving = (frame: Uint8Array, source = REMOTE, sourcePort = PORT) =>
  datagram({ port: PORT, source, sourcePort, payload: sealed(KEY, ID, counter++, frame) });
const arriving6 = (frame: Uint8Array) =>
  datagram6({ port: PORT, sourcePort: 777, payload: sealed(KEY, ID, counter++, frame) });
const wayFrom = (remote: string, remotePort = PORT, local = HOST) => ({
  remote: { bytes: Uint8Array.from(ip(remote)) },
  local: { bytes: Uint8Array.from(ip(local)) },
  remotePort,
  localPort: PORT,
});
const ping = () => inner(MINE, THEIRS, '10.77.0.2', '10.77.0.1');

describe('a path message that arrives', () => {
  beforeEach(() => lab.setPeer(PEER, { address: REMOTE }));

  it.each(['challenge', 'response'] as const)('is told to the agent, and goes nowhere else: %s', async (kind) => {
    let counted: Awaited<ReturnType<typeof lab.counted<Awaited<ReturnType<typeof lab.run>>>>> | undefined;
    const events = await lab.pathEvents(async () => {
      counted = await lab.counted(() =>
        lab.run('omni_ingress', arriving(messageOf(OmniPathKind[kind], 300), ELSEWHERE)),
      );
    });
    expect(counted?.result.retval).toBe(XDP_DROP);
    expect(counted).toMatchObject({ drops: {}, stats: { rxPackets: 1, rxBytes: 300 } });
    expect(events).toEqual([
      {
        type: OmniEventType.pathMessage,
        length: 300,
        sessionId: ID,
        peer: PEER,
        path: wayFrom(ELSEWHERE),
        nonce: NONCE,
        kind: OmniPathKind[kind],
      },
    ]);
    expect(lab.session(ID).rxDataLastNs).toBe(0n);
  });

  it('by IPv6, in the shortest frame', async () => {
    const events = await lab.pathEvents(() => lab.run('omni_ingress', arriving6(messageOf(1, 70))));
    expect(events).toMatchObject([{ length: 70, path: wayFrom(REMOTE6, 777, HOST6), nonce: NONCE }]);
  });

  const tagged = Buffer.concat([
    messageOf(1).subarray(0, 12),
    Buffer.from('81000064', 'hex'),
    messageOf(1).subarray(12),
  ]);
  it.each<[string, object, Buffer]>([
    ['one byte short', { path: 1 }, messageOf(1, 69)],
    ['of another version', { path: 1 }, patched(messageOf(1), 14, 2)],
    ['a keepalive, which has no frame', { path: 1 }, messageOf(0)],
    ['of another kind', { path: 1 }, messageOf(3)],
    ['a reserved byte', { path: 1 }, patched(messageOf(1), 21, 1)],
    ['a way that should be blotted out', { path: 1 }, patched(messageOf(1), 69, 1)],
    ['behind a VLAN tag', { innerEthertype: 1 }, tagged],
    ['of another’s MAC', { innerSource: 1 }, patched(messageOf(1), 11, 0x77)],
  ])('is dropped: %s', async (_, expected, frame) => {
    let drops: object = {};
    const events = await lab.pathEvents(async () => {
      ({ drops } = await lab.counted(() => lab.run('omni_ingress', arriving(frame))));
    });
    expect({ drops, events }).toEqual({ drops: expected, events: [] });
  });

  it('comes only so often from one peer', async () => {
    const other = 0x99n;
    lab.setFdb('02:00:00:00:00:03', 8n);
    lab.setSession(other, { peer: 8n, rxKey: words(KEY) });
    const flood = Array.from({ length: 60 }, () => arriving(messageOf(1)));
    const events = await lab.pathEvents(async () => {
      const { drops } = await lab.counted(() => lab.runAll('omni_ingress', flood));
      // A few more than the burst, if the machine is slow.
      expect(drops.path).toBeGreaterThan(20);
    });
    expect(events.length).toBeGreaterThanOrEqual(32);
    // Of another peer, one does.
    const frame = patched(messageOf(1), 11, 3);
    const packet = datagram({ port: PORT, payload: sealed(KEY, other, 0n, frame) });
    expect(await lab.pathEvents(() => lab.run('omni_ingress', packet))).toMatchObject([{ peer: 8n }]);
  });
});

describe('where datagrams come from', () => {
  beforeEach(() => lab.setPeer(PEER, { address: REMOTE }));
  const empty = new Uint8Array(0);

  it('is nothing to tell while it is the peer’s endpoint', async () => {
    expect(await lab.pathEvents(() => lab.runAll('omni_ingress', [arriving(ping()), arriving(empty)]))).toEqual([]);
  });

  it.each<[string, () => Buffer, object]>([
    ['another address', () => arriving(ping(), ELSEWHERE), wayFrom(ELSEWHERE)],
    ['another port', () => arriving(ping(), REMOTE, 1234), wayFrom(REMOTE, 1234)],
    ['another family', () => arriving6(ping()), wayFrom(REMOTE6, 777, HOST6)],
    ['a keepalive', () => arriving(empty, ELSEWHERE), wayFrom(ELSEWHERE)],
  ])('is told: %s', async (_, packet, path) => {
    const events = await lab.pathEvents(() => lab.run('omni_ingress', packet()));
    expect(events).toEqual([
      { type: OmniEventType.pathSeen, length: 0, sessionId: ID, peer: PEER, path, nonce: 0n, kind: 0 },
    ]);
  });

  it('is told where the peer has no endpoint at all', async () => {
    lab.setPeer(PEER);
    const events = await lab.pathEvents(() => lab.run('omni_ingress', arriving(ping())));
    expect(events).toMatchObject([{ type: OmniEventType.pathSeen, path: wayFrom(REMOTE) }]);
  });

  it('is told once a second while it stays, within 50 ms when it changes', async () => {
    const told = async (...addresses: string[]) => {
      const packets = addresses.map((address) => arriving(ping(), address));
      const events = await lab.pathEvents(() => lab.runAll('omni_ingress', packets));
      return events.map(({ path }) => path.remote.bytes[15]);
    };
    expect(await told(ELSEWHERE, ELSEWHERE, '198.51.100.78')).toEqual([77]);
    await sleep(60);
    expect(await told(ELSEWHERE, '198.51.100.78', '198.51.100.79', '198.51.100.78')).toEqual([78]);
    await sleep(60);
    expect(await told('198.51.100.79')).toEqual([79]);
    await sleep(1010);
    expect(await told('198.51.100.79')).toEqual([79]);
  });

  it('is not told of what is forged, replayed, or another’s', async () => {
    const good = arriving(ping(), ELSEWHERE);
    const forged = patched(good, 90, (good[90] ?? 0) ^ 1);
    const spoofed = arriving(inner(MINE, '02:00:00:00:00:77', '10.77.0.2', '10.77.0.1'), ELSEWHERE);
    const replayed = arriving(ping());
    const events = await lab.pathEvents(() =>
      lab.runAll('omni_ingress', [forged, spoofed, replayed, datagramFrom(replayed, ELSEWHERE)]),
    );
    expect(events).toEqual([]);
  });
});

/** The same bytes from another address. */
function datagramFrom(packet: Buffer, source: string): Buffer {
  return datagram({ port: PORT, source, payload: packet.subarray(OUTER) });
}

describe('the MAC that a frame is for', () => {
  beforeEach(() => {
    lab.setPeer(PEER, { address: REMOTE });
    lab.setFdb(FORMER, 0n);
  });
  const to = (destination: string) => inner(destination, THEIRS, '10.77.0.2', '10.77.0.1');

  it('is omni0’s, where this node is known by another one too', async () => {
    const { retval, data } = await lab.run('omni_ingress', arriving(to(FORMER)));
    expect(retval).toBe(XDP_REDIRECT);
    expect(data).toEqual(to(MINE));
  });
  it.each([MINE, THEIRS, '02:00:00:00:00:77'])('stays what it is: %s', async (destination) => {
    expect((await lab.run('omni_ingress', arriving(to(destination)))).data).toEqual(to(destination));
  });
  it('nobody else may send from it, and nothing goes out to it', async () => {
    const { drops } = await lab.counted(() =>
      lab.run('omni_ingress', arriving(inner(MINE, FORMER, '10.77.0.2', '10.77.0.1'))),
    );
    expect(drops).toEqual({ innerSource: 1 });
    const out = await lab.counted(() => lab.run('omni_egress', ethernet(FORMER, MINE, 0x88b6, Buffer.alloc(50))));
    expect(out.drops).toEqual({ fdbMiss: 1 });
  });
});
