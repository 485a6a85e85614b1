import type { Host } from '../../lab/lab.ts';
import { ping } from '../../lab/ping.ts';
import { sleep } from '../../lab/shell.ts';
import { sample, scrape } from '../netns/metrics.ts';
import { type Deed, deeds } from './disturbances.ts';
import { Flow } from './flow.ts';
import { otherBuild } from './other-build.ts';
import { Pinger } from './pinger.ts';
import { type Disturbance, explain, type Loss } from './timeline.ts';
import { World } from './world.ts';

export interface SoakReport {
  readonly seconds: number;
  readonly sent: number;
  readonly losses: readonly Loss[];
  readonly disturbances: readonly Disturbance[];
  /** Handshakes that ended well on each host. */
  readonly handshakes: number;
  /** Bytes that the TCP flow carried, and how often it had to be started again. */
  readonly tcp: { readonly megabytes: number; readonly broken: number };
  readonly text: string;
}

const SPEC =
  '  sessions: { rekeyAfter: 5s, lifetime: 60s, handshakeTimeout: 1s, postQuantum: preferred }\n  probation: { confirmWithin: 10s }\n';
/** Quiet times between two deeds: long enough that a loss has one cause. */
const PAUSE_MS = 1_500;

/**
 * Traffic for at least so long while everything is done to the fleet that `deeds` lists, one after the other and to one
 * host after the other. 500 pings a second go from the first host to each other one and back, and a TCP flow.
 */
export async function soak(options: {
  readonly name: string;
  readonly seconds: number;
  readonly log: (line: string) => void;
}): Promise<SoakReport> {
  const world = await World.open(options.name, ['alpha', 'beta', 'gamma'], SPEC);
  try {
    const all = deeds(await otherBuild(`${world.lab.folder}/other`));
    await warmUp(world);
    const [alpha, beta, gamma] = world.hosts as [Host, Host, Host];
    const pingers = [
      new Pinger(alpha, beta, world.vip(beta), 2),
      new Pinger(beta, gamma, world.vip(gamma), 2),
      new Pinger(gamma, alpha, world.vip(alpha), 10),
    ];
    const flow = new Flow(beta, alpha, world.vip(alpha));
    const began = Date.now();
    const done: Disturbance[] = [];
    for (let turn = 0; Date.now() - began < options.seconds * 1000 || turn < all.length; turn++) {
      const deed = all[turn % all.length] as Deed;
      const host = world.hosts[(turn + Math.floor(turn / all.length)) % world.hosts.length] as Host;
      options.log(`${((Date.now() - began) / 1000).toFixed(1)} s: ${host.name}: ${deed.what}`);
      done.push(await disturb(world, host, deed));
      await sleep(PAUSE_MS);
    }
    const seconds = (Date.now() - began) / 1000;
    await Promise.all(pingers.map((pinger) => pinger.stop()));
    const tcp = await flow.stop();
    const losses = pingers.flatMap((pinger) =>
      explain({ name: pinger.name, hosts: [pinger.from.name, pinger.to.name] }, pinger.lost, done),
    );
    const sent = pingers.reduce((sum, { received, lost }) => sum + received + lost.length, 0);
    const handshakes = await handshakesOf(world);
    const report = { seconds, sent, losses, disturbances: done, handshakes, tcp };
    return { ...report, text: render(report) };
  } finally {
    await world.close();
  }
}

async function disturb(world: World, host: Host, { what, allowedMs, settleMs, run }: Deed): Promise<Disturbance> {
  const fromMs = Date.now();
  await run(world, host);
  return { what, hosts: [host.name], fromMs, toMs: Date.now() + settleMs, allowedMs };
}

/** Every pair has a session before anything is counted. */
async function warmUp(world: World): Promise<void> {
  for (const from of world.hosts) {
    for (const to of world.hosts) {
      if (from === to) continue;
      const { received } = await ping(from, world.vip(to), { count: 3, intervalS: 0.2, waitS: 5 });
      if (received === 0) throw new Error(`${from.name} does not reach ${to.name}:\n${world.agentText(from)}`);
    }
  }
}

async function handshakesOf(world: World): Promise<number> {
  const counts = await Promise.all(
    world.hosts.map(async (host) => sample(await scrape(host), 'omni_handshakes_completed_total')),
  );
  return counts.reduce((sum, count) => sum + count, 0);
}

function render({ seconds, sent, losses, disturbances, handshakes, tcp }: Omit<SoakReport, 'text'>): string {
  const lost = losses.reduce((sum, { packets }) => sum + packets, 0);
  const lines = [
    `${seconds.toFixed(0)} s, ${sent} pings, ${lost} lost; ${handshakes} handshakes since the agents' last starts; TCP ${tcp.megabytes} MB, ${tcp.broken} connections broken`,
    'what was done                          times  packets lost  longest silence',
  ];
  for (const what of new Set(disturbances.map((each) => each.what))) {
    const times = disturbances.filter((each) => each.what === what).length;
    const caused = losses.filter(({ disturbance }) => disturbance?.what === what);
    const packets = caused.reduce((sum, each) => sum + each.packets, 0);
    const longest = Math.max(0, ...caused.map(({ spanMs }) => spanMs));
    lines.push(
      `${what.padEnd(38)} ${String(times).padStart(5)}  ${String(packets).padStart(12)}  ${longest.toFixed(0).padStart(12)} ms`,
    );
  }
  for (const { pair, packets, atMs, spanMs } of losses.filter(({ disturbance }) => disturbance === undefined)) {
    const last = disturbances.findLast(({ fromMs }) => fromMs < atMs);
    const since =
      last && `${((atMs - last.toMs) / 1000).toFixed(1)} s after the end of "${last.what}" of ${last.hosts}`;
    lines.push(
      `${pair}: ${packets} lost within ${spanMs.toFixed(0)} ms, and nothing explains it: ${since ?? 'at the start'}`,
    );
  }
  return lines.join('\n');
}
