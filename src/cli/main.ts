import { setTimeout as delay } from 'node:timers/promises';
import { Interrupted, type Io, type Output } from './io.ts';
import { run } from './run.ts';

/** The process's edge: streams and signals in, exit code out. */
const interrupt = new AbortController();
const stdoutClosed = new AbortController();

for (const name of ['SIGINT', 'SIGTERM'] as const) {
  process.on(name, () => {
    const reason = new Interrupted(name);
    // The second signal does not wait for what the first one asked to finish.
    if (interrupt.signal.aborted) process.exit(reason.exitCode);
    interrupt.abort(reason);
  });
}

function outputOf(stream: NodeJS.WriteStream, onClosed: () => void): Output {
  let closed = false;
  stream.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code !== 'EPIPE') throw error;
    closed = true;
    onClosed();
  });
  return {
    write: (text) => {
      if (!closed) stream.write(text);
    },
    isTTY: stream.isTTY === true,
    get columns() {
      return stream.isTTY ? stream.columns : undefined;
    },
  };
}

async function sleep(ms: number, signal: AbortSignal): Promise<void> {
  try {
    await delay(ms, undefined, { signal });
  } catch (error) {
    signal.throwIfAborted();
    throw error;
  }
}

const io: Io = {
  stdin: process.stdin,
  stdout: outputOf(process.stdout, () => stdoutClosed.abort()),
  stderr: outputOf(process.stderr, () => undefined),
  env: process.env,
  cwd: process.cwd(),
  signal: interrupt.signal,
  stdoutClosed: stdoutClosed.signal,
  now: () => Date.now(),
  sleep,
};

process.exitCode = await run(process.argv.slice(2), io);
