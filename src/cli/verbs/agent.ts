import { resolve } from 'node:path';
import { Command } from 'commander';
import { ExitCode } from '../../errors.ts';
import type { AgentOptions } from '../agent-config.ts';
import { addIdentityFlags, durationFlag, Flag, socketFlag } from '../options.ts';
import { type Cli, handleVerb } from '../verb.ts';

export function agentCommand(cli: Cli): Command {
  const command = new Command('agent')
    .summary('Run the node')
    .description(
      'Runs the node: follows the source and keeps the data path as it says, until SIGTERM. Traffic goes on when it ends.',
    )
    .addOption(
      new Flag('--config <file>', 'AgentConfig, which flags and variables beat', {
        default: '/etc/omni/agent.yaml',
        completes: 'path',
      }),
    )
    .addOption(
      new Flag(
        '--source <source>',
        'git URL or folder to follow; several URLs are tried in turn; without, `omni apply` hands manifests over',
        { repeatable: true },
      ),
    )
    .addOption(
      new Flag('--insecure-source', 'follow http and git URLs without signatures: whoever is on the path decides', {
        default: false,
      }),
    )
    .addOption(new Flag('--ref <ref>', 'branch or tag to follow', { default: 'main' }))
    .addOption(new Flag('--path <folder>', 'folder of the manifests below the source', { default: '' }))
    .addOption(durationFlag('--interval <duration>', 'how often to ask the source', '30s'))
    .addOption(
      new Flag('--prune-limit <limit>', 'what a revision may take away unasked, as in 20% or 12; default: 20%'),
    )
    .addOption(
      new Flag('--underlay <interfaces>', 'comma-separated; default: those with a default route or a route to a peer'),
    );
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
      new Flag('--xdp-mode <mode>', 'kind of XDP; auto is native where an interface can', {
        default: 'auto',
        choices: ['auto', 'native', 'generic'],
      }),
    )
    .addOption(
      new Flag(
        '--receive-cpus <cpus>',
        'CPUs that share the work while one is busy: auto is all that the agent may run on; none; or a list, as in 2-3,6',
        { default: 'auto' },
      ),
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
  return handleVerb<AgentOptions>(cli, command, async ({ io, options: { config } }) => {
    const named = command.getOptionValueSource('config') !== 'default';
    // Loaded when called: other verbs, and shells that complete words, are not to wait for a whole agent.
    const { readConfigFile } = await import('../config-file.ts');
    const { agentConfig } = await import('../agent-config.ts');
    const settings = await readConfigFile(resolve(io.cwd, config), named);
    const { runAgent } = await import('../../agent/agent.ts');
    await untilSignal(runAgent(agentConfig(command, settings, io), io.signal), io.signal);
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
