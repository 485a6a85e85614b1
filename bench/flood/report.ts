import type { FloodSources } from '../../lab/flood.ts';
import { tableOf } from '../table.ts';
import type { Live } from './live.ts';
import type { Snapshot } from './victim.ts';

/** What is sent, and to whom. */
export interface Kind {
  readonly name: string;
  readonly payloads: readonly Uint8Array[];
  readonly to: 'a' | 'b' | 'bystander';
  readonly port: number;
}

export interface Result {
  readonly kind: Kind;
  readonly sources: FloodSources;
  readonly baseline: Live;
  readonly live: Live;
  readonly sent: number;
  readonly seconds: number;
  readonly counts: Snapshot;
  /** What one packet costs the program, where it is for us. */
  readonly nsEach: number | undefined;
}

const kpps = (count: number, seconds: number) => (count / seconds / 1000).toFixed(0);
export const sourcesText = (sources: FloodSources) => (sources === 'one' ? 'one source' : 'many sources');

/** What became of the flood's packets. */
function fateOf({ kind, sources, sent, seconds, counts, nsEach }: Result): string[] {
  const drops = [...counts.drops].map(
    ([reason, perCpu]) => `${reason} ${perCpu.map((count) => kpps(count, seconds)).join('+')}`,
  );
  return [
    `${kind.name}, ${sourcesText(sources)}`,
    kpps(sent, seconds),
    drops.join(', ') || '-',
    nsEach === undefined ? '-' : nsEach.toFixed(0),
    String(counts.passed),
    String(counts.udp.received),
    String(counts.udp.sent),
    counts.cpu.toFixed(2),
  ];
}

/** What became of the session meanwhile. */
function sessionOf({ kind, sources, baseline, live }: Result): string[] {
  const rtt = ({ p50Us, p99Us }: Live) => `${p50Us.toFixed(0)}/${p99Us.toFixed(0)}`;
  const ratio = (a: number, b: number) => (a / b).toFixed(2);
  return [
    `${kind.name}, ${sourcesText(sources)}`,
    rtt(baseline),
    rtt(live),
    `${ratio(live.p50Us, baseline.p50Us)}/${ratio(live.p99Us, baseline.p99Us)}`,
    `${baseline.lost}/${live.lost}`,
    baseline.gbps.toFixed(2),
    live.gbps.toFixed(2),
    ratio(live.gbps, baseline.gbps),
  ];
}

const FATE = [
  'flood',
  'kpps sent',
  'dropped, kpps per CPU',
  'ns each',
  'passed',
  'to sockets',
  'answers',
  'agent CPU s',
];
const SESSION = ['session', 'RTT p50/p99 us', 'in flood', 'times', 'lost', 'TCP Gbit/s', 'in flood', 'times'];

export function printFloods(results: readonly Result[]): void {
  console.log(tableOf([FATE, ...results.map(fateOf)]));
  console.log('');
  console.log(tableOf([SESSION, ...results.map(sessionOf)]));
}
