import { randomBytes } from 'node:crypto';
import { appendFile, cp } from 'node:fs/promises';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Lab } from '../../lab/lab.ts';
import { type Background, must, sleep, until } from '../../lab/shell.ts';
import type { BpfMap } from '../../src/dataplane/kernel/calls.ts';
import { OmniStat } from '../../src/dataplane/kernel/layout.ts';
import { loadNative } from '../../src/dataplane/kernel/native.ts';
import type { IpAddress } from '../../src/manifest/model.ts';
import type { SessionState } from '../../src/reconcile/dataplane.ts';
import { type Row, rowKey } from '../../src/reconcile/rows.ts';
import {
  converge,
  freshKey,
  INTERFACE,
  installPair,
  type Node,
  OBJECTS,
  rowsOf,
  type StartOptions,
  startPlane,
} from './dataplane-fixture.ts';

/*
 *   ocr-a: omni0 ═XDP═ eth0 ──┐
 *          10.77.0.1          br0 ──── eth0, one queue ═XDP═ omni0 :ocr-b
 *   ocr-c: omni0 ═XDP═ eth0 ──┘                              10.77.0.2
 *          10.77.0.3
 *
 * Three kernel data planes; a and c send to b. Rows and sessions put in by hand.
 */
let lab: Lab;
let a: Node;
let b: Node;
let c: Node;
const senders = (): readonly Node[] => [a, c];

async function node(name: string, index: number): Promise<Node> {
  const host = lab.host(name);
  const mac1Key = randomBytes(32);
  const plane = await startPlane(host, { mac1Key });
  const vip4 = `10.77.0.${index}` as IpAddress;
  return { host, publicKey: freshKey(), vip4, vip6: `fd77::${index}` as IpAddress, mac1Key, plane };
}

/** What a fleet desires of b. */
function own(): Row[] {
  const rows = new Map(senders().flatMap((other) => rowsOf(b, other).map((row) => [rowKey(row), row])));
  return [...rows.values()];
}

/** Each node knows b, and b knows each. */
async function up(): Promise<void> {
  lab = await Lab.open({ name: 'ocr', hosts: ['a', 'b', 'c'] });
  [a, b, c] = await Promise.all([node('a', 1), node('b', 2), node('c', 3)]);
  for (const self of [a, b, c]) await self.plane.adopt();
  for (const self of senders()) expect(await converge(self.plane, rowsOf(self, b))).toEqual([]);
  expect(await converge(b.plane, own())).toEqual([]);
  for (const self of senders()) await installPair(self, b);
}

async function down(): Promise<void> {
  await Promise.all([a, b, c].map((each) => each?.plane.kill()));
  await lab?.close();
}

interface UdpReport {
  readonly end: {
    readonly sum: { readonly packets: number; readonly lost_packets: number };
    readonly streams: readonly { readonly udp: { readonly out_of_order: number } }[];
  };
}

interface Report {
  readonly received: number;
  readonly disordered: number;
}

interface Flow {
  readonly from: Node;
  readonly port: number;
  /** As iperf3 takes it: bit/s, or bit/s and packets that follow on each other at once. */
  readonly rate: string;
  readonly size: number;
}

/** Bursts far beyond what makes a CPU busy, and between them nothing: every one begins where the datagrams arrive. */
const BURSTS = '60M/1000';

/** UDP flows to b, side by side. Only the receiving end of iperf3 knows what came out of order. */
async function carry(flows: readonly Flow[], seconds: number, meanwhile?: () => Promise<void>): Promise<Report[]> {
  const servers: Background[] = [];
  try {
    for (const { port } of flows) servers.push(b.host.background(['iperf3', '-s', '-1', '-J', '-p', String(port)]));
    await until('iperf3 listens', async () => {
      const listening = await b.host.must(['ss', '-Htln']);
      return flows.every(({ port }) => listening.includes(`:${port} `));
    });
    const clients = flows.map(({ from, port, rate, size }) => {
      const to = ['-c', b.vip4, '-p', String(port), '-t', String(seconds)];
      return from.host.must(['iperf3', '-u', ...to, '-b', rate, '-l', String(size)]);
    });
    await meanwhile?.();
    await Promise.all(clients);
    await Promise.all(servers.map((server) => server.wait()));
    return servers.map((server) => {
      const { sum, streams } = (JSON.parse(server.text) as UdpReport).end;
      const disordered = streams.reduce((total, { udp }) => total + udp.out_of_order, 0);
      return { received: sum.packets - sum.lost_packets, disordered };
    });
  } finally {
    for (const server of servers) await server.stop();
  }
}

