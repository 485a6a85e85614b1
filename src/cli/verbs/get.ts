import { Command } from 'commander';
import { ExitCode, OmniError } from '../../errors.ts';
import { type AgentOptions, addAgentFlags, connect } from '../agent.ts';
import { usageError } from '../errors.ts';
import { KINDS, parseKind, singular } from '../kinds.ts';
import type { Listing } from '../listings/listing.ts';
import { objectListing } from '../listings/objects.ts';
import { rowListing } from '../listings/rows.ts';
import { sessionListing } from '../listings/sessions.ts';
import { watchListing } from '../listings/watch.ts';
import { Flag, Operand, outputFlag, selectorFlag } from '../options.ts';
import type { OutputFormat } from '../output.ts';
import { readAgain } from '../polling.ts';
import type { Selector } from '../selector.ts';
import { type Cli, handleVerb, type Invocation } from '../verb.ts';

interface GetOptions extends AgentOptions {
  readonly output: OutputFormat;
  readonly selector?: Selector;
  readonly watch: boolean;
}

export function getCommand(cli: Cli): Command {
  const command = new Command('get')
    .summary('List peers, VIPs, clusters, sessions or rows')
    .description('Lists peers, VIPs, clusters, sessions or rows of the data path, as this node has them.')
    .addArgument(new Operand('<kind>', 'peers, vips, clusters, sessions, rows or all', Object.keys(KINDS)))
    .addArgument(new Operand('[name]', 'only this one', 'names'))
    .addOption(selectorFlag())
    .addOption(new Flag('-w, --watch', 'go on with a line for each that changes', { default: false }))
    .addOption(outputFlag(['table', 'wide', 'json', 'yaml', 'name']));
  addAgentFlags(command, '10s');
  return handleVerb<GetOptions>(cli, command, get);
}

async function get(invocation: Invocation<GetOptions>): Promise<number> {
  const { io, args, options } = invocation;
  const [first = '', second] = args;
  // kubectl's other spelling: `get peer/robot-17`.
  const slash = first.indexOf('/');
  const kind = parseKind(slash < 0 ? first : first.slice(0, slash));
  const name = slash < 0 ? second : first.slice(slash + 1);
  const { selector, watch } = options;
  const client = connect(invocation);
  if (kind === 'sessions' || kind === 'rows') {
    if (selector !== undefined) {
      throw usageError(`${kind} have no labels to select by`, 'Leave -l away, or use `omni get peers -l …`.');
    }
    if (kind === 'sessions') return run(invocation, sessionListing(client, name), name && `session/${name}`);
    return run(invocation, rowListing(client, name), name);
  }
  if (kind === 'all' && watch) {
    throw usageError('one kind at a time can be watched', 'Name it, as in `omni get peers -w`.');
  }
  const listing = objectListing(client, { kind, name, selector, now: io.now });
  return run(invocation, listing, kind === 'all' ? name : name && `${singular(kind)}/${name}`, kind !== 'all');
}

/** `named`: what was asked for by name. `single`: its document stands alone, without a list around it. */
async function run<T>(
  invocation: Invocation<GetOptions>,
  listing: Listing<T>,
  named: string | undefined,
  single = false,
): Promise<number> {
  const { options } = invocation;
  if (options.watch) await watch(invocation, listing, named);
  else await list(invocation, listing, named, single);
  return ExitCode.ok;
}

async function list<T>(
  { options, out, progress }: Invocation<GetOptions>,
  listing: Listing<T>,
  named: string | undefined,
  single: boolean,
): Promise<void> {
  const { items, fields, tables } = await listing.read();
  const { output } = options;
  const [first] = items;
  if (named !== undefined && first === undefined) throw notFound(named);
  if (output === 'name') for (const item of items) out.write(`${listing.name(item)}\n`);
  else if (output === 'json' || output === 'yaml') {
    const documents = items.map(listing.document);
    if (single && named !== undefined && documents[0] !== undefined) out.document(output, listing.kind, documents[0]);
    else out.document(output, listing.kind, { ...fields, items: documents });
  } else if (first === undefined) progress.info(listing.none);
  else {
    let separator = '';
    for (const table of tables(items, output === 'wide')) {
      out.write(separator);
      separator = '\n';
      out.table(table.columns, table.rows, output);
    }
  }
}

/** Ends by a signal, or when stdout's reader has gone. An agent that is restarted is waited for. */
async function watch<T>(
  { io, options, out, progress }: Invocation<GetOptions>,
  listing: Listing<T>,
  named: string | undefined,
): Promise<void> {
  const signal = AbortSignal.any([io.signal, io.stdoutClosed]);
  let first = true;
  const read = async () => {
    const listed = await listing.read();
    if (first && named !== undefined && listed.items.length === 0) throw notFound(named);
    if (first && listed.items.length === 0) progress.info(listing.none);
    first = false;
    return listed;
  };
  try {
    const readings = readAgain(read, { io, progress, signal, patient: false });
    await watchListing(listing, readings, { out, output: options.output });
  } catch (error) {
    if (!io.stdoutClosed.aborted || io.signal.aborted) throw error;
  }
}

function notFound(what: string): OmniError {
  return new OmniError(`${what} is not known to this node`, {
    code: 'not-found',
    class: 'stall',
    exitCode: ExitCode.failed,
    fix: 'See `omni get all` for what is, or `omni why` for what is behind an address.',
  });
}
