import { mkdir, stat, unlink } from 'node:fs/promises';
import { createServer, type Server } from 'node:net';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { ExitCode, OmniError } from '../errors.ts';
import { isListening, listenPrivately } from './unix-socket.ts';

const FILE = 'agent.lock';
/** Longer than another starter needs between seeing a dead lock and replacing it. */
const SETTLE_MS = 50;

/**
 * One agent per state folder: a listening Unix socket in it, which the kernel closes however the agent ends, and which
 * is seen across network namespaces. Returns what releases it. Throws `state-dir-in-use` or `state-dir-unusable`, exit 2.
 */
export async function lockStateDir(stateDir: string): Promise<() => Promise<void>> {
  const path = join(stateDir, FILE);
  try {
    await mkdir(stateDir, { recursive: true, mode: 0o700 });
    if (await isListening(path)) throw inUse(stateDir);
    const stale = await removeIfThere(path);
    const server = createServer((socket) => socket.destroy());
    await listenPrivately(server, path).catch((error: unknown) => {
      throw isErrno(error, 'EADDRINUSE') ? inUse(stateDir) : error;
    });
    const { ino } = await stat(path);
    if (stale) await sleep(SETTLE_MS);
    // Two that found the same dead lock: the second one to replace it has it.
    if ((await stat(path).catch(() => undefined))?.ino !== ino) {
      server.close();
      throw inUse(stateDir);
    }
    server.unref();
    return () => release(server);
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

function release(server: Server): Promise<void> {
  return new Promise((done) => server.close(() => done())); // unlinks the socket too
}

async function removeIfThere(path: string): Promise<boolean> {
  try {
    await unlink(path);
    return true;
  } catch (error) {
    if (isErrno(error, 'ENOENT')) return false;
    throw error;
  }
}

function inUse(stateDir: string): OmniError {
  return new OmniError(`another agent uses the state folder ${stateDir}`, {
    code: 'state-dir-in-use',
    class: 'stall',
    exitCode: ExitCode.usage,
    fix: 'Stop it (systemctl stop omni), or give this one its own --state-dir, --socket and --bpffs.',
  });
}

export function isErrno(error: unknown, code: string): boolean {
  return error instanceof Error && 'code' in error && error.code === code;
}

export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
