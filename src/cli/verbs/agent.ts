import { join, resolve } from 'node:path';
import { Command } from 'commander';
import type { AgentConfig, SourceConfig } from '../../agent/config.ts';
import { ExitCode } from '../../errors.ts';
import { parseSourceUrl } from '../../source/url.ts';
import { applyConfigFile } from '../config-file.ts';
import type { Io } from '../io.ts';
import { addIdentityFlags, durationFlag, Flag, type IdentityOptions, identityPath, socketFlag } from '../options.ts';
import { cliVersion, installationRoot } from '../package.ts';
import { type Cli, handleVerb } from '../verb.ts';

interface AgentVerbOptions extends IdentityOptions {
  readonly config: string;
  readonly source?: string;
  readonly ref: string;
  readonly path: string;
  readonly interval: number;
  readonly underlay?: string;
  readonly pskFile?: string;
  readonly socket: string;
  readonly bpffs: string;
  readonly metrics?: string;
  readonly engine: AgentConfig['engine'];
  readonly xdpMode: NonNullable<AgentConfig['xdpMode']>;
  readonly logFormat: AgentConfig['logFormat'];
  readonly logLevel: NonNullable<AgentConfig['logLevel']>;
  readonly teardown: boolean;
}

export function agentCommand(cli: Cli): Command {
  const command = new Command('agent')
    .summary('Run the node')
    .description(
      'Runs the node: follows the source and keeps the data path as it says, until SIGTERM. Traffic goes on when it ends.',
    )
    .addOption(
      new Flag('--config <file>', 'YAML of these flags, without dashes', {
        default: '/etc/omni/agent.yaml',
        completes: 'path',
      }),
    )
    .addOption(new Flag('--source <source>', 'git URL or folder to follow; without, `omni apply` hands manifests over'))
    .addOption(new Flag('--ref <ref>', 'branch or tag to follow', { default: 'main' }))
    .addOption(new Flag('--path <folder>', 'folder of the manifests below the source', { default: '' }))
    .addOption(durationFlag('--interval <duration>', 'how often to ask the source', '30s'))
    .addOption(new Flag('--underlay <interfaces>', 'comma-separated; default: those with a default route'));
  addIdentityFlags(command)
    .addOption(new Flag('--psk-file <file>', "the cluster's pre-shared key, mode 0600", { completes: 'path' }))
    .addOption(socketFlag())
    .addOption(
      new Flag('--bpffs <dir>', 'where maps and programs are pinned', {
        default: '/sys/fs/bpf',
        completes: 'directory',
      }),
    )
    .addOption(new Flag('--metrics <address>', 'serve metrics over TCP too, as in 127.0.0.1:9586'))
    .addOption(
      new Flag('--engine <engine>', 'what carries packets', { default: 'kernel', choices: ['kernel', 'memory'] }),
    )
    .addOption(
      new Flag('--xdp-mode <mode>', 'kind of XDP; auto is native where every interface can', {
        default: 'auto',
        choices: ['auto', 'native', 'generic'],
      }),
    )
    .addOption(
      new Flag('--log-format <format>', 'form of the log on stderr', { default: 'text', choices: ['text', 'json'] }),
    )
    .addOption(
      new Flag('--log-level <level>', 'what is logged', {
        default: 'info',
        choices: ['debug', 'info', 'warn', 'error'],
      }),
    )
    .addOption(new Flag('--teardown', 'remove everything of ours from this node, and end', { default: false }));
  return handleVerb<AgentVerbOptions>(cli, command, async ({ io, options: { config } }) => {
    const named = command.getOptionValueSource('config') !== 'default';
    await applyConfigFile(command, resolve(io.cwd, config), named);
    // Loaded when called: other verbs, and shells that complete words, are not to wait for a whole agent.
    const { runAgent } = await import('../../agent/agent.ts');
    await untilSignal(runAgent(agentConfig(command.opts<AgentVerbOptions>(), io), io.signal), io.signal);
    return ExitCode.ok;
  });
}

/** Being told to end is how an agent ends, wherever it was when it was told. */
async function untilSignal(life: Promise<void>, signal: AbortSignal): Promise<void> {
  try {
    await life;
  } catch (error) {
    const told = error === signal.reason || (error instanceof Error && error.name === 'AbortError');
    if (!signal.aborted || !told) throw error;
  }
}

function agentConfig(options: AgentVerbOptions, io: Io): AgentConfig {
  const absolute = (path: string): string => resolve(io.cwd, path);
  const { source, underlay, pskFile, metrics } = options;
  return {
    ref: options.ref,
    path: options.path,
    intervalMs: options.interval,
    stateDir: absolute(options.stateDir),
    socket: absolute(options.socket),
    bpffs: absolute(options.bpffs),
    identity: absolute(identityPath(options)),
    engine: options.engine,
    xdpMode: options.xdpMode,
    objects: join(installationRoot(), 'build', 'bpf'),
    logFormat: options.logFormat,
    logLevel: options.logLevel,
    teardown: options.teardown,
    version: cliVersion(),
    writeLog: (line) => io.stderr.write(line),
    ...(source === undefined ? {} : { source: sourceOf(source, absolute) }),
    ...(underlay === undefined ? {} : { underlay: underlay.split(',').map((name) => name.trim()) }),
    ...(pskFile === undefined ? {} : { pskFile: absolute(pskFile) }),
    ...(metrics === undefined ? {} : { metrics }),
  };
}

function sourceOf(source: string, absolute: (path: string) => string): SourceConfig {
  const parsed = parseSourceUrl(source);
  if (parsed.kind === 'directory') return { kind: 'directory', path: absolute(parsed.path) };
  return { kind: 'git', remotes: [{ url: parsed.url }] };
}
