import { Command } from 'commander';
import { ExitCode } from '../../errors.ts';
import { type AgentOptions, addAgentFlags, connect } from '../agent.ts';
import { Flag, outputFlag } from '../options.ts';
import type { OutputFormat } from '../output.ts';
import { type Cli, handleVerb } from '../verb.ts';

interface SuspendOptions extends AgentOptions {
  readonly reason: string;
  readonly output: Extract<OutputFormat, 'table' | 'json' | 'yaml'>;
}

export function suspendCommand(cli: Cli): Command {
  const command = new Command('suspend')
    .summary('Stop fetching and healing')
    .description(
      'This node neither fetches nor adopts nor heals anything until `omni resume`: whoever works on it by hand is left alone. Traffic goes on.',
    )
    .addOption(new Flag('--reason <text>', 'why, for whoever meets it', { default: 'suspended by hand' }))
    .addOption(outputFlag(['table', 'json', 'yaml']));
  addAgentFlags(command, '10s');
  return handleVerb<SuspendOptions>(cli, command, async ({ io, options: { reason, output, ...options }, out }) => {
    const rollout = await connect({ io, options }).suspend({ reason });
    if (output !== 'table') out.document(output, 'Rollout', rollout);
    else out.write('node suspended\n');
    return ExitCode.ok;
  });
}
