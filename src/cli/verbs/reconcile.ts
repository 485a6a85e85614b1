import { Command } from 'commander';
import { ExitCode } from '../../errors.ts';
import { type AgentOptions, addAgentFlags, connect, peerNames } from '../agent.ts';
import { shortRevision } from '../format.ts';
import { outputFlag } from '../options.ts';
import type { OutputFormat } from '../output.ts';
import { type Cli, handleVerb, type Invocation } from '../verb.ts';
import { operationTally, tally, writeObjectLines } from '../views/apply.ts';
import { changeLines } from '../views/changes.ts';

interface ReconcileOptions extends AgentOptions {
  readonly output: Extract<OutputFormat, 'table' | 'wide' | 'json' | 'yaml' | 'name'>;
}

export function reconcileCommand(cli: Cli): Command {
  const command = new Command('reconcile')
    .summary('Fetch and reconcile now, and wait')
    .description('Fetches from the source now, makes one whole pass, waits for it and prints what it changed.')
    .addOption(outputFlag(['table', 'wide', 'json', 'yaml', 'name']));
  addAgentFlags(command, '5m');
  return handleVerb<ReconcileOptions>(cli, command, reconcile);
}

async function reconcile({ io, options, out, progress }: Invocation<ReconcileOptions>): Promise<number> {
  const client = connect({ io, options });
  progress.step('fetching and reconciling');
  const report = await client.reconcile();
  progress.clear();
  const { output } = options;
  const touched = report.objects.filter(({ verb }) => verb !== 'unchanged');
  if (output === 'json' || output === 'yaml') out.document(output, 'ReconcileReport', report);
  else if (output === 'name') for (const { object } of touched) out.write(`${object}\n`);
  else {
    writeObjectLines(out, output === 'wide' ? report.objects : touched, '');
    if (report.changes.length > 0) {
      const layout = { style: out.style, width: out.width, indent: '  ' };
      const lines = changeLines(report.changes, peerNames(await client.objects()), layout);
      out.write(`${lines.join('\n')}\n`);
    }
    out.write(`${tally(report.objects)}; ${operationTally(report.changes)}\n`);
  }
  const revision = shortRevision(report.revision.label);
  if (report.ready) progress.done(`ready at ${revision}`);
  else progress.warn(`not ready at ${revision}: see 'omni status'`);
  return report.ready ? ExitCode.ok : ExitCode.failed;
}
