import { execFile } from 'node:child_process';
import { createSocket } from 'node:dgram';
import { access, constants, readdir, readFile, readlink, stat } from 'node:fs/promises';
import { release } from 'node:os';
import { basename, delimiter, dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { gunzipSync } from 'node:zlib';
import { connectAgent } from '../../agent/client.ts';
import type { AgentSettings } from '../../agent/config-settings.ts';
import { loadNative, type Native } from '../../dataplane/kernel/native.ts';
import { exposureOf } from '../../source/exposure.ts';
import { sandboxHidesFiles } from '../../source/sandbox.ts';
import { readConfigFile } from '../config-file.ts';
import { installationRoot } from '../package.ts';

/** Everything that doctor asks this machine; nothing of it changes anything. */
export interface Host {
  readonly nodeVersion: string;
  readonly kernelRelease: string;
  readonly isRoot: boolean;
  /** Throws an `OmniError` that says why not. */
  native(): Native;
  /** First line of what the command prints; undefined if there is no such command or it fails. */
  versionOf(command: string): Promise<string | undefined>;
  /** Whether a command of that name is on the path. */
  has(command: string): Promise<boolean>;
  /** Trimmed; undefined if it cannot be read. */
  text(path: string): Promise<string | undefined>;
  file(path: string): Promise<FileFacts>;
  /** Names in a folder; undefined: there is none. */
  names(path: string): Promise<readonly string[] | undefined>;
  /** Options that the running kernel was built with, `=y` or `=m`; undefined where neither it nor the disk tells. */
  kernelOptions(): Promise<ReadonlySet<string> | undefined>;
  /** Driver of a network interface; undefined for virtual ones. */
  driverOf(interfaceName: string): Promise<string | undefined>;
  /** The errno's name if UDP port `port` cannot be bound. */
  bindUdp(port: number): Promise<string | undefined>;
  /** An agent that answers on the socket. */
  agentAt(socket: string): Promise<AgentFacts | undefined>;
  /** As `readConfigFile` of a file that may be absent. */
  settings(path: string): Promise<AgentSettings>;
  /** As `exposureOf`; undefined for what is not there. */
  exposureOf(path: string): Promise<string | undefined>;
  /** As the function of that name, of this installation's sandbox. */
  sandboxHidesFiles(): Promise<boolean>;
}

export interface AgentFacts {
  readonly pid: number;
  /** What it says against its source. */
  readonly sourceWarnings: readonly string[];
}

export interface FileFacts {
  readonly exists: boolean;
  readonly isFolder: boolean;
  /** Permission bits. */
  readonly mode: number;
  readonly readable: boolean;
  readonly writable: boolean;
  /** Milliseconds since the epoch. */
  readonly modifiedMs: number;
  /** For what does not exist: whether it could be made. */
  readonly creatable: boolean;
}

const COMMAND_TIMEOUT_MS = 5_000;
const AGENT_TIMEOUT_MS = 2_000;

export function thisHost(): Host {
  return {
    nodeVersion: process.versions.node,
    kernelRelease: release(),
    isRoot: process.geteuid?.() === 0,
    native: loadNative,
    versionOf,
    has,
    text: (path) =>
      readFile(path, 'utf8').then(
        (text) => text.trim(),
        () => undefined,
      ),
    file: fileFacts,
    names: (path) => readdir(path).catch(() => undefined),
    kernelOptions,
    driverOf: (name) =>
      readlink(`/sys/class/net/${name}/device/driver`).then(
        (target) => basename(target),
        () => undefined,
      ),
    bindUdp,
    agentAt: async (socket) => {
      try {
        const { node, source } = await connectAgent({ socket, timeoutMs: AGENT_TIMEOUT_MS }).status();
        return { pid: node.pid, sourceWarnings: source.warnings ?? [] };
      } catch {
        // Whatever keeps it from answering: there is no agent that could hold the port for us.
        return undefined;
      }
    },
    settings: (path) => readConfigFile(path, false),
    exposureOf: (path) => exposureOf(path).catch(() => undefined),
    sandboxHidesFiles: () => sandboxHidesFiles(join(installationRoot(), 'build', 'omni-sandbox')),
  };
}

async function versionOf(command: string): Promise<string | undefined> {
  try {
    const { stdout } = await promisify(execFile)(command, ['--version'], { timeout: COMMAND_TIMEOUT_MS });
    return stdout.split('\n')[0];
  } catch {
    return undefined;
  }
}

async function has(command: string): Promise<boolean> {
  for (const folder of (process.env.PATH ?? '').split(delimiter)) {
    const found = await access(join(folder || '.', command), constants.X_OK).then(
      () => true,
      () => false,
    );
    if (found) return true;
  }
  return false;
}

async function kernelOptions(): Promise<ReadonlySet<string> | undefined> {
  for (const path of ['/proc/config.gz', `/boot/config-${release()}`, `/lib/modules/${release()}/config`]) {
    const bytes = await readFile(path).catch(() => undefined);
    if (bytes === undefined) continue;
    const text = (path.endsWith('.gz') ? gunzipSync(bytes) : bytes).toString();
    return new Set([...text.matchAll(/^(CONFIG_\w+)=[ym]$/gm)].map(([, option = '']) => option));
  }
  return undefined;
}

async function fileFacts(path: string): Promise<FileFacts> {
  const may = (mode: number): Promise<boolean> =>
    access(path, mode).then(
      () => true,
      () => false,
    );
  try {
    const facts = await stat(path);
    return {
      exists: true,
      isFolder: facts.isDirectory(),
      mode: facts.mode & 0o777,
      readable: await may(constants.R_OK),
      writable: await may(constants.W_OK),
      modifiedMs: facts.mtimeMs,
      creatable: false,
    };
  } catch {
    const parent = dirname(path);
    const above = parent === path ? undefined : await fileFacts(parent);
    const creatable = above !== undefined && (above.exists ? above.isFolder && above.writable : above.creatable);
    return { exists: false, isFolder: false, mode: 0, readable: false, writable: false, modifiedMs: 0, creatable };
  }
}

function bindUdp(port: number): Promise<string | undefined> {
  return new Promise((resolve) => {
    const socket = createSocket({ type: 'udp4' });
    socket.once('error', (error: NodeJS.ErrnoException) => {
      socket.close();
      resolve(error.code ?? error.message);
    });
    socket.bind({ port, exclusive: true }, () => socket.close(() => resolve(undefined)));
  });
}
