import { Command } from 'commander';
import { ExitCode } from '../../errors.ts';
import { type AgentOptions, addAgentFlags, connect } from '../agent.ts';
import { shortRevision } from '../format.ts';
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
}

export function applyCommand(cli: Cli): Command {
  const command = new Command('apply')
    .summary('Hand manifests to the local agent')
    .description('Hands a set of manifests, the whole fleet, to the local agent and waits until it is in force.');
  addManifestFlags(command)
    .addOption(
      new Flag('--dry-run <where>', 'none|client|node: only validate here, or ask the node what it would do', {
        default: 'none',
        choices: ['none', 'client', 'node', 'server'],
      }),
    )
    .addOption(outputFlag(['table', 'json', 'yaml', 'name']));
  addAgentFlags(command, '5m');
  return handleVerb<ApplyOptions>(cli, command, apply);
}

async function apply(invocation: Invocation<ApplyOptions>): Promise<number> {
  const { io, options, out, progress } = invocation;
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
  progress.step(dryRun ? 'asking the agent what it would do' : 'applying, and waiting until it is in force');
  const set = await fileSetOf(files);
  const report = await connect({ io, options }).apply({ set, dryRun, timeoutMs: options.timeout });
  progress.clear();
  if (output === 'json' || output === 'yaml') out.document(output, 'ApplyReport', report);
  else if (output === 'name') for (const { object } of report.objects) out.write(`${object}\n`);
  else {
    writeObjectLines(out, report.objects, dryRun ? ' (node dry run)' : '');
    out.write(`${tally(report.objects)}; ${operationTally(report.changes)}\n`);
  }
  if (dryRun) return ExitCode.ok;
  const revision = shortRevision(report.revision.label);
  if (report.ready) progress.done(`ready at ${revision}`);
  else progress.warn(`not ready at ${revision}: see 'omni status'`);
  return report.ready ? ExitCode.ok : ExitCode.failed;
}
