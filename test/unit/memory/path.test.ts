import { createCipheriv } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { createMemoryDataPlane, type MemoryDataPlane } from '../../../src/dataplane/memory/plane.ts';
import { HEADER_BYTES, open, REPLAY_WINDOW, ReplayWindow, seal } from '../../../src/dataplane/memory/seal.ts';
import { MemoryWire } from '../../../src/dataplane/memory/wire.ts';
import { macOf } from '../../../src/manifest/keys.ts';
import type { IpAddress, MacAddress } from '../../../src/manifest/model.ts';
import type { Endpoint, NewSession, SessionEvent } from '../../../src/reconcile/dataplane.ts';
import { desiredState } from '../../../src/reconcile/desired.ts';
import { diff } from '../../../src/reconcile/diff.ts';
import { plan } from '../../../src/reconcile/plan.ts';
import { fleetWith, keyOf, nodeOf } from '../reconcile/fleet.ts';

const signal = new AbortController().signal;
const fleet = fleetWith(1, 2);
const [toA, toB] = [new Uint8Array(32).fill(1), new Uint8Array(32).fill(2)];

/** Two nodes of a fleet on one wire, with a session: `a` initiated it, `b` has not heard on it yet. */
class Pair {
  nowMs = 1_000;
  readonly captured: Uint8Array[] = [];
  readonly wire = new MemoryWire({ random: () => 0.5, schedule: (deliver) => deliver() });
  readonly a = this.#node(1);
  readonly b = this.#node(2);
  readonly frames: { readonly at: string; readonly frame: Uint8Array }[] = [];
  readonly events: SessionEvent[] = [];

  #node(n: number): MemoryDataPlane {
    const plane = createMemoryDataPlane({ now: () => this.nowMs, wire: this.wire, endpoint: endpointOf(n) });
    plane.path.onFrame((_name, frame) => this.frames.push({ at: `robot-${n}`, frame }));
    plane.sessions.onEvent((event) => this.events.push(event));
    return plane;
  }

  async start(overrides: Partial<NewSession> = {}): Promise<this> {
    for (const [n, plane] of [this.a, this.b].entries()) {
      for (const step of plan(diff(desiredState(fleet, nodeOf(n + 1)).rows, new Map())))
        await plane.apply(step, signal);
    }
    const common = { interface: 'omni0', rekeyAfterMs: 100, lifetimeMs: 1_000, ...overrides };
    const initiator = { initiator: true, unconfirmed: false, hybrid: false };
    const responder = { initiator: false, unconfirmed: true, hybrid: false };
    const [ofA, ofB] = [
      { localId: 10n, remoteId: 20n },
      { localId: 20n, remoteId: 10n },
    ];
    await this.a.sessions.install({ ...common, ...initiator, ...ofA, peer: keyOf(2), receiveKey: toA, sendKey: toB });
    await this.b.sessions.install({ ...common, ...responder, ...ofB, peer: keyOf(1), receiveKey: toB, sendKey: toA });
    return this;
  }

  async drops(plane: MemoryDataPlane): Promise<Record<string, bigint>> {
    return Object.fromEntries(Object.entries((await plane.counters()).drops).filter(([, count]) => count > 0n));
  }
}

function endpointOf(n: number): Endpoint {
  return { address: `192.0.2.${n}` as IpAddress, port: 51820 };
}

function frame(from: MacAddress, to: MacAddress, bytes = 60): Uint8Array {
  const made = Buffer.alloc(bytes, 0xab);
  Buffer.from(to.replaceAll(':', ''), 'hex').copy(made, 0);
  Buffer.from(from.replaceAll(':', ''), 'hex').copy(made, 6);
  return Uint8Array.from(made);
}

const [macA, macB] = [macOf(keyOf(1)), macOf(keyOf(2))];

