import { spawn } from 'node:child_process';
import { constants, type FileHandle, mkdir, open } from 'node:fs/promises';
import { join } from 'node:path';
import { ExitCode, OmniError } from '../errors.ts';

const FILE = 'agent.lock';
/** flock(1) waits for nobody; a file system whose server does not answer can still hold it up. */
const TIMEOUT_MS = 5_000;
/** Of flock(1), where somebody else has the lock. */
const HELD = 1;

/**
 * One agent per state folder: a lock on a file in it (flock(2)), which the kernel gives up however the agent ends, and
 * which holds across network namespaces and containers. The file stays: whoever removed it could take it from under
 * another one that has just opened it. Returns what releases it. Throws `state-dir-in-use`, `state-dir-unusable` or
 * `flock-missing`, exit 2.
 */
export async function lockStateDir(stateDir: string): Promise<() => Promise<void>> {
  try {
    await mkdir(stateDir, { recursive: true, mode: 0o700 });
    // O_NONBLOCK: opening a named pipe must not hang the agent.
    const flags = constants.O_RDWR | constants.O_CREAT | constants.O_NOFOLLOW | constants.O_NONBLOCK;
    const file = await open(join(stateDir, FILE), flags, 0o600);
    try {
      if (!(await flock(file))) throw inUse(stateDir);
    } catch (error) {
      await file.close();
      throw error;
    }
    return () => file.close();
  } catch (error) {
    if (error instanceof OmniError) throw error;
    throw new OmniError(`the state folder ${stateDir} cannot be used: ${messageOf(error)}`, {
      code: 'state-dir-unusable',
      class: 'stall',
      exitCode: ExitCode.usage,
      fix: 'Run as root, or name a writable folder with --state-dir.',
      cause: error,
    });
  }
}

/** False: somebody else has it. The lock belongs to the open file that the child shares with us, and outlives the child. */
function flock(file: FileHandle): Promise<boolean> {
  return new Promise((resolve, reject) => {
    const child = spawn('flock', ['-x', '-n', '3'], {
      stdio: ['ignore', 'ignore', 'ignore', file.fd],
      timeout: TIMEOUT_MS,
      killSignal: 'SIGKILL',
    });
    child.on('error', (error) => reject(isErrno(error, 'ENOENT') ? flockMissing() : error));
    child.on('exit', (status, signal) => {
      if (status === 0 || status === HELD) resolve(status === 0);
      else reject(new Error(`flock ended with ${signal ?? `status ${status}`}`));
    });
  });
}

function inUse(stateDir: string): OmniError {
  return new OmniError(`another agent uses the state folder ${stateDir}`, {
    code: 'state-dir-in-use',
    class: 'stall',
    exitCode: ExitCode.usage,
    fix: 'Stop it (systemctl stop omni), or give this one its own --state-dir, --socket and --bpffs.',
  });
}

function flockMissing(): OmniError {
  return new OmniError('there is no flock(1) on this node, without which two agents could use one state folder', {
    code: 'flock-missing',
    class: 'stall',
    exitCode: ExitCode.usage,
    fix: 'Install util-linux: apt-get install util-linux.',
  });
}

export function isErrno(error: unknown, code: string): boolean {
  return error instanceof Error && 'code' in error && error.code === code;
}

export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
