import { Command } from 'commander';
import { type AdoptionOptions, adopt } from '../adoption.ts';
import { addAgentFlags } from '../agent.ts';
import { Operand, outputFlag } from '../options.ts';
import { revisionId } from '../rollout.ts';
import { type Cli, handleVerb } from '../verb.ts';

export function retryCommand(cli: Cli): Command {
  const command = new Command('retry')
    .summary('Try a quarantined revision again')
    .description('Lifts the quarantine of a revision, tries it again as it is and waits for the verdict.')
    .addArgument(new Operand('[revision]', 'an id, its beginning, or a label; default: quarantined last', 'revisions'))
    .addOption(outputFlag(['table', 'wide', 'json', 'yaml', 'name']));
  addAgentFlags(command, '5m');
  return handleVerb<AdoptionOptions>(cli, command, (invocation) => {
    const { timeout: timeoutMs } = invocation.options;
    const [revision] = invocation.args;
    return adopt(invocation, {
      kind: 'RetryReport',
      starting: `trying ${revision ?? 'what was quarantined last'} again`,
      follow: revision === undefined,
      ask: async (client) => {
        const named = revision === undefined ? {} : { revision: await revisionId(client, revision) };
        return client.retry({ ...named, timeoutMs });
      },
    });
  });
}
