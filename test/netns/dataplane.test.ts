import { randomBytes } from 'node:crypto';
import { appendFile, cp, readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { deleteRow, dumpMap, writeRow } from '../../lab/bpf.ts';
import { type Host, Lab } from '../../lab/lab.ts';
import { datagrams } from '../../lab/pcap.ts';
import { Background, must, run, until } from '../../lab/shell.ts';
import { u64 } from '../../src/dataplane/kernel/codec.ts';
import { macOf } from '../../src/manifest/keys.ts';
import type { Cidr, IpAddress } from '../../src/manifest/model.ts';
import type { SessionEvent, Stop } from '../../src/reconcile/dataplane.ts';
import { type RowKey, rowKey } from '../../src/reconcile/rows.ts';
import {
  converge,
  difference,
  freshKey,
  INTERFACE,
  installPair,
  linkRow,
  type Node,
  OBJECTS,
  PORT,
  rowsOf,
  type StartOptions,
  sessionPair,
  startPlane,
} from './dataplane-fixture.ts';

/*
 *   odp-a: omni0 = omni0x ═XDP═ eth0 ───── eth0 ═XDP═ omni0x = omni0 :odp-b
 *          10.77.0.1, fd77::1   192.0.2.1  192.0.2.2   10.77.0.2, fd77::2
 *
 * Two kernel data planes with rows and sessions put in by hand: no git, no handshake. Each runs in a process of its own.
 */
let lab: Lab;
let a: Node;
let b: Node;

async function node(host: Host, index: number, options: StartOptions): Promise<Node> {
  const mac1Key = randomBytes(32);
  const plane = await startPlane(host, { mac1Key, ...options });
  const vip4 = `10.77.0.${index}` as IpAddress;
  return { host, publicKey: freshKey(), vip4, vip6: `fd77::${index}` as IpAddress, mac1Key, plane };
}

async function up(options: StartOptions = {}, direct = true): Promise<void> {
  lab = await Lab.open({ name: 'odp', hosts: ['a', 'b'], direct });
  a = await node(lab.host('a'), 1, options);
  b = await node(lab.host('b'), 2, options);
  for (const each of [a, b]) expect(await each.plane.adopt()).toEqual({ adopted: false, sessions: 0, links: [] });
  expect(await converge(a.plane, rowsOf(a, b))).toEqual([]);
  expect(await converge(b.plane, rowsOf(b, a))).toEqual([]);
  await installPair(a, b);
}

async function down(): Promise<void> {
  await Promise.all([a, b].map((each) => each?.plane.kill()));
  await lab?.close();
}

/** Ends the process and starts another on the same remains. */
async function restart(each: Node, how: 'close' | 'kill', options: StartOptions = {}): Promise<void> {
  await each.plane[how]();
  each.plane = await startPlane(each.host, { mac1Key: each.mac1Key, ...options });
}

async function ping(from: Host, to: string, ...argv: string[]): Promise<{ sent: number; received: number }> {
  const { stdout } = await run(from.inside(['ping', '-n', '-q', '-W', '1', ...argv, to]));
  const [, sent, received] = /(\d+) packets transmitted, (\d+) received/.exec(stdout) ?? [];
  return { sent: Number(sent), received: Number(received) };
}

/** What a's data plane wakes its reconciler with from now on. */
function watching(): { readonly woken: Set<RowKey | 'unknown'>; readonly stop: Stop } {
  const woken = new Set<RowKey | 'unknown'>();
  const stop = a.plane.watch((keys) => {
    for (const key of keys === 'unknown' ? ([keys] as const) : keys) woken.add(key);
  });
  return { woken, stop };
}

/** Names of ours on the host's bpffs; the kernel puts some of its own there. */
async function pins(host: Host): Promise<string[]> {
  return (await readdir(join(host.folder, 'bpf'))).filter((name) => !name.endsWith('.debug'));
}

/** What `during` does while a ping a millisecond runs; fails if one is lost. */
async function withoutLoss(during: () => Promise<void>): Promise<void> {
  const pinging = ping(a.host, b.vip4, '-i', '0.002', '-c', '1000');
  await during();
  const { sent, received } = await pinging;
  expect(received).toBe(sent);
  expect(sent).toBe(1000);
}

describe.each(['native', 'generic'] as const)('traffic in %s mode', (mode) => {
  // By way of a bridge: the hosts' own taps see nothing of what XDP takes and gives.
  beforeAll(() => up({ mode }, false));
  afterAll(down);

  it('runs in that mode on every interface', async () => {
    const { interfaces, notes } = await a.plane.describe();
    expect(interfaces.map(({ name, role, mode: found }) => [name, role, found])).toEqual([
      ['omni0', 'overlay', undefined],
      ['omni0x', 'outer', mode],
      ['eth0', 'underlay', mode],
    ]);
    expect(interfaces[0]?.mtu).toBe(1426);
    expect(notes.filter((note) => !note.includes('generic'))).toEqual([]);
  });

  it('answers ping both ways, IPv4 and IPv6', async () => {
    for (const [from, to] of [
      [a, b.vip4],
      [b, a.vip4],
      [a, b.vip6],
      [b, a.vip6],
    ] as const) {
      expect(await ping(from.host, to, '-i', '0.01', '-c', '5')).toEqual({ sent: 5, received: 5 });
    }
  });

  it('passes every size up to the MTU, whole', async () => {
    for (const size of [0, 1, 15, 16, 17, 63, 64, 65, 255, 256, 257, 1398]) {
      expect(await ping(a.host, b.vip4, '-M', 'do', '-s', String(size), '-c', '1'), `${size} bytes`).toEqual({
        sent: 1,
        received: 1,
      });
    }
    const tooLong = await run(a.host.inside(['ping', '-n', '-M', 'do', '-s', '1399', '-c', '1', '-W', '1', b.vip4]));
    expect(tooLong.stdout + tooLong.stderr).toMatch(/message too long/i);
  });

  it('carries TCP in full segments, checksums filled in', async () => {
    const before = await b.plane.counters();
    const server = b.host.background(['iperf3', '-s', '-1', '-B', b.vip4]);
    await until('iperf3 listens', async () => (await b.host.must(['ss', '-Htln'])).includes(':5201'));
    const report = await a.host.must(['iperf3', '-c', b.vip4, '-t', '1', '-J']);
    await server.wait();
    const { end } = JSON.parse(report) as { end: { sum_received: { bytes: number } } };
    const after = await b.plane.counters();
    expect(end.sum_received.bytes).toBeGreaterThan(1_000_000);
    const frames = Number(after.rxPackets - before.rxPackets);
    expect(Number(after.rxBytes - before.rxBytes) / frames).toBeGreaterThan(1300);
    expect(after.drops['frame-malformed']).toBe(0n);
  });

  it('shows the underlay nothing of the payload', async () => {
    const file = join(lab.folder, 'underlay.pcap');
    const pattern = '6f6d6e692d736563726574'; // "omni-secret"
    const tcpdump = ['tcpdump', '-i', 'br0', '-U', '-w', file, 'udp', 'port', String(PORT)];
    const capture = new Background(['ip', 'netns', 'exec', lab.underlayNamespace, ...tcpdump]);
    await until('tcpdump listens', () => capture.text.includes('listening on'));
    await ping(a.host, b.vip4, '-p', pattern, '-s', '400', '-i', '0.01', '-c', '20');
    await until('packets are captured', async () => (await readFile(file)).length > 20 * 400);
    await capture.stop('SIGINT');
    const seen = await readFile(file);
    const sealed = datagrams(seen).filter((datagram) => datagram.destinationPort === PORT);
    expect(sealed.length).toBeGreaterThanOrEqual(20);
    expect(seen.includes(Buffer.from(pattern, 'hex'))).toBe(false);
  });
});

describe('frames on omni0', () => {
  beforeAll(() => up());
  afterAll(down);

  it('are neither segmented nor summed later than on omni0', async () => {
    const features = await a.host.must(['ethtool', '-k', INTERFACE]);
    const on = [...features.matchAll(/^\s*(\S+): on/gm)].map(([, name]) => name);
    const late = /checksum|segmentation|scatter|vlan.*insert|gso/;
    expect(on.filter((name) => late.test(name ?? '') && !name?.startsWith('rx-'))).toEqual([]);
    expect(on).toContain('generic-receive-offload');
  });

  it('cannot be answered or forwarded by omni0x', async () => {
    const addresses = await a.host.must(['ip', '-o', 'address', 'show', 'dev', 'omni0x']);
    expect(addresses).toBe('');
    expect(await a.host.must(['ip', '-o', 'link', 'show', 'omni0x'])).toMatch(/NOARP/);
  });
});

describe('adoption', () => {
  beforeAll(() => up());
  afterAll(down);

  it('takes over sessions after a kill without a write and without a lost packet', async () => {
    await withoutLoss(async () => {
      await restart(a, 'kill');
      expect(await a.plane.adopt()).toEqual({ adopted: true, sessions: 1, links: [INTERFACE] });
      expect(await difference(a.plane, rowsOf(a, b))).toEqual([]);
      expect((await a.plane.sessions.list()).map(({ peer, current }) => ({ peer, current }))).toEqual([
        { peer: b.publicKey, current: true },
      ]);
    });
    expect(a.plane.writes).toBe(0);
  });

  it('gives peers the source address that changed meanwhile', async () => {
    await a.plane.close();
    await a.host.must(['ip', 'address', 'add', '192.0.2.7/24', 'dev', 'eth0']);
    await a.host.must(['ip', 'address', 'del', `${a.host.address}/24`, 'dev', 'eth0']);
    await a.host.must(['ip', 'address', 'replace', '192.0.2.7/24', 'dev', 'eth0']);
    a.plane = await startPlane(a.host, { mac1Key: a.mac1Key });
    await a.plane.adopt();
    expect(a.plane.writes).toBe(1);
    await b.plane.sessions.setEndpoint(a.publicKey, { address: '192.0.2.7' as IpAddress, port: PORT });
    expect(await ping(a.host, b.vip4, '-i', '0.01', '-c', '5')).toEqual({ sent: 5, received: 5 });

    await a.host.must(['ip', 'address', 'add', `${a.host.address}/24`, 'dev', 'eth0']);
    await a.host.must(['ip', 'address', 'del', '192.0.2.7/24', 'dev', 'eth0']);
    await a.host.must(['ip', 'address', 'replace', `${a.host.address}/24`, 'dev', 'eth0']);
    await restart(a, 'close');
    await a.plane.adopt();
    await b.plane.sessions.setEndpoint(a.publicKey, { address: a.host.address as IpAddress, port: PORT });
    expect(await ping(a.host, b.vip4, '-c', '1')).toEqual({ sent: 1, received: 1 });
  });

  it('swaps in other programs without a lost packet', async () => {
    // The same code in other bytes: what comes behind an ELF file's sections is nobody's.
    const objects = join(a.host.folder, 'other-programs');
    await cp(OBJECTS, objects, { recursive: true });
    await appendFile(join(objects, 'omni_ingress.bpf.o'), ' ');
    await withoutLoss(async () => {
      await restart(a, 'close', { objects });
      await a.plane.adopt();
    });
    expect(a.plane.writes).toBeGreaterThan(0);
    expect(await difference(a.plane, rowsOf(a, b))).toEqual([]);
  });

  it('changes the port behind live programs, and every peer row with it', async () => {
    expect(await converge(a.plane, rowsOf(a, b, { port: 51821 }))).toEqual([]);
    await b.plane.sessions.setEndpoint(a.publicKey, { address: a.host.address as IpAddress, port: 51821 });
    expect(await ping(a.host, b.vip4, '-i', '0.01', '-c', '5')).toEqual({ sent: 5, received: 5 });
    expect(await converge(a.plane, rowsOf(a, b))).toEqual([]);
    await b.plane.sessions.setEndpoint(a.publicKey, { address: a.host.address as IpAddress, port: PORT });
  });

  it('lowers and raises the MTU, automatic and given', async () => {
    expect(await converge(a.plane, rowsOf(a, b, { mtu: 1300 }))).toEqual([]);
    expect(await a.host.must(['cat', '/sys/class/net/omni0/mtu'])).toBe('1300\n');
    // The same number by chance is not the same wish.
    expect(await converge(a.plane, rowsOf(a, b, { mtu: 1426 }))).toEqual([]);
    expect(await difference(a.plane, rowsOf(a, b))).toEqual([`update link/${INTERFACE}`]);
    expect(await converge(a.plane, rowsOf(a, b))).toEqual([]);
    expect(await ping(a.host, b.vip4, '-i', '0.01', '-c', '5')).toEqual({ sent: 5, received: 5 });
  });
});

describe('drift', () => {
  beforeAll(() => up());
  afterAll(down);

  /** Keys that the data plane wakes its reconciler with once `act` happened. */
  async function wakesOf(act: () => Promise<unknown>): Promise<Set<RowKey | 'unknown'>> {
    const { woken, stop } = watching();
    await a.plane.counters(); // the watcher is up once a later call has been answered
    await act();
    await until('a wake', () => woken.size > 0, 2_000, 5);
    await stop();
    return woken;
  }

  const address = () => rowKey({ kind: 'address', interface: INTERFACE, address: a.vip4 });
  const route = () => rowKey({ kind: 'route', interface: INTERFACE, destination: '10.77.0.0/16' as Cidr });

  const neighbour = () => rowKey({ kind: 'neighbour', interface: INTERFACE, address: b.vip4, mac: macOf(b.publicKey) });

  it('wakes with the address that somebody deleted, and what went with the last one', async () => {
    const keys = await wakesOf(() => a.host.must(['ip', 'address', 'del', `${a.vip4}/32`, 'dev', INTERFACE]));
    expect([...keys].sort()).toEqual([address(), neighbour(), route()]);
    const expected = [`create ${address()}`, `create ${route()}`, `update ${neighbour()}`];
    expect((await difference(a.plane, rowsOf(a, b))).sort()).toEqual(expected);
    expect(await converge(a.plane, rowsOf(a, b))).toEqual([]);
  });

  it('wakes for a link that somebody took down, and heals it with its routes', async () => {
    const keys = await wakesOf(() => a.host.must(['ip', 'link', 'set', INTERFACE, 'down']));
    expect(keys).toContain(`link/${INTERFACE}`);
    await converge(a.plane, rowsOf(a, b));
    expect(await converge(a.plane, rowsOf(a, b))).toEqual([]);
    expect(await ping(a.host, b.vip4, '-c', '1')).toEqual({ sent: 1, received: 1 });
  });

  it('makes a deleted pair anew around the sessions that are still there', async () => {
    const keys = await wakesOf(() => a.host.must(['ip', 'link', 'del', INTERFACE]));
    expect(keys).toContain(`link/${INTERFACE}`);
    await converge(a.plane, rowsOf(a, b));
    expect(await converge(a.plane, rowsOf(a, b))).toEqual([]);
    expect(await a.plane.sessions.list()).toHaveLength(1);
    expect(await ping(a.host, b.vip4, '-c', '1')).toEqual({ sent: 1, received: 1 });
  });

  it('goes on expecting an answer whose row somebody deleted, and expects no other', async () => {
    const { woken, stop } = watching();
    const rows = async () => (await dumpMap(a.host, 'pending_map')).map(({ key }) => key.join());
    await a.plane.sessions.expectAnswer(0x1122n, 60_000);
    const expected = await rows();
    expect(expected).toHaveLength(1);
    await deleteRow(a.host, 'pending_map', u64(0x1122n));
    await writeRow(a.host, 'pending_map', u64(0x99n), new Uint8Array(8));
    await until('the row is back, alone', async () => (await rows()).join(';') === expected.join(';'), 2_000);
    await a.plane.sessions.forgetAnswer(0x1122n);
    await stop();
    expect(woken.size).toBe(0);
  });

  it('sees a sysctl that was changed, and sets it back', async () => {
    const wanted = {
      'ipv4.conf.omni0.accept_redirects': '0',
      'ipv4.conf.omni0.send_redirects': '0',
      'ipv4.conf.omni0.accept_source_route': '0',
      'ipv4.conf.omni0.rp_filter': '1',
      'ipv4.conf.omni0.arp_accept': '0',
      'ipv6.conf.omni0.accept_ra': '0',
      'ipv6.conf.omni0.accept_redirects': '0',
      'ipv6.conf.omni0.autoconf': '0',
      'ipv6.conf.omni0.accept_source_route': '-1',
      'ipv4.conf.omni0x.accept_redirects': '0',
      'ipv6.conf.omni0x.accept_redirects': '0',
      'ipv4.conf.omni0x.forwarding': '1',
    };
    const names = Object.keys(wanted).map((name) => `net.${name}`);
    const values = async () => (await a.host.must(['sysctl', '-n', ...names])).trim().split('\n');
    expect(await values()).toEqual(Object.values(wanted));
    for (const name of names.filter((each) => each.includes('omni0.'))) {
      await a.host.must(['sysctl', '-qw', `${name}=${name.endsWith('rp_filter') ? 0 : 1}`]);
      expect(await difference(a.plane, rowsOf(a, b))).toEqual([`update ${rowKey(linkRow(a.publicKey))}`]);
      expect(await converge(a.plane, rowsOf(a, b))).toEqual([]);
      expect(await values()).toEqual(Object.values(wanted));
    }
  });

  it('sees a detached program, and attaches it again', async () => {
    const pin = join(a.host.folder, 'bpf', 'omni', INTERFACE, 'link_ingress_eth0');
    await a.host.must(['rm', pin]);
    expect(await difference(a.plane, rowsOf(a, b))).toEqual([`update link/${INTERFACE}`]);
    expect(await converge(a.plane, rowsOf(a, b))).toEqual([]);
    expect(await ping(a.host, b.vip4, '-c', '1')).toEqual({ sent: 1, received: 1 });
  });

  it.each([
    ['filter', ['tc', 'filter', 'del', 'dev', 'omni0x', 'ingress']],
    ['filter with its qdisc', ['tc', 'qdisc', 'del', 'dev', 'omni0x', 'clsact']],
  ])('wakes for a removed %s, and attaches it again', async (_what, command) => {
    const keys = await wakesOf(() => a.host.must(command));
    expect(keys).toEqual(new Set([`link/${INTERFACE}`]));
    expect((await a.plane.describe()).notes).toContain('our filter is not attached to omni0x');
    expect(await difference(a.plane, rowsOf(a, b))).toEqual([`update link/${INTERFACE}`]);
    expect(await converge(a.plane, rowsOf(a, b))).toEqual([]);
    expect(await a.host.must(['tc', 'filter', 'show', 'dev', 'omni0x', 'ingress'])).toMatch(/omni_slowpath/);
  });

  it('does not wake for what it wrote itself', async () => {
    const seen: unknown[] = [];
    const stop = a.plane.watch((keys) => seen.push(keys));
    const row = { kind: 'address', interface: INTERFACE, address: '10.77.0.99' as IpAddress } as const;
    await a.plane.apply({ op: 'create', key: rowKey(row), to: row });
    await a.plane.apply({ op: 'delete', key: rowKey(row), from: row });
    // A foreign change that comes after is reported; whatever ours caused came before.
    await a.host.must(['ip', 'address', 'del', `${a.vip4}/32`, 'dev', INTERFACE]);
    await until('a wake', () => seen.length > 0, 2_000, 5);
    await stop();
    expect(seen).toEqual([new Set([address(), route(), neighbour()])]);
    expect(await converge(a.plane, rowsOf(a, b))).toEqual([]);
  });

  it('follows the underlay to another source address', async () => {
    await a.host.must(['ip', 'address', 'add', '192.0.2.7/24', 'dev', 'eth0']);
    const stop = a.plane.watch(() => undefined);
    await a.plane.counters();
    const before = a.plane.writes;
    await a.host.must(['ip', 'address', 'del', '192.0.2.1/24', 'dev', 'eth0']);
    await a.host.must(['ip', 'address', 'replace', '192.0.2.7/24', 'dev', 'eth0']);
    await until('the source changes', async () => (await a.plane.counters()) && a.plane.writes > before, 2_000);
    await b.plane.sessions.setEndpoint(a.publicKey, { address: '192.0.2.7' as IpAddress, port: PORT });
    // The route may have been away for a moment, and the source with it.
    await until('a is heard from there', async () => (await ping(a.host, b.vip4, '-c', '1')).received === 1, 3_000);
    await stop();
    await a.host.must(['ip', 'address', 'add', '192.0.2.1/24', 'dev', 'eth0']);
  });
});

describe('the underlay', () => {
  beforeAll(() => up());
  afterAll(down);

  const link = () => rowKey(linkRow(a.publicKey));
  const passes = async () => expect(await ping(a.host, b.vip4, '-c', '1')).toEqual({ sent: 1, received: 1 });

  const modes = async () => (await a.plane.describe()).interfaces.flatMap(({ mode }) => mode ?? []);

  it('may be away for a while: the link waits, and heals when it is back', async () => {
    const { woken, stop } = watching();
    await a.plane.counters();
    await a.host.must(['ip', 'link', 'del', 'eth0']);
    await until('a wake', () => woken.has(link()), 2_000, 5);
    await expect(converge(a.plane, rowsOf(a, b))).rejects.toMatchObject({ code: 'underlay-missing', class: 'wait' });

    woken.clear();
    const veth = ['ip', 'link', 'add', 'eth0', 'type', 'veth', 'peer', 'name', 'eth0', 'netns', b.host.namespace];
    await a.host.must(veth);
    for (const { host } of [a, b]) {
      await host.must(['ip', 'address', 'add', `${host.address}/24`, 'dev', 'eth0']);
      await host.must(['ethtool', '-K', 'eth0', 'gro', 'on']);
      await host.must(['ip', 'link', 'set', 'eth0', 'up']);
    }
    await until('a wake', () => woken.has(link()), 2_000, 5);
    expect(await converge(a.plane, rowsOf(a, b))).toEqual([]);
    expect(await converge(b.plane, rowsOf(b, a))).toEqual([]);
    await passes();
    await stop();
  });

  it('that lost the route to a peer lets its row wait, and wakes when there is one', async () => {
    const { woken, stop } = watching();
    const row = { kind: 'peer', interface: INTERFACE, publicKey: freshKey(), endpoint: '198.51.100.9:51820' } as const;
    const change = { op: 'create', key: rowKey(row), to: row } as const;
    await expect(a.plane.apply(change)).rejects.toMatchObject({ code: 'no-route-to-endpoint', class: 'wait' });
    await a.host.must(['ip', 'route', 'add', '198.51.100.0/24', 'via', b.host.address]);
    await until('a wake', () => woken.has(rowKey(row)), 2_000, 5);
    await a.plane.apply(change);
    expect((await a.plane.observe(undefined, new Set([rowKey(row)]))).get(rowKey(row))).toEqual({ row });
    await stop();
  });

  it('without native XDP runs in generic mode, alone, and says why', async () => {
    await a.plane.teardown();
    await a.host.must(['ip', 'link', 'add', 'uplink', 'type', 'bridge']);
    await a.host.must(['ip', 'address', 'flush', 'dev', 'eth0']);
    await a.host.must(['ip', 'link', 'set', 'eth0', 'master', 'uplink']);
    // Without a program at this end, b's native redirect needs NAPI here.
    await a.host.must(['ethtool', '-K', 'eth0', 'gro', 'on']);
    await a.host.must(['ip', 'address', 'add', `${a.host.address}/24`, 'dev', 'uplink']);
    await a.host.must(['ip', 'link', 'set', 'uplink', 'up']);
    await restart(a, 'close', { underlay: ['uplink'] });
    await a.plane.adopt();
    expect(await converge(a.plane, rowsOf(a, b))).toEqual([]);
    const { interfaces, notes } = await a.plane.describe();
    expect(interfaces.flatMap(({ mode }) => mode ?? [])).toEqual(['native', 'generic']);
    expect(notes.join()).toMatch(/uplink cannot run native XDP.*EOPNOTSUPP/);
    for (const { localId } of await b.plane.sessions.list()) await b.plane.sessions.remove(localId);
    await installPair(a, b);
    await passes();

    await restart(a, 'kill', { underlay: ['uplink'] });
    await a.plane.adopt();
    expect((await a.plane.describe()).notes.join()).toMatch(/EOPNOTSUPP/);
    expect(a.plane.writes).toBe(0);
    await passes();
  });

  it('that has native XDP after all is used so by the next agent', async () => {
    await a.host.must(['ip', 'link', 'del', 'uplink']);
    await a.host.must(['ip', 'address', 'add', `${a.host.address}/24`, 'dev', 'eth0']);
    await restart(a, 'close', { underlay: ['eth0'] });
    await a.plane.adopt();
    expect(await modes()).toEqual(['native', 'native']);
    expect(await converge(a.plane, rowsOf(a, b))).toEqual([]);
    expect((await a.plane.describe()).notes).toEqual([]);
    await passes();
    await restart(a, 'close', { underlay: ['eth0'] });
    await a.plane.adopt();
    expect(a.plane.writes).toBe(0);
  });

  it('that takes no redirected frames gets them by way of the stack until it does', async () => {
    const detour = /eth0 goes by way of the stack.*eth0 takes no frames.*NDO_XMIT.*neither GRO nor/;
    await b.plane.teardown();
    await b.host.must(['ethtool', '-K', 'eth0', 'gro', 'off']);
    expect(await difference(a.plane, rowsOf(a, b))).toEqual([`update ${link()}`]);
    expect(await converge(a.plane, rowsOf(a, b))).toEqual([]);
    expect(await modes()).toEqual(['native', 'native']);
    expect((await a.plane.describe()).notes.join()).toMatch(detour);
    await restart(a, 'kill');
    await a.plane.adopt();
    expect(a.plane.writes).toBe(0);

    // A first creation decides the same. A generic program at the other end gives it no NAPI.
    await a.plane.teardown();
    expect(await converge(a.plane, rowsOf(a, b))).toEqual([]);
    await restart(b, 'close', { mode: 'generic' });
    expect(await converge(b.plane, rowsOf(b, a))).toEqual([]);
    expect((await a.plane.describe()).notes.join()).toMatch(detour);
    await installPair(a, b);
    await passes();

    await b.host.must(['ethtool', '-K', 'eth0', 'gro', 'on']);
    expect(await difference(a.plane, rowsOf(a, b))).toEqual([`update ${link()}`]);
    await withoutLoss(async () => expect(await converge(a.plane, rowsOf(a, b))).toEqual([]));
    expect((await a.plane.describe()).notes).toEqual([]);
    await passes();
  });

  it('that takes no redirected frames is told of where native was asked for', async () => {
    await b.plane.teardown();
    await b.host.must(['ethtool', '-K', 'eth0', 'gro', 'off']);
    await restart(a, 'close', { mode: 'native' });
    await a.plane.adopt();
    expect(await difference(a.plane, rowsOf(a, b))).toEqual([]);
    expect((await a.plane.describe()).notes.join()).toMatch(/eth0 takes no frames/);
  });
});

describe('what is not ours', () => {
  beforeAll(() => up());
  afterAll(down);

  it('is neither observed nor touched, not even by a teardown', async () => {
    await a.host.must(['ip', 'address', 'add', '10.99.0.1/24', 'dev', INTERFACE]);
    await a.host.must(['ip', 'route', 'add', '10.98.0.0/24', 'dev', INTERFACE]);
    await a.host.must(['ip', 'link', 'add', 'other0', 'type', 'veth', 'peer', 'name', 'other1']);
    expect(await difference(a.plane, rowsOf(a, b))).toEqual([]);

    const pruned = rowsOf(a, b).filter((row) => row.kind === 'link');
    expect(await converge(a.plane, pruned)).toEqual([]);
    expect(await a.host.must(['ip', '-o', 'address', 'show', 'dev', INTERFACE])).toMatch(/10\.99\.0\.1/);
    expect(await a.host.must(['ip', 'route'])).toMatch(/10\.98\.0\.0\/24/);

    await a.plane.teardown();
    expect(await a.plane.observe()).toEqual(new Map());
    expect(await pins(a.host)).toEqual([]);
    expect(await a.host.must(['ip', '-o', 'link'])).toMatch(/other0/);
    expect(await a.host.must(['ip', '-d', 'link', 'show', 'eth0'])).not.toMatch(/xdp/);
    expect(await a.host.must(['ip', '-o', 'address', 'show', 'dev', 'eth0'])).toMatch(/192\.0\.2\.1/);
  });

  it('stops the creation of a link of the same name, with the way out', async () => {
    await a.host.must(['ip', 'link', 'add', INTERFACE, 'type', 'veth', 'peer', 'name', 'other2']);
    const row = linkRow(a.publicKey);
    await expect(a.plane.apply({ op: 'create', key: rowKey(row), to: row })).rejects.toMatchObject({
      code: 'interface-not-ours',
      class: 'stall',
      exitCode: 2,
      fix: expect.stringContaining('ip link delete omni0'),
    });
    expect(await a.host.must(['ip', '-o', 'link', 'show', INTERFACE])).toMatch(/omni0/);
    expect(await pins(a.host)).toEqual([]);
    await a.host.must(['ip', 'link', 'del', INTERFACE]);
  });

  it('stops a second interface where the underlay has its XDP program already, and leaves nothing behind', async () => {
    expect(await converge(a.plane, rowsOf(a, b))).toEqual([]);
    const row = linkRow(a.publicKey, { interface: 'omni1', port: 51822 });
    await expect(a.plane.apply({ op: 'create', key: rowKey(row), to: row })).rejects.toMatchObject({
      code: 'xdp-in-use',
      class: 'stall',
      exitCode: 2,
      message: expect.stringMatching(/another XDP program \(id \d+\) is attached to eth0/),
    });
    expect((await run(a.host.inside(['ip', 'link', 'show', 'omni1']))).status).not.toBe(0);
    expect(await difference(a.plane, rowsOf(a, b))).toEqual([]);
    await a.plane.teardown();
  });
});

describe('sessions', () => {
  const events: SessionEvent[] = [];
  beforeAll(async () => {
    await up();
    a.plane.sessions.onEvent((event) => events.push(event));
    await a.plane.counters();
  });
  afterAll(down);

  const eventOf = <T extends SessionEvent['type']>(type: T) =>
    until(
      `a ${type} event`,
      () => events.find((event): event is Extract<SessionEvent, { type: T }> => event.type === type),
      2_000,
      5,
    );

  it('count what they carry', async () => {
    const [before] = await a.plane.sessions.list();
    await ping(a.host, b.vip4, '-s', '100', '-c', '3', '-i', '0.01');
    const [after] = await a.plane.sessions.list();
    if (before === undefined || after === undefined) throw new Error('no session');
    expect(after.txPackets - before.txPackets).toBe(3n);
    expect(after.rxPackets - before.rxPackets).toBe(3n);
    expect(after.txBytes - before.txBytes).toBe(3n * 142n);
    expect(after.rxDataLastMs).toBeGreaterThan(before.rxDataLastMs);
    expect(Math.abs(after.rxLastMs - a.plane.sessions.now())).toBeLessThan(2_000);
  });

  it('send keepalives that the other end counts as no data', async () => {
    const [before] = await b.plane.sessions.list();
    await a.plane.sessions.keepalive(b.publicKey);
    const after = await until('a keepalive arrives', async () => {
      const [now] = await b.plane.sessions.list();
      return now !== undefined && now.rxPackets > (before?.rxPackets ?? 0n) && now;
    });
    expect(after.rxPackets).toBe((before?.rxPackets ?? 0n) + 1n);
    expect(after.rxBytes).toBe(before?.rxBytes);
    expect(after.rxDataLastMs).toBe(before?.rxDataLastMs);
  });

  it('are never replaced by an id that is taken, and installing one again changes nothing', async () => {
    const pair = await installPair(a, b);
    await ping(a.host, b.vip4, '-c', '1');
    await a.plane.sessions.install(pair.a);
    const [state] = await a.plane.sessions.list([pair.a.localId]);
    expect(state?.txPackets).toBe(1n);
    const stranger = { ...sessionPair(a, b).a, localId: pair.a.localId };
    await expect(a.plane.sessions.install(stranger)).rejects.toMatchObject({ code: 'session-id-taken' });
  });

  it('move to the unconfirmed one when its first datagram came', async () => {
    const pair = sessionPair(a, b);
    await a.plane.sessions.install({ ...pair.a, initiator: false, unconfirmed: true });
    await b.plane.sessions.install({ ...pair.b, initiator: true });
    expect((await a.plane.sessions.list([pair.a.localId]))[0]).toMatchObject({ unconfirmed: true, current: false });
    await ping(b.host, a.vip4, '-c', '1');
    expect(await eventOf('confirmed')).toMatchObject({ localId: pair.a.localId, peer: b.publicKey });
    expect((await a.plane.sessions.list([pair.a.localId]))[0]).toMatchObject({ unconfirmed: false, current: true });
  });

  it('tell once that they want new keys', async () => {
    const pair = await installPair(a, b, { rekeyAfterMs: 0 });
    await ping(a.host, b.vip4, '-c', '3', '-i', '0.01');
    expect(await eventOf('rekey-due')).toMatchObject({ localId: pair.a.localId, peer: b.publicKey });
    expect(events.filter((event) => event.type === 'rekey-due')).toHaveLength(1);
  });

  it('hand over the frame that has none, which passes once there is one', async () => {
    for (const { localId } of await a.plane.sessions.list()) await a.plane.sessions.remove(localId);
    for (const { localId } of await b.plane.sessions.list()) await b.plane.sessions.remove(localId);
    const pinging = ping(a.host, b.vip4, '-c', '1', '-W', '3');
    const event = await eventOf('frame-without-session');
    expect(event).toMatchObject({ destination: macOf(b.publicKey), peer: b.publicKey, interface: INTERFACE });
    await installPair(a, b);
    await a.plane.sessions.resend(INTERFACE, event.frame);
    expect(await pinging).toEqual({ sent: 1, received: 1 });
  });

  it('end with their peer, at once', async () => {
    const row = rowsOf(b, a).find((each) => each.kind === 'peer');
    if (row === undefined) throw new Error('no peer row');
    const pair = sessionPair(a, b);
    await b.plane.apply({ op: 'delete', key: rowKey(row), from: row });
    expect(await b.plane.sessions.list()).toEqual([]);
    expect(await ping(a.host, b.vip4, '-c', '2', '-i', '0.01')).toEqual({ sent: 2, received: 0 });
    await expect(b.plane.sessions.install(pair.b)).rejects.toMatchObject({ code: 'peer-missing', class: 'wait' });
  });
});

describe('a half-made interface', () => {
  beforeAll(() => up());
  afterAll(down);

  /** Writes bytes into the only row of a's meta_map. */
  async function patchMeta(offset: number, bytes: readonly string[]): Promise<void> {
    const pin = join(a.host.folder, 'bpf', 'omni', INTERFACE, 'meta_map');
    const dump = await must(['bpftool', '-j', 'map', 'dump', 'pinned', pin]);
    const value = (JSON.parse(dump) as { value: string[] }[])[0]?.value ?? [];
    value.splice(offset, bytes.length, ...bytes);
    await must(['bpftool', 'map', 'update', 'pinned', pin, 'key', '0', '0', '0', '0', 'value', ...value]);
  }

  it('left by a kill in the middle of the creation is completed', async () => {
    const pair = ['name', 'omni0x', 'address', '06:00:00:00:00:01'];
    await a.plane.teardown();
    await a.host.must([
      ...['ip', 'link', 'add', INTERFACE, 'address', macOf(a.publicKey), 'type', 'veth', 'peer'],
      ...pair,
    ]);
    await restart(a, 'kill');
    await a.plane.adopt();
    expect(await converge(a.plane, rowsOf(a, b))).toEqual([]);
    await b.plane.adopt();
  });

  it('whose pins were left without a finished link is cleared away', async () => {
    await a.plane.kill();
    const folder = join(a.host.folder, 'bpf', 'omni', INTERFACE);
    await must(['rm', join(folder, 'meta_map')]);
    a.plane = await startPlane(a.host, { mac1Key: a.mac1Key });
    expect(await a.plane.adopt()).toEqual({ adopted: false, sessions: 0, links: [] });
    expect(await converge(a.plane, rowsOf(a, b))).toEqual([]);
  });

  it('left by a kill while its programs were being replaced gets them again', async () => {
    await a.plane.kill();
    const buildId = 8;
    await patchMeta(buildId, new Array(32).fill('0'));
    a.plane = await startPlane(a.host, { mac1Key: a.mac1Key });
    await a.plane.adopt();
    expect(a.plane.writes).toBeGreaterThan(0);
    expect(await difference(a.plane, rowsOf(a, b))).toEqual([]);
    await restart(a, 'close');
    await a.plane.adopt();
    expect(a.plane.writes).toBe(0);
  });

  it('of another layout is refused, with what a migration costs', async () => {
    await a.plane.kill();
    await patchMeta(0, ['0xfe']);
    a.plane = await startPlane(a.host, { mac1Key: a.mac1Key });
    await expect(a.plane.adopt()).rejects.toMatchObject({
      code: 'layout-incompatible',
      class: 'stall',
      fix: expect.stringContaining('--teardown'),
    });
    await a.plane.teardown();
    expect(await pins(a.host)).toEqual([]);
  });
});
