import { mkdir, readFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { FleetRepository, makeIdentity } from '../lab/fleet.ts';
import { type Host, Lab } from '../lab/lab.ts';
import { median } from '../lab/ping.ts';
import { sleep, until } from '../lab/shell.ts';
import { type AgentClient, connectAgent } from '../src/agent/client.ts';
import { makeFleet, robotText } from './fleets.ts';
import { tableOf } from './table.ts';

/*
 * The real agent, kernel data plane and git included, in fleets of growing size. Nobody else of the fleet is there:
 * what is measured is what a node must do to know them all.
 *
 *   first start:  an empty node; from the process's start to Ready, over git
 *   boot:         as after a power cut: nothing in the kernel, the git server away; last known good from disk
 *   restart:      the kernel as it was; from the process's start to Ready
 *   one peer:     from the files of a fetched commit to rows that were read back (the agent's own histogram);
 *                 `push -> verdict` has git and probation in it
 */
const COMMITS = 15;
/** The agent gives memory back some seconds after the last revision. */
const SETTLE_MS = 10_000;
const IDLE_MS = 10_000;
/** Linux: USER_HZ. */
const TICKS_PER_SECOND = 100;

interface Figures {
  readonly peers: number;
  /** Milliseconds. */
  readonly firstStart: number;
  readonly boot: number;
  readonly restart: number;
  readonly onePeer: number;
  readonly pushToVerdict: number;
  readonly residentMb: number;
  /** Share of one processor. */
  readonly idle: number;
}

/** Replaces the first robot by the lab's host. */
async function populate(fleet: FleetRepository, host: Host, peers: number): Promise<readonly string[]> {
  const own = (await makeIdentity(host)).match(/[A-Za-z0-9+/]{43}=/)?.[0] ?? '';
  const keys: string[] = [];
  for (const [at, { path, text }] of makeFleet(peers).entries()) {
    await mkdir(dirname(join(fleet.checkout, 'fleet', path)), { recursive: true });
    keys.push(/publicKey: (\S+)/.exec(text)?.[1] ?? '');
    await fleet.write(path, at === 1 ? robotText(0, own) : text);
  }
  await fleet.commitAndPush(`a fleet of ${peers}`);
  return keys;
}

function pathOf(at: number): string {
  return `robots/${at % 100}/robot-${String(at).padStart(5, '0')}.yaml`;
}

function clientOf(host: Host): AgentClient {
  return connectAgent({ socket: host.socket, timeoutMs: 60_000 });
}

/** Milliseconds from the start of the process to Ready. */
async function start(host: Host, argv: readonly string[]): Promise<number> {
  const begun = performance.now();
  const agent = host.startAgent(argv);
  const ready = async (): Promise<boolean> => {
    if (!agent.running) throw new Error(`the agent ended:\n${agent.text}`);
    const status = await clientOf(host)
      .status()
      .catch(() => undefined); // its socket is not there yet
    return status?.conditions.some(({ type, status: value }) => type === 'Ready' && value === 'True') ?? false;
  };
  await until('the agent is Ready', ready, 120_000, 10);
  return performance.now() - begun;
}

async function cpuTicks(pid: number): Promise<number> {
  const fields = (await readFile(`/proc/${pid}/stat`, 'utf8')).replace(/^.*\) /, '').split(' ');
  return Number(fields[11]) + Number(fields[12]);
}

async function residentMb(pid: number): Promise<number> {
  return Number(/VmRSS:\s+(\d+)/.exec(await readFile(`/proc/${pid}/status`, 'utf8'))?.[1]) / 1024;
}

async function histogram(client: AgentClient, name: string): Promise<{ readonly sum: number; readonly count: number }> {
  const text = await client.metrics();
  const value = (suffix: string) => Number(new RegExp(`^${name}_${suffix} (\\S+)$`, 'm').exec(text)?.[1] ?? 0);
  return { sum: value('sum'), count: value('count') };
}

/** Commits that change the endpoint of one peer, one after the other. */
async function commits(
  fleet: FleetRepository,
  client: AgentClient,
  keys: readonly string[],
): Promise<[number, number]> {
  const programmed: number[] = [];
  const verdicts: number[] = [];
  for (let round = 0; round < COMMITS; round++) {
    const at = 1 + ((round * 7) % (keys.length - 2));
    await fleet.write(pathOf(at), robotText(at, keys[at + 1] ?? '', 40_000 + round));
    await fleet.commit(`move robot ${at}`);
    const before = await histogram(client, 'omni_revision_programmed_seconds');
    await fleet.push();
    const pushed = performance.now();
    const { verdict } = await client.reconcile({ timeoutMs: 60_000 });
    verdicts.push(performance.now() - pushed);
    if (verdict?.outcome !== 'good') throw new Error(`${verdict?.outcome}: ${verdict?.message}`);
    const after = await histogram(client, 'omni_revision_programmed_seconds');
    if (after.count !== before.count + 1)
      throw new Error(`${after.count - before.count} revisions were programmed, not 1`);
    programmed.push((after.sum - before.sum) * 1000);
  }
  return [median(programmed), median(verdicts)];
}

async function measure(peers: number): Promise<Figures> {
  const lab = await Lab.open({ name: 'omnis', hosts: ['a'], git: true });
  try {
    const host = lab.host('a');
    const fleet = await FleetRepository.create(lab);
    const keys = await populate(fleet, host, peers);
    const source = ['--source', fleet.url, '--path', 'fleet', '--interval', '30s', '--log-level', 'warn'];
    const firstStart = await start(host, source);
    const client = clientOf(host);
    const pid = Number((await client.status()).node.pid);
    const [onePeer, pushToVerdict] = await commits(fleet, client, keys);
    await sleep(SETTLE_MS);
    const ticks = await cpuTicks(pid);
    await sleep(IDLE_MS);
    const idle = ((await cpuTicks(pid)) - ticks) / TICKS_PER_SECOND / (IDLE_MS / 1000);
    const resident = await residentMb(pid);
    await host.stopAgent();
    const restart = await start(host, source);
    await host.stopAgent();
    await host.mustOmni(['agent', ...host.agentArguments(), '--teardown'], { timeoutMs: 120_000 });
    await lab.stopGit();
    const boot = await start(host, source);
    return { peers, firstStart, boot, restart, onePeer, pushToVerdict, residentMb: resident, idle };
  } finally {
    await lab.close();
  }
}

/** Measures, prints a table to stdout, and returns it. Root: it makes namespaces. */
export async function scaleBench(sizes: readonly number[] = [100, 1_000, 10_000]): Promise<readonly Figures[]> {
  const all: Figures[] = [];
  for (const size of sizes) {
    process.stderr.write(`bench: an agent in a fleet of ${size}\n`);
    all.push(await measure(size));
  }
  const header = ['peers', 'first start', 'boot', 'restart', 'one peer', 'push -> verdict', 'RSS MB', 'idle CPU %'];
  const lines = all.map((figures) => [
    String(figures.peers),
    figures.firstStart.toFixed(0),
    figures.boot.toFixed(0),
    figures.restart.toFixed(0),
    figures.onePeer.toFixed(1),
    figures.pushToVerdict.toFixed(0),
    figures.residentMb.toFixed(0),
    (figures.idle * 100).toFixed(1),
  ]);
  console.log('\nthe agent with its kernel data plane and git, milliseconds\n');
  console.log(tableOf([header, ...lines]));
  return all;
}
