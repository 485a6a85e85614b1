import { Command } from 'commander';
import { type AdoptionOptions, adopt } from '../adoption.ts';
import { addAgentFlags } from '../agent.ts';
import { Flag, outputFlag } from '../options.ts';
import { revisionId } from '../rollout.ts';
import { type Cli, handleVerb } from '../verb.ts';

interface RollbackOptions extends AdoptionOptions {
  readonly to: string;
}

const LAST_KNOWN_GOOD = 'lkg';

export function rollbackCommand(cli: Cli): Command {
  const command = new Command('rollback')
    .summary('Go back to an earlier revision')
    .description(
      'Puts the good revision before the present one, or the one of --to, back in force, quarantines the one that was, and waits. A trial under way is ended. Asks nothing: `omni retry` undoes it. Keys that were revoked since stay out.',
    )
    .addOption(
      new Flag('--to <revision>', 'lkg, or an id, its beginning, or a label', {
        default: LAST_KNOWN_GOOD,
        completes: 'revisions',
      }),
    )
    .addOption(outputFlag(['table', 'wide', 'json', 'yaml', 'name']));
  addAgentFlags(command, '5m');
  return handleVerb<RollbackOptions>(cli, command, (invocation) => {
    const { to, timeout: timeoutMs } = invocation.options;
    const lkg = to === LAST_KNOWN_GOOD;
    return adopt(invocation, {
      kind: 'RollbackReport',
      starting: `rolling back to ${lkg ? 'the good revision before' : to}`,
      follow: false,
      takesBack: true,
      ask: async (client) => client.rollback({ to: lkg ? to : await revisionId(client, to), timeoutMs }),
    });
  });
}