function open(map: string): BpfMap {
  return new (loadNative().BpfMap)({ pin: join(b.host.folder, 'bpf', 'omni', INTERFACE, map) });
}

/** Of b: a statistic by CPU. */
function byCpu(stat: number): bigint[] {
  const map = open('stats_map');
  const key = Buffer.alloc(4);
  key.writeUInt32LE(stat);
  const values = map.lookup({ key }) ?? Buffer.alloc(0);
  map.close();
  return Array.from({ length: values.length / 8 }, (_, at) => values.readBigUInt64LE(8 * at));
}

/** Id of the program in a map's first entry. */
function programOf(name: 'open_map' | 'cpu_map'): number {
  const map = open(name);
  const value = map.lookup({ key: Buffer.alloc(4) }) ?? Buffer.alloc(8);
  map.close();
  return value.readUInt32LE(value.length - 4);
}

/**
 * Frames that the wires to b had no room for: the rings of veth take 256, and a busy processor empties them late. The
 * programs never see these.
 */
async function lostOnWires(): Promise<bigint> {
  const counter = (device: string) => ['cat', `/sys/class/net/${device}/statistics/tx_dropped`];
  const texts = [...senders().map(({ host }) => host.must(counter('eth0'))), must(lab.onUnderlay(counter('b.p')))];
  return (await Promise.all(texts)).reduce((total, text) => total + BigInt(text.trim()), 0n);
}

/** Datagrams that were sent to b, and those that b opened or a queue had no room for. */
async function accounts(): Promise<{ readonly sent: bigint; readonly opened: bigint; readonly drops: bigint[] }> {
  const sum = (sessions: readonly SessionState[], of: (session: SessionState) => bigint) =>
    sessions.reduce((total, session) => total + of(session), 0n);
  const sent = await Promise.all(
    senders().map(async ({ plane }) => sum(await plane.sessions.list(), (s) => s.txPackets)),
  );
  const { backlog = 0n, multicast: _, ...others } = (await b.plane.counters()).drops;
  const full = backlog + (await lostOnWires());
  const opened = sum(await b.plane.sessions.list(), ({ rxPackets }) => rxPackets) + full;
  return { sent: sent.reduce((total, count) => total + count, 0n), opened, drops: Object.values(others) };
}

/** As `carry`; and every datagram that was sent is opened, once, or counted as one that a queue had no room for. */
async function carryAll(flows: readonly Flow[], seconds: number, meanwhile?: () => Promise<void>): Promise<Report[]> {
  const before = await accounts();
  const reports = await carry(flows, seconds, meanwhile);
  await until('what is under way has arrived', async () => {
    const { sent, opened } = await accounts();
    return sent - before.sent === opened - before.opened;
  });
  expect((await accounts()).drops).toEqual(before.drops);
  return reports;
}

/** Another agent takes over, as after an upgrade. */
async function restart(options: StartOptions): Promise<void> {
  await b.plane.kill();
  b.plane = await startPlane(b.host, { mac1Key: b.mac1Key, ...options });
  await b.plane.adopt();
}

async function ping(from: Node, count: number): Promise<void> {
  await from.host.must(['ping', '-n', '-q', '-i', '0.002', '-c', String(count), b.vip4]);
}

/** Enough at once to make a CPU busy. */
async function burst(from: Node): Promise<void> {
  await from.host.exec(['ping', '-n', '-q', '-W', '1', '-s', '1300', '-l', '500', '-c', '500', b.vip4]);
}

