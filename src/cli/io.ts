/** A stream that text is written to. Writing to one that its reader has closed is a quiet no-op. */
export interface Output {
  write(text: string): void;
  readonly isTTY: boolean;
  /** Columns of the terminal; undefined where it is none. */
  readonly columns: number | undefined;
}

/** Everything of the process that a verb may touch; tests hand in their own. */
export interface Io {
  readonly stdin: AsyncIterable<Uint8Array | string>;
  /** The answer, and nothing but the answer. */
  readonly stdout: Output;
  /** Progress, warnings, errors. */
  readonly stderr: Output;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly cwd: string;
  /** Aborted by SIGINT and SIGTERM; the reason is an `Interrupted`. */
  readonly signal: AbortSignal;
  /** Aborted once the reader of stdout has gone (`| head`): whoever streams stops, whoever works finishes. */
  readonly stdoutClosed: AbortSignal;
  /** Milliseconds since the epoch. */
  now(): number;
  /** Resolves after that many milliseconds; rejects with the signal's reason once it is aborted. */
  sleep(ms: number, signal: AbortSignal): Promise<void>;
}

/** Why `Io.signal` was aborted. */
export class Interrupted extends Error {
  readonly signalName: 'SIGINT' | 'SIGTERM';
  /** 128 + the signal's number, as shells have it. */
  readonly exitCode: number;

  constructor(signalName: 'SIGINT' | 'SIGTERM') {
    super(signalName === 'SIGINT' ? 'interrupted' : 'terminated');
    this.name = 'Interrupted';
    this.signalName = signalName;
    this.exitCode = signalName === 'SIGINT' ? 130 : 143;
  }
}
