import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { OmniError } from '../../src/errors.ts';
import { macOf } from '../../src/manifest/keys.ts';
import type { Cidr, IpAddress, MacAddress, PublicKey } from '../../src/manifest/model.ts';
import type { DataPlane, NewSession, PeerMessage, SessionEvent } from '../../src/reconcile/dataplane.ts';
import { diff } from '../../src/reconcile/diff.ts';
import { plan } from '../../src/reconcile/plan.ts';
import {
  changedFields,
  type DesiredRow,
  type LinkRow,
  type ObservedRow,
  type PeerRow,
  type Row,
  type RowKey,
  rowKey,
} from '../../src/reconcile/rows.ts';
import { keyOf } from '../unit/reconcile/fleet.ts';

/** A machine for one test: nothing of ours on it, and an underlay that has a route to 192.0.2.0/24. */
export interface Machine {
  /** Not adopted yet. */
  readonly plane: DataPlane;
  /** As another process would find what `plane` left: closes it and returns the next, not adopted yet. */
  reopen(): Promise<DataPlane>;
  /** Takes an address or a link away, as a person with root would. */
  breakIt(row: Row): Promise<void>;
  /** Deletes a row from the map that holds it, past the data plane. */
  erase?(row: Row): Promise<void>;
  /** Lets authentic datagrams arrive on a session of ours, one per frame, in order; an empty frame is a keepalive. */
  arrive?(session: NewSession, frames: readonly Uint8Array[]): Promise<void>;
  /** Makes things like ours that are not ours; the result says whether all of them are still there. */
  foreign?(): Promise<() => Promise<boolean>>;
  dispose(): Promise<void>;
}

/** What `Machine`'s optional members are there for; what a machine cannot have is no test of it. */
export interface Abilities {
  readonly arrive: boolean;
  readonly foreign: boolean;
  readonly erase: boolean;
}

const INTERFACE = 'omni0';
const [OWN, PEER, OTHER] = [keyOf(1), keyOf(2), keyOf(3)];
const IDLE = new AbortController().signal;

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
const peer: PeerRow = { kind: 'peer', interface: INTERFACE, publicKey: PEER, endpoint: '192.0.2.2:51820' };

/** A row of every kind and family, and what it can become. */
const examples: readonly { readonly name: string; readonly row: Row; readonly other?: Row }[] = [
  { name: 'an IPv4 address', row: { kind: 'address', interface: INTERFACE, address: '10.77.0.1' as IpAddress } },
  { name: 'an IPv6 address', row: { kind: 'address', interface: INTERFACE, address: 'fd77::1' as IpAddress } },
  { name: 'an IPv4 route', row: { kind: 'route', interface: INTERFACE, destination: '10.77.0.0/16' as Cidr } },
  { name: 'an IPv6 route', row: { kind: 'route', interface: INTERFACE, destination: 'fd77::/64' as Cidr } },
  { name: 'a peer', row: peer, other: { ...peer, endpoint: '192.0.2.7:4000' } },
  {
    name: 'a peer that must call',
    row: { kind: 'peer', interface: INTERFACE, publicKey: OTHER },
    other: { kind: 'peer', interface: INTERFACE, publicKey: OTHER, endpoint: '192.0.2.3:51820' },
  },
  {
    name: 'a peer with roles',
    row: { ...peer, roles: 'router' },
    other: { ...peer, roles: 'dhcp-server,router' },
  },
  {
    name: 'a forwarding row',
    row: { kind: 'fdb', interface: INTERFACE, mac: macOf(PEER), publicKey: PEER },
    other: { kind: 'fdb', interface: INTERFACE, mac: macOf(PEER), publicKey: OTHER },
  },
  {
    name: 'an IPv4 neighbour',
    row: { kind: 'neighbour', interface: INTERFACE, address: '10.77.0.2' as IpAddress, mac: macOf(PEER) },
    other: { kind: 'neighbour', interface: INTERFACE, address: '10.77.0.2' as IpAddress, mac: macOf(OTHER) },
  },
  {
    name: 'an IPv6 neighbour',
    row: { kind: 'neighbour', interface: INTERFACE, address: 'fd77::2' as IpAddress, mac: macOf(PEER) },
    other: { kind: 'neighbour', interface: INTERFACE, address: 'fd77::2' as IpAddress, mac: macOf(OTHER) },
  },
  { name: 'an IPv4 subnet', row: { kind: 'subnet', interface: INTERFACE, subnet: '10.77.0.0/16' as Cidr } },
  { name: 'an IPv6 subnet', row: { kind: 'subnet', interface: INTERFACE, subnet: 'fd77::/64' as Cidr } },
  {
    name: 'a policy',
    row: { kind: 'policy', interface: INTERFACE, foreignSources: 'deny', etherTypes: '' },
    other: { kind: 'policy', interface: INTERFACE, foreignSources: 'allow', etherTypes: '0x8892,0x88f7' },
  },
];
const inMaps = [peer, ...examples.map(({ row }) => row).filter(({ kind }) => kind === 'fdb' || kind === 'neighbour')];
const named = examples.map((example) => [example.name, example] as const);
const everything: readonly Row[] = [link, { ...peer, publicKey: OTHER }, ...examples.map(({ row }) => row)].filter(
  (row, at, all) => all.findIndex((other) => rowKey(other) === rowKey(row)) === at,
);

