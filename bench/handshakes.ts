import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { makeIdentity, ready } from '../lab/fleet.ts';
import { type Host, Lab } from '../lab/lab.ts';
import { until } from '../lab/shell.ts';
import { connectAgent } from '../src/agent/client.ts';
import type { PublicKey } from '../src/manifest/model.ts';
import { cpuSeconds } from './flood/victim.ts';
import { clusterText, hubText, type PostQuantum, robotText, robotVip } from './handshakes/manifests.ts';
import type { Times } from './handshakes/robot.ts';
import { Swarm } from './handshakes/swarm.ts';
import { quantile, tableOf } from './table.ts';

/*
 * One real agent, the hub, and as many robots as a fleet has, each at an address of its own:
 *
 *     cpu 0  robots: one process, session managers over the memory engine, 10.200.0.0/16 ── eth0 ┐
 *     cpu 1  hub: the agent, kernel data plane                                            ── eth0 ┘
 *
 *   answers:   all robots come up at the same moment and call
 *   calls:     the hub has a datagram for every robot at the same moment
 *   restart:   the hub loses its agent and its kernel state while all talk to it; counts from the new agent's start.
 *              Once the hub has nothing to say, and robots find out by its silence; once it has
 */
const [ROBOTS_CPU, HUB_CPU] = [0, 1];
const TALK_EVERY_MS = 500;
const PATIENCE_MS = 90_000;
/** Sends a datagram to each of the addresses on stdin, one after the other. */
const SPEAK = `
  const socket = require('node:dgram').createSocket('udp4');
  const addresses = require('node:fs').readFileSync(0, 'utf8').split(' ');
  Promise.all(addresses.map((each) => new Promise((done) => socket.send('hello', 9, each, done)))).then(() => socket.close());
`;

interface Figures {
  readonly what: string;
  readonly postQuantum: PostQuantum;
  /** Until the last session was there, since everybody was told to; seconds. */
  readonly allS: number;
  /** Per robot: since everybody was told to; seconds. */
  readonly sinceS: readonly number[];
  /** Per robot that called: since its own first initiation; seconds. */
  readonly calledS: readonly number[];
  /** Of the hub's agent, meanwhile. */
  readonly cpuS: number;
  readonly residentMb: number;
  /** What the hub counted of handshakes and drops. */
  readonly counts: string;
}

async function residentMb(pid: number): Promise<number> {
  return Number(/VmRSS:\s+(\d+)/.exec(await readFile(`/proc/${pid}/status`, 'utf8'))?.[1]) / 1024;
}

class HandshakeBench {
  readonly #lab: Lab;
  readonly #count: number;
  readonly #postQuantum: PostQuantum;
  readonly #swarm: Swarm;

  constructor(lab: Lab, count: number, postQuantum: PostQuantum) {
    this.#lab = lab;
    this.#count = count;
    this.#postQuantum = postQuantum;
    this.#swarm = new Swarm(lab.host('robots'), ROBOTS_CPU);
  }

