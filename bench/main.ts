import { cpus, release } from 'node:os';
import { parseArgs } from 'node:util';
import { Lab } from '../lab/lab.ts';
import { median } from '../lab/ping.ts';
import { coresBench } from './cores.ts';
import { floodBench } from './flood.ts';
import { handshakeBench } from './handshakes.ts';
import { type Figures, figureNames, measure } from './measure.ts';
import { reconcileBench } from './reconcile.ts';
import { scaleBench } from './scale.ts';
import { type System, systems, threadReceiveQueues } from './systems.ts';
import { tableOf } from './table.ts';

/*
 * Ours beside plain veth, wireguard-go and nebula: two hosts on one wire, rounds interleaved (a machine that slows down
 * slows all of them), medians of the rounds, ratios of the medians.
 *
 * The wire is a veth pair, and veth runs the receiver's interrupt work on the sender's core: both hosts' kernels share
 * one. The second wire gives each host's receive queue a thread of its own, as two machines have two processors; it
 * costs every system a wake-up per packet, so latency is compared on the first.
 *
 *   npm run bench -- [--rounds 3] [--seconds 3] [--only omninervous,…] [--json] [--network] [--reconcile] [--scale] [--flood] [--handshakes] [--cores]
 */
const { values: options } = parseArgs({
  options: {
    rounds: { type: 'string', default: '3' },
    seconds: { type: 'string', default: '3' },
    only: { type: 'string' },
    json: { type: 'boolean', default: false },
    network: { type: 'boolean', default: false },
    reconcile: { type: 'boolean', default: false },
    scale: { type: 'boolean', default: false },
    flood: { type: 'boolean', default: false },
    handshakes: { type: 'boolean', default: false },
    cores: { type: 'boolean', default: false },
  },
});

type Results = Map<string, Figures[]>;
type Wire = 'shared core' | 'a thread per host';
const wires: readonly Wire[] = ['shared core', 'a thread per host'];

async function once(system: System, wire: Wire, seconds: number): Promise<Figures> {
  const lab = await Lab.open({ name: 'omnib', hosts: ['a', 'b'], direct: true });
  try {
    const [a, b] = [lab.host('a'), lab.host('b')];
    const address = await system.start(lab, a, b);
    if (wire === 'a thread per host') await threadReceiveQueues([a, b]);
    return await measure(a, b, address, seconds);
  } finally {
    await lab.close();
  }
}

async function rounds(count: number, seconds: number, names?: readonly string[]): Promise<Map<Wire, Results>> {
  const chosen = systems.filter((system) => names === undefined || names.includes(system.name));
  const results = new Map(wires.map((wire) => [wire, new Map(chosen.map((system) => [system.name, []])) as Results]));
  for (let round = 1; round <= count; round++) {
    for (const wire of wires) {
      for (const system of chosen) {
        if (system.withoutNapi && wire === 'a thread per host') continue;
        process.stderr.write(`bench: round ${round}/${count}, ${wire}: ${system.name}\n`);
        results
          .get(wire)
          ?.get(system.name)
          ?.push(await once(system, wire, seconds));
      }
    }
  }
  return results;
}

/** Medians over the rounds. */
function medians(results: Results): Map<string, Figures> {
  const of = (figures: readonly Figures[]) =>
    Object.fromEntries(
      figureNames.map((name) => [name, median(figures.map((figure) => figure[name]))]),
    ) as unknown as Figures;
  return new Map(
    [...results].filter(([, figures]) => figures.length > 0).map(([name, figures]) => [name, of(figures)]),
  );
}

const columns: readonly (readonly [string, (figures: Figures) => string])[] = [
  ['TCP Gbit/s', (figures) => figures.tcpGbps.toFixed(2)],
  ['UDP 128 B kpps', (figures) => figures.udpKpps.toFixed(0)],
  ['UDP RTT p50/p99 us', (figures) => `${figures.udpRttP50Us.toFixed(0)}/${figures.udpRttP99Us.toFixed(0)}`],
  ['ping 64 B us', (figures) => figures.ping64Us.toFixed(0)],
  ['ping 1200 B us', (figures) => figures.ping1200Us.toFixed(0)],
];

function printTable(table: ReadonlyMap<string, Figures>): void {
  const rows = [['', ...columns.map(([title]) => title)]];
  for (const [name, figures] of table) rows.push([name, ...columns.map(([, render]) => render(figures))]);
  console.log(tableOf(rows));
}

function printRatios(tables: ReadonlyMap<Wire, ReadonlyMap<string, Figures>>): void {
  const line = (what: string, value: number, target = '') =>
    console.log(`${what.padEnd(60)} ${value.toFixed(2).padStart(8)}   ${target}`.trimEnd());
  console.log('\nomninervous against                                          measured   target');
  for (const [wire, table] of tables) {
    const [ours, plain] = [table.get('omninervous'), table.get('plain veth')];
    if (ours === undefined) continue;
    const shared = wire === 'shared core';
    if (plain !== undefined && shared) line('ping 64 B: plain + us', ours.ping64Us - plain.ping64Us, '<= 8');
    for (const name of ['wireguard-go', 'nebula']) {
      const other = table.get(name);
      if (other === undefined) continue;
      const target = (text: string) => (name === 'wireguard-go' ? text : undefined);
      if (shared) line(`ping 64 B: share of ${name}`, ours.ping64Us / other.ping64Us, target('<= 0.10'));
      line(`TCP, one flow, ${wire}: times ${name}`, ours.tcpGbps / other.tcpGbps, target('>= 1.5'));
      line(`UDP 128 B, ${wire}: times ${name}`, ours.udpKpps / other.udpKpps, target('>= 3'));
    }
  }
}

async function main(): Promise<void> {
  const { network, reconcile, scale, flood, handshakes, cores } = options;
  const everything = !network && !reconcile && !scale && !flood && !handshakes && !cores;
  if (everything || network) {
    if (process.getuid?.() !== 0) throw new Error('the network benchmark makes namespaces: run as root');
    const results = await rounds(Number(options.rounds), Number(options.seconds), options.only?.split(','));
    const tables = new Map([...results].map(([wire, figures]) => [wire, medians(figures)]));
    if (options.json) {
      const all = Object.fromEntries([...results].map(([wire, figures]) => [wire, Object.fromEntries(figures)]));
      console.log(JSON.stringify({ cpus: cpus().length, kernel: release(), rounds: all }));
    } else {
      const machine = `${cpus().length} x ${cpus()[0]?.model.trim()}, Linux ${release()}`;
      console.log(`\n${machine}, medians of ${options.rounds} rounds of ${options.seconds} s`);
      for (const [wire, table] of tables) {
        console.log(`\nWire: ${wire}`);
        printTable(table);
      }
      printRatios(tables);
    }
  }
  if (everything || reconcile) await reconcileBench();
  if (everything || scale) await scaleBench();
  if (everything || flood) await floodBench(Number(options.seconds));
  if (everything || handshakes) await handshakeBench();
  if (everything || cores) await coresBench(Number(options.rounds), Number(options.seconds));
}

await main();
