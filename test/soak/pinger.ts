import { type ChildProcess, spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import type { Host } from '../../lab/lab.ts';

/** Of ping's 16-bit sequence numbers. */
const WRAP = 65_536;

export interface Lost {
  /** Milliseconds since 1970, between those of the replies around it. */
  readonly atMs: number;
  readonly sequence: number;
}

/** Places a 16-bit sequence number near the last one that is known whole. */
export function unwrap(sequence: number, near: number): number {
  const turn = Math.round((near - sequence) / WRAP);
  return sequence + turn * WRAP;
}

/**
 * One `ping` that goes on until it is stopped, and when each of its replies came: what is missing between them is lost. A
 * reply counts whenever it comes; whether it was late is told by `slowestMs`.
 */
export class Pinger {
  readonly from: Host;
  readonly to: Host;
  readonly #intervalMs: number;
  readonly #child: ChildProcess;
  readonly #closed: Promise<void>;
  /** When the reply to each sequence number came; holes are what is lost. */
  readonly #replies: number[] = [];
  #last = 0;
  #slowestMs = 0;
  #duplicates = 0;

  constructor(from: Host, to: Host, address: string, intervalMs: number) {
    this.from = from;
    this.to = to;
    this.#intervalMs = intervalMs;
    const argv = from.inside(['ping', '-n', '-D', '-i', String(intervalMs / 1000), address]);
    const [command = '', ...rest] = argv;
    this.#child = spawn(command, rest, { stdio: ['ignore', 'pipe', 'ignore'] });
    this.#closed = new Promise((resolve) => this.#child.on('close', () => resolve()));
    const { stdout } = this.#child;
    if (stdout === null) throw new Error('ping has no output');
    createInterface({ input: stdout }).on('line', (line) => this.#onLine(line));
  }

  get name(): string {
    return `${this.from.name}->${this.to.name}`;
  }
  get received(): number {
    return this.#replies.reduce((count) => count + 1, 0);
  }
  /** Milliseconds since 1970; 0: none came. */
  get lastReplyMs(): number {
    return this.#replies.at(-1) ?? 0;
  }
  get slowestMs(): number {
    return this.#slowestMs;
  }
  get duplicates(): number {
    return this.#duplicates;
  }

  /** Up to the last reply that came: what was under way when the ping ended is not counted. */
  get lost(): readonly Lost[] {
    const lost: Lost[] = [];
    let before = this.#replies[1] ?? 0;
    for (let sequence = 1; sequence < this.#replies.length; sequence++) {
      const came = this.#replies[sequence];
      if (came === undefined) lost.push({ sequence, atMs: before + this.#intervalMs });
      before = came ?? before + this.#intervalMs;
    }
    return lost;
  }

  async stop(): Promise<void> {
    this.#child.kill('SIGINT');
    await this.#closed;
  }

  #onLine(line: string): void {
    const found = /^\[([\d.]+)\] .*icmp_seq=(\d+) .*time=([\d.]+) ms/.exec(line);
    if (found === null) return;
    const sequence = unwrap(Number(found[2]), this.#last);
    this.#last = Math.max(this.#last, sequence);
    this.#slowestMs = Math.max(this.#slowestMs, Number(found[3]));
    if (this.#replies[sequence] === undefined) this.#replies[sequence] = Number(found[1]) * 1000;
    else this.#duplicates++;
  }
}