/** What every data plane owes the reconciler and the sessions. Runs the same on each. */
export function describeDataPlane(name: string, abilities: Abilities, make: () => Promise<Machine>): void {
  describe(name, () => {
    let machine: Machine;
    let plane: DataPlane;

    beforeEach(async () => {
      machine = await make();
      plane = machine.plane;
      await plane.adopt(IDLE);
    });
    afterEach(() => machine.dispose());

    const create = (row: Row) => plane.apply({ op: 'create', key: rowKey(row), to: row }, IDLE);
    const remove = (row: Row) => plane.apply({ op: 'delete', key: rowKey(row), from: row }, IDLE);
    const change = (from: Row, to: Row) =>
      plane.apply({ op: 'update', key: rowKey(to), from, to, fields: changedFields(from, to) }, IDLE);
    const read = async (row: Row): Promise<ObservedRow | undefined> =>
      (await plane.observe(IDLE, new Set([rowKey(row)]))).get(rowKey(row));

    /** Reading one row and reading all must tell the same. */
    async function expectRow(row: Row): Promise<void> {
      expect((await read(row))?.row).toEqual(row);
      expect((await plane.observe(IDLE)).get(rowKey(row))?.row).toEqual(row);
    }
    async function expectNone(row: Row): Promise<void> {
      expect(await read(row)).toBeUndefined();
      expect((await plane.observe(IDLE)).has(rowKey(row))).toBe(false);
    }

    describe('rows', () => {
      it('none are there on a fresh machine, and that is told without a write', async () => {
        expect(await plane.observe(IDLE)).toEqual(new Map());
        expect(await plane.sessions.list()).toEqual([]);
        expect(plane.writes).toBe(0);
        const again = await machine.reopen();
        expect(await again.adopt(IDLE)).toEqual({ adopted: false, sessions: 0, links: [] });
      });

      it('a link comes, changes and goes, each as often as one likes', async () => {
        await create(link);
        await create(link);
        await expectRow(link);
        const { writes } = plane;
        expect(writes).toBeGreaterThan(0);
        const other: LinkRow = {
          ...link,
          mtu: 1280,
          port: 51821,
          newSessionsPerSecondPerSource: 20,
          arpSuppression: false,
        };
        await change(link, other);
        await change(link, other);
        await expectRow(other);
        expect(plane.writes).toBeGreaterThan(writes);
        await remove(other);
        await remove(other);
        await expectNone(other);
      });

      it('an automatic MTU reads back as such', async () => {
        await create({ ...link, mtu: 'auto' });
        await expectRow({ ...link, mtu: 'auto' });
      });

      it.each(named)('%s comes, changes and goes, each as often as one likes', async (_name, { row, other }) => {
        await create(link);
        await create(row);
        await create(row);
        await expectRow(row);
        if (other !== undefined) {
          await change(row, other);
          await change(row, other);
          await expectRow(other);
        }
        await remove(other ?? row);
        await remove(other ?? row);
        await expectNone(row);
        await expectRow(link);
      });

      it.each(named)('%s waits for its link, and its deletion does not', async (_name, { row }) => {
        await expect(create(row)).rejects.toMatchObject({ code: 'link-absent', class: 'wait' });
        await remove(row);
        await expectNone(row);
      });

      it('are read one by one at will: others and absent ones are left out', async () => {
        for (const row of everything) await create(row);
        const absent = { ...peer, publicKey: keyOf(9) };
        const wanted = [link, peer, absent].map(rowKey);
        expect([...(await plane.observe(IDLE, new Set(wanted))).keys()].sort()).toEqual(
          [rowKey(link), rowKey(peer)].sort(),
        );
        expect(await plane.observe(IDLE, new Set())).toEqual(new Map());
        expect([...(await plane.observe(IDLE)).keys()].sort()).toEqual(everything.map(rowKey).sort());
      });

      it('a whole plan leads to what it says, and then there is nothing left to do', async () => {
        const origin = { object: 'cluster/warehouse', position: { file: 'a.yaml', line: 1, column: 1 } } as const;
        const desired = new Map(everything.map((row): [RowKey, DesiredRow] => [rowKey(row), { row, origin }]));
        for (const step of plan(diff(desired, await plane.observe(IDLE)))) await plane.apply(step, IDLE);
        expect(diff(desired, await plane.observe(IDLE))).toEqual([]);
        for (const step of plan(diff(new Map(), await plane.observe(IDLE)))) await plane.apply(step, IDLE);
        expect(await plane.observe(IDLE)).toEqual(new Map());
      });

      it('a link that gets another MAC keeps all that it carries', async () => {
        for (const row of everything) await create(row);
        await plane.sessions.install(session(1n));
        const anew: LinkRow = { ...link, mac: macOf(OTHER) };
        await change(link, anew);
        const rows = [...(await plane.observe(IDLE)).values()].map(({ row }) => row);
        const expected = everything.map((row) => (row === link ? anew : row));
        expect(rows.sort(byKey)).toEqual(expected.sort(byKey));
        expect(await plane.sessions.list()).toMatchObject([{ localId: 1n, current: true }]);
      });

      it('nothing is done for a caller that has given up', async () => {
        const gone = AbortSignal.abort(new Error('gave up'));
        await expect(plane.apply({ op: 'create', key: rowKey(link), to: link }, gone)).rejects.toThrow('gave up');
        await expect(plane.observe(gone)).rejects.toThrow('gave up');
        expect(await plane.observe(IDLE)).toEqual(new Map());
      });

      it('teardown leaves nothing, as often as one likes', async () => {
        for (const row of everything) await create(row);
        await plane.sessions.install(session(1n));
        await plane.teardown(IDLE);
        await plane.teardown(IDLE);
        expect(await plane.observe(IDLE)).toEqual(new Map());
        expect(await plane.sessions.list()).toEqual([]);
      });

      if (abilities.foreign)
        it('what is not ours is neither seen nor touched', async () => {
          const foreignIsThere = await machine.foreign?.();
          expect(await plane.observe(IDLE)).toEqual(new Map());
          for (const row of everything) await create(row);
          expect((await plane.observe(IDLE)).size).toBe(everything.length);
          for (const row of [...everything].reverse()) await remove(row);
          await plane.teardown(IDLE);
          expect(await foreignIsThere?.()).toBe(true);
        });
    });

    describe('endpoints', () => {
      const proved = { address: '192.0.2.77' as IpAddress, port: 40_000 };

      beforeEach(async () => {
        await create(link);
        await create(peer);
      });

      it('are hints until a handshake proves one', async () => {
        expect(await read(peer)).not.toHaveProperty('endpointObserved', true);
        expect(await plane.sessions.endpoint(PEER)).toEqual({
          endpoint: { address: '192.0.2.2', port: 51820 },
          observed: false,
        });
        await plane.sessions.setEndpoint(PEER, proved);
        expect(await read(peer)).toEqual({ row: { ...peer, endpoint: '192.0.2.77:40000' }, endpointObserved: true });
        expect(await plane.sessions.endpoint(PEER)).toEqual({ endpoint: proved, observed: true });
      });

      it('that are proved stay, and roles come and go', async () => {
        await plane.sessions.setEndpoint(PEER, { address: '192.0.2.9' as IpAddress, port: 4000 });
        const proved = { ...peer, endpoint: '192.0.2.9:4000' };
        await change(peer, { ...peer, roles: 'router' });
        await expectRow({ ...proved, roles: 'router' });
        await change({ ...proved, roles: 'router' }, proved);
        await expectRow(proved);
      });

      it('that are proved are displaced by no hint, old or new', async () => {
        await plane.sessions.setEndpoint(PEER, proved);
        await create(peer);
        await change(peer, { ...peer, endpoint: '192.0.2.8:51820' });
        expect(await plane.sessions.endpoint(PEER)).toEqual({ endpoint: proved, observed: true });
      });

      it('that are proved follow the next proof, and go with the peer', async () => {
        await plane.sessions.setEndpoint(PEER, proved);
        await plane.sessions.setEndpoint(PEER, { ...proved, port: 40_001 });
        expect((await plane.sessions.endpoint(PEER))?.endpoint.port).toBe(40_001);
        await remove(peer);
        expect(await plane.sessions.endpoint(PEER)).toBeUndefined();
        await create(peer);
        expect((await plane.sessions.endpoint(PEER))?.observed).toBe(false);
      });

      it('of a stranger are not kept', async () => {
        await plane.sessions.setEndpoint(OTHER, proved);
        expect(await plane.sessions.endpoint(OTHER)).toBeUndefined();
        expect((await plane.observe(IDLE)).size).toBe(2);
      });
    });

    describe('sessions', () => {
      beforeEach(async () => {
        await create(link);
        await create(peer);
        await create({ ...peer, publicKey: OTHER });
      });

      it('are installed, listed and removed', async () => {
        const before = plane.sessions.now();
        await plane.sessions.install(session(0xfedc_ba98_7654_3210n));
        const [found] = await plane.sessions.list();
        expect(found).toMatchObject({
          interface: INTERFACE,
          localId: 0xfedc_ba98_7654_3210n,
          remoteId: 0xfedc_ba98_7654_3211n,
          peer: PEER,
          initiator: true,
          unconfirmed: false,
          hybrid: false,
          current: true,
          txPackets: 0n,
          txBytes: 0n,
          rxPackets: 0n,
          rxBytes: 0n,
          txLastMs: 0,
          txDataLastMs: 0,
          rxLastMs: 0,
          rxDataLastMs: 0,
        });
        const created = found?.createdMs ?? 0;
        expect(created).toBeGreaterThanOrEqual(Math.floor(before));
        expect(created).toBeLessThanOrEqual(Math.ceil(plane.sessions.now()));
        expect((found?.rekeyAfterMs ?? 0) - created).toBeCloseTo(120_000, 0);
        expect((found?.expiresMs ?? 0) - created).toBeCloseTo(3_600_000, 0);
        expect(
          JSON.stringify(found, (_key, value: unknown) => (typeof value === 'bigint' ? `${value}` : value)),
        ).not.toMatch(/key"/i);
        expect(await plane.sessions.remove(0xfedc_ba98_7654_3210n)).toMatchObject({ peer: PEER, current: true });
        expect(await plane.sessions.remove(0xfedc_ba98_7654_3210n)).toBeUndefined();
        expect(await plane.sessions.list()).toEqual([]);
      });

      it('are listed by id: absent ones are left out', async () => {
        await plane.sessions.install(session(1n));
        await plane.sessions.install(session(2n, { peer: OTHER }));
        expect((await plane.sessions.list([2n, 3n])).map(({ localId, peer: of }) => [localId, of])).toEqual([
          [2n, OTHER],
        ]);
        expect(await plane.sessions.list([])).toEqual([]);
      });

      it('are asked for under one to four keys of mac1; the same ones again write nothing', async () => {
        const [first, second] = [new Uint8Array(32).fill(1), new Uint8Array(32).fill(2)];
        await plane.sessions.setMac1Keys([first, second]);
        const { writes } = plane;
        await plane.sessions.setMac1Keys([first, second]);
        expect(plane.writes).toBe(writes);
        for (const none of [[], [first, second, first, second, first], [first.subarray(1)]]) {
          await expect(plane.sessions.setMac1Keys(none)).rejects.toThrow(/(one|1) to (four|4) of 32 bytes/);
        }
      });

      it('take over sending as they come, but not before they are confirmed', async () => {
        await plane.sessions.install(session(1n));
        expect(await current()).toEqual([1n]);
        await plane.sessions.install(session(2n));
        expect(await current()).toEqual([2n]);
        await plane.sessions.install(session(3n, { initiator: false, unconfirmed: true }));
        expect(await current()).toEqual([2n]);
        await plane.sessions.remove(1n);
        expect(await current()).toEqual([2n]);
        await plane.sessions.remove(2n);
        expect(await current()).toEqual([]);
        expect(await plane.sessions.list()).toHaveLength(1);
      });

      if (abilities.arrive)
        it('are confirmed by the first authentic datagram, which is told', async () => {
          const next = session(3n, { initiator: false, unconfirmed: true });
          const events: SessionEvent[] = [];
          plane.sessions.onEvent((event) => void (event.type === 'confirmed' && events.push(event)));
          await plane.sessions.install(session(2n));
          await plane.sessions.install(next);
          await machine.arrive?.(next, [new Uint8Array()]);
          await until(() => events.length > 0);
          expect(events).toEqual([{ type: 'confirmed', interface: INTERFACE, localId: 3n, peer: PEER }]);
          expect(await current()).toEqual([3n]);
          expect((await plane.sessions.list([3n]))[0]).toMatchObject({ unconfirmed: false, rxPackets: 1n });
        });

      it('are installed once: the same again changes nothing, and another under its id is refused', async () => {
        await plane.sessions.install(session(1n));
        const before = await plane.sessions.list();
        await plane.sessions.install(session(1n));
        expect(await plane.sessions.list()).toHaveLength(before.length);
        await expect(
          plane.sessions.install(session(1n, { sendKey: new Uint8Array(32).fill(9) })),
        ).rejects.toMatchObject({
          code: 'session-id-taken',
          class: 'retry',
        });
      });

      it('leave the keys that they were given alone', async () => {
        const given = session(1n);
        await plane.sessions.install(given);
        expect([given.sendKey, given.receiveKey]).toEqual([session(1n).sendKey, session(1n).receiveKey]);
        given.sendKey.fill(0);
        await expect(plane.sessions.install(session(1n))).resolves.toBeUndefined();
      });

      it('end with their peer, and none comes after it', async () => {
        await plane.sessions.install(session(1n));
        await plane.sessions.install(session(2n, { initiator: false, unconfirmed: true }));
        await plane.sessions.install(session(3n, { peer: OTHER }));
        await remove(peer);
        expect((await plane.sessions.list()).map(({ localId }) => localId)).toEqual([3n]);
        const refused = await plane.sessions.install(session(4n)).catch((error: unknown) => error);
        expect(refused).toBeInstanceOf(OmniError);
        expect(refused).toMatchObject({ code: 'peer-missing', class: 'wait' });
        await create(peer);
        await plane.sessions.install(session(1n, { initiator: false, unconfirmed: true }));
        expect(await current()).toEqual([3n]);
      });

      it('end with their link, and wait for it', async () => {
        await plane.sessions.install(session(1n));
        await remove(link);
        expect(await plane.sessions.list()).toEqual([]);
        await expect(plane.sessions.install(session(2n))).rejects.toMatchObject({ code: 'link-absent', class: 'wait' });
      });

      it('a keepalive to nobody is nothing, and a frame for nobody is lost', async () => {
        await plane.sessions.keepalive(PEER);
        await plane.sessions.keepalive(keyOf(9));
        await plane.sessions.resend(INTERFACE, frame(macOf(keyOf(9))));
        await expect(plane.sessions.resend('omni9', frame(macOf(PEER)))).rejects.toMatchObject({
          code: 'link-missing',
          class: 'wait',
        });
      });

      it('a frame without a session is handed over, whole', async () => {
        await create({ kind: 'fdb', interface: INTERFACE, mac: macOf(PEER), publicKey: PEER });
        const events: SessionEvent[] = [];
        plane.sessions.onEvent((event) => events.push(event));
        const sent = frame(macOf(PEER));
        await plane.sessions.resend(INTERFACE, sent);
        await until(() => events.length > 0);
        const [event] = events;
        expect(event).toMatchObject({
          type: 'frame-without-session',
          interface: INTERFACE,
          peer: PEER,
          destination: macOf(PEER),
        });
        expect(event?.type === 'frame-without-session' && Buffer.from(event.frame).equals(sent)).toBe(true);
        expect((await plane.counters()).queued).toBe(1n);
      });

      const current = async () =>
        (await plane.sessions.list()).filter((state) => state.current).map(({ localId }) => localId);
    });

    describe('messages', () => {
      const payload = Buffer.from('hello, agent');
      const message = { interface: INTERFACE, peer: PEER as PublicKey, payload };
      let received: PeerMessage[];

      beforeEach(async () => {
        await create(link);
        await create(peer);
        await create({ kind: 'fdb', interface: INTERFACE, mac: macOf(PEER), publicKey: PEER });
        received = [];
        plane.messages.onMessage((each) => received.push(each));
      });

      it('are as long as the MTU in force allows', async () => {
        expect(await plane.messages.capacity(INTERFACE)).toBe(1300);
        await change(link, { ...link, mtu: 1280 });
        expect(await plane.messages.capacity(INTERFACE)).toBe(1280);
        expect(await plane.messages.capacity('omni9')).toBe(0);
        await plane.messages.send({ ...message, payload: new Uint8Array(1280) });
        await expect(plane.messages.send({ ...message, payload: new Uint8Array(1281) })).rejects.toMatchObject({
          code: 'message-too-long',
          class: 'bug',
        });
      });

      it('go out in a frame of their size on the session with the peer', async () => {
        await plane.sessions.install(session(1n));
        await plane.messages.send(message);
        await plane.messages.send({ ...message, payload: new Uint8Array(1300) });
        await plane.messages.send({ ...message, payload: new Uint8Array() });
        await until(async () => (await plane.counters()).txPackets === 3n);
        expect((await plane.counters()).txBytes).toBe(14n + BigInt(payload.length) + 1314n + 14n);
        expect(received).toEqual([]);
      });

      it('ask for a session like any frame, and are lost where there is nobody', async () => {
        const events: SessionEvent[] = [];
        plane.sessions.onEvent((event) => events.push(event));
        await plane.messages.send({ ...message, peer: OTHER });
        await plane.messages.send({ ...message, interface: 'omni9' });
        await plane.messages.send(message);
        await until(() => events.length > 0);
        expect(events).toMatchObject([{ type: 'frame-without-session', peer: PEER, destination: macOf(PEER) }]);
      });

      if (abilities.arrive)
        it("come in whole, under the name of the peer whose session carried them, and other frames don't", async () => {
          const open = session(3n);
          await plane.sessions.install(open);
          await machine.arrive?.(open, [
            frame(macOf(OWN), macOf(PEER)), // another EtherType
            messageOf(macOf(OWN), macOf(OTHER), 'not its MAC'),
            messageOf(macOf(OTHER), macOf(PEER), 'not for us'),
            messageOf(macOf(OWN), macOf(PEER), 'first'),
            messageOf(macOf(OWN), macOf(PEER), 'x'.repeat(1300)),
            messageOf(macOf(OWN), macOf(PEER), ''),
          ]);
          await until(() => received.length === 3);
          expect(received.map((each) => [each.interface, each.peer, Buffer.from(each.payload).toString()])).toEqual([
            [INTERFACE, PEER, 'first'],
            [INTERFACE, PEER, 'x'.repeat(1300)],
            [INTERFACE, PEER, ''],
          ]);
          expect((await plane.counters()).drops['inner-source']).toBe(1n);
        });

      if (abilities.arrive)
        it('that a peer may not send are counted for it, until its row goes', async () => {
          expect(await plane.refusals()).toEqual([]);
          await plane.sessions.install(session(3n));
          await machine.arrive?.(session(3n), [
            messageOf(macOf(OWN), macOf(OTHER), 'not its MAC'),
            messageOf(macOf(OWN), macOf(OTHER), 'not its MAC'),
            messageOf('ff:ff:ff:ff:ff:ff' as MacAddress, macOf(PEER), 'to all'),
            messageOf(macOf(OWN), macOf(PEER), 'last'),
          ]);
          await until(() => received.length === 1);
          const refusals = await plane.refusals();
          expect(new Set(refusals)).toEqual(
            new Set([
              { interface: INTERFACE, peer: PEER, reason: 'inner-source', count: 2n },
              { interface: INTERFACE, peer: PEER, reason: 'multicast', count: 1n },
            ]),
          );
          const { drops } = await plane.counters();
          expect([drops['inner-source'], drops.multicast]).toEqual([2n, 1n]);
          await remove(peer);
          expect(await plane.refusals()).toEqual([]);
          await create(peer);
          expect(await plane.refusals()).toEqual([]);
        });

      if (abilities.arrive)
        it('reach nobody who stopped listening', async () => {
          const others: PeerMessage[] = [];
          const stop = plane.messages.onMessage((each) => others.push(each));
          await stop();
          await stop();
          const open = session(3n);
          await plane.sessions.install(open);
          await machine.arrive?.(open, [messageOf(macOf(OWN), macOf(PEER), 'first')]);
          await until(() => received.length === 1);
          expect(others).toEqual([]);
        });
    });

    describe('a restart', () => {
      it('keeps every row and session, and makes no write', async () => {
        for (const row of everything) await create(row);
        await plane.sessions.install(session(1n));
        await plane.sessions.install(session(2n, { initiator: false, unconfirmed: true }));
        await plane.sessions.setEndpoint(PEER, { address: '192.0.2.77' as IpAddress, port: 40_000 });
        const rows = sorted(await plane.observe(IDLE));
        const sessions = await plane.sessions.list();

        plane = await machine.reopen();
        expect(await plane.adopt(IDLE)).toEqual({ adopted: true, sessions: 2, links: [INTERFACE] });
        expect(sorted(await plane.observe(IDLE))).toEqual(rows);
        expect(byId(await plane.sessions.list())).toEqual(byId(sessions));
        expect(await plane.sessions.endpoint(PEER)).toMatchObject({ observed: true });
        expect(plane.writes).toBe(0);

        await remove(peer);
        expect(await plane.sessions.list()).toEqual([]);
      });
    });

    describe('watching', () => {
      /** Longer than a data plane may take to notice. */
      const NOTICE_MS = 200;

      it('is woken by what others do, names the row, and stays quiet about our own writes', async () => {
        for (const row of everything) await create(row);
        const woken: (ReadonlySet<RowKey> | 'unknown')[] = [];
        const stop = plane.watch((keys) => woken.push(keys));
        const own: Row = { kind: 'address', interface: INTERFACE, address: '10.77.0.9' as IpAddress };
        await create(own);
        await remove(own);
        await sleep(NOTICE_MS);
        expect(woken).toEqual([]);

        const victim: Row = { kind: 'address', interface: INTERFACE, address: '10.77.0.1' as IpAddress };
        await machine.breakIt(victim);
        await until(() => woken.length > 0);
        const [keys] = woken;
        expect(keys === 'unknown' || keys?.has(rowKey(victim))).toBe(true);
        await create(victim);
        await expectRow(victim);

        await stop();
        await stop();
        woken.length = 0;
        await machine.breakIt(victim);
        await sleep(NOTICE_MS);
        expect(woken).toEqual([]);
      });

      if (abilities.erase)
        it.each(inMaps.map((row) => [row.kind, row] as const))(
          'tells of a %s row that somebody deleted past it within two seconds, and making it again heals it',
          async (_, row) => {
            for (const each of everything) await create(each);
            const woken: (ReadonlySet<RowKey> | 'unknown')[] = [];
            plane.watch((keys) => woken.push(keys));
            await machine.erase?.(row);
            await until(() => woken.some((keys) => keys === 'unknown' || keys.has(rowKey(row))));
            expect((await read(row))?.row).not.toEqual(row);
            await create(row);
            await expectRow(row);
          },
        );

      it('tells of a link that somebody deleted, and making it again heals it', async () => {
        for (const row of everything) await create(row);
        const woken: (ReadonlySet<RowKey> | 'unknown')[] = [];
        plane.watch((keys) => woken.push(keys));
        await machine.breakIt(link);
        await until(() => woken.some((keys) => keys === 'unknown' || keys.has(rowKey(link))));
        const desired = new Map(
          everything.map((row): [RowKey, DesiredRow] => [
            rowKey(row),
            { row, origin: { object: 'cluster/warehouse', position: { file: 'a.yaml', line: 1, column: 1 } } },
          ]),
        );
        for (let round = 0; round < 2; round++) {
          for (const step of plan(diff(desired, await plane.observe(IDLE)))) await plane.apply(step, IDLE);
        }
        expect(diff(desired, await plane.observe(IDLE))).toEqual([]);
      });
    });

    describe('telling', () => {
      it('counts under every name of the shared header, from zero', async () => {
        await create(link);
        const { drops, ...counts } = await plane.counters();
        expect(Object.keys(drops).sort()).toEqual([...dropReasons()].sort());
        expect(Object.keys(counts).sort()).toEqual(
          [
            'controlPassed',
            'neighboursAnswered',
            'neighboursResolved',
            'handedOver',
            'queued',
            'rxBytes',
            'rxPackets',
            'txBytes',
            'txPackets',
          ].sort(),
        );
        for (const count of Object.values(counts)) expect(typeof count).toBe('bigint');
      });

      it('describes its interface', async () => {
        await create(link);
        const { interfaces } = await plane.describe();
        const overlay = interfaces.find(({ role }) => role === 'overlay');
        expect(overlay).toMatchObject({ name: INTERFACE, mtu: 1300 });
        expect(overlay?.ifindex).toBeGreaterThan(0);
      });
    });
  });
}

export function session(localId: bigint, overrides: Partial<NewSession> = {}): NewSession {
  return {
    interface: INTERFACE,
    localId,
    remoteId: localId + 1n,
    peer: PEER as PublicKey,
    initiator: true,
    unconfirmed: false,
    hybrid: false,
    receiveKey: new Uint8Array(32).fill(Number(localId & 0x7fn) + 1),
    sendKey: new Uint8Array(32).fill(Number(localId & 0x7fn) + 101),
    rekeyAfterMs: 120_000,
    lifetimeMs: 3_600_000,
    ...overrides,
  };
}

const macBytes = (text: MacAddress) => Buffer.from(text.replaceAll(':', ''), 'hex');

/** A frame as docs/protocol.md describes those of agents' messages. */
export function messageOf(destination: MacAddress, source: MacAddress, text: string): Buffer {
  return Buffer.concat([macBytes(destination), macBytes(source), Buffer.from('88b6', 'hex'), Buffer.from(text)]);
}

/** An IPv4 frame of minimum size for a MAC. */
export function frame(destination: MacAddress, source = macOf(OWN)): Buffer {
  const bytes = Buffer.alloc(60);
  macBytes(destination).copy(bytes, 0);
  macBytes(source).copy(bytes, 6);
  bytes.writeUInt16BE(0x0800, 12);
  bytes[14] = 0x45;
  return bytes;
}

/** `enum omni_drop` of the shared header, as the interface names its members. */
function dropReasons(): readonly string[] {
  const header = readFileSync(new URL('../../bpf/omni_types.h', import.meta.url), 'utf8');
  const names = [...header.matchAll(/^\s+OMNI_DROP_([A-Z0-9_]+)/gm)].map(([, name = '']) => name);
  return names
    .filter((name) => name !== 'NONE' && name !== 'MAX')
    .map((name) => name.toLowerCase().replaceAll('_', '-'));
}

function sorted(rows: ReadonlyMap<RowKey, ObservedRow>): unknown {
  return [...rows].sort(([a], [b]) => (a < b ? -1 : 1));
}

function byKey(a: Row, b: Row): number {
  return rowKey(a) < rowKey(b) ? -1 : 1;
}

function byId<T extends { readonly localId: bigint }>(sessions: readonly T[]): readonly T[] {
  return [...sessions].sort((a, b) => Number(a.localId - b.localId));
}

/** What a data plane notices, it notices soon. */
export async function until(condition: () => boolean | Promise<boolean>): Promise<void> {
  const deadline = performance.now() + 2_000;
  while (!(await condition())) {
    if (performance.now() > deadline) throw new Error('nothing happened within 2 s');
    await sleep(2);
  }
}
