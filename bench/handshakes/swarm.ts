import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import type { Host } from '../../lab/lab.ts';
import type { Commands } from '../robots.ts';

interface Waiting {
  resolve(value: unknown): void;
  reject(error: Error): void;
}

const MAIN = fileURLToPath(new URL('../robots.js', import.meta.url));

/** The robots' process, in a host's namespace and on one processor. */
export class Swarm {
  readonly #child: ChildProcess;
  readonly #waiting = new Map<number, Waiting>();
  #id = 0;

  constructor(host: Host, cpu: number) {
    const [command = '', ...rest] = host.inside(['taskset', '-c', String(cpu), process.execPath, MAIN]);
    this.#child = spawn(command, rest, { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] });
    this.#child.on('message', (answer: { id: number; result?: unknown; error?: string }) => {
      const waiting = this.#waiting.get(answer.id);
      this.#waiting.delete(answer.id);
      if (answer.error === undefined) waiting?.resolve(answer.result);
      else waiting?.reject(new Error(answer.error));
    });
    this.#child.on('exit', () => {
      for (const { reject } of this.#waiting.values()) reject(new Error('the robots’ process ended'));
      this.#waiting.clear();
    });
  }

  call<C extends keyof Commands>(command: C, ...options: Parameters<Commands[C]>): ReturnType<Commands[C]> {
    const id = ++this.#id;
    const answer = new Promise((resolve, reject) => {
      this.#waiting.set(id, { resolve, reject });
      this.#child.send({ id, command, options: options[0] });
    });
    return answer as ReturnType<Commands[C]>;
  }

  async close(): Promise<void> {
    if (!this.#child.connected) return;
    const ended = once(this.#child, 'exit');
    await this.call('close');
    this.#child.disconnect();
    await ended;
  }
}
