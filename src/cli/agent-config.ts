import { join, resolve } from 'node:path';
import type { Command } from 'commander';
import type { AgentConfig, SourceConfig } from '../agent/config.ts';
import type { AgentSettings } from '../agent/config-settings.ts';
import { parseReceiveCpus } from '../agent/receive-cpus.ts';
import { parsePruneLimit } from '../reconcile/guards.ts';
import { parseSourceUrl } from '../source/url.ts';
import { usageError } from './errors.ts';
import type { Io } from './io.ts';
import { type IdentityOptions, identityPath } from './options.ts';
import { cliVersion, installationRoot } from './package.ts';

/** The flags of `omni agent`. */
export interface AgentOptions extends IdentityOptions {
  readonly config: string;
  readonly source?: readonly string[];
  readonly insecureSource: boolean;
  readonly ref: string;
  readonly path: string;
  readonly interval: number;
  readonly pruneLimit?: string;
  readonly underlay?: string;
  readonly pskFile?: string;
  readonly socket: string;
  readonly bpffs: string;
  readonly metrics?: string;
  readonly xdpMode: NonNullable<AgentConfig['xdpMode']>;
  readonly receiveCpus: string;
  readonly logFormat: AgentConfig['logFormat'];
  readonly logLevel: NonNullable<AgentConfig['logLevel']>;
  readonly teardown: boolean;
}

/** A flag or its variable beats the file, which beats the flag's default. Paths of flags are relative to the caller. */
export function agentConfig(command: Command, settings: AgentSettings, io: Io): AgentConfig {
  const options = command.opts<AgentOptions>();
  const absolute = (path: string): string => resolve(io.cwd, path);
  const chosen = <K extends keyof AgentOptions>(flag: K, setting: AgentOptions[K] | undefined): AgentOptions[K] =>
    command.getOptionValueSource(flag) === 'default' ? (setting ?? options[flag]) : options[flag];
  const { pruneLimit, underlay, pskFile, metrics } = options;
  const source = sourceOf(options.source, settings.source, absolute);
  const stateDir = absolute(chosen('stateDir', settings.stateDir));
  const identity = options.identity ?? settings.identity;
  return {
    ...settings,
    ...(source === undefined ? {} : { source }),
    ...(pruneLimit === undefined ? {} : { pruneLimit: parsePruneLimit(pruneLimit) }),
    ...(underlay === undefined ? {} : { underlay: underlay.split(',').map((name) => name.trim()) }),
    ...(pskFile === undefined ? {} : { pskFile: absolute(pskFile) }),
    ...(metrics === undefined ? {} : { metrics }),
    insecureSource: chosen('insecureSource', settings.insecureSource),
    ref: chosen('ref', settings.ref),
    path: chosen('path', settings.path),
    intervalMs: chosen('interval', settings.intervalMs),
    stateDir,
    socket: absolute(chosen('socket', settings.socket)),
    bpffs: absolute(chosen('bpffs', settings.bpffs)),
    identity: absolute(identityPath({ stateDir, ...(identity === undefined ? {} : { identity }) })),
    xdpMode: chosen('xdpMode', settings.xdpMode),
    receiveCpus:
      command.getOptionValueSource('receiveCpus') === 'default'
        ? (settings.receiveCpus ?? 'auto')
        : parseReceiveCpus(options.receiveCpus),
    logFormat: chosen('logFormat', settings.logFormat),
    logLevel: chosen('logLevel', settings.logLevel),
    objects: join(installationRoot(), 'build', 'bpf'),
    sandbox: join(installationRoot(), 'build', 'omni-sandbox'),
    teardown: options.teardown,
    version: cliVersion(),
    writeLog: (line) => io.stderr.write(line),
  };
}

/** `--source` takes the place of what the file names; a remote that is in both keeps the file's credentials. */
function sourceOf(
  sources: readonly string[] | undefined,
  setting: SourceConfig | undefined,
  absolute: (path: string) => string,
): SourceConfig | undefined {
  if (sources === undefined) return setting;
  const parsed = sources.map(parseSourceUrl);
  const [first] = parsed;
  if (first?.kind === 'directory' && parsed.length === 1) return { kind: 'directory', path: absolute(first.path) };
  const known = setting?.kind === 'git' ? setting.remotes : [];
  const remotes = parsed.map((source) => {
    if (source.kind === 'git') return known.find(({ url }) => url === source.url) ?? { url: source.url };
    throw usageError('--source names a folder beside another source', 'Name one folder, or git URLs alone.');
  });
  return { kind: 'git', remotes };
}
