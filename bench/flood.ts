import { mkdir, writeFile } from 'node:fs/promises';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { clusterDocument, makeIdentity, robotDocuments } from '../lab/fleet.ts';
import { Flood, type FloodSources } from '../lab/flood.ts';
import { randomDatagrams, wrongMac1 } from '../lab/hostile.ts';
import { Lab } from '../lab/lab.ts';
import { sleep, until } from '../lab/shell.ts';
import { OmniProtocol } from '../src/dataplane/kernel/layout.ts';
import { loadNative } from '../src/dataplane/kernel/native.ts';
import { type End, type Live, liveSession } from './flood/live.ts';
import { recordHandshakes } from './flood/record.ts';
import { type Kind, printFloods, type Result, sourcesText } from './flood/report.ts';
import { difference, pinReceiveQueue, snapshot } from './flood/victim.ts';

/*
 * A flood beside a live session. Everything of the victim (receive queue, agent, programs) has one processor; the
 * generator and the session's other end share the other:
 *
 *     cpu 0   trafgen ──▶ b.p      a ══ session ══▶ b.p
 *     cpu 1               b.p ──▶ eth0 of b: XDP, stack, agent, iperf3 -s
 *
 * The generator takes cpu 0 from the session's sender whatever b does with the packets. So every flood has its baseline
 * without any, measured just before it, and there are two controls: the same packets to a port of b that nobody has (what
 * the stack makes of them), and to another host (what the generator alone costs the session).
 */
const PORT = 51820;
const NOBODYS_PORT = 9; // discard
const [GENERATOR, VICTIM] = [0, 1];
/** More than the measurement: setting up and taking down. */
const FLOOD_MARGIN_S = 20;
/** Different datagrams of a kind. */
const VARIETY = 64;
const TEST_RUNS = 100_000;

class FloodBench {
  readonly #lab: Lab;
  readonly #seconds: number;
  readonly #a: End;
  readonly #b: End;

  constructor(lab: Lab, seconds: number) {
    this.#lab = lab;
    this.#seconds = seconds;
    this.#a = { host: lab.host('a'), vip: '10.77.0.1', cpu: GENERATOR };
    this.#b = { host: lab.host('b'), vip: '10.77.0.2', cpu: VICTIM };
  }

