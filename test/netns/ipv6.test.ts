import { randomBytes } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Host, Lab } from '../../lab/lab.ts';
import { Background, must, run, until } from '../../lab/shell.ts';
import type { IpAddress } from '../../src/manifest/model.ts';
import type { Endpoint, SessionEvent } from '../../src/reconcile/dataplane.ts';
import type { Row } from '../../src/reconcile/rows.ts';
import { converge, freshKey, installPair, type Node, PORT, rowsOf, startPlane } from './dataplane-fixture.ts';

/*
 *   o6p-a: omni0 = omni0x ═XDP═ eth0 ──── br0 ──── eth0 ═XDP═ omni0x = omni0 :o6p-b
 *          10.77.0.1        192.0.2.1              192.0.2.2       10.77.0.2
 *          fd77::1          2001:db8:2::1          2001:db8:2::2   fd77::2
 *
 * Two kernel data planes on an underlay of both families; rows and sessions put in by hand.
 */
let lab: Lab;
let a: Node;
let b: Node;

const SIX = (node: Node) => `2001:db8:2::${node === a ? 1 : 2}` as IpAddress;
const FOUR = (node: Node) => node.host.address as IpAddress;
const at = (address: IpAddress): Endpoint => ({ address, port: PORT });

async function node(host: Host, index: number, mode: 'native' | 'generic'): Promise<Node> {
  const mac1Key = randomBytes(32);
  const plane = await startPlane(host, { mac1Key, mode });
  await host.must(['ip', 'address', 'add', `2001:db8:2::${index}/64`, 'dev', 'eth0', 'nodad']);
  const vip4 = `10.77.0.${index}` as IpAddress;
  return { host, publicKey: freshKey(), vip4, vip6: `fd77::${index}` as IpAddress, mac1Key, plane };
}

/** What a fleet desires whose endpoints are IPv6. */
function rows(self: Node, other: Node): Row[] {
  const endpoint = `[${SIX(other)}]:${PORT}`;
  return rowsOf(self, other, { mtu: 'auto-ipv6' }).map((row) => (row.kind === 'peer' ? { ...row, endpoint } : row));
}

