import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { encodePathFrame } from '../../src/dataplane/kernel/path-frame.ts';
import { macOf } from '../../src/manifest/keys.ts';
import type { IpAddress } from '../../src/manifest/model.ts';
import type { DataPlane, NewSession, PathMessage, SessionEvent } from '../../src/reconcile/dataplane.ts';
import { type Row, rowKey } from '../../src/reconcile/rows.ts';
import { keyOf } from '../unit/reconcile/fleet.ts';
import { frame, type Machine, session, until } from './dataplane-suite.ts';

const INTERFACE = 'omni0';
const [OWN, PEER] = [keyOf(1), keyOf(2)];
const IDLE = new AbortController().signal;
/** Where `Machine.arrive` lets datagrams come from. */
const SENDER = '192.0.2.2' as IpAddress;
const ELSEWHERE = '192.0.2.77:40000';
const NONCE = 0xfedc_ba98_7654_3210n;

const rows: readonly Row[] = [
  {
    kind: 'link',
    interface: INTERFACE,
    cluster: 'warehouse',
    mac: macOf(OWN),
    mtu: 1300,
    port: 51820,
    newSessionsPerSecondPerSource: 10,
    arpSuppression: true,
  },
  { kind: 'peer', interface: INTERFACE, publicKey: PEER, endpoint: ELSEWHERE },
  { kind: 'fdb', interface: INTERFACE, mac: macOf(PEER), publicKey: PEER },
];

/** What the peer's data plane makes of a path message: no order goes along. */
function arriving(message: PathMessage, source = PEER): Buffer {
  return encodePathFrame({ destination: macOf(OWN), source: macOf(source) }, message);
}

/** What every data plane owes the sessions that look for ways to a peer. */
export function describePaths(name: string, make: () => Promise<Machine>): void {
  describe(`ways to a peer on ${name}`, () => {
    let machine: Machine;
    let plane: DataPlane;
    let current: NewSession;
    let events: SessionEvent[];

    beforeEach(async () => {
      machine = await make();
      plane = machine.plane;
      await plane.adopt(IDLE);
      events = [];
      plane.sessions.onEvent((event) => events.push(event));
      for (const row of rows) await plane.apply({ op: 'create', key: rowKey(row), to: row }, IDLE);
      current = session(5n);
      await plane.sessions.install(current);
    });
    afterEach(() => machine.dispose());

    const arrive = async (...frames: readonly Uint8Array[]) => {
      if (machine.arrive === undefined) throw new Error('nothing arrives on this machine');
      await machine.arrive(current, frames);
      const received = async () => (await plane.sessions.list())[0]?.rxPackets === BigInt(frames.length);
      await until(received);
    };
    const challenge: PathMessage = { kind: 'challenge', nonce: NONCE, size: 300 };
    const path = { remote: { address: '192.0.2.99' as IpAddress, port: 4000 } };

    it.each(['challenge', 'response'] as const)('a %s is told, with whence it came', async (kind) => {
      await arrive(arriving({ kind, nonce: NONCE, size: 300 }));
      await until(() => events.length > 0);
      expect(events).toMatchObject([
        {
          type: 'path-message',
          interface: INTERFACE,
          peer: PEER,
          localId: current.localId,
          path: { remote: { address: SENDER } },
          message: { kind, nonce: NONCE, size: 300 },
        },
      ]);
    });

    it('a path message is no data, and moves nothing', async () => {
      await arrive(arriving(challenge));
      await plane.sessions.sendOnPath(PEER, path, challenge);
      await until(async () => (await plane.sessions.list())[0]?.txPackets === 1n);
      expect((await plane.sessions.list())[0]).toMatchObject({ rxDataLastMs: 0, txDataLastMs: 0, rxBytes: 300n });
      expect((await plane.sessions.endpoint(PEER))?.endpoint).toEqual({ address: '192.0.2.77', port: 40_000 });
    });

    it('of another’s MAC, or of no kind at all, is told to nobody', async () => {
      const shapeless = arriving(challenge);
      shapeless[15] = 9;
      const outdated = arriving(challenge);
      outdated[14] = 2;
      await arrive(arriving(challenge, keyOf(3)), shapeless, outdated);
      const { drops } = await plane.counters();
      expect([drops['inner-source'], drops.path]).toEqual([1n, 2n]);
      expect(events).toEqual([]);
    });

    it('a frame or keepalive from elsewhere than the endpoint is told, and not over and over', async () => {
      await arrive(Buffer.alloc(0), Buffer.alloc(0), Buffer.alloc(0));
      await until(() => events.length > 0);
      expect(events).toMatchObject([
        { type: 'path-seen', interface: INTERFACE, peer: PEER, path: { remote: { address: SENDER } } },
      ]);
    });

    it('goes nowhere without a session, or without the peer', async () => {
      await plane.sessions.remove(current.localId);
      const before = await plane.counters();
      await plane.sessions.sendOnPath(PEER, path, challenge);
      await plane.sessions.sendOnPath(keyOf(9), path, challenge);
      await plane.sessions.resend(INTERFACE, frame(macOf(PEER)));
      // The frame waits for a session, and comes after whatever the messages caused.
      await until(() => events.some(({ type }) => type === 'frame-without-session'));
      expect((await plane.counters()).txPackets).toBe(before.txPackets);
      expect(events.map(({ type }) => type)).toEqual(['frame-without-session']);
    });
  });
}
