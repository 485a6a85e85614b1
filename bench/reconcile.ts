import { performance } from 'node:perf_hooks';
import { fileURLToPath } from 'node:url';
import { createMemoryDataPlane, type MemoryDataPlane } from '../src/dataplane/memory/plane.ts';
import { createFleetReader, filesFromTexts } from '../src/manifest/load.ts';
import type { FleetReader, FleetResult, ManifestFile } from '../src/manifest/model.ts';
import type { Clock } from '../src/reconcile/clock.ts';
import { Reconciler } from '../src/reconcile/loop.ts';
import type { RowKey } from '../src/reconcile/rows.ts';
import { makeFleet, robotText } from './fleets.ts';
import { quantile, tableOf } from './table.ts';

/*
 * One node of a fleet on the memory data plane: what it costs to come up with the whole fleet, and what one commit that
 * changes one peer costs. The whole way of an agent but the fetch: files -> fleet -> desired -> diff -> plan -> apply ->
 * observe -> verify. A change that costs the same in every row of the table is proportional to itself, not to the fleet.
 */
const CHANGES = 60;

interface Figures {
  readonly peers: number;
  /** Milliseconds. */
  readonly full: { readonly read: number; readonly reconcile: number };
  readonly change: readonly { readonly read: number; readonly reconcile: number; readonly writes: number }[];
  readonly drift: readonly number[];
  readonly heapMb: number;
}

const clock: Clock = {
  now: () => performance.now(),
  wall: () => Date.now(),
  setTimer(delayMs, run) {
    if (delayMs <= 0) {
      const immediate = setImmediate(run);
      return () => clearImmediate(immediate);
    }
    const timer = setTimeout(run, delayMs);
    return () => clearTimeout(timer);
  },
};

/** A node of the fleet, with an agent's loop on it. */
class Node {
  readonly plane: MemoryDataPlane = createMemoryDataPlane();
  readonly #reader: FleetReader = createFleetReader();
  readonly #reconciler: Reconciler;
  #settled: () => void = () => undefined;
  #revision = 0;

  constructor(publicKey: string) {
    this.#reconciler = new Reconciler({
      dataPlane: this.plane,
      clock,
      random: Math.random,
      node: { publicKey: publicKey as never, resolve: () => undefined },
      onEvent: ({ type, reason, message }) => {
        if (type === 'Warning') throw new Error(`${reason}: ${message}`);
      },
      onApplied: () => undefined,
      onPass: () => this.#settled(),
    });
  }

  start(): Promise<unknown> {
    return this.#reconciler.start(new AbortController().signal);
  }

  stop(): Promise<void> {
    return this.#reconciler.stop();
  }

  /** Milliseconds from files to a fleet, and from there to rows that were read back. */
  async commit(files: readonly ManifestFile[]): Promise<{ read: number; reconcile: number }> {
    const begun = performance.now();
    const { fleet, changed } = accepted(await this.#reader.read(files));
    const read = performance.now();
    const pass = this.#nextPass();
    const proposal = this.#reconciler.propose(fleet, { changed, read: true });
    this.#reconciler.setDesired(proposal, `r${++this.#revision}`);
    await pass;
    const { revision } = this.#reconciler.status();
    if (revision.applied !== `r${this.#revision}`) throw new Error('the revision was not applied');
    return { read: read - begun, reconcile: performance.now() - read };
  }

  /** Milliseconds from a row that somebody deleted to its being back. */
  async heal(key: RowKey): Promise<number> {
    const pass = this.#nextPass();
    const begun = performance.now();
    if (!this.plane.host.remove(key)) throw new Error(`${key} was not there`);
    await pass;
    if (!this.plane.host.rows.has(key)) throw new Error(`${key} did not come back`);
    return performance.now() - begun;
  }

  #nextPass(): Promise<void> {
    return new Promise((resolve) => {
      this.#settled = resolve;
    });
  }
}

function accepted(result: FleetResult): Extract<FleetResult, { readonly ok: true }> {
  if (result.ok) return result;
  throw new Error(result.diagnostics.map(({ rule, message }) => `${rule}: ${message}`).join('\n'));
}

async function measure(peers: number): Promise<Figures> {
  const texts = makeFleet(peers);
  const files = [...filesFromTexts(texts)];
  const keys = texts.map(({ text }) => /publicKey: (\S+)/.exec(text)?.[1] ?? '');
  const node = new Node(keys[1] ?? '');
  await node.start();
  const full = await node.commit(files);

  const change: { read: number; reconcile: number; writes: number }[] = [];
  for (let round = 0; round < CHANGES; round++) {
    const at = 2 + ((round * 7) % (peers - 1));
    const [edited] = filesFromTexts([
      { path: files[at]?.path ?? '', text: robotText(at - 1, keys[at] ?? '', 40_000 + round) },
    ]);
    if (edited === undefined) throw new Error('no file');
    files[at] = edited;
    const { writes } = node.plane;
    const times = await node.commit(files);
    change.push({ ...times, writes: node.plane.writes - writes });
  }
  // Another row each time: one that is changed again and again is contested.
  const victims = [...node.plane.host.rows.keys()].filter((key) => key.startsWith('neighbour/')).slice(0, CHANGES);
  const drift: number[] = [];
  for (const victim of victims) drift.push(await node.heal(victim));
  const heapMb = process.memoryUsage().heapUsed / 2 ** 20;
  await node.stop();
  return { peers, full, change, drift, heapMb };
}

/** Measures, prints a table to stdout, and returns it. */
export async function reconcileBench(sizes: readonly number[] = [100, 1_000, 10_000]): Promise<readonly Figures[]> {
  const all: Figures[] = [];
  for (const size of sizes) all.push(await measure(size));
  const ms = (value: number) => value.toFixed(2);
  const header = [
    'peers',
    'full: read',
    'reconcile',
    'one peer: read',
    'reconcile',
    'p50',
    'p99',
    'writes',
    'drift p50',
    'heap MB',
  ];
  const lines = all.map(({ peers, full, change, drift, heapMb }) => {
    const total = change.map(({ read, reconcile }) => read + reconcile);
    return [
      String(peers),
      ms(full.read),
      ms(full.reconcile),
      ms(
        quantile(
          change.map(({ read }) => read),
          0.5,
        ),
      ),
      ms(
        quantile(
          change.map(({ reconcile }) => reconcile),
          0.5,
        ),
      ),
      ms(quantile(total, 0.5)),
      ms(quantile(total, 0.99)),
      String(
        quantile(
          change.map(({ writes }) => writes),
          0.5,
        ),
      ),
      ms(quantile(drift, 0.5)),
      heapMb.toFixed(0),
    ];
  });
  console.log('\nreconcile, memory data plane, milliseconds; one peer: medians of single-peer commits\n');
  console.log(tableOf([header, ...lines]));
  return all;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) await reconcileBench();