  get #hub(): Host {
    return this.#lab.host('hub');
  }

  async open(): Promise<void> {
    const [hub, robots] = [this.#hub, this.#lab.host('robots')];
    const key = (await makeIdentity(hub)).match(/[A-Za-z0-9+/]{43}=/)?.[0] as PublicKey;
    const fleet = join(this.#lab.folder, 'fleet');
    await mkdir(fleet);
    const texts = [clusterText(this.#postQuantum), hubText(key, hub.address)];
    for (let at = 0; at < this.#count; at++) texts.push(robotText(at));
    await writeFile(join(fleet, 'fleet.yaml'), texts.join('---\n'));
    await robots.must(['ip', 'route', 'add', 'local', '10.200.0.0/16', 'dev', 'lo']);
    await hub.must(['ip', 'route', 'add', '10.200.0.0/16', 'via', robots.address]);
    await this.#startHub();
    const hubAddress = hub.address;
    await this.#swarm.call('open', { count: this.#count, hub: key, hubAddress, postQuantum: this.#postQuantum });
  }

  async *run(): AsyncGenerator<Figures> {
    yield await this.#measure('answers', () => this.#swarm.call('boot', { speak: true }));
    await this.#stopHub();
    await this.#startHub();
    await this.#swarm.call('boot', { speak: false });
    yield await this.#measure('calls', () => this.#speak());
    await this.#swarm.call('talk', { everyMs: TALK_EVERY_MS });
    for (const what of ['restart, silent hub', 'restart, talking hub']) {
      await this.#stopHub();
      yield await this.#measure(what, async () => {
        await this.#startHub();
        if (what === 'restart, talking hub') await this.#speak();
      });
    }
    await this.#swarm.call('talk', { everyMs: 0 });
  }

  async close(): Promise<void> {
    await this.#swarm.close();
  }

  async #startHub(): Promise<void> {
    const argv = ['--source', join(this.#lab.folder, 'fleet'), '--log-level', 'warn'];
    this.#hub.startAgent(argv, ['taskset', '-c', String(HUB_CPU)]);
    await ready(this.#hub, 60_000);
  }

  /** As when it loses power. */
  async #stopHub(): Promise<void> {
    await this.#hub.stopAgent('SIGKILL');
    await this.#hub.mustOmni(['agent', ...this.#hub.agentArguments(), '--teardown'], { timeoutMs: 120_000 });
  }

  /** The hub's stack sends a datagram to every robot. */
  async #speak(): Promise<void> {
    const addresses = Array.from({ length: this.#count }, (_, at) => robotVip(at)).join(' ');
    await this.#hub.must([process.execPath, '-e', SPEAK], { input: addresses });
  }

  async #measure(what: string, begin: () => Promise<void>): Promise<Figures> {
    await this.#swarm.call('expect');
    const begunMs = Date.now();
    // An agent that `begin` starts has used nothing before.
    const pid = this.#hub.agent?.pid;
    const cpuBefore = pid === undefined ? 0 : await cpuSeconds(pid);
    await begin();
    const times = await until(`all sessions, ${what}`, () => this.#allEstablished(), PATIENCE_MS, 100);
    const sinceS = times.map(({ establishedMs = Number.NaN }) => (establishedMs - begunMs) / 1000);
    const agent = this.#hub.agent?.pid ?? -1;
    return {
      what,
      postQuantum: this.#postQuantum,
      allS: Math.max(...sinceS),
      sinceS,
      calledS: times.flatMap(({ calledMs, establishedMs }) =>
        calledMs === undefined || establishedMs === undefined ? [] : [(establishedMs - calledMs) / 1000],
      ),
      cpuS: (await cpuSeconds(agent)) - cpuBefore,
      residentMb: await residentMb(agent),
      counts: await this.#counts(),
    };
  }

  async #allEstablished(): Promise<readonly Times[] | false> {
    const times = await this.#swarm.call('times');
    return times.every(({ establishedMs }) => establishedMs !== undefined) && times;
  }

  async #counts(): Promise<string> {
    const text = await connectAgent({ socket: this.#hub.socket, timeoutMs: 60_000 }).metrics();
    const found = text.matchAll(
      /^omni_(handshakes_completed|handshakes_failed|drops)_total(?:\{\w+="(.+)"\})? ([1-9]\d*)$/gm,
    );
    return [...found]
      .map(([, name, reason, count]) => `${reason ?? name?.replace('handshakes_', '')} ${count}`)
      .join(', ');
  }
}

const HEADER = [
  'peers',
  'postQuantum',
  'scenario',
  'all, s',
  'p50',
  'p99',
  'since own call',
  '1/s',
  'hub CPU s',
  '1/s of CPU',
  'RSS MB',
  'hub counted',
];

function lineOf(count: number, figures: Figures): string[] {
  const { what, postQuantum, allS, sinceS, calledS, cpuS, residentMb: memory, counts } = figures;
  const seconds = (share: number) => quantile(sinceS, share).toFixed(2);
  return [
    String(count),
    postQuantum,
    what,
    allS.toFixed(2),
    seconds(0.5),
    seconds(0.99),
    calledS.length === 0 ? '-' : `${quantile(calledS, 0.5).toFixed(2)}/${quantile(calledS, 0.99).toFixed(2)}`,
    (count / allS).toFixed(0),
    cpuS.toFixed(2),
    (count / cpuS).toFixed(0),
    memory.toFixed(0),
    counts,
  ];
}

/** Measures and prints. Root: it makes namespaces. */
export async function handshakeBench(
  count = 1_000,
  modes: readonly PostQuantum[] = ['off', 'required'],
): Promise<void> {
  const lines: string[][] = [];
  for (const postQuantum of modes) {
    const lab = await Lab.open({ name: 'omnihs', hosts: ['hub', 'robots'], direct: true });
    const bench = new HandshakeBench(lab, count, postQuantum);
    try {
      await bench.open();
      for await (const figures of bench.run()) {
        const line = lineOf(count, figures);
        process.stderr.write(`bench: handshakes: ${line.join('  ')}\n`);
        lines.push(line);
      }
    } finally {
      await bench.close();
      await lab.close();
    }
  }
  console.log('\nsessions of one agent with a whole fleet at once\n');
  console.log(tableOf([HEADER, ...lines]));
}
