import { Command } from 'commander';
import { ExitCode } from '../../errors.ts';
import { type AgentOptions, addAgentFlags, connect } from '../agent.ts';
import { outputFlag } from '../options.ts';
import type { OutputFormat } from '../output.ts';
import { type Cli, handleVerb } from '../verb.ts';
import { nextWords } from '../views/rollout.ts';

interface ReleaseOptions extends AgentOptions {
  readonly output: Extract<OutputFormat, 'table' | 'json' | 'yaml'>;
}

export function releaseCommand(cli: Cli): Command {
  const command = new Command('release')
    .summary('End a hold')
    .description('Ends the hold of `omni hold`: newer revisions are adopted again.')
    .addOption(outputFlag(['table', 'json', 'yaml']));
  addAgentFlags(command, '10s');
  return handleVerb<ReleaseOptions>(cli, command, async ({ io, options, out, progress }) => {
    const client = connect({ io, options });
    const before = await client.rollout();
    const rollout = await client.release();
    if (options.output !== 'table') out.document(options.output, 'Rollout', rollout);
    else out.write(before.hold === undefined ? 'node unchanged: it was not held\n' : 'node released\n');
    const next = nextWords(rollout);
    if (next !== undefined) progress.info(next);
    return ExitCode.ok;
  });
}
