import { readdir, readFile } from 'node:fs/promises';
import { dumpMap } from '../../lab/bpf.ts';
import type { Host } from '../../lab/lab.ts';
import { must } from '../../lab/shell.ts';
import { type UdpCounters, udpCounters } from '../../lab/udp.ts';
import { OmniStat, omniDropNames } from '../../src/dataplane/kernel/layout.ts';

/** Linux: USER_HZ. */
const TICKS_PER_SECOND = 100;

/** What a host counted so far. */
export interface Snapshot {
  /** By reason; per processor. */
  readonly drops: ReadonlyMap<string, readonly number[]>;
  /** Handshake messages that the ingress program let through. */
  readonly passed: number;
  readonly udp: UdpCounters;
  /** Of the agent, seconds. */
  readonly cpu: number;
}

interface PerCpu {
  readonly key: number;
  readonly values: readonly { readonly value: number }[];
}

async function perCpu(host: Host, map: string): Promise<ReadonlyMap<number, readonly number[]>> {
  const rows = await dumpMap<PerCpu>(host, map);
  return new Map(rows.map(({ formatted: { key, values } }) => [key, values.map(({ value }) => value)]));
}

export async function cpuSeconds(pid: number): Promise<number> {
  const fields = (await readFile(`/proc/${pid}/stat`, 'utf8')).replace(/^.*\) /, '').split(' ');
  return (Number(fields[11]) + Number(fields[12])) / TICKS_PER_SECOND;
}

export async function snapshot(host: Host): Promise<Snapshot> {
  const [drops, stats] = [await perCpu(host, 'drop_map'), await perCpu(host, 'stats_map')];
  return {
    drops: new Map(omniDropNames.map((name, index) => [name, drops.get(index) ?? []])),
    passed: (stats.get(OmniStat.controlPassed) ?? []).reduce((sum, each) => sum + each, 0),
    udp: await udpCounters(host),
    cpu: await cpuSeconds(host.agent?.pid ?? -1),
  };
}

/** `after` less `before`. Reasons that did not occur are left out. */
export function difference(before: Snapshot, after: Snapshot): Snapshot {
  const drops = [...after.drops].flatMap(([name, counts]): [string, number[]][] => {
    const more = counts.map((count, cpu) => count - (before.drops.get(name)?.[cpu] ?? 0));
    return more.some((count) => count > 0) ? [[name, more]] : [];
  });
  return {
    drops: new Map(drops),
    passed: after.passed - before.passed,
    udp: {
      received: after.udp.received - before.udp.received,
      noPort: after.udp.noPort - before.udp.noPort,
      sent: after.udp.sent - before.udp.sent,
    },
    cpu: after.cpu - before.cpu,
  };
}

/** Gives the host's receive queue a kernel thread of its own, and that thread one processor. */
export async function pinReceiveQueue(host: Host, cpu: number): Promise<void> {
  // A veth has a queue of that kind once GRO, or an XDP program, asks for one.
  await host.must(['ethtool', '-K', 'eth0', 'gro', 'on']);
  const before = new Set(await queueThreads());
  await host.must(['sh', '-c', 'echo 1 > /sys/class/net/eth0/threaded']);
  const threads = (await queueThreads()).filter((pid) => !before.has(pid));
  if (threads.length === 0) throw new Error(`${host.name}: its receive queue has no thread`);
  for (const pid of threads) await must(['taskset', '-p', '-c', String(cpu), pid]);
}

async function queueThreads(): Promise<string[]> {
  const found: string[] = [];
  for (const pid of await readdir('/proc')) {
    if (!/^\d+$/.test(pid)) continue;
    const name = await readFile(`/proc/${pid}/comm`, 'utf8').catch(() => ''); // it ended meanwhile
    if (name.startsWith('napi/eth0')) found.push(pid);
  }
  return found;
}
