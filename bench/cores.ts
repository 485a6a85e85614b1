import { availableParallelism, cpus, release } from 'node:os';
import { median } from '../lab/ping.ts';
import { type Fleet, openFleet, receiveOn } from './cores/fleet.ts';
import { type FlowFigures, measureFlows } from './cores/flows.ts';
import { threadReceiveQueues } from './systems.ts';
import { tableOf } from './table.ts';

/*
 * What spreading over processors is worth to a receiver with one queue: TCP, UDP and ping of one, two and four senders.
 * They seal on the same processors, so this says what the whole machine carries. Ways of receiving are interleaved.
 */
const FLOWS = [1, 2, 4];

interface Way {
  readonly name: string;
  readonly receiveCpus: 'auto' | 'none';
  readonly threads: boolean;
}
const WAYS: readonly Way[] = [
  { name: 'where it arrives', receiveCpus: 'none', threads: false },
  { name: 'where it arrives, NAPI threads', receiveCpus: 'none', threads: true },
  { name: 'spread', receiveCpus: 'auto', threads: false },
  { name: 'spread, NAPI threads', receiveCpus: 'auto', threads: true },
];

type Results = Map<string, FlowFigures[]>;
const rowOf = (flows: number, way: Way) => `${flows} ${flows === 1 ? 'sender' : 'senders'}, ${way.name}`;

async function endToEnd(fleet: Fleet, rounds: number, seconds: number): Promise<Results> {
  const results: Results = new Map(FLOWS.flatMap((flows) => WAYS.map((way) => [rowOf(flows, way), []])));
  for (let round = 1; round <= rounds; round++) {
    for (const way of WAYS) {
      await receiveOn(fleet, way.receiveCpus);
      await threadReceiveQueues([fleet.receiver, ...fleet.senders], way.threads);
      for (const flows of FLOWS) {
        process.stderr.write(`bench: round ${round}/${rounds}: ${rowOf(flows, way)}\n`);
        results.get(rowOf(flows, way))?.push(await measureFlows(fleet, flows, seconds));
      }
    }
  }
  return results;
}

function print(results: Results): void {
  const head = ['', 'TCP Gbit/s', 'CPUs busy', 'UDP 128 B kpps', 'ping idle us', 'ping in TCP p50/p99 us'];
  const rows = [...results].map(([name, figures]) => {
    const of = (pick: (figure: FlowFigures) => number) => median(figures.map(pick));
    return [
      name,
      of(({ tcpGbps }) => tcpGbps).toFixed(2),
      of(({ busy }) => busy).toFixed(2),
      of(({ udpKpps }) => udpKpps).toFixed(0),
      of(({ idleUs }) => idleUs).toFixed(0),
      `${of(({ loadedP50Us }) => loadedP50Us).toFixed(0)}/${of(({ loadedP99Us }) => loadedP99Us).toFixed(0)}`,
    ];
  });
  console.log(tableOf([head, ...rows]));
}

export async function coresBench(rounds: number, seconds: number): Promise<void> {
  if (process.getuid?.() !== 0) throw new Error('the benchmark makes namespaces: run as root');
  if (availableParallelism() < 2) throw new Error('one processor has nothing to spread over');
  const fleet = await openFleet();
  try {
    const results = await endToEnd(fleet, rounds, seconds);
    const machine = `${cpus().length} x ${cpus()[0]?.model.trim()}, Linux ${release()}`;
    console.log(`\n${machine}, receiving on one queue, medians of ${rounds} rounds of ${seconds} s\n`);
    print(results);
  } finally {
    await fleet.lab.close();
  }
}
