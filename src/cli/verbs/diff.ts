import { resolve } from 'node:path';
import { Command } from 'commander';
import { ExitCode } from '../../errors.ts';
import { type AgentOptions, addAgentFlags, connect, peerNames } from '../agent.ts';
import { usageError } from '../errors.ts';
import { shortRevision } from '../format.ts';
import { fileSetOf, readManifests } from '../manifests.ts';
import { addManifestFlags, Flag, type ManifestOptions, outputFlag, selectorFlag } from '../options.ts';
import type { OutputFormat } from '../output.ts';
import { compareRevisions } from '../revisions.ts';
import type { Selector } from '../selector.ts';
import { plural } from '../text.ts';
import { type Cli, handleVerb, type Invocation } from '../verb.ts';
import { comparisonComment } from '../views/comment.ts';
import { comparisonDocument, comparisonText } from '../views/comparison.ts';
import { planLines } from '../views/plan.ts';

interface DiffOptions extends AgentOptions, ManifestOptions {
  readonly output: Extract<OutputFormat, 'table' | 'wide' | 'json' | 'yaml' | 'markdown'>;
  readonly rev?: string;
  readonly repo: string;
  readonly path: string;
  readonly node?: string;
  readonly selector?: Selector;
}

export function diffCommand(cli: Cli): Command {
  const command = new Command('diff')
    .summary('Show what would change on the data path')
    .description(
      'Says what would change on the data path: this node against its source, against the manifests of -f, or, with --rev, one commit against another for every node. Writes nothing.',
    );
  addManifestFlags(command)
    .addOption(
      new Flag(
        '--rev <range>',
        'two commits of a local repository, as in main..HEAD, or one, against the files of the checkout; needs no agent, no root',
      ),
    )
    .addOption(new Flag('--repo <dir>', 'with --rev: the repository', { default: '.', completes: 'directory' }))
    .addOption(new Flag('--path <folder>', 'with --rev: where the manifests are in it', { default: '' }))
    .addOption(new Flag('--node <name>', 'with --rev: only this node, in full'))
    .addOption(selectorFlag())
    .addOption(outputFlag(['table', 'wide', 'json', 'yaml', 'markdown']));
  addAgentFlags(command, '10s').addHelpText(
    'after',
    '\nExits 0 if nothing differs, 1 if something does, more if it could not tell.',
  );
  return handleVerb<DiffOptions>(cli, command, diff);
}

async function diff(invocation: Invocation<DiffOptions>): Promise<number> {
  const { options } = invocation;
  if (options.rev !== undefined) {
    if (options.filename !== undefined)
      throw usageError('--rev and -f answer different questions', 'Give one of them.');
    return diffRevisions(invocation, options.rev);
  }
  if (options.node !== undefined || options.selector !== undefined) {
    throw usageError('--node and -l choose among the nodes of --rev A..B', 'Add --rev, or leave them away.');
  }
  if (options.output === 'markdown') {
    throw usageError('-o markdown is the form of --rev A..B', 'Add --rev, or choose another form.');
  }
  return diffNode(invocation);
}

/** The running node against its source or against files. */
async function diffNode(invocation: Invocation<DiffOptions>): Promise<number> {
  const { io, options, out } = invocation;
  const client = connect({ io, options });
  const manifests = options.filename === undefined ? undefined : await readManifests(invocation);
  const report = await client.diff({ against: manifests === undefined ? 'source' : await fileSetOf(manifests.files) });
  const { output } = options;
  const changed = report.changes.length > 0;
  if (output === 'json' || output === 'yaml') {
    out.document(output, 'NodeDiff', { ...report, summary: { changed, operations: report.changes.length } });
  } else if (changed) {
    const names = peerNames(await client.objects(), report.peers);
    const layout = { names, style: out.style, width: output === 'wide' ? undefined : out.width, whole: true };
    out.write(`${planLines(report, layout).join('\n')}\n`);
    const cut = plural(report.sessionsCut.length, 'session');
    out.write(`${plural(report.changes.length, 'operation')}, ${cut} cut\n`);
  } else {
    out.write(`no difference from ${shortRevision(report.revision.label)}\n`);
  }
  return changed ? ExitCode.failed : ExitCode.ok;
}

async function diffRevisions({ io, options, out, progress }: Invocation<DiffOptions>, range: string): Promise<number> {
  const repo = resolve(io.cwd, options.repo);
  const { node, selector, path } = options;
  // Seconds only where a whole large fleet is touched: plain logs are spared the line.
  if (io.stderr.isTTY) progress.step(`comparing ${range}`);
  const comparison = await compareRevisions({
    repo,
    range,
    path,
    node,
    selector,
    signal: io.signal,
    report: (text) => io.stderr.write(text),
  });
  progress.clear();
  const changed = comparison.manifests.length > 0;
  const { output } = options;
  if (output === 'json' || output === 'yaml') {
    out.document(output, 'Diff', comparisonDocument(comparison, node !== undefined));
  } else if (output === 'markdown') {
    out.write(comparisonComment(comparison));
  } else if (changed) {
    const whole = output === 'wide' || node !== undefined;
    const width = output === 'wide' ? undefined : out.width;
    out.write(`${comparisonText(comparison, { style: out.style, width, whole })}\n`);
  } else {
    out.write(
      `no difference between ${shortRevision(comparison.from.label)} and ${shortRevision(comparison.to.label)}\n`,
    );
  }
  return changed ? ExitCode.failed : ExitCode.ok;
}
