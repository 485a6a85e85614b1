import type { Host } from '../../lab/lab.ts';
import { type Background, until } from '../../lab/shell.ts';

const RATE = '200M';
/** `[  5]   0.00-1.00   sec  23.8 MBytes   200 Mbits/sec …`, and the same once more for the whole at the end. */
const INTERVAL = /\[ *\d+\] +[\d.]+-[\d.]+ +sec +([\d.]+) ([KMG])Bytes .*\d+\s+[\d.]+ [KM]Bytes/g;
const MEGABYTES = { K: 1 / 1024, M: 1, G: 1024 };

/** A TCP flow that goes on until it is stopped, and begins again if its connection dies. */
export class Flow {
  readonly #from: Host;
  readonly #address: string;
  readonly #server: Background;
  #client: Background | undefined;
  #megabytes = 0;
  #broken = 0;
  #stopped = false;
  #running: Promise<void>;

  constructor(from: Host, to: Host, address: string) {
    this.#from = from;
    this.#address = address;
    this.#server = to.background(['iperf3', '-s', '--forceflush']);
    this.#running = this.#run();
  }

  async #run(): Promise<void> {
    await until('iperf3 listens', () => this.#server.text.includes('listening'));
    while (!this.#stopped) {
      const argv = ['iperf3', '-c', this.#address, '-t', '86400', '-b', RATE, '-i', '5', '--forceflush'];
      this.#client = this.#from.background(argv);
      await this.#client.wait();
      for (const [, amount, unit] of this.#client.text.matchAll(INTERVAL)) {
        this.#megabytes += Number(amount) * MEGABYTES[unit as keyof typeof MEGABYTES];
      }
      if (!this.#stopped) this.#broken++;
    }
  }

  async stop(): Promise<{ readonly megabytes: number; readonly broken: number }> {
    this.#stopped = true;
    await this.#client?.stop('SIGINT');
    await this.#running;
    await this.#server.stop();
    return { megabytes: Math.round(this.#megabytes), broken: this.#broken };
  }
}
