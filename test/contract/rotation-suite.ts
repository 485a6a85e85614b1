import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { macOf } from '../../src/manifest/keys.ts';
import type { IpAddress, PublicKey } from '../../src/manifest/model.ts';
import type { DataPlane, PeerMessage } from '../../src/reconcile/dataplane.ts';
import { diff } from '../../src/reconcile/diff.ts';
import { foldEndpoints } from '../../src/reconcile/fold.ts';
import { plan } from '../../src/reconcile/plan.ts';
import { type DesiredRow, type LinkRow, type Row, type RowKey, rowKey } from '../../src/reconcile/rows.ts';
import { keyOf } from '../unit/reconcile/fleet.ts';
import { frame, type Machine, messageOf, session, until } from './dataplane-suite.ts';

const INTERFACE = 'omni0';
const [OWN, PEER, OTHER, NEXT, OWN_NEXT] = [keyOf(1), keyOf(2), keyOf(3), keyOf(12), keyOf(11)];
const IDLE = new AbortController().signal;
const PROVED = { address: '192.0.2.77' as IpAddress, port: 40_000 };

const link: LinkRow = {
  kind: 'link',
  interface: INTERFACE,
  cluster: 'warehouse',
  mac: macOf(OWN),
  mtu: 1300,
  port: 51820,
  newSessionsPerSecondPerSource: 10,
  arpSuppression: true,
};

/** A peer under `publicKey`, which may have another key. */
function peerRows(publicKey: PublicKey, nextPublicKey?: PublicKey, endpoint = '192.0.2.2:51820'): Row[] {
  const keys = nextPublicKey === undefined ? [publicKey] : [publicKey, nextPublicKey];
  return [
    { kind: 'peer', interface: INTERFACE, publicKey, ...(nextPublicKey && { nextPublicKey }), endpoint },
    ...keys.map((key): Row => ({ kind: 'fdb', interface: INTERFACE, mac: macOf(key), publicKey })),
    { kind: 'neighbour', interface: INTERFACE, address: '10.77.0.2' as IpAddress, mac: macOf(publicKey) },
  ];
}

const ownRows: readonly Row[] = [OWN, OWN_NEXT].map(
  (key): Row => ({ kind: 'fdb', interface: INTERFACE, mac: macOf(key), publicKey: 'self' }),
);

