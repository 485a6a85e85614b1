import { Command } from 'commander';
import { ExitCode } from '../../errors.ts';
import { type AgentOptions, addAgentFlags, connect } from '../agent.ts';
import { outputFlag } from '../options.ts';
import type { OutputFormat } from '../output.ts';
import { type Cli, handleVerb } from '../verb.ts';
import { nextWords } from '../views/rollout.ts';

interface ResumeOptions extends AgentOptions {
  readonly output: Extract<OutputFormat, 'table' | 'json' | 'yaml'>;
}

export function resumeCommand(cli: Cli): Command {
  const command = new Command('resume')
    .summary('End a suspension')
    .description('Ends what `omni suspend` began: this node fetches, adopts and heals again.')
    .addOption(outputFlag(['table', 'json', 'yaml']));
  addAgentFlags(command, '10s');
  return handleVerb<ResumeOptions>(cli, command, async ({ io, options, out, progress }) => {
    const client = connect({ io, options });
    const before = await client.rollout();
    const rollout = await client.resume();
    if (options.output !== 'table') out.document(options.output, 'Rollout', rollout);
    else out.write(before.suspension === undefined ? 'node unchanged: it was not suspended\n' : 'node resumed\n');
    const next = nextWords(rollout);
    if (next !== undefined) progress.info(next);
    return ExitCode.ok;
  });
}