const bursts = (size = 1300): Flow[] => senders().map((from, at) => ({ from, port: 5201 + at, rate: BURSTS, size }));

describe.skipIf(availableParallelism() < 2)('receiving on several CPUs', () => {
  beforeAll(up);
  afterAll(down);

  it('says which they are', async () => {
    const { interfaces, notes } = await b.plane.describe();
    expect(notes).toEqual([]);
    expect(interfaces.find(({ role }) => role === 'overlay')?.receiveCpus?.length).toBeGreaterThan(1);
  });

  it('leaves what a single CPU carries with ease where it arrives', async () => {
    await Promise.all(senders().map((from) => ping(from, 100)));
    expect((await b.plane.counters()).handedOver).toBe(0n);
    expect((await b.plane.sessions.list()).map(({ receiveCpu }) => receiveCpu)).toEqual([undefined, undefined]);
  });

  it('opens the datagrams of several peers on several CPUs under load, each in order, and goes back', async () => {
    const before = byCpu(OmniStat.rxPackets);
    const trickle: Flow = { from: a, port: 5203, rate: '4M', size: 1000 };
    const reports = await carryAll([...bursts(), trickle], 1);
    expect(reports.map(({ disordered }) => disordered)).toEqual([0, 0, 0]);
    const opened = byCpu(OmniStat.rxPackets).map((count, cpu) => count - (before[cpu] ?? 0n));
    // A share, not a number: on a busy machine the senders send less in their second.
    const share = opened.reduce((total, count) => total + count, 0n) / 12n;
    expect(opened.filter((count) => count > share).length, `opened by CPU: ${opened}`).toBeGreaterThan(1);
    expect((await b.plane.counters()).handedOver).toBeGreaterThan(share);

    const known = (await b.plane.counters()).handedOver;
    await burst(a);
    expect((await b.plane.counters()).handedOver).toBeGreaterThan(known);
    await sleep(20);
    for (const from of senders()) await ping(from, 5);
    const { handedOver } = await b.plane.counters();
    for (const from of senders()) await ping(from, 50);
    expect((await b.plane.counters()).handedOver - handedOver).toBe(0n);
    expect((await b.plane.sessions.list()).map(({ receiveCpu }) => receiveCpu)).toEqual([undefined, undefined]);
  });

  it('keeps order and datagrams while the programs are replaced under load', async () => {
    const objects = join(lab.folder, 'objects');
    await cp(OBJECTS, objects, { recursive: true });
    await appendFile(join(objects, 'omni_open.bpf.o'), ' ');
    const opener = () => programOf('open_map');
    const [before, thread] = [opener(), programOf('cpu_map')];
    const reports = await carryAll(bursts(), 1, async () => {
      await sleep(300);
      await restart({ objects });
    });
    expect(reports.map(({ disordered }) => disordered)).toEqual([0, 0]);
    expect(opener()).not.toBe(before);
    // A thread that is made anew would overtake the old one.
    expect(programOf('cpu_map')).toBe(thread);
  });

  it('opens everything where it arrives once nobody wants it otherwise', async () => {
    await restart({ receiveCpus: 'none' });
    const { interfaces, notes } = await b.plane.describe();
    expect([notes, interfaces.filter(({ receiveCpus }) => receiveCpus !== undefined)]).toEqual([[], []]);
    for (const from of senders()) await ping(from, 5);
    const { handedOver } = await b.plane.counters();
    for (const from of senders()) await burst(from);
    expect((await b.plane.counters()).handedOver - handedOver).toBe(0n);
  });

  it('says why it does not spread what generic XDP receives', async () => {
    await restart({ mode: 'generic' });
    expect(await converge(b.plane, own())).toEqual([]);
    const { notes } = await b.plane.describe();
    expect(notes.filter((note) => note.includes('eth0 is opened'))).toEqual([expect.stringContaining('RPS')]);
    const { handedOver } = await b.plane.counters();
    for (const from of senders()) await burst(from);
    expect((await b.plane.counters()).handedOver - handedOver).toBe(0n);
  });
});
