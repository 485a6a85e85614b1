import { Command } from 'commander';
import { ExitCode } from '../../errors.ts';
import { type AgentOptions, addAgentFlags, connect } from '../agent.ts';
import { outputFlag } from '../options.ts';
import type { OutputFormat } from '../output.ts';
import { type Cli, handleVerb } from '../verb.ts';
import { historyItems, historyTable } from '../views/history.ts';

interface HistoryOptions extends AgentOptions {
  readonly output: OutputFormat;
}

export function historyCommand(cli: Cli): Command {
  const command = new Command('history')
    .summary('Show what became of revisions')
    .description(
      'Lists the revisions that this node tried, newest first: what became of each, which is in force, which is the last known good, which are quarantined.',
    )
    .addOption(outputFlag(['table', 'wide', 'json', 'yaml', 'name']));
  addAgentFlags(command, '10s');
  return handleVerb<HistoryOptions>(cli, command, async ({ io, options, out, progress }) => {
    const items = historyItems(await connect({ io, options }).status());
    const { output } = options;
    if (output === 'json' || output === 'yaml') out.document(output, 'HistoryList', { items });
    else if (output === 'name')
      for (const id of new Set(items.map(({ revision }) => revision.id))) out.write(`${id}\n`);
    else if (items.length === 0) progress.info('no history: no revision was tried on this node yet');
    else {
      const { columns, rows } = historyTable(items, io.now());
      out.table(columns, rows, output);
    }
    return ExitCode.ok;
  });
}
