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

  constructor() {
    this.#process = spawn('unshare', ['--net', process.execPath, CHILD], {
      stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
      serialization: 'advanced',
    });
    this.#process.on('message', (message) => this.#onAnswer(message as Answer));
    this.#process.on('exit', (code) => {
      for (const { reject } of this.#waiting.values()) reject(new Error(`the child ended with ${code}`));
    });
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

  async attachXdp(options: Parameters<Native['attachXdp']>[0]): Promise<void> {
    await this.#call('attachXdp', [options]);
  }

  async attachTcIngress(options: Parameters<Native['attachTcIngress']>[0]): Promise<void> {
    await this.#call('attachTcIngress', [options]);
  }

  async links(options: Parameters<Native['links']>[0]): Promise<ReturnType<Native['links']>> {
    return (await this.#call('links', [options])) as ReturnType<Native['links']>;
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