describe('a frame', () => {
  it('crosses the wire, and the first one confirms the session', async () => {
    const pair = await new Pair().start();
    pair.a.path.transmit('omni0', frame(macA, macB));
    expect(pair.frames).toEqual([{ at: 'robot-2', frame: frame(macA, macB) }]);
    expect(pair.events).toEqual([{ type: 'confirmed', interface: 'omni0', localId: 20n, peer: keyOf(1) }]);
    pair.b.path.transmit('omni0', frame(macB, macA));
    expect(pair.frames[1]?.at).toBe('robot-1');
    const [state] = await pair.a.sessions.list();
    expect(state).toMatchObject({ txPackets: 1n, txBytes: 60n, rxPackets: 1n, rxBytes: 60n, rxDataLastMs: 1_000 });
    expect(await pair.a.counters()).toMatchObject({ txPackets: 1n, rxPackets: 1n });
    expect(await pair.drops(pair.a)).toEqual({});
  });

  it('that is empty keeps the session alive and reaches no stack', async () => {
    const pair = await new Pair().start();
    await pair.a.sessions.keepalive(keyOf(2));
    expect(pair.frames).toEqual([]);
    expect((await pair.b.sessions.list())[0]).toMatchObject({
      unconfirmed: false,
      hybrid: false,
      rxPackets: 1n,
      rxLastMs: 1_000,
      rxDataLastMs: 0,
    });
    expect((await pair.a.sessions.list())[0]).toMatchObject({ txLastMs: 1_000, txDataLastMs: 0 });
  });

  it.each([
    ['fdb-miss', frame(macA, macOf(keyOf(9)))],
    ['multicast', frame(macA, 'ff:ff:ff:ff:ff:ff' as MacAddress)],
    ['frame-malformed', new Uint8Array(13)],
  ])('is dropped on the way out: %s', async (reason, sent) => {
    const pair = await new Pair().start();
    pair.a.path.transmit('omni0', sent);
    expect(await pair.drops(pair.a)).toEqual({ [reason]: 1n });
    expect(pair.wire.sent).toBe(0);
  });

  it('needs an endpoint', async () => {
    const pair = await new Pair().start();
    const row = pair.a.host.peerRow('omni0', keyOf(2));
    if (row === undefined) throw new Error('no row');
    pair.a.host.put({ kind: 'peer', interface: 'omni0', publicKey: row.publicKey });
    pair.a.path.transmit('omni0', frame(macA, macB));
    expect(await pair.drops(pair.a)).toEqual({ 'no-endpoint': 1n });
  });

  it('goes to the proved endpoint', async () => {
    const pair = await new Pair().start();
    const elsewhere: Endpoint = { address: '198.51.100.7' as IpAddress, port: 4_000 };
    const got: Endpoint[] = [];
    pair.wire.attach(elsewhere, (_datagram, from) => got.push(from));
    await pair.a.sessions.setEndpoint(keyOf(2), elsewhere);
    pair.a.path.transmit('omni0', frame(macA, macB));
    expect(got).toEqual([endpointOf(1)]);
  });

  it('asks for a new session after a while, once, and for one at all after its end', async () => {
    const pair = await new Pair().start();
    pair.nowMs += 100;
    pair.a.path.transmit('omni0', frame(macA, macB));
    pair.a.path.transmit('omni0', frame(macA, macB));
    expect(pair.events.filter(({ type }) => type === 'rekey-due')).toEqual([
      { type: 'rekey-due', interface: 'omni0', localId: 10n, peer: keyOf(2) },
    ]);
    pair.nowMs += 900;
    pair.a.path.transmit('omni0', frame(macA, macB));
    expect(pair.events.at(-1)).toMatchObject({ type: 'frame-without-session', peer: keyOf(2), destination: macB });
    expect((await pair.a.counters()).queued).toBe(1n);
  });

  it('is lost as often as the wire says', async () => {
    let turn = 0;
    const wire = new MemoryWire({ random: () => (turn++ % 4) / 4, loss: 0.5, schedule: (deliver) => deliver() });
    let arrived = 0;
    wire.attach(endpointOf(2), () => arrived++);
    for (let i = 0; i < 100; i++) wire.send(endpointOf(1), endpointOf(2), new Uint8Array(1));
    expect([wire.sent, wire.lost, arrived]).toEqual([100, 50, 50]);
  });
});

