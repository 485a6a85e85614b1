import { Command } from 'commander';
import { type AdoptionOptions, adopt } from '../adoption.ts';
import { addAgentFlags } from '../agent.ts';
import { Flag, Operand, outputFlag } from '../options.ts';
import { revisionId } from '../rollout.ts';
import { type Cli, handleVerb } from '../verb.ts';

interface ConfirmOptions extends AdoptionOptions {
  readonly allowPartition: boolean;
}

export function confirmCommand(cli: Cli): Command {
  const command = new Command('confirm')
    .summary('Accept what a guard refuses, or end a trial well')
    .description(
      'Accepts, for one revision, what the guard against mass deletion refuses (with --allow-partition, also what would cut this node off), or ends its trial as passed. Waits for the verdict.',
    )
    .addArgument(new Operand('[revision]', 'an id, its beginning, or a label; default: the newest', 'revisions'))
    .addOption(new Flag('--allow-partition', 'also if this node loses every path to its peers', { default: false }))
    .addOption(outputFlag(['table', 'wide', 'json', 'yaml', 'name']));
  addAgentFlags(command, '5m');
  return handleVerb<ConfirmOptions>(cli, command, (invocation) => {
    const { allowPartition, timeout: timeoutMs } = invocation.options;
    const [revision] = invocation.args;
    return adopt(invocation, {
      kind: 'ConfirmReport',
      starting: `confirming ${revision ?? 'the newest revision'}`,
      follow: revision === undefined,
      ask: async (client) => {
        const named = revision === undefined ? {} : { revision: await revisionId(client, revision) };
        return client.confirm({ ...named, allowPartition, timeoutMs });
      },
    });
  });
}
