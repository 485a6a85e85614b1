import { randomBytes } from 'node:crypto';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { type Host, Lab } from '../../lab/lab.ts';
import { must, run, until } from '../../lab/shell.ts';
import type { IpAddress } from '../../src/manifest/model.ts';
import type { Stop } from '../../src/reconcile/dataplane.ts';
import { type RowKey, rowKey } from '../../src/reconcile/rows.ts';
import {
  converge,
  difference,
  freshKey,
  INTERFACE,
  installPair,
  type Node,
  PORT,
  rowsOf,
  type StartOptions,
  startPlane,
} from './dataplane-fixture.ts';
import { initiationTo, sendDatagrams } from './stranger.ts';

/*
 *   ounder-a: omni0 = omni0x ═XDP═ eth0 ── br0 ── eth0 ═XDP═ omni0x = omni0 :ounder-b
 *                                  cable ─────── cable       (comes and goes)
 *
 * Nobody says which interfaces are the underlay: the data planes follow the routes.
 */
let lab: Lab;
let a: Node;
let b: Node;
const LINGER_MS = 400;
/** It takes tens of milliseconds, on a machine that does nothing else. */
const PATIENCE_MS = 3_000;

async function node(host: Host, index: number): Promise<Node> {
  const mac1Key = randomBytes(32);
  const plane = await startPlane(host, { mac1Key, underlay: undefined, lingerMs: LINGER_MS });
  const vip4 = `10.77.0.${index}` as IpAddress;
  return { host, publicKey: freshKey(), vip4, vip6: `fd77::${index}` as IpAddress, mac1Key, plane };
}

async function restart(each: Node, options: StartOptions = {}): Promise<void> {
  await each.plane.close();
  each.plane = await startPlane(each.host, {
    mac1Key: each.mac1Key,
    underlay: undefined,
    lingerMs: LINGER_MS,
    ...options,
  });
  await each.plane.adopt();
}

async function up(): Promise<void> {
  lab = await Lab.open({ name: 'ounder', hosts: ['a', 'b'] });
  a = await node(lab.host('a'), 1);
  b = await node(lab.host('b'), 2);
}

async function down(): Promise<void> {
  await Promise.all([a, b].map((each) => each?.plane.kill()));
  await lab?.close();
}

async function ping(from: Host, to: string, ...argv: string[]): Promise<{ sent: number; received: number }> {
  const { stdout } = await run(from.inside(['ping', '-n', '-q', '-W', '1', ...argv, to]));
  const [, sent, received] = /(\d+) packets transmitted, (\d+) received/.exec(stdout) ?? [];
  return { sent: Number(sent), received: Number(received) };
}

/** What `during` does while a ping every two milliseconds runs; fails if one is lost. */
async function withoutLoss(during: () => Promise<void>): Promise<void> {
  const pinging = ping(a.host, b.vip4, '-i', '0.002', '-c', '700');
  await during();
  expect(await pinging).toEqual({ sent: 700, received: 700 });
}

/** Interfaces that a listens on, with the mode of each. */
async function listening(self = a): Promise<string[]> {
  const { interfaces } = await self.plane.describe();
  return interfaces.filter(({ role }) => role === 'underlay').map(({ name, mode }) => `${name} ${mode}`);
}
const listensOn = (...expected: string[]) =>
  until(
    `a listens on ${expected.join(', ')}`,
    async () => (await listening()).join() === expected.join(),
    PATIENCE_MS,
    5,
  );

async function plugCable(mtu = 1500): Promise<void> {
  const end = ['name', 'cable', 'mtu', String(mtu), 'netns', b.host.namespace];
  await a.host.must(['ip', 'link', 'add', 'cable', 'mtu', String(mtu), 'type', 'veth', 'peer', ...end]);
  for (const [self, index] of [
    [a, 1],
    [b, 2],
  ] as const) {
    await self.host.must(['ethtool', '-K', 'cable', 'gro', 'on']);
    await self.host.must(['ip', 'address', 'add', `10.9.0.${index}/24`, 'dev', 'cable']);
    await self.host.must(['ip', 'link', 'set', 'cable', 'up']);
  }
}