describe('a datagram', () => {
  const good = (counter = 0n, inside = frame(macA, macB)) => seal(toB, { sessionId: 20n, counter }, inside);

  async function received(
    datagrams: readonly Uint8Array[],
  ): Promise<{ readonly pair: Pair; readonly drops: Record<string, bigint> }> {
    const pair = await new Pair().start();
    for (const datagram of datagrams) pair.b.path.deliver(datagram, endpointOf(1));
    return { pair, drops: await pair.drops(pair.b) };
  }

  it('is accepted once, in any order', async () => {
    const { pair, drops } = await received([good(5n), good(3n), good(5n), good(3n)]);
    expect(pair.frames).toHaveLength(2);
    expect(drops).toEqual({ replay: 2n });
  });

  it('is refused where a single bit of it differs', async () => {
    for (const bit of [0, 63, 64, 127, 128, 255, 256, 8 * (HEADER_BYTES + 60) - 1]) {
      const datagram = good();
      datagram[bit >> 3] = (datagram[bit >> 3] ?? 0) ^ (1 << (bit & 7));
      const { pair, drops } = await received([datagram]);
      expect(pair.frames).toEqual([]);
      expect(drops).toEqual({ [bit < 64 ? 'session-unknown' : 'auth']: 1n });
    }
  });

  it.each([
    ['truncated', new Uint8Array(31)],
    ['session-unknown', seal(toB, { sessionId: 99n, counter: 0n }, new Uint8Array())],
    ['control-invalid', new Uint8Array(160)],
    ['inner-malformed', good(0n, new Uint8Array(13))],
    ['inner-source', good(0n, frame(macOf(keyOf(9)), macB))],
  ])('is dropped on the way in: %s', async (reason, datagram) => {
    const { pair, drops } = await received([datagram]);
    expect(pair.frames).toEqual([]);
    expect(drops).toEqual({ [reason]: 1n });
  });

  it('is refused after the session has ended', async () => {
    const pair = await new Pair().start();
    pair.nowMs += 1_000;
    pair.b.path.deliver(good(), endpointOf(1));
    expect(await pair.drops(pair.b)).toEqual({ 'session-expired': 1n });
  });

  it('of a handshake reaches the agent', async () => {
    const pair = await new Pair().start();
    const got: Endpoint[] = [];
    pair.b.path.onControl((_datagram, from) => got.push(from));
    const initiation = new Uint8Array(160);
    initiation.set([1, 1], 8);
    pair.a.path.sendControl(endpointOf(2), initiation);
    expect(got).toEqual([endpointOf(1)]);
    expect((await pair.b.counters()).controlPassed).toBe(1n);
  });
});

describe('sealing', () => {
  it.each([0, 1, 15, 16, 17, 63, 64, 65, 255, 256, 257, 1426])('of %i bytes agrees with OpenSSL', (length) => {
    const inside = Uint8Array.from({ length }, (_, at) => at & 0xff);
    const header = { sessionId: 0x0102_0304_0506_0708n, counter: 0xfeedn };
    const aad = Buffer.alloc(16);
    aad.writeBigUInt64LE(header.sessionId, 0);
    aad.writeBigUInt64LE(header.counter, 8);
    const cipher = createCipheriv('chacha20-poly1305', toB, Buffer.concat([Buffer.alloc(4), aad.subarray(8)]), {
      authTagLength: 16,
    });
    cipher.setAAD(aad, { plaintextLength: length });
    const text = Buffer.concat([cipher.update(inside), cipher.final()]);
    const datagram = seal(toB, header, inside);
    expect(Buffer.from(datagram)).toEqual(Buffer.concat([aad, cipher.getAuthTag(), text]));
    expect(open(toB, datagram)).toEqual(inside);
  });
});

describe('the replay window', () => {
  it('forgets what is too old to tell, and nothing else', () => {
    const window = new ReplayWindow();
    const newest = 3n * REPLAY_WINDOW;
    for (let counter = 0n; counter <= newest; counter++) expect(window.accept(counter)).toBe(true);
    expect(window.accept(newest)).toBe(false);
    expect(window.accept(newest - REPLAY_WINDOW + 1n)).toBe(false);
    expect(window.accept(0n)).toBe(false);
    const late = new ReplayWindow();
    late.accept(newest);
    expect(late.accept(newest - REPLAY_WINDOW + 1n)).toBe(true);
    expect(late.accept(newest - REPLAY_WINDOW)).toBe(false);
  });
});
