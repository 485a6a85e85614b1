import { readFile } from 'node:fs/promises';
import type { Host } from '../../lab/lab.ts';
import { ping } from '../../lab/ping.ts';
import { until } from '../../lab/shell.ts';
import { quantile } from '../table.ts';
import { type Fleet, RECEIVER_VIP } from './fleet.ts';

/** Of some senders at once, on one receiver. */
export interface FlowFigures {
  readonly tcpGbps: number;
  /** Processors that were busy during TCP, all hosts' together. */
  readonly busy: number;
  readonly udpKpps: number;
  /** Ping from the first sender: nothing else under way, and during TCP. */
  readonly idleUs: number;
  readonly loadedP50Us: number;
  readonly loadedP99Us: number;
}

interface IperfEnd {
  readonly end: {
    readonly sum?: { readonly packets: number; readonly lost_packets: number; readonly seconds: number };
    readonly sum_received?: { readonly bits_per_second: number };
  };
}

const PORT = 5201;
const PINGS_PER_SECOND = 100;
const TICKS_PER_SECOND = 100;

export async function measureFlows(fleet: Fleet, count: number, seconds: number): Promise<FlowFigures> {
  const senders = fleet.senders.slice(0, count);
  const [first] = senders;
  if (first === undefined) throw new RangeError('no sender');
  const idle = await ping(first, RECEIVER_VIP, { count: 500, intervalS: 0.002 });
  const before = await busySeconds();
  const started = performance.now();
  const [tcp, loaded] = await Promise.all([
    iperf(fleet.receiver, senders, ['-t', String(seconds)]),
    ping(first, RECEIVER_VIP, { count: seconds * PINGS_PER_SECOND, intervalS: 1 / PINGS_PER_SECOND }),
  ]);
  const busy = (await busySeconds()) - before;
  const elapsed = (performance.now() - started) / 1000;
  const udp = await iperf(fleet.receiver, senders, ['-u', '-b', '0', '-l', '128', '-t', String(seconds)]);
  return {
    tcpGbps: sum(tcp, ({ end }) => (end.sum_received?.bits_per_second ?? Number.NaN) / 1e9),
    busy: busy / elapsed,
    udpKpps: sum(udp, ({ end }) =>
      end.sum === undefined ? Number.NaN : (end.sum.packets - end.sum.lost_packets) / end.sum.seconds / 1e3,
    ),
    idleUs: quantile(idle.rttMs, 0.5) * 1000,
    loadedP50Us: quantile(loaded.rttMs, 0.5) * 1000,
    loadedP99Us: quantile(loaded.rttMs, 0.99) * 1000,
  };
}

const sum = <T>(values: readonly T[], of: (value: T) => number) =>
  values.reduce((total, value) => total + of(value), 0);

async function iperf(to: Host, from: readonly Host[], argv: readonly string[]): Promise<readonly IperfEnd[]> {
  const ports = from.map((_, at) => String(PORT + at));
  const servers = ports.map((port) => to.background(['iperf3', '-s', '-1', '-p', port]));
  try {
    await until('iperf3 listens', async () => {
      const listening = await to.must(['ss', '-Htln']);
      return ports.every((port) => listening.includes(`:${port} `));
    });
    const reports = from.map((host, at) =>
      host.must(['iperf3', '-J', '-c', RECEIVER_VIP, '-p', ports[at] ?? '', ...argv], { timeoutMs: 120_000 }),
    );
    return (await Promise.all(reports)).map((report) => JSON.parse(report) as IperfEnd);
  } finally {
    for (const server of servers) await server.stop('SIGINT');
  }
}

/** Of all processors together, since the machine started: everything but idle and waiting (proc_stat(5)). */
async function busySeconds(): Promise<number> {
  const [, ...fields] = (await readFile('/proc/stat', 'utf8')).split('\n')[0]?.trim().split(/\s+/) ?? [];
  const [user = 0, nice = 0, system = 0, , , irq = 0, softirq = 0] = fields.map(Number);
  return (user + nice + system + irq + softirq) / TICKS_PER_SECOND;
}
