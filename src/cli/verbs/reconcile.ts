import { Command } from 'commander';
import { type AdoptionOptions, adopt } from '../adoption.ts';
import { addAgentFlags } from '../agent.ts';
import { Flag, outputFlag } from '../options.ts';
import { type Cli, handleVerb } from '../verb.ts';

interface ReconcileOptions extends AdoptionOptions {
  readonly acceptRewind: boolean;
}

export function reconcileCommand(cli: Cli): Command {
  const command = new Command('reconcile')
    .summary('Fetch and reconcile now, and wait')
    .description(
      'Fetches from the source now, makes one whole pass, waits for the verdict on what came and prints what it changed. Exits 0 only if the node is Ready, 5 if the revision was rolled back.',
    )
    .addOption(
      new Flag('--accept-rewind', 'follow history that no longer holds the newest accepted revision', {
        default: false,
      }),
    )
    .addOption(outputFlag(['table', 'wide', 'json', 'yaml', 'name']));
  addAgentFlags(command, '5m');
  return handleVerb<ReconcileOptions>(cli, command, (invocation) => {
    const { acceptRewind, timeout: timeoutMs } = invocation.options;
    return adopt(invocation, {
      kind: 'ReconcileReport',
      starting: 'fetching and reconciling',
      follow: true,
      ask: (client) => client.reconcile({ timeoutMs, ...(acceptRewind ? { acceptRewind } : {}) }),
    });
  });
}
