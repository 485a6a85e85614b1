import type { Host } from '../../lab/lab.ts';
import { ping } from '../../lab/ping.ts';
import { until } from '../../lab/shell.ts';
import { quantile } from '../table.ts';

const PING_INTERVAL_S = 0.005;

/** How a session is doing. */
export interface Live {
  readonly p50Us: number;
  readonly p99Us: number;
  readonly lost: number;
  readonly gbps: number;
}

/** One end of a session: where it lies, and what runs it. */
export interface End {
  readonly host: Host;
  readonly vip: string;
  readonly cpu: number;
}

/** `seconds` of ping at 200/s, then as many of TCP in one flow. */
export async function liveSession(from: End, to: End, seconds: number): Promise<Live> {
  return { ...(await roundTrips(from, to, seconds)), ...(await throughput(from, to, seconds)) };
}

async function roundTrips(from: End, to: End, seconds: number): Promise<Omit<Live, 'gbps'>> {
  const count = Math.round(seconds / PING_INTERVAL_S);
  const { rttMs, sent, received } = await ping(from.host, to.vip, { count, intervalS: PING_INTERVAL_S });
  const us = (share: number) => quantile(rttMs, share) * 1000;
  return { p50Us: us(0.5), p99Us: us(0.99), lost: sent - received };
}

async function throughput(from: End, to: End, seconds: number): Promise<Pick<Live, 'gbps'>> {
  const server = to.host.background(['taskset', '-c', String(to.cpu), 'iperf3', '-s', '-1', '--forceflush']);
  await until('iperf3 listens', () => server.text.includes('listening'));
  const client = ['taskset', '-c', String(from.cpu), 'iperf3', '-J', '-c', to.vip, '-t', String(seconds)];
  const report = JSON.parse(await from.host.must(client)) as { end: { sum_received: { bits_per_second: number } } };
  await server.stop('SIGINT');
  return { gbps: report.end.sum_received.bits_per_second / 1e9 };
}
