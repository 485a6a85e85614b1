import type { Host } from '../lab/lab.ts';
import { median, ping } from '../lab/ping.ts';
import { sleep } from '../lab/shell.ts';

/** One system, one round. Absent: the tool gave no figure. */
export interface Figures {
  readonly tcpGbps: number;
  readonly udpKpps: number;
  readonly udpRttP50Us: number;
  readonly udpRttP99Us: number;
  readonly ping64Us: number;
  readonly ping1200Us: number;
}

export const figureNames = ['tcpGbps', 'udpKpps', 'udpRttP50Us', 'udpRttP99Us', 'ping64Us', 'ping1200Us'] as const;

interface IperfEnd {
  readonly end: {
    readonly sum?: { readonly packets: number; readonly lost_packets: number; readonly seconds: number };
    readonly sum_received?: { readonly bits_per_second: number };
  };
}

/** TCP one flow, UDP 128 B flood, UDP request-response, ping: from `from` to `address`, which `to` holds. */
export async function measure(from: Host, to: Host, address: string, seconds: number): Promise<Figures> {
  const server = to.background(['iperf3', '-s', '--forceflush']);
  await sleep(400);
  const client = async (...argv: string[]): Promise<IperfEnd> =>
    JSON.parse(await from.must(['iperf3', '-J', '-c', address, ...argv], { timeoutMs: 60_000 })) as IperfEnd;
  const tcp = await client('-t', String(seconds), '-O', '1');
  const udp = await client('-u', '-b', '0', '-l', '128', '-t', String(seconds));
  await server.stop('SIGINT');
  const sum = udp.end.sum;
  if (sum === undefined || tcp.end.sum_received === undefined) throw new Error('iperf3 printed no sums');
  const rtt = await udpRoundTrip(from, to, address, seconds);
  const small = await ping(from, address, { count: 1500, intervalS: 0.002, size: 64 });
  const large = await ping(from, address, { count: 500, intervalS: 0.002, size: 1200 });
  return {
    tcpGbps: tcp.end.sum_received.bits_per_second / 1e9,
    udpKpps: (sum.packets - sum.lost_packets) / sum.seconds / 1e3,
    udpRttP50Us: rtt.p50,
    udpRttP99Us: rtt.p99,
    ping64Us: median(small.rttMs) * 1000,
    ping1200Us: median(large.rttMs) * 1000,
  };
}

async function udpRoundTrip(
  from: Host,
  to: Host,
  address: string,
  seconds: number,
): Promise<{ p50: number; p99: number }> {
  const server = to.background(['sockperf', 'sr', '-i', address, '-p', '11111']);
  await sleep(300);
  const argv = ['sockperf', 'pp', '-i', address, '-p', '11111', '-m', '64', '-t', String(seconds), '--full-rtt'];
  const text = await from.must(argv, { timeoutMs: 60_000 });
  await server.stop('SIGINT');
  const percentile = (name: string): number => {
    const match = new RegExp(`percentile ${name} *= *([\\d.]+)`).exec(text);
    if (match === null) throw new Error(`sockperf printed no percentile ${name}`);
    return Number(match[1]);
  };
  return { p50: percentile('50.000'), p99: percentile('99.000') };
}
