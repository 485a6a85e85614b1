import { spawn } from 'node:child_process';
import { createConnection } from 'node:net';
import { messageOf } from './lock.ts';

/** How the robot's own software is asked whether a change may come now. */
export type BusyHook = {
  /** Without an answer in this time there is none. */
  readonly timeoutMs: number;
  /** What no answer, or one that is none, stands for. */
  readonly onError: 'busy' | 'free';
} & (
  | {
      readonly kind: 'command';
      /** An absolute path, and arguments; no shell. Exit code 0: free; else busy, and stdout's first line says why. */
      readonly command: readonly string[];
    }
  | {
      readonly kind: 'socket';
      /** A Unix socket that answers a connection with one line: `free`, or `busy` and why. */
      readonly path: string;
    }
);

export interface BusyAnswer {
  readonly busy: boolean;
  /** For people. */
  readonly message: string;
  /** The hook failed, and `onError` decided. */
  readonly failed: boolean;
}

/** Bytes of an answer that are read; the rest is thrown away. */
const MAX_ANSWER = 4096;
/** Characters of a reason that are shown. */
const MAX_REASON = 200;
/** Nothing of the agent's own environment: it may hold what is none of the hook's business. */
const ENVIRONMENT = { PATH: '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin', LANG: 'C.UTF-8' };

/** Asks once. Never rejects: what goes wrong is an answer too. Whoever aborts `signal` gets one at once, with nothing left running. */
export async function askBusy(hook: BusyHook, signal: AbortSignal): Promise<BusyAnswer> {
  try {
    const reason = await (hook.kind === 'command'
      ? run(hook.command, hook.timeoutMs, signal)
      : call(hook.path, hook.timeoutMs, signal));
    if (reason === undefined) return { busy: false, message: 'free', failed: false };
    return { busy: true, message: reason === '' ? 'busy, by the busy hook' : `busy: ${reason}`, failed: false };
  } catch (error) {
    const message = `the busy hook gives no answer, which counts as ${hook.onError}: ${messageOf(error)}`;
    return { busy: hook.onError === 'busy', message, failed: true };
  }
}

/** Why it is busy; undefined: free. The command's process group is gone afterwards. */
function run(
  [program = '', ...args]: readonly string[],
  timeoutMs: number,
  signal: AbortSignal,
): Promise<string | undefined> {
  return new Promise((resolve, reject) => {
    // A group of its own: it is ended with its children.
    const child = spawn(program, args, {
      cwd: '/',
      env: ENVIRONMENT,
      stdio: ['ignore', 'pipe', 'ignore'],
      detached: true,
    });
    const answer = new Answer();
    let ended: { readonly code: number | null; readonly signal: string | null } | undefined;
    const settle = (): void => {
      cancel();
      child.stdout.destroy();
      if (ended === undefined) reject(new Error(`${program} takes longer than ${timeoutMs} ms`));
      else if (ended.signal !== null) reject(new Error(`${program} was ended by ${ended.signal}`));
      else resolve(ended.code === 0 ? undefined : reasonOf(answer.line()));
    };
    const cancel = limit(timeoutMs, signal, () => {
      // What left the group may hold stdout open: then the answer is there all the same.
      settle();
      if (ended === undefined) endGroup(child.pid);
    });
    child.on('error', (error) => {
      cancel();
      reject(error);
    });
    child.stdout.on('data', (chunk: Buffer) => answer.add(chunk));
    child.on('exit', (code, signal) => {
      ended = { code, signal };
      endGroup(child.pid);
    });
    child.on('close', settle);
  });
}

/** Calls `expire` when the time is up or the agent ends, unless the returned function is called before. */
function limit(timeoutMs: number, signal: AbortSignal, expire: () => void): () => void {
  const timer = setTimeout(expire, timeoutMs);
  signal.addEventListener('abort', expire, { once: true });
  return () => {
    clearTimeout(timer);
    signal.removeEventListener('abort', expire);
  };
}

function endGroup(pid: number | undefined): void {
  if (pid === undefined) return;
  try {
    process.kill(-pid, 'SIGKILL');
  } catch {
    // ESRCH: the whole group has ended already.
  }
}

function call(path: string, timeoutMs: number, signal: AbortSignal): Promise<string | undefined> {
  return new Promise((resolve, reject) => {
    const socket = createConnection({ path });
    const answer = new Answer();
    const cancel = limit(timeoutMs, signal, () => {
      cancel();
      reject(new Error(`${path} takes longer than ${timeoutMs} ms`));
      socket.destroy();
    });
    const settle = (): void => {
      cancel();
      socket.destroy();
      try {
        resolve(spoken(answer.line(), path));
      } catch (error) {
        reject(error);
      }
    };
    socket.on('data', (chunk) => {
      answer.add(chunk);
      if (answer.complete) settle();
    });
    socket.on('end', settle);
    socket.on('error', (error) => {
      cancel();
      reject(error);
    });
  });
}

function spoken(line: string, path: string): string | undefined {
  const [, word, reason = ''] = /^(free|busy)(?:[ \t]+(.*))?$/.exec(line.trimEnd()) ?? [];
  if (word === undefined) throw new Error(`${path} answers neither "free" nor "busy"`);
  return word === 'free' ? undefined : reasonOf(reason);
}

/** What another program says, as it may be shown in a log and on a terminal. */
function reasonOf(line: string): string {
  return line
    .replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]+/gu, ' ')
    .trim()
    .slice(0, MAX_REASON);
}

/** The first line of a stream. */
class Answer {
  #bytes = Buffer.alloc(0);

  add(chunk: Buffer): void {
    if (this.complete) return;
    this.#bytes = Buffer.concat([this.#bytes, chunk.subarray(0, MAX_ANSWER - this.#bytes.length)]);
  }

  get complete(): boolean {
    return this.#bytes.length >= MAX_ANSWER || this.#bytes.includes(0x0a);
  }

  line(): string {
    return this.#bytes.toString('utf8').split('\n', 1)[0] ?? '';
  }
}