async function up(mode: 'native' | 'generic'): Promise<void> {
  lab = await Lab.open({ name: 'o6p', hosts: ['a', 'b'] });
  a = await node(lab.host('a'), 1, mode);
  b = await node(lab.host('b'), 2, mode);
  for (const [self, other] of [
    [a, b],
    [b, a],
  ] as const) {
    await self.plane.adopt();
    expect(await converge(self.plane, rows(self, other))).toEqual([]);
  }
  await installPair(a, b);
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

describe.each(['native', 'generic'] as const)('an underlay of IPv6 in %s mode', (mode) => {
  beforeAll(() => up(mode));
  afterAll(down);

  it('leaves room for its headers', async () => {
    expect((await a.plane.describe()).interfaces[0]?.mtu).toBe(1406);
  });

  it('answers the first ping, whose neighbour nobody knew yet', async () => {
    expect(await ping(a.host, b.vip4, '-c', '1')).toEqual({ sent: 1, received: 1 });
    expect((await a.plane.counters()).neighboursResolved).toBeGreaterThan(0n);
  });

  it('answers ping both ways, of every size up to the MTU', async () => {
    for (const [from, to] of [
      [a, b.vip6],
      [b, a.vip4],
    ] as const) {
      expect(await ping(from.host, to, '-i', '0.01', '-c', '5')).toEqual({ sent: 5, received: 5 });
    }
    for (const size of [0, 1, 15, 16, 17, 63, 64, 65, 255, 256, 257, 1378]) {
      const one = await ping(a.host, b.vip4, '-M', 'do', '-s', String(size), '-c', '1');
      expect(one, `${size} bytes`).toEqual({ sent: 1, received: 1 });
    }
  });

  it('carries TCP in full segments', async () => {
    const before = await b.plane.counters();
    const server = b.host.background(['iperf3', '-s', '-1', '-B', b.vip4]);
    await until('iperf3 listens', async () => (await b.host.must(['ss', '-Htln'])).includes(':5201'));
    const report = await a.host.must(['iperf3', '-c', b.vip4, '-t', '1', '-J']);
    await server.wait();
    const { end } = JSON.parse(report) as { end: { sum_received: { bytes: number } } };
    const after = await b.plane.counters();
    expect(end.sum_received.bytes).toBeGreaterThan(1_000_000);
    expect(Number(after.rxBytes - before.rxBytes) / Number(after.rxPackets - before.rxPackets)).toBeGreaterThan(1300);
  });

  it('sees datagrams with right checksums, a label and no IPv4', async () => {
    const file = join(lab.folder, 'six.pcap');
    const filter = ['udp', 'port', String(PORT)];
    const capture = new Background([
      ...['ip', 'netns', 'exec', lab.underlayNamespace, 'tcpdump', '-i', 'br0', '-U', '-w', file],
      ...filter,
    ]);
    await until('tcpdump listens', () => capture.text.includes('listening on'));
    await ping(a.host, b.vip4, '-s', '333', '-i', '0.01', '-c', '10');
    await until('packets are captured', async () => (await readFile(file)).length > 20 * 400);
    await capture.stop('SIGINT');
    const lines = (await must(['tcpdump', '-n', '-vv', '-r', file])).split('\n').filter((line) => line.includes('UDP'));
    expect(lines.length).toBeGreaterThanOrEqual(20);
    for (const line of lines) expect(line).toMatch(/IP6 \(flowlabel 0x[0-9a-f]+,.*\[udp sum ok\]/);
  });

  it('is half of a pair of ways: there by IPv6, back by IPv4', async () => {
    await b.plane.sessions.setEndpoint(a.publicKey, at(FOUR(a)));
    expect(await ping(a.host, b.vip4, '-i', '0.01', '-c', '5')).toEqual({ sent: 5, received: 5 });
    await a.plane.sessions.setEndpoint(b.publicKey, at(FOUR(b)));
    await b.plane.sessions.setEndpoint(a.publicKey, at(SIX(a)));
    expect(await ping(b.host, a.vip6, '-i', '0.01', '-c', '5')).toEqual({ sent: 5, received: 5 });
  });
});

describe('ways between two nodes', () => {
  beforeAll(() => up('native'));
  afterAll(down);

  async function listening(self: Node): Promise<SessionEvent[]> {
    const events: SessionEvent[] = [];
    self.plane.sessions.onEvent((event) => events.push(event));
    await self.plane.counters(); // listens once a later call has been answered
    return events;
  }
  type Event<T extends SessionEvent['type']> = Extract<SessionEvent, { type: T }>;
  const first = <T extends SessionEvent['type']>(events: SessionEvent[], type: T): Promise<Event<T>> =>
    until(`a ${type} event`, () => events.find((event): event is Event<T> => event.type === type), 2_000, 5);

  it('are tried by a challenge and its response, beside the one in use', async () => {
    const [heardByA, heardByB] = [await listening(a), await listening(b)];
    const nonce = 0x0123_4567_89ab_cdefn;
    for (const [source, target] of [
      [SIX(a), SIX(b)],
      [FOUR(a), FOUR(b)],
    ] as const) {
      heardByA.length = 0;
      heardByB.length = 0;
      await a.plane.sessions.sendOnPath(b.publicKey, { remote: at(target) }, { kind: 'challenge', nonce, size: 1200 });
      const challenge = await first(heardByB, 'path-message');
      expect(challenge).toMatchObject({
        peer: a.publicKey,
        path: { remote: at(source), local: target },
        message: { kind: 'challenge', nonce, size: 1200 },
      });
      await b.plane.sessions.sendOnPath(a.publicKey, challenge.path, { kind: 'response', nonce, size: 70 });
      expect(await first(heardByA, 'path-message')).toMatchObject({
        peer: b.publicKey,
        path: { remote: at(target), local: source },
        message: { kind: 'response', nonce, size: 70 },
      });
    }
    // Nobody's endpoint moved by it, no frame came of it, and it is no data.
    expect((await a.plane.sessions.endpoint(b.publicKey))?.endpoint).toEqual(at(SIX(b)));
    expect(heardByB.filter(({ type }) => type !== 'path-message')).toEqual([]);
    expect((await b.plane.sessions.list())[0]).toMatchObject({ rxDataLastMs: 0, txDataLastMs: 0 });
  });

  it('are told of when a peer’s datagrams come by another one', async () => {
    const heard = await listening(b);
    await a.plane.sessions.setEndpoint(b.publicKey, at(FOUR(b)));
    await a.plane.sessions.keepalive(b.publicKey);
    expect(await first(heard, 'path-seen')).toMatchObject({
      peer: a.publicKey,
      path: { remote: at(FOUR(a)), local: FOUR(b) },
    });
  });

  it('change with this node’s address, which both ends are told of', async () => {
    const [mine, theirs] = [await listening(a), await listening(b)];
    await b.plane.sessions.setEndpoint(a.publicKey, at(FOUR(a)));
    const stop = a.plane.watch(() => undefined);
    await a.plane.counters();
    await a.host.must(['ip', 'address', 'add', '192.0.2.7/24', 'dev', 'eth0']);
    await a.host.must(['ip', 'address', 'del', `${FOUR(a)}/24`, 'dev', 'eth0']);
    await until('the source changes', () => mine.some(({ type }) => type === 'source-changed'), 2_000, 5);
    await a.host.must(['ip', 'address', 'replace', '192.0.2.7/24', 'dev', 'eth0']);
    const changes = () => mine.filter(({ type }) => type === 'source-changed').length;
    await until('it is sent from there', async () => {
      await a.plane.sessions.keepalive(b.publicKey);
      return theirs.some((event) => event.type === 'path-seen' && event.path.remote.address === '192.0.2.7');
    });
    await expect(first(mine, 'source-changed')).resolves.toMatchObject({ peer: b.publicKey });

    // A route that goes is a change, and so is one that comes back.
    const before = changes();
    await a.host.must(['ip', 'link', 'set', 'eth0', 'down']);
    await until('the route is gone', () => changes() > before, 2_000, 5);
    await a.host.must(['ip', 'link', 'set', 'eth0', 'up']);
    await until('the route is back', () => changes() > before + 1, 2_000, 5);
    await b.plane.sessions.setEndpoint(a.publicKey, at('192.0.2.7' as IpAddress));
    expect(await ping(a.host, b.vip4, '-i', '0.01', '-c', '3')).toEqual({ sent: 3, received: 3 });
    await stop();
  });

  it('are none to a link-local address', async () => {
    const row = rows(a, b).find(({ kind }) => kind === 'peer');
    if (row?.kind !== 'peer') throw new Error('no peer row');
    const stranger = { ...row, publicKey: freshKey(), endpoint: `[fe80::1]:${PORT}` };
    const key = `peer/${row.interface}/${stranger.publicKey}` as const;
    await expect(a.plane.apply({ op: 'create', key: key as never, to: stranger })).rejects.toMatchObject({
      code: 'endpoint-link-local',
      class: 'stall',
      exitCode: 2,
    });
  });
});
