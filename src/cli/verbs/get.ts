import { Command } from 'commander';
import { ExitCode, OmniError } from '../../errors.ts';
import { type AgentOptions, addAgentFlags, connect, peerNames } from '../agent.ts';
import { KINDS, type KindName, type ObjectKind, parseKind, singular } from '../kinds.ts';
import { Operand, outputFlag, selectorFlag } from '../options.ts';
import type { OutputFormat, Printer } from '../output.ts';
import type { Selector } from '../selector.ts';
import { byName } from '../text.ts';
import { type Cli, handleVerb, type Invocation } from '../verb.ts';
import { nameOf, type ObjectView, objectDocument, objectTable } from '../views/objects.ts';
import { pairRows, rowTable } from '../views/rows.ts';
import { sessionName, sessionTable } from '../views/sessions.ts';

interface GetOptions extends AgentOptions {
  readonly output: OutputFormat;
  readonly selector?: Selector;
}

export function getCommand(cli: Cli): Command {
  const command = new Command('get')
    .summary('List peers, VIPs, clusters, sessions or rows')
    .description('Lists peers, VIPs, clusters, sessions or rows of the data path, as this node has them.')
    .addArgument(new Operand('<kind>', 'peers, vips, clusters, sessions, rows or all', Object.keys(KINDS)))
    .addArgument(new Operand('[name]', 'only this one', 'names'))
    .addOption(selectorFlag())
    .addOption(outputFlag(['table', 'wide', 'json', 'yaml', 'name']));
  addAgentFlags(command, '10s');
  return handleVerb<GetOptions>(cli, command, get);
}

async function get(invocation: Invocation<GetOptions>): Promise<number> {
  const [first = '', second] = invocation.args;
  // kubectl's other spelling: `get peer/robot-17`.
  const slash = first.indexOf('/');
  const kind = parseKind(slash < 0 ? first : first.slice(0, slash));
  const name = slash < 0 ? second : first.slice(slash + 1);
  if (kind === 'sessions') return getSessions(invocation, name);
  if (kind === 'rows') return getRows(invocation, name);
  return getObjects(invocation, kind, name);
}

async function getObjects(
  { io, options, out, progress }: Invocation<GetOptions>,
  kind: ObjectKind | 'all',
  name: string | undefined,
): Promise<number> {
  const client = connect({ io, options });
  const all = await client.objects();
  const sorted = [...all].sort((a, b) => byName(a.object, b.object));
  const chosen = sorted.filter(
    (object) =>
      (kind === 'all' || object.object.startsWith(`${singular(kind)}/`)) &&
      (name === undefined || nameOf(object.object) === name) &&
      (options.selector === undefined || options.selector(object.labels ?? {})),
  );
  if (name !== undefined && chosen.length === 0) throw notFound(kind === 'all' ? name : `${singular(kind)}/${name}`);
  const { output } = options;
  if (output === 'name') {
    for (const { object } of chosen) out.write(`${object}\n`);
  } else if (output === 'json' || output === 'yaml') {
    writeDocuments(out, output, kind, chosen, name !== undefined);
  } else if (chosen.length === 0) {
    progress.info(`no ${kind === 'all' ? 'objects' : kind} found`);
  } else {
    const clocks = { nowMs: io.now(), sessionMs: (await client.status()).sessions.clockMs };
    const kinds: readonly ObjectKind[] = kind === 'all' ? ['clusters', 'peers', 'vips'] : [kind];
    const tables = kinds.map((one) => chosen.filter(({ object }) => object.startsWith(`${singular(one)}/`)));
    let separator = '';
    for (const [index, objects] of tables.entries()) {
      if (objects.length === 0) continue;
      out.write(separator);
      separator = '\n';
      const table = objectTable(kinds[index] ?? 'peers', objects, clocks, output === 'wide');
      out.table(table.columns, table.rows, output);
    }
  }
  return ExitCode.ok;
}

const LIST_KINDS: Readonly<Record<KindName, string>> = {
  peers: 'PeerList',
  vips: 'VIPList',
  clusters: 'ClusterList',
  sessions: 'SessionList',
  rows: 'RowList',
  all: 'List',
};

function writeDocuments(
  out: Printer,
  format: 'json' | 'yaml',
  kind: ObjectKind | 'all',
  objects: readonly ObjectView[],
  single: boolean,
): void {
  const documents = objects.map(objectDocument);
  const [only] = documents;
  if (single && only !== undefined) out.document(format, only.kind, only);
  else out.document(format, LIST_KINDS[kind], { items: documents });
}

async function getSessions(
  { io, options, out, progress }: Invocation<GetOptions>,
  peer: string | undefined,
): Promise<number> {
  refuseSelector(options, 'sessions');
  const client = connect({ io, options });
  const [all, objects, status] = await Promise.all([client.sessions(), client.objects(), client.status()]);
  const names = peerNames(objects);
  const sessions = all.filter(
    (session) => peer === undefined || names.ofKey(session.peer) === peer || sessionName(session.localId) === peer,
  );
  if (peer !== undefined && sessions.length === 0) throw notFound(`session/${peer}`);
  const { output } = options;
  if (output === 'json' || output === 'yaml') {
    out.document(output, LIST_KINDS.sessions, { clockMs: status.sessions.clockMs, items: sessions });
  } else if (output === 'name') {
    for (const session of sessions) out.write(`session/${sessionName(session.localId)}\n`);
  } else if (sessions.length === 0) {
    progress.info('no sessions: they are made when the first frame goes out');
  } else {
    const wide = output === 'wide';
    const table = sessionTable(sessions, { sessionMs: status.sessions.clockMs, names, wide });
    out.table(table.columns, table.rows, output);
  }
  return ExitCode.ok;
}

async function getRows(
  { io, options, out, progress }: Invocation<GetOptions>,
  name: string | undefined,
): Promise<number> {
  refuseSelector(options, 'rows');
  const client = connect({ io, options });
  const [rows, objects] = await Promise.all([client.rows(), client.objects()]);
  const pairs = pairRows(rows).filter(
    (pair) => name === undefined || pair.key === name || pair.row.kind === name || pair.origin?.object === name,
  );
  if (name !== undefined && pairs.length === 0) throw notFound(name);
  const { output } = options;
  if (output === 'json' || output === 'yaml') {
    out.document(output, LIST_KINDS.rows, { items: pairs });
  } else if (output === 'name') {
    for (const { key } of pairs) out.write(`${key}\n`);
  } else if (pairs.length === 0) {
    progress.info('no rows: no revision gave this node anything to do yet');
  } else {
    const table = rowTable(pairs, { names: peerNames(objects), columns: output === 'wide' ? 'wide' : 'all' });
    out.table(table.columns, table.rows, output);
  }
  return ExitCode.ok;
}

function refuseSelector(options: GetOptions, kind: string): void {
  if (options.selector === undefined) return;
  throw new OmniError(`${kind} have no labels to select by`, {
    code: 'usage',
    class: 'stall',
    exitCode: ExitCode.usage,
    fix: 'Leave -l away, or select peers with `omni get peers -l …`.',
  });
}

function notFound(what: string): OmniError {
  return new OmniError(`${what} is not known to this node`, {
    code: 'not-found',
    class: 'stall',
    exitCode: ExitCode.failed,
    fix: 'See `omni get all` for what is.',
  });
}