describe('an agent that is not told its underlay', () => {
  const woken = new Set<RowKey | 'unknown'>();
  const stops: Stop[] = [];
  const note = (keys: ReadonlySet<RowKey> | 'unknown') => {
    for (const key of keys === 'unknown' ? ([keys] as const) : keys) woken.add(key);
  };

  beforeAll(async () => {
    await up();
    for (const [self, other] of [
      [a, b],
      [b, a],
    ] as const) {
      await self.plane.adopt();
      expect(await converge(self.plane, rowsOf(self, other))).toEqual([]);
      stops.push(self.plane.watch((keys) => self === a && note(keys)));
      await self.plane.counters(); // the watcher is up once a later call has been answered
    }
    await installPair(a, b);
  });
  afterAll(down);

  /** Whatever came and went, nobody changed what is ours. */
  afterEach(async () => {
    await a.host.exec(['ip', 'link', 'del', 'cable']);
    // What vanishes while it is looked at makes the reconciler look again, at nothing in particular.
    expect([...woken].filter((key) => key !== 'unknown')).toEqual([]);
    // Where peers are is for the sessions to say.
    const drifted = await difference(a.plane, rowsOf(a, b));
    expect(drifted.filter((change) => !change.includes(' peer/'))).toEqual([]);
  });
  const unplug = async () => {
    await a.host.must(['ip', 'link', 'del', 'cable']);
    await listensOn('eth0 native');
  };
  const toEth0 = async () => {
    await a.plane.sessions.setEndpoint(b.publicKey, { address: b.host.address as IpAddress, port: PORT });
    await b.plane.sessions.setEndpoint(a.publicKey, { address: a.host.address as IpAddress, port: PORT });
  };

  it('listens where the default route is', async () => {
    expect(await listening()).toEqual(['eth0 native']);
    expect(await ping(a.host, b.vip4, '-i', '0.01', '-c', '5')).toEqual({ sent: 5, received: 5 });
  });

  it('listens where a default route appears, without a lost packet elsewhere', async () => {
    await withoutLoss(async () => {
      await plugCable();
      await a.host.must(['ip', 'route', 'add', 'default', 'via', '10.9.0.2', 'metric', '500']);
      await listensOn('cable native', 'eth0 native');
    });
    await unplug();
  });

  it('listens where a peer’s endpoint is routed before anything is sent there', async () => {
    await plugCable();
    // A connected network is none of ours until somebody is there.
    expect(await listening()).toEqual(['eth0 native']);
    // b listens there already, as it does once it answered on that way.
    await b.plane.sessions.openWay({ address: '10.9.0.1' as IpAddress, port: PORT });
    await withoutLoss(async () => {
      await a.plane.sessions.setEndpoint(b.publicKey, { address: '10.9.0.2' as IpAddress, port: PORT });
      expect(await listening()).toEqual(['cable native', 'eth0 native']);
      await b.plane.sessions.setEndpoint(a.publicKey, { address: '10.9.0.1' as IpAddress, port: PORT });
    });
    await toEth0();
    await unplug();
  });

  it('listens where a handshake or a challenge is about to leave', async () => {
    await plugCable();
    const to = { address: '10.9.0.2' as IpAddress, port: PORT };
    await a.plane.sessions.openWay(to);
    expect(await listening()).toEqual(['cable native', 'eth0 native']);
    await unplug();
    await plugCable();
    await a.plane.sessions.sendOnPath(b.publicKey, { remote: to }, { kind: 'challenge', nonce: 1n, size: 70 });
    expect(await listening()).toEqual(['cable native', 'eth0 native']);
    await unplug();
  });

  it('hears a peer’s first initiation where it does not listen yet, a few a second, and nothing else there', async () => {
    await a.plane.occupy(PORT);
    await plugCable();
    const bypassed = async () => (await a.plane.counters()).drops.bypass ?? 0n;
    const initiations = (count: number) => Array.from({ length: count }, () => initiationTo(randomBytes(32)));
    await sendDatagrams(b.host, '10.9.0.1', [...initiations(3), randomBytes(160), Buffer.alloc(160)]);
    await until('they are counted', async () => (await bypassed()) === 2n);
    expect(await a.plane.received()).toBe(3);
    const started = performance.now();
    await sendDatagrams(b.host, '10.9.0.1', initiations(200));
    const seconds = (performance.now() - started) / 1_000;
    const received = await a.plane.received();
    expect(received).toBeGreaterThanOrEqual(20);
    expect(received).toBeLessThanOrEqual(3 + 20 + 20 * Math.ceil(seconds));
    await until('all are counted', async () => (await bypassed()) + BigInt(await a.plane.received()) === 205n);
    // Neither from inside the overlay nor from this host.
    const before = await a.plane.received();
    await sendDatagrams(b.host, a.vip4, initiations(5));
    await sendDatagrams(a.host, '127.0.0.1', initiations(5));
    expect(await a.plane.received()).toBe(before);
    await unplug();
  });

  it('refuses an endpoint that is reached through the overlay, and sends nothing there', async () => {
    const endpointOf = () => a.plane.sessions.endpoint(b.publicKey);
    const before = await endpointOf();
    const via = ['203.0.113.0/24', 'dev', INTERFACE];
    await a.host.must(['ip', 'route', 'add', ...via]);
    for (const address of [b.vip4, b.vip6, '203.0.113.9'] as IpAddress[]) {
      await a.plane.sessions.setEndpoint(b.publicKey, { address, port: PORT });
      expect(await endpointOf()).toEqual(before);
    }
    const key = freshKey();
    const row = { kind: 'peer', interface: INTERFACE, publicKey: key, endpoint: `203.0.113.9:${PORT}` } as const;
    await expect(a.plane.apply({ op: 'create', key: rowKey(row), to: row })).rejects.toMatchObject({
      code: 'endpoint-in-overlay',
      class: 'wait',
    });
    await a.plane.apply({ op: 'delete', key: rowKey(row), from: row });
    await a.host.must(['ip', 'route', 'delete', ...via]);
    expect(await ping(a.host, b.vip4, '-c', '1')).toEqual({ sent: 1, received: 1 });
  });

  it('drops what a route leads into the overlay only now: no datagram is encrypted again', async () => {
    const [lost, sent] = [await a.plane.counters(), 3n];
    const loops = ({ drops }: typeof lost) => (drops.loop ?? 0n) + (drops['no-endpoint'] ?? 0n);
    const into = [`${b.host.address}/32`, 'dev', INTERFACE];
    await a.host.must(['ip', 'route', 'add', ...into]);
    expect(await ping(a.host, b.vip4, '-i', '0.01', '-c', `${sent}`)).toEqual({ sent: Number(sent), received: 0 });
    const after = await a.plane.counters();
    expect(loops(after) - loops(lost)).toBe(sent);
    expect(after.txPackets).toBe(lost.txPackets);
    await a.host.must(['ip', 'route', 'delete', ...into]);
    await until('the way is back', async () => (await ping(a.host, b.vip4, '-c', '1')).received === 1);
  });

  it('goes on listening for a while where the last route went', async () => {
    await plugCable();
    await a.host.must(['ip', 'route', 'add', 'default', 'via', '10.9.0.2', 'metric', '500']);
    await listensOn('cable native', 'eth0 native');
    // However long ago it was looked at last.
    await new Promise((resolve) => setTimeout(resolve, LINGER_MS + 100));
    const left = performance.now();
    await a.host.must(['ip', 'route', 'del', 'default', 'via', '10.9.0.2', 'metric', '500']);
    await listensOn('eth0 native');
    expect(performance.now() - left).toBeGreaterThan(LINGER_MS - 50);
    await unplug();
  });

  it('keeps what it has where nothing takes its place', async () => {
    const route = ['default', 'via', '192.0.2.254'];
    await a.host.must(['ip', 'route', 'del', ...route]);
    await a.host.must(['ip', 'address', 'del', `${a.host.address}/24`, 'dev', 'eth0']);
    await new Promise((resolve) => setTimeout(resolve, LINGER_MS + 200));
    expect(await listening()).toEqual(['eth0 native']);
    await a.host.must(['ip', 'address', 'add', `${a.host.address}/24`, 'dev', 'eth0']);
    await a.host.must(['ip', 'route', 'add', ...route]);
    await until('b is routed again', async () => (await ping(a.host, b.vip4, '-c', '1')).received === 1, 2_000);
  });

  it('makes the interface as small as the smallest underlay', async () => {
    const mtu = async () => (await a.host.must(['cat', `/sys/class/net/${INTERFACE}/mtu`])).trim();
    await withoutLoss(async () => {
      await plugCable(1400);
      await a.host.must(['ip', 'route', 'add', 'default', 'via', '10.9.0.2', 'metric', '500']);
      await until('a smaller MTU', async () => (await mtu()) === '1326', PATIENCE_MS, 5);
      await unplug();
      await until('the old MTU', async () => (await mtu()) === '1426', PATIENCE_MS, 5);
    });
  });

  it('runs what has no native XDP in generic mode, and leaves the others as they are', async () => {
    await withoutLoss(async () => {
      await a.host.must(['ip', 'link', 'add', 'wifi', 'type', 'bridge']);
      await plugCable();
      await a.host.must(['ip', 'address', 'flush', 'dev', 'cable']);
      await a.host.must(['ip', 'link', 'set', 'cable', 'master', 'wifi']);
      await a.host.must(['ip', 'address', 'add', '10.9.0.1/24', 'dev', 'wifi']);
      await a.host.must(['ip', 'link', 'set', 'wifi', 'up']);
      await a.host.must(['ip', 'route', 'add', 'default', 'via', '10.9.0.2', 'dev', 'wifi', 'metric', '500']);
      await listensOn('eth0 native', 'wifi generic');
    });
    const outer = (await a.plane.describe()).interfaces.find(({ role }) => role === 'outer');
    expect(outer?.mode).toBe('native');
    expect((await a.plane.describe()).notes.join()).toMatch(
      /wifi runs on generic XDP.*EOPNOTSUPP.*wifi goes by way of the stack/,
    );
    await a.plane.sessions.setEndpoint(b.publicKey, { address: '10.9.0.2' as IpAddress, port: PORT });
    await b.plane.sessions.setEndpoint(a.publicKey, { address: '10.9.0.1' as IpAddress, port: PORT });
    for (const size of [0, 100, 1398]) {
      const pings = await ping(a.host, b.vip4, '-M', 'do', '-s', String(size), '-i', '0.01', '-c', '5');
      expect(pings, `${size} bytes`).toEqual({ sent: 5, received: 5 });
    }
    await toEth0();
    await a.host.must(['ip', 'link', 'del', 'wifi']);
    await unplug();
    expect(await ping(a.host, b.vip4, '-c', '1')).toEqual({ sent: 1, received: 1 });
  });

  it('finds after a restart what came and went meanwhile', async () => {
    await plugCable();
    await a.plane.close();
    await a.host.must(['ip', 'route', 'add', 'default', 'via', '10.9.0.2', 'metric', '500']);
    await restart(a);
    expect(await listening()).toEqual(['cable native', 'eth0 native']);
    stops.push(a.plane.watch(() => undefined));
    await a.plane.counters();
    await unplug();
  });
});

describe('a network without a default route', () => {
  beforeAll(async () => {
    await up();
    for (const { host } of [a, b]) await host.must(['ip', 'route', 'del', 'default']);
  });
  afterAll(down);

  it('is listened to where the peers are', async () => {
    for (const [self, other] of [
      [a, b],
      [b, a],
    ] as const) {
      await self.plane.adopt();
      const rows = rowsOf(self, other);
      expect(
        await converge(
          self.plane,
          rows.filter(({ kind }) => kind === 'link'),
        ),
      ).toEqual([]);
      expect(await listening(self)).toEqual([]);
      expect((await self.plane.describe()).notes.join()).toMatch(/listens nowhere: .*no default route/);
      expect(await converge(self.plane, rows)).toEqual([]);
      expect(await listening(self)).toEqual(['eth0 native']);
      expect((await self.plane.describe()).notes).toEqual([]);
    }
    await installPair(a, b);
    expect(await ping(a.host, b.vip4, '-i', '0.01', '-c', '5')).toEqual({ sent: 5, received: 5 });
    await must(['ip', '-n', a.host.namespace, 'route']);
    await restart(a);
    expect(a.plane.writes).toBe(0);
    expect(await listening()).toEqual(['eth0 native']);
  });
});
