import { setImmediate, setTimeout } from 'node:timers/promises';
import { Interrupted, type Io, type Output } from '../../../src/cli/io.ts';
import { run } from '../../../src/cli/run.ts';

export interface RunOptions {
  readonly env?: Readonly<Record<string, string>>;
  readonly cwd?: string;
  readonly stdin?: string;
  /** A terminal of that many columns; absent: pipes. */
  readonly columns?: number;
  readonly nowMs?: number;
  /** Time passes by itself: for whoever talks to an agent that lives in it. */
  readonly realTime?: true;
  readonly signal?: AbortSignal;
  readonly stdoutClosed?: AbortSignal;
  /** Called at each write to stdout, with all of it so far. */
  readonly onStdout?: (text: string) => void;
}

export interface Outcome {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** What time it is in tests. */
export const NOW_MS = Date.parse('2026-03-01T12:00:00Z');

export const neverInterrupted = new AbortController().signal;

/** Runs a command line in this process, on streams of its own. UTF-8 unless `env` says otherwise. */
export async function omni(argv: readonly string[], options: RunOptions = {}): Promise<Outcome> {
  const stdout: string[] = [];
  const stderr: string[] = [];
  const output = (chunks: string[], onText?: (text: string) => void): Output => ({
    write: (text) => {
      chunks.push(text);
      onText?.(chunks.join(''));
    },
    isTTY: options.columns !== undefined,
    columns: options.columns,
  });
  let sleptMs = 0;
  const io: Io = {
    stdin: (async function* () {
      yield Buffer.from(options.stdin ?? '');
    })(),
    stdout: output(stdout, options.onStdout),
    stderr: output(stderr),
    env: { LANG: 'C.UTF-8', ...options.env },
    cwd: options.cwd ?? process.cwd(),
    signal: options.signal ?? neverInterrupted,
    stdoutClosed: options.stdoutClosed ?? neverInterrupted,
    now: () => (options.realTime ? Date.now() : (options.nowMs ?? NOW_MS) + sleptMs),
    // As long as it takes for whoever else is at work to get on; the clock says what was asked for.
    sleep: async (ms, signal) => {
      if (options.realTime) return setTimeout(ms, undefined, { signal });
      await setImmediate();
      signal.throwIfAborted();
      sleptMs += ms;
    },
  };
  const code = await run(argv, io);
  return { code, stdout: stdout.join(''), stderr: stderr.join('') };
}

export function interruption(): { readonly signal: AbortSignal; press(): void } {
  const controller = new AbortController();
  return { signal: controller.signal, press: () => controller.abort(new Interrupted('SIGINT')) };
}
