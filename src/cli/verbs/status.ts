import { Command } from 'commander';
import { ExitCode } from '../../errors.ts';
import { type AgentOptions, addAgentFlags, connect } from '../agent.ts';
import { outputFlag } from '../options.ts';
import type { OutputFormat } from '../output.ts';
import { type Cli, handleVerb } from '../verb.ts';
import { renderStatus } from '../views/status.ts';

interface StatusOptions extends AgentOptions {
  readonly output: Exclude<OutputFormat, 'name'>;
}

export function statusCommand(cli: Cli): Command {
  const command = new Command('status')
    .summary("Show this node's state")
    .description(
      'Says how this node is: source, revision, conditions, sessions, interfaces, drops. Exits 0 if it is Ready, 1 if not.',
    )
    .addOption(outputFlag(['table', 'json', 'yaml']));
  addAgentFlags(command, '10s');
  return handleVerb<StatusOptions>(cli, command, async ({ io, options, out }) => {
    const status = await connect({ io, options }).status();
    if (options.output === 'json' || options.output === 'yaml') out.document(options.output, 'Status', status);
    else out.write(renderStatus(status, { nowMs: io.now(), style: out.style, width: out.width }));
    const ready = status.conditions.find(({ type }) => type === 'Ready')?.status === 'True';
    return ready ? ExitCode.ok : ExitCode.failed;
  });
}
