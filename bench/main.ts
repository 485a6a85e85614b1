import { cpus, release } from 'node:os';
import { parseArgs } from 'node:util';
import { Lab } from '../lab/lab.ts';
import { median } from '../lab/ping.ts';
import { type Figures, figureNames, measure } from './measure.ts';
import { reconcileBench } from './reconcile.ts';
import { systems } from './systems.ts';

/*
 * Ours beside plain veth, wireguard-go and nebula: two hosts on one wire, rounds interleaved (a machine that slows down
 * slows all of them), medians of the rounds, ratios of the medians.
 *
 *   npm run bench -- [--rounds 3] [--seconds 3] [--only omninervous,…] [--json] [--network] [--reconcile]
 */
const { values: options } = parseArgs({
  options: {
    rounds: { type: 'string', default: '3' },
    seconds: { type: 'string', default: '3' },
    only: { type: 'string' },
    json: { type: 'boolean', default: false },
    network: { type: 'boolean', default: false },
    reconcile: { type: 'boolean', default: false },
  },
});

type Results = Map<string, Figures[]>;

async function rounds(count: number, seconds: number, names: readonly string[] | undefined): Promise<Results> {
  const chosen = systems.filter((system) => names === undefined || names.includes(system.name));
  const results: Results = new Map(chosen.map((system) => [system.name, []]));
  for (let round = 1; round <= count; round++) {
    for (const system of chosen) {
      process.stderr.write(`bench: round ${round}/${count}: ${system.name}\n`);
      const lab = await Lab.open({ name: 'omnib', hosts: ['a', 'b'], direct: true });
      try {
        const [a, b] = [lab.host('a'), lab.host('b')];
        const address = await system.start(lab, a, b);
        results.get(system.name)?.push(await measure(a, b, address, seconds));
      } finally {
        await lab.close();
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
  return new Map([...results].map(([name, figures]) => [name, of(figures)]));
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
  const widths = rows[0]?.map((_cell, index) => Math.max(...rows.map((row) => row[index]?.length ?? 0))) ?? [];
  for (const row of rows)
    console.log(
      row
        .map((cell, index) => cell.padEnd(widths[index] ?? 0))
        .join('  ')
        .trimEnd(),
    );
}

function printRatios(table: ReadonlyMap<string, Figures>): void {
  const [ours, plain, wireguard, nebula] = ['omninervous', 'plain veth', 'wireguard-go', 'nebula'].map((name) =>
    table.get(name),
  );
  if (ours === undefined) return;
  const line = (what: string, value: number, target: string) =>
    console.log(`${what.padEnd(44)} ${value.toFixed(2).padStart(8)}   ${target}`);
  console.log('\nomninervous against                             measured   target');
  if (plain !== undefined) line('ping 64 B: plain + us', ours.ping64Us - plain.ping64Us, '<= 8');
  for (const [name, other] of [
    ['wireguard-go', wireguard],
    ['nebula', nebula],
  ] as const) {
    if (other === undefined) continue;
    const target = (text: string) => (name === 'wireguard-go' ? text : '');
    line(`ping 64 B: share of ${name}`, ours.ping64Us / other.ping64Us, target('<= 0.10'));
    line(`TCP, one flow: times ${name}`, ours.tcpGbps / other.tcpGbps, target('>= 1.5'));
    line(`UDP 128 B: times ${name}`, ours.udpKpps / other.udpKpps, target('>= 3'));
  }
}

async function main(): Promise<void> {
  const everything = !options.network && !options.reconcile;
  if (everything || options.network) {
    if (process.getuid?.() !== 0) throw new Error('the network benchmark makes namespaces: run as root');
    const results = await rounds(Number(options.rounds), Number(options.seconds), options.only?.split(','));
    const table = medians(results);
    if (options.json)
      console.log(JSON.stringify({ cpus: cpus().length, kernel: release(), rounds: Object.fromEntries(results) }));
    else {
      console.log(
        `\n${cpus().length} x ${cpus()[0]?.model.trim()}, Linux ${release()}, medians of ${options.rounds} rounds\n`,
      );
      printTable(table);
      printRatios(table);
    }
  }
  if (everything || options.reconcile) await reconcileBench();
}

await main();
