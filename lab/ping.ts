import type { Host } from './lab.ts';

export interface PingReport {
  readonly sent: number;
  readonly received: number;
  /** Round-trip times in milliseconds, in order of the replies. */
  readonly rttMs: readonly number[];
}

/** Parses what iputils' ping prints. */
export function parsePing(text: string): PingReport {
  const rttMs = [...text.matchAll(/time=([\d.]+) ms/g)].map((match) => Number(match[1]));
  const totals = /(\d+) packets transmitted, (\d+) received/.exec(text);
  return { sent: Number(totals?.[1] ?? 0), received: Number(totals?.[2] ?? 0), rttMs };
}

export interface PingOptions {
  readonly count?: number;
  readonly intervalS?: number;
  readonly size?: number;
  /** Up to 16 bytes, hex: fills the payload, so that a capture can be searched for it. */
  readonly pattern?: string;
  readonly waitS?: number;
}

export function pingArguments(address: string, options: PingOptions): string[] {
  const argv = ['ping', '-n', '-c', String(options.count ?? 1), '-W', String(options.waitS ?? 2)];
  if (options.intervalS !== undefined) argv.push('-i', String(options.intervalS));
  if (options.size !== undefined) argv.push('-s', String(options.size));
  if (options.pattern !== undefined) argv.push('-p', options.pattern);
  return [...argv, address];
}

export async function ping(host: Host, address: string, options: PingOptions = {}): Promise<PingReport> {
  const result = await host.exec(pingArguments(address, options), { timeoutMs: 120_000 });
  return parsePing(result.stdout);
}

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = Math.floor(sorted.length / 2);
  const upper = sorted[middle];
  if (upper === undefined) return Number.NaN;
  return sorted.length % 2 === 1 ? upper : ((sorted[middle - 1] ?? upper) + upper) / 2;
}
