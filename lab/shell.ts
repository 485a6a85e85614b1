import { type ChildProcess, type SpawnOptions, spawn } from 'node:child_process';

/** What a finished command left. */
export interface CommandResult {
  readonly status: number;
  readonly stdout: string;
  readonly stderr: string;
}

export interface RunOptions {
  readonly cwd?: string;
  readonly env?: Readonly<Record<string, string>>;
  readonly input?: string;
  /** Milliseconds; the process is killed after it. */
  readonly timeoutMs?: number;
}

/** Runs a command to its end and returns what it printed, whatever its status. No shell. */
export function run(argv: readonly string[], options: RunOptions = {}): Promise<CommandResult> {
  const [command, ...rest] = argv;
  if (command === undefined) throw new TypeError('run: no command');
  return new Promise((resolve, reject) => {
    const child = spawn(command, rest, {
      cwd: options.cwd,
      env: { ...process.env, ...options.env },
      stdio: ['pipe', 'pipe', 'pipe'],
      timeout: options.timeoutMs ?? 60_000,
      killSignal: 'SIGKILL',
    });
    const out: Buffer[] = [];
    const err: Buffer[] = [];
    child.stdout.on('data', (chunk: Buffer) => out.push(chunk));
    child.stderr.on('data', (chunk: Buffer) => err.push(chunk));
    // A child that exits without reading its input is judged by its status, not by the pipe.
    child.stdin.on('error', () => undefined);
    child.stdin.end(options.input ?? '');
    child.on('error', reject);
    child.on('close', (code, signal) => {
      resolve({
        status: code ?? (signal === null ? 1 : 128),
        stdout: Buffer.concat(out).toString(),
        stderr: Buffer.concat(err).toString(),
      });
    });
  });
}

/** Like `run`, but a status other than 0 is an error that shows the command and what it said. */
export async function must(argv: readonly string[], options: RunOptions = {}): Promise<string> {
  const result = await run(argv, options);
  if (result.status !== 0) {
    throw new Error(`${argv.join(' ')} exited ${result.status}:\n${result.stderr || result.stdout}`);
  }
  return result.stdout;
}

/** A process that runs beside us: its output so far, and a way to end it. */
export class Background {
  readonly child: ChildProcess;
  private output = '';
  private readonly closed: Promise<number>;

  constructor(argv: readonly string[], options: SpawnOptions = {}) {
    const [command, ...rest] = argv;
    if (command === undefined) throw new TypeError('Background: no command');
    this.child = spawn(command, rest, { ...options, stdio: ['ignore', 'pipe', 'pipe'] });
    const collect = (chunk: Buffer) => {
      this.output = (this.output + chunk.toString()).slice(-1_000_000);
    };
    this.child.stdout?.on('data', collect);
    this.child.stderr?.on('data', collect);
    this.closed = new Promise((resolve) => {
      this.child.on('error', (error) => {
        this.output += `\n${error.message}`;
        resolve(127);
      });
      this.child.on('close', (code) => resolve(code ?? 128));
    });
  }

  get pid(): number {
    return this.child.pid ?? -1;
  }
  get text(): string {
    return this.output;
  }
  get running(): boolean {
    return this.child.exitCode === null && this.child.signalCode === null;
  }

  /** Resolves with the exit status. */
  wait(): Promise<number> {
    return this.closed;
  }

  /** Sends the signal and waits for the end; SIGKILL after `graceMs`. */
  async stop(signal: NodeJS.Signals = 'SIGTERM', graceMs = 5_000): Promise<number> {
    if (this.running) this.child.kill(signal);
    const timer = setTimeout(() => {
      this.child.kill('SIGKILL');
      // A process of its own that outlives it may hold the other ends, and would keep us waiting.
      this.child.stdout?.destroy();
      this.child.stderr?.destroy();
    }, graceMs);
    try {
      return await this.closed;
    } finally {
      clearTimeout(timer);
    }
  }
}

export const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

/** Polls `condition` until it holds; throws with `what` (and the last reason) after `timeoutMs`. */
export async function until<T>(
  what: string,
  condition: () => Promise<T | undefined | false> | T | undefined | false,
  timeoutMs = 10_000,
  everyMs = 20,
): Promise<T> {
  const deadline = performance.now() + timeoutMs;
  for (;;) {
    const value = await condition();
    if (value !== undefined && value !== false) return value;
    if (performance.now() > deadline) throw new Error(`timed out after ${timeoutMs} ms: ${what}`);
    await sleep(everyMs);
  }
}
