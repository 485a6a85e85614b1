import type { ChildProcessWithoutNullStreams } from 'node:child_process';
import type { Socket } from 'node:net';
import type { OmniError } from '../errors.ts';
import { objectTooLarge, timedOut } from './git-errors.ts';
import { type GitContext, spawnFailure, spawnGit } from './git-process.ts';

export interface GitObject {
  /** Full hexadecimal id. */
  readonly id: string;
  readonly type: string;
  readonly data: Buffer;
}

interface Request {
  readonly spec: string;
  resolve(object: GitObject | undefined): void;
  reject(error: unknown): void;
}

/** Of an answer's first line: id, type, size. */
const HEADER_BYTES = 128;
const IDLE_MS = 1_000;
const ANSWER_TIMEOUT_MS = 30_000;

/**
 * Reads objects through one `git cat-file --batch`, started when something is asked for and ended when it was idle for
 * a second. Requests are pipelined and answered in order. An idle reader does not keep the event loop alive.
 */
export class ObjectReader {
  readonly #context: GitContext;
  readonly #maxBytes: number;
  #child: ChildProcessWithoutNullStreams | undefined;
  #pending: Request[] = [];
  #chunks: Buffer[] = [];
  #buffered = 0;
  #needed = 0;
  #idle: NodeJS.Timeout | undefined;
  #watchdog: NodeJS.Timeout | undefined;

  /** A larger object is an error: a commit or tag may be made of any size, and is read whole. */
  constructor(context: GitContext, maxBytes: number) {
    this.#context = context;
    this.#maxBytes = maxBytes;
  }

  /** `spec` is validated text that names an object (an id, `refs/…^{commit}`). Undefined: there is none. */
  read(spec: string): Promise<GitObject | undefined> {
    return new Promise((resolve, reject) => {
      const child = this.#child ?? this.#start();
      this.#pending.push({ spec, resolve, reject });
      this.#busy(child, true);
      child.stdin.write(`${spec}\n`);
    });
  }

  close(): void {
    this.#child?.stdin.end();
    this.#child?.kill();
    clearTimeout(this.#idle);
    clearTimeout(this.#watchdog);
  }

  #start(): ChildProcessWithoutNullStreams {
    const child = spawnGit(this.#context, ['cat-file', '--batch']);
    this.#child = child;
    this.#chunks = [];
    this.#buffered = 0;
    this.#needed = 0;
    let stderr = '';
    child.stdout.on('data', (chunk: Buffer) => this.#receive(child, chunk));
    child.stderr.on('data', (chunk: Buffer) => {
      if (stderr.length < 4_096) stderr += chunk.toString('utf8');
    });
    // A write to a child that just died: its `close` says why.
    child.stdin.on('error', () => undefined);
    child.on('error', (error) => this.#fail(child, spawnFailure(this.#context, error)));
    child.on('close', () => this.#fail(child, spawnFailure(this.#context, new Error(stderr || 'git cat-file ended'))));
    return child;
  }

  #receive(child: ChildProcessWithoutNullStreams, chunk: Buffer): void {
    this.#chunks.push(chunk);
    this.#buffered += chunk.length;
    while (this.#buffered >= this.#needed && this.#pending.length > 0) {
      const buffer = this.#chunks.length === 1 ? this.#chunks[0] : Buffer.concat(this.#chunks);
      if (buffer === undefined) break;
      const parsed = parseAnswer(buffer);
      if (parsed.needed !== undefined) {
        if (parsed.needed > this.#maxBytes + HEADER_BYTES) {
          this.#fail(child, objectTooLarge(this.#context.origin, parsed.needed, this.#maxBytes));
          child.kill('SIGKILL');
          return;
        }
        this.#chunks = [buffer];
        this.#needed = parsed.needed;
        break;
      }
      const rest = buffer.subarray(parsed.used);
      this.#chunks = rest.length > 0 ? [rest] : [];
      this.#buffered = rest.length;
      this.#needed = 0;
      this.#pending.shift()?.resolve(parsed.object);
      if (rest.length === 0) break;
    }
    this.#busy(child, this.#pending.length > 0);
  }

  #busy(child: ChildProcessWithoutNullStreams, busy: boolean): void {
    clearTimeout(this.#idle);
    clearTimeout(this.#watchdog);
    // `stdio: 'pipe'` makes sockets of these; their declared type is the stream only.
    for (const handle of [child, child.stdin as unknown as Socket, child.stdout as Socket, child.stderr as Socket]) {
      if (busy) handle.ref();
      else handle.unref();
    }
    if (busy) {
      this.#watchdog = setTimeout(() => {
        this.#fail(child, timedOut(this.#context.origin, ANSWER_TIMEOUT_MS, 'cat-file'));
        child.kill('SIGKILL');
      }, ANSWER_TIMEOUT_MS);
    } else {
      this.#idle = setTimeout(() => {
        this.#child = undefined; // whoever reads from now on starts another
        child.stdin.end();
      }, IDLE_MS).unref();
    }
  }

  #fail(child: ChildProcessWithoutNullStreams, error: OmniError): void {
    if (this.#child !== child) return;
    this.#child = undefined;
    clearTimeout(this.#idle);
    clearTimeout(this.#watchdog);
    const pending = this.#pending;
    this.#pending = [];
    for (const request of pending) request.reject(error);
  }
}

type Answer =
  | { readonly needed: number }
  | { readonly needed?: undefined; readonly used: number; readonly object: GitObject | undefined };

/** `<id> SP <type> SP <size> LF <size bytes> LF`, or `<spec> SP missing LF` (git-cat-file(1), BATCH OUTPUT). */
function parseAnswer(buffer: Buffer): Answer {
  const lineEnd = buffer.indexOf(0x0a);
  if (lineEnd < 0) return { needed: buffer.length + 1 };
  const header = buffer.toString('utf8', 0, lineEnd);
  const match = /^([0-9a-f]{40,64}) (commit|tree|blob|tag) ([0-9]+)$/.exec(header);
  if (match === null) return { used: lineEnd + 1, object: undefined };
  const end = lineEnd + 1 + Number(match[3]);
  if (buffer.length < end + 1) return { needed: end + 1 };
  const data = Buffer.from(buffer.subarray(lineEnd + 1, end));
  return { used: end + 1, object: { id: match[1] ?? '', type: match[2] ?? '', data } };
}