  async #startAgents(): Promise<void> {
    const argv = ['--source', join(this.#lab.folder, 'fleet'), '--log-level', 'warn'];
    for (const { host, cpu } of [this.#a, this.#b]) host.startAgent(argv, ['taskset', '-c', String(cpu)]);
    for (const { host } of [this.#a, this.#b]) {
      await until(`the agent of ${host.name} is ready`, async () => (await host.omni(['status'])).status === 0, 30_000);
    }
  }

  async #restart(): Promise<void> {
    for (const { host } of [this.#a, this.#b]) {
      if (host.agent === undefined) continue;
      await host.stopAgent();
      await host.mustOmni(['agent', ...host.agentArguments(), '--teardown']);
    }
    await this.#startAgents();
  }

  async kinds(): Promise<readonly Kind[]> {
    const fleet = join(this.#lab.folder, 'fleet');
    await mkdir(fleet);
    await writeFile(join(fleet, 'cluster.yaml'), clusterDocument());
    for (const { host, vip, cpu } of [this.#a, this.#b]) {
      await makeIdentity(host);
      await writeFile(join(fleet, `${host.name}.yaml`), await robotDocuments(host, [vip]));
      await pinReceiveQueue(host, cpu);
    }
    // Else ICMP errors to sources that are not there wait for a gateway's address, and fill the buffer that b's echo replies need.
    const gateway = ['neigh', 'add', '192.0.2.254', 'lladdr', '02:00:00:00:00:fe', 'dev', 'eth0', 'nud', 'permanent'];
    await this.#b.host.must(['ip', ...gateway]);
    const recorded = await recordHandshakes(this.#lab, this.#b, this.#a, () => this.#restart());
    const junk = randomDatagrams(VARIETY);
    const toUs = { to: 'b', port: PORT } as const;
    return [
      { name: 'control: to another host', payloads: junk, to: 'bystander', port: PORT },
      { name: 'control: to nobody’s port', payloads: junk, to: 'b', port: NOBODYS_PORT },
      { name: 'random datagrams', payloads: junk, ...toUs },
      { name: 'wrong mac1, version 1', payloads: wrongMac1(VARIETY, OmniProtocol.classic), ...toUs },
      { name: 'wrong mac1, version 2', payloads: wrongMac1(VARIETY, OmniProtocol.hybrid), ...toUs },
      { name: 'recorded initiations', payloads: recorded.initiations, ...toUs },
      { name: 'recorded responses', payloads: recorded.responses, ...toUs },
    ];
  }

  #live(): Promise<Live> {
    return liveSession(this.#a, this.#b, this.#seconds);
  }

  async measure(kind: Kind, sources: FloodSources): Promise<Result> {
    const target = this.#lab.host(kind.to);
    const nsEach = kind.to === 'b' && kind.port === PORT ? this.#costOf(kind.payloads) : undefined;
    const baseline = await this.#live();
    const before = await snapshot(this.#b.host);
    const begun = performance.now();
    const seconds = 2 * this.#seconds + FLOOD_MARGIN_S;
    const flood = await Flood.start(this.#lab, target, { ...kind, sources, seconds, cpu: GENERATOR });
    const live = await this.#live().catch(async (error) => {
      await flood.stop();
      throw error;
    });
    const sent = await flood.stop();
    const elapsed = (performance.now() - begun) / 1000;
    return {
      kind,
      sources,
      baseline,
      live,
      sent,
      seconds: elapsed,
      counts: difference(before, await snapshot(this.#b.host)),
      nsEach,
    };
  }

  /** Nanoseconds that the program takes for one packet of this kind, on average, on a processor of its own (BPF_PROG_TEST_RUN). */
  #costOf(payloads: readonly Uint8Array[]): number {
    const pin = join(this.#b.host.folder, 'bpf', 'omni', 'omni0', 'prog_ingress');
    const { testRun } = loadNative();
    const repeat = Math.ceil(TEST_RUNS / payloads.length);
    const costs = payloads.map((payload) => testRun({ pin, data: frame(payload), repeat }).durationNs);
    return costs.reduce((sum, each) => sum + each, 0) / costs.length;
  }
}

/** Ethernet, IPv4 and UDP around a payload, as far as the program looks. */
function frame(payload: Uint8Array): Buffer {
  const headers = Buffer.alloc(42);
  headers.writeUInt16BE(0x0800, 12);
  headers[14] = 0x45;
  headers.writeUInt16BE(28 + payload.length, 16);
  headers[22] = 64;
  headers[23] = 17;
  headers.set([198, 18, 0, 1], 26);
  headers.writeUInt16BE(PORT, 34);
  headers.writeUInt16BE(PORT, 36);
  headers.writeUInt16BE(8 + payload.length, 38);
  return Buffer.concat([headers, payload]);
}

/** Measures and prints. Root: it makes namespaces. */
export async function floodBench(seconds: number): Promise<void> {
  if (availableParallelism() < 2) throw new Error('generator and victim need a processor each');
  const lab = await Lab.open({ name: 'omnif', hosts: ['a', 'b', 'bystander'] });
  const results: Result[] = [];
  try {
    const bench = new FloodBench(lab, seconds);
    for (const kind of await bench.kinds()) {
      for (const sources of ['one', 'many'] as const) {
        process.stderr.write(`bench: flood, ${kind.name}, ${sourcesText(sources)}\n`);
        results.push(await bench.measure(kind, sources));
        await sleep(1_000); // what the flood left in queues is not the next baseline's
      }
    }
  } finally {
    await lab.close();
  }
  console.log(
    `\nfloods, each over ${seconds} s of ping at 200/s and then ${seconds} s of TCP through a live session\n`,
  );
  printFloods(results);
}