/** What every data plane owes peers, and the node itself, whose key changes. */
export function describeRotation(name: string, make: () => Promise<Machine>): void {
  describe(`a rotation on ${name}`, () => {
    let machine: Machine;
    let plane: DataPlane;
    let received: [PublicKey, string][];

    beforeEach(async () => {
      machine = await make();
      plane = machine.plane;
      await plane.adopt(IDLE);
      received = [];
      plane.messages.onMessage(({ peer, payload }: PeerMessage) => {
        received.push([peer, Buffer.from(payload).toString()]);
      });
    });
    afterEach(() => machine.dispose());

    /** Makes the machine hold these rows; resolves with what that took. */
    async function become(rows: readonly Row[]): Promise<string[]> {
      const origin = { object: 'cluster/warehouse', position: { file: 'a.yaml', line: 1, column: 1 } } as const;
      const desired = new Map(rows.map((row): [RowKey, DesiredRow] => [rowKey(row), { row, origin }]));
      const observed = await plane.observe(IDLE);
      const steps = plan(diff(foldEndpoints(desired, observed), observed));
      for (const step of steps) await plane.apply(step, IDLE);
      const reached = await plane.observe(IDLE);
      expect(diff(foldEndpoints(desired, reached), reached)).toEqual([]);
      return steps.map(({ op, key }) => `${op} ${key.slice(0, key.indexOf('/'))}`);
    }

    /** Frames to a MAC leave on the session with its peer. */
    async function expectSent(...keys: readonly PublicKey[]): Promise<void> {
      const before = (await plane.counters()).txPackets;
      for (const key of keys) await plane.sessions.resend(INTERFACE, frame(macOf(key)));
      await until(async () => (await plane.counters()).txPackets === before + BigInt(keys.length));
    }

    const [before, overlap, changed, after] = [
      [link, ...peerRows(PEER)],
      [link, ...peerRows(PEER, NEXT)],
      [link, ...peerRows(NEXT, PEER)],
      [link, ...peerRows(NEXT)],
    ];

    it('goes by three steps, and back: sessions, counters and the proved endpoint stay', async () => {
      await become(before);
      await plane.sessions.install(session(1n));
      await plane.sessions.install(session(3n, { initiator: false, unconfirmed: true }));
      await plane.sessions.setEndpoint(PEER, PROVED);
      expect(await become(overlap)).toEqual(['update peer', 'create fdb']);
      await expectSent(PEER, NEXT);
      const sessions = (await plane.sessions.list()).map((state) => ({ ...state, peer: NEXT }));

      expect(await become(changed)).toEqual(['update peer', 'update neighbour']);
      expect(sortedById(await plane.sessions.list())).toEqual(sortedById(sessions));
      expect(await plane.sessions.endpoint(NEXT)).toEqual({ endpoint: PROVED, observed: true });
      await expectSent(PEER, NEXT);

      expect(await become(overlap)).toEqual(['update peer', 'update neighbour']);
      expect((await plane.sessions.list()).map(({ peer }) => peer)).toEqual([PEER, PEER]);
      expect(await become(changed)).toEqual(['update peer', 'update neighbour']);

      expect(await become(after)).toEqual(['update peer', 'delete fdb']);
      await expectSent(NEXT);
      expect(sortedById(await plane.sessions.list())).toMatchObject([
        { peer: NEXT, txPackets: 5n },
        { peer: NEXT, unconfirmed: true },
      ]);
    });

    it('is the same for the process after this one, which writes nothing', async () => {
      await become(overlap);
      await plane.sessions.install(session(1n));
      await become(changed);
      plane = await machine.reopen();
      await plane.adopt(IDLE);
      await become(changed);
      expect(await plane.sessions.list()).toMatchObject([{ localId: 1n, peer: NEXT, current: true }]);
      expect(plane.writes).toBe(0);
      await plane.sessions.install(session(2n, { peer: NEXT }));
      await expectSent(NEXT, PEER);
      await become([link]);
      expect(await plane.sessions.list()).toEqual([]);
    });

    it('takes another hint along', async () => {
      await become(overlap);
      expect(await become([link, ...peerRows(NEXT, PEER, '192.0.2.8:4000')])).toContain('update peer');
      expect(await plane.sessions.endpoint(NEXT)).toMatchObject({ endpoint: { address: '192.0.2.8', port: 4000 } });
    });

    it('is obeyed by callers that do not know of it yet', async () => {
      await become(overlap);
      await plane.sessions.install(session(1n));
      await become(changed);
      await plane.sessions.install(session(2n, { peer: PEER }));
      await plane.sessions.setEndpoint(PEER, PROVED);
      expect(await plane.sessions.endpoint(PEER)).toEqual({ endpoint: PROVED, observed: true });
      const { txPackets } = await plane.counters();
      await plane.sessions.keepalive(PEER);
      await until(async () => (await plane.counters()).txPackets === txPackets + 1n);
      expect((await plane.sessions.list([2n]))[0]).toMatchObject({ peer: NEXT, current: true });
      expect((await plane.observe(IDLE)).has(rowKey({ kind: 'peer', interface: INTERFACE, publicKey: PEER }))).toBe(
        false,
      );
    });

    it('lets a peer that comes later have the old key, without mixing the two up', async () => {
      await become(overlap);
      await plane.sessions.install(session(1n));
      await become(changed);
      await become(after);
      const stranger: Row[] = [
        { kind: 'peer', interface: INTERFACE, publicKey: PEER, endpoint: '192.0.2.3:51820' },
        { kind: 'fdb', interface: INTERFACE, mac: macOf(PEER), publicKey: PEER },
      ];
      await become([...after, ...stranger]);
      await plane.sessions.install(session(5n));
      const owners = async () => new Map((await plane.sessions.list()).map(({ localId, peer }) => [localId, peer]));
      const both = new Map([
        [1n, NEXT],
        [5n, PEER],
      ]);
      expect(await owners()).toEqual(both);
      plane = await machine.reopen();
      await plane.adopt(IDLE);
      expect(await owners()).toEqual(both);
      expect((await plane.sessions.list()).every(({ current }) => current)).toBe(true);
      await become([link, ...stranger]);
      expect(await owners()).toEqual(new Map([[5n, PEER]]));
      await become(after);
      expect(await owners()).toEqual(new Map());
    });

    it('may leave out either end of the overlap, but not both', async () => {
      await become(before);
      await plane.sessions.install(session(1n));
      expect(await become(changed)).toEqual(['update peer', 'create fdb', 'update neighbour']);
      expect(await become(before)).toEqual(['update peer', 'update neighbour', 'delete fdb']);
      expect(await plane.sessions.list()).toMatchObject([{ localId: 1n, peer: PEER, current: true }]);
      await expectSent(PEER);
      expect(await become(after)).toEqual([
        'delete peer',
        'create peer',
        'create fdb',
        'update neighbour',
        'delete fdb',
      ]);
      expect(await plane.sessions.list()).toEqual([]);
    });

    it('of a peer: frames from either MAC are its own, and from others none', async () => {
      const open = session(3n);
      await become(overlap);
      await plane.sessions.install(open);
      await become(changed);
      await machine.arrive?.(open, [
        messageOf(macOf(OWN), macOf(PEER), 'by the old one'),
        messageOf(macOf(OWN), macOf(NEXT), 'by the new one'),
        messageOf(macOf(OWN), macOf(OTHER), 'by neither'),
      ]);
      await until(() => received.length === 2);
      expect(received).toEqual([
        [NEXT, 'by the old one'],
        [NEXT, 'by the new one'],
      ]);
      await until(async () => (await plane.counters()).drops['inner-source'] === 1n);
    });

    it('of this node: its link takes the other MAC under way, and frames to either arrive', async () => {
      const open = session(3n);
      await become([link, ...peerRows(PEER), ...ownRows]);
      await plane.sessions.install(open);
      await machine.arrive?.(open, [messageOf(macOf(OWN_NEXT), macOf(PEER), 'early')]);
      const turned = { ...link, mac: macOf(OWN_NEXT) };
      expect(await become([turned, ...peerRows(PEER), ...ownRows])).toEqual(['update link']);
      expect(await plane.sessions.list()).toMatchObject([{ localId: 3n, current: true }]);
      await machine.arrive?.(open, [
        Buffer.alloc(0), // the counter that was used already
        messageOf(macOf(OWN), macOf(PEER), 'late'),
        messageOf(macOf(OWN_NEXT), macOf(PEER), 'in time'),
      ]);
      await until(() => received.length === 3);
      expect(received.map(([, text]) => text)).toEqual(['early', 'late', 'in time']);
      expect(await become([turned, ...peerRows(PEER)])).toEqual(['delete fdb', 'delete fdb']);
    });
  });
}

function sortedById<T extends { readonly localId: bigint }>(sessions: readonly T[]): readonly T[] {
  return [...sessions].sort((a, b) => Number(a.localId - b.localId));
}
