import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Host, Lab } from './lab.ts';
import { Background, must, until } from './shell.ts';

/** `many`: every packet from another address of 198.18.0.0/16 (RFC 2544) and another port, at random. */
export type FloodSources = 'one' | 'many';

export interface FloodOptions {
  readonly port: number;
  /** Sent in turn, over and over. */
  readonly payloads: readonly Uint8Array[];
  readonly sources: FloodSources;
  /** It ends by itself after so long. */
  readonly seconds: number;
  /** The processor that makes the packets. */
  readonly cpu: number;
}

/** Bounds a flood that outruns every expectation. */
const MOST_PACKETS_PER_SECOND = 5_000_000;
/**
 * So few are under way at once (2 KiB each) that the generator waits for the receiver instead of losing packets in its
 * queue: what a receiver makes of a flood shows, not that a queue has an end.
 */
const RING = '128KiB';
const OUTER_MAC = '0x02, 0, 0, 0, 0, 0xfd';

/**
 * UDP datagrams at the highest rate that one processor gives, by trafgen(8), out of the underlay's end of a host's wire:
 * nothing lies between the generator and the host's receive queue.
 */
export class Flood {
  readonly #process: Background;

  private constructor(process: Background) {
    this.#process = process;
  }

  /** Resolves when packets flow. */
  static async start(lab: Lab, to: Host, options: FloodOptions): Promise<Flood> {
    const [link] = JSON.parse(await to.must(['ip', '-j', 'link', 'show', 'dev', 'eth0'])) as { address: string }[];
    const mac = (link?.address ?? '').split(':').map((byte) => `0x${byte}`);
    const file = join(lab.folder, 'flood.cfg');
    const packets = options.payloads.map((payload) => packet(mac.join(', '), to.address, payload, options));
    await writeFile(file, packets.join('\n'));
    const most = String(options.seconds * MOST_PACKETS_PER_SECOND);
    const ring = ['--ring-size', RING, '--no-sock-mem'];
    const trafgen = ['trafgen', '--in', file, '--out', `${to.name}.p`, '--cpus', '1', '--num', most, ...ring];
    const bounded = ['timeout', '--signal=INT', String(options.seconds), 'taskset', '-c', String(options.cpu)];
    const before = await sentTo(lab, to);
    // trafgen makes its ring's file where it is started.
    const process = new Background(lab.onUnderlay([...bounded, ...trafgen]), { cwd: lab.folder });
    const flowing = async () => {
      if (!process.running) throw new Error(`trafgen ended:\n${process.text}`);
      return (await sentTo(lab, to)) > before + 1000;
    };
    await until('packets flow', flowing, 30_000);
    return new Flood(process);
  }

  /** Ends it; the number of packets that it sent. Throws if it ended by itself on an error. */
  async stop(): Promise<number> {
    await this.#process.stop('SIGINT');
    const sent = /(\d+) packets outgoing/.exec(this.#process.text)?.[1];
    if (sent === undefined) throw new Error(`trafgen failed:\n${this.#process.text}`);
    return Number(sent);
  }
}

async function sentTo(lab: Lab, host: Host): Promise<number> {
  const text = await must(lab.onUnderlay(['cat', `/sys/class/net/${host.name}.p/statistics/tx_packets`]));
  return Number(text);
}

/** In trafgen's language: checksums and what is random are made anew for each packet. A UDP checksum of 0 is none. */
function packet(mac: string, address: string, payload: Uint8Array, { port, sources }: FloodOptions): string {
  const many = sources === 'many';
  const ip = [`0x45, 0, c16(${28 + payload.length}), 0, 0, 0x40, 0, 64, 17, csumip(14, 33)`];
  const source = many ? '198, 18, drnd(2)' : '198, 18, 0, 1';
  const udp = `${many ? 'drnd(2)' : `c16(${port})`}, c16(${port}), c16(${8 + payload.length}), 0, 0`;
  return `{ ${mac}, ${OUTER_MAC}, 0x08, 0x00, ${ip}, ${source}, ${address.replaceAll('.', ', ')}, ${udp}, ${payload.join(', ')} }`;
}
