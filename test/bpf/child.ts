import { type ChildProcess, spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import type { Native } from '../../src/dataplane/kernel/native.ts';

const CHILD = fileURLToPath(new URL('./child.mjs', import.meta.url));

type Run = ReturnType<Native['testRun']>;
type RunOptions = Omit<Parameters<Native['testRun']>[0], 'data'>;

interface Answer {
  readonly id: number;
  readonly result?: unknown;
  readonly error?: { readonly message: string; readonly log?: string };
}

/** A process in a network namespace of its own that runs BPF programs there. */
export class Child {
  readonly #process: ChildProcess;
  readonly #waiting = new Map<number, { resolve(value: unknown): void; reject(error: Error): void }>();
  #id = 0;

  private constructor(launcher: readonly string[]) {
    const [command = 'unshare', ...rest] = [...launcher, 'unshare', '--net', process.execPath, CHILD];
    this.#process = spawn(command, rest, {
      stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
      serialization: 'advanced',
    });
    this.#process.on('message', (message) => this.#onAnswer(message as Answer));
    this.#process.on('exit', (code) => {
      for (const { reject } of this.#waiting.values()) reject(new Error(`the child ended with ${code}`));
    });
  }

  /** Resolves when the process is in its namespace. `cpu`: the only one that it, and what it runs, runs on. */
  static async start({ cpu }: { readonly cpu?: number } = {}): Promise<Child> {
    const child = new Child(cpu === undefined ? [] : ['taskset', '-c', `${cpu}`]);
    await child.sh();
    return child;
  }

  /** Commands with their arguments, one per line. */
  async sh(...lines: string[]): Promise<void> {
    await this.#call('sh', [lines]);
  }

  async load(options: Parameters<Native['loadObject']>[0]): ReturnType<Native['loadObject']> {
    return (await this.#call('loadObject', [options])) as Awaited<ReturnType<Native['loadObject']>>;
  }

  async run(options: RunOptions & { readonly data: Uint8Array }): Promise<Run> {
    return (await this.#call('testRun', [options])) as Run;
  }

  async runAll(options: RunOptions & { readonly packets: readonly Uint8Array[] }): Promise<Run[]> {
    return (await this.#call('runAll', [options])) as Run[];
  }

  async attachXdp(program: string, name: string, mode: 'native' | 'generic'): Promise<void> {
    await this.#call('attachXdp', [{ program, ifindex: await this.ifindex(name), mode, pin: `${program}-${name}` }]);
  }

  async attachTcIngress(program: string, name: string): Promise<void> {
    await this.#call('attachTcIngress', [{ program, ifindex: await this.ifindex(name) }]);
  }

  async updateMap(pin: string, key: Uint8Array, value: Uint8Array): Promise<void> {
    await this.#call('updateMap', [{ pin, key, value }]);
  }

  async ifindex(name: string): Promise<number> {
    const [link] = (await this.#call('links', [{ name }])) as ReturnType<Native['links']>;
    if (!link) throw new Error(`there is no ${name}`);
    return link.ifindex;
  }

  /** Frames that come into the interface can then be had with `next(name)`. */
  async openPacketSocket(name: string): Promise<void> {
    await this.#call('openPacketSocket', [name]);
  }

  async sendFrame(name: string, frame: Uint8Array): Promise<void> {
    await this.#call('sendFrame', [name, frame]);
  }

  /** Datagrams to the port can then be had with `next('udp')`. */
  async openUdp(port: number): Promise<void> {
    await this.#call('openUdp', [port]);
  }

  /** Sockets on the port, of both families, as an agent has them. */
  async listen(port: number): Promise<void> {
    await this.#call('listen', [port]);
  }

  async stopListening(): Promise<void> {
    await this.#call('stopListening', []);
  }

  async sendUdp(payload: Uint8Array, port: number, address: string): Promise<void> {
    await this.#call('sendUdp', [payload, port, address]);
  }

  async next(name: string): Promise<Buffer> {
    return Buffer.from((await this.#call('next', [name])) as Uint8Array);
  }

  /** A file under /proc as this namespace shows it. */
  async read(path: string): Promise<string> {
    return (await this.#call('read', [path])) as string;
  }

  get pid(): number {
    if (this.#process.pid === undefined) throw new Error('the child did not start');
    return this.#process.pid;
  }

  async close(): Promise<void> {
    const exited = new Promise((resolve) => this.#process.once('exit', resolve));
    this.#process.disconnect();
    await exited;
  }

  #call(method: string, args: unknown[]): Promise<unknown> {
    const id = this.#id++;
    return new Promise((resolve, reject) => {
      this.#waiting.set(id, { resolve, reject });
      this.#process.send({ id, method, args });
    });
  }

  #onAnswer({ id, result, error }: Answer): void {
    const waiting = this.#waiting.get(id);
    this.#waiting.delete(id);
    if (error) waiting?.reject(new Error(`${error.message}\n${error.log ?? ''}`));
    else waiting?.resolve(result);
  }
}
