import { Command } from 'commander';
import { ExitCode } from '../../errors.ts';
import { awaitReport, settle } from '../adoption.ts';
import { type AgentOptions, addAgentFlags, connect } from '../agent.ts';
import { fileSetOf, readManifests } from '../manifests.ts';
import { addManifestFlags, Flag, type ManifestOptions, outputFlag } from '../options.ts';
import type { OutputFormat } from '../output.ts';
import { plural } from '../text.ts';
import { type Cli, handleVerb, type Invocation } from '../verb.ts';
import { operationTally, tally, writeObjectLines } from '../views/apply.ts';
import { objectRefs } from '../views/fleet.ts';

interface ApplyOptions extends AgentOptions, ManifestOptions {
  readonly output: Extract<OutputFormat, 'table' | 'json' | 'yaml' | 'name'>;
  readonly dryRun: 'none' | 'client' | 'node' | 'server';
  readonly allowPartition: boolean;
  readonly allowPrune: boolean;
}

export function applyCommand(cli: Cli): Command {
  const command = new Command('apply')
    .summary('Hand manifests to the local agent')
    .description(
      'Hands a set of manifests, the whole fleet, to the local agent and waits for the verdict on it. Exits 0 only if the node is Ready, 5 if the set was rolled back.',
    );
  addManifestFlags(command)
    .addOption(
      new Flag('--dry-run <where>', 'none|client|node: only validate here, or ask the node what it would do', {
        default: 'none',
        choices: ['none', 'client', 'node', 'server'],
      }),
    )
    .addOption(new Flag('--allow-partition', 'even if this node loses every path to its peers', { default: false }))
    .addOption(new Flag('--allow-prune', 'even if it removes a great part of the fleet', { default: false }))
    .addOption(outputFlag(['table', 'json', 'yaml', 'name']));
  addAgentFlags(command, '5m');
  return handleVerb<ApplyOptions>(cli, command, apply);
}

async function apply(invocation: Invocation<ApplyOptions>): Promise<number> {
  const { io, options, out } = invocation;
  const { files, fleet } = await readManifests(invocation);
  const { output } = options;
  if (options.dryRun === 'client') {
    const refs = objectRefs(fleet);
    if (output === 'json' || output === 'yaml') {
      out.document(output, 'ApplyReport', {
        dryRun: 'client',
        objects: refs.map((object) => ({ object, verb: 'valid' })),
      });
    } else {
      for (const ref of refs) out.write(output === 'name' ? `${ref}\n` : `${ref} valid (client dry run)\n`);
      if (output === 'table') out.write(`${plural(refs.length, 'object')} valid, nothing sent\n`);
    }
    return ExitCode.ok;
  }
  const dryRun = options.dryRun !== 'none';
  const set = await fileSetOf(files);
  const { allowPartition, allowPrune, timeout: timeoutMs } = options;
  const client = connect({ io, options });
  const sinceMs = io.now();
  const starting = dryRun ? 'asking the agent what it would do' : 'applying, and waiting for the verdict';
  const report = await awaitReport(invocation, starting, () =>
    client.apply({ set, dryRun, timeoutMs, allowPartition, allowPrune }),
  );
  if (output === 'json' || output === 'yaml') out.document(output, 'ApplyReport', report);
  else if (output === 'name') for (const { object } of report.objects) out.write(`${object}\n`);
  else {
    writeObjectLines(out, report.objects, dryRun ? ' (node dry run)' : '');
    out.write(`${tally(report.objects)}; ${operationTally(report.changes)}\n`);
  }
  return dryRun ? ExitCode.ok : settle(invocation, report, { client, follow: false, sinceMs });
}
