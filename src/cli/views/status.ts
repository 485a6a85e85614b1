import type { Condition } from '../../agent/api.ts';
import { fingerprint } from '../../manifest/keys.ts';
import type { PublicKey } from '../../manifest/model.ts';
import { ageOf, humanBytes, humanCount, humanSpan, shortDigests } from '../format.ts';
import type { Style, Tone } from '../style.ts';
import { renderTable } from '../table.ts';
import { plural, printable } from '../text.ts';
import { type Field, renderFields } from './fields.ts';
import { rolloutFields, type StatusView } from './rollout.ts';

interface StatusLayout {
  readonly nowMs: number;
  readonly style: Style;
  readonly width: number | undefined;
}

/** `omni status`: verdict first, then what it rests on. */
export function renderStatus(status: StatusView, layout: StatusLayout): string {
  const sections = [
    [verdict(status, layout.style), '\n', renderFields(overview(status, layout.nowMs), layout)].join(''),
    conditionTable(status.conditions, layout),
    interfaceTable(status, layout),
    dropLines(status, layout),
  ];
  return sections.filter((section) => section !== '').join('\n');
}

function verdict(status: StatusView, style: Style): string {
  const ready = status.conditions.find(({ type }) => type === 'Ready');
  const name = status.node.peer ?? fingerprint(status.node.publicKey as PublicKey);
  const { symbols } = style;
  if (ready?.status === 'True') return `${style.paint('good', symbols.ok)} ${name} is ready`;
  const why = printable(shortDigests(ready?.message || ready?.reason || 'the agent has not said why'));
  const sign = ready?.status === 'False' ? style.paint('bad', symbols.fail) : style.paint('warn', symbols.wait);
  return `${sign} ${name} is not ready: ${why}`;
}

function keysText({ publicKey, nextPublicKey }: StatusView['node']): string {
  const next = nextPublicKey === undefined ? '' : `, next ${fingerprint(nextPublicKey as PublicKey)}`;
  return `key ${fingerprint(publicKey as PublicKey)}${next}`;
}

function overview(status: StatusView, nowMs: number): Field[] {
  const { node, source, objects, rows, counters } = status;
  const membership = node.clusters.length === 0 ? 'in no cluster' : `in ${node.clusters.join(', ')}`;
  return [
    ['Node', `${node.peer ?? 'no Peer has its key yet'}, ${membership}, ${keysText(node)}`],
    ['Agent', `${node.version}, pid ${node.pid}, up ${ageOf(node.startedAt, nowMs)}`],
    ['Source', `${source.description}${fetchTimes(source, nowMs)}`],
    source.lastError === undefined
      ? undefined
      : { name: 'Source error', text: shortDigests(source.lastError), tone: 'bad' },
    ...(source.warnings ?? []).map((text): Field => ({ name: 'Source warning', text, tone: 'warn' })),
    ...remoteFields(source, nowMs),
    ...rolloutFields(status, nowMs),
    ['Objects', `${objects.ready} of ${objects.total} ready${objects.failed > 0 ? `, ${objects.failed} failed` : ''}`],
    [
      'Data path',
      `${plural(rows.observed, 'row')} of ${humanCount(rows.desired)}, ${rows.pending} pending, ${plural(status.writes, 'write')} since start`,
    ],
    ['Sessions', `${status.sessions.active} active`],
    handshakeField(status),
    [
      'Traffic',
      `rx ${traffic(counters.rxPackets, counters.rxBytes)}, tx ${traffic(counters.txPackets, counters.txBytes)}`,
    ],
    ...status.dataPlane.interfaces.flatMap(({ name, receiveCpus }): Field[] =>
      receiveCpus === undefined
        ? []
        : [['Receiving', `${name} spreads over CPUs ${receiveCpus.join(', ')} under load`]],
    ),
    ...status.dataPlane.notes.map((text): Field => ({ name: 'Note', text, tone: 'warn' })),
  ];
}

/** Only where some failed: their reasons are where a peer that does not answer begins to be understood. */
function handshakeField({ handshakes }: StatusView): Field | undefined {
  const failed = Object.entries(handshakes?.failed ?? {}).filter(([, count]) => count > 0);
  if (handshakes === undefined || failed.length === 0) return undefined;
  const reasons = failed.map(([reason, count]) => `${humanCount(count)} ${reason}`).join(', ');
  return {
    name: 'Handshakes',
    text: `${humanCount(handshakes.completed)} completed; failed: ${reasons}`,
    tone: 'warn',
  };
}

function traffic(packets: string, bytes: string): string {
  return `${humanCount(packets)} packets (${humanBytes(bytes)})`;
}

function fetchTimes(source: StatusView['source'], nowMs: number): string {
  const parts = [];
  if (source.lastFetch !== undefined) parts.push(`fetched ${ageOf(source.lastFetch, nowMs)} ago${fromWhere(source)}`);
  if (source.nextFetch !== undefined) parts.push(`next in ${humanSpan(Date.parse(source.nextFetch) - nowMs)}`);
  return parts.length === 0 ? '' : ` (${parts.join(', ')})`;
}

/** The remote that answered last, where there are several. */
function fromWhere({ remotes = [] }: StatusView['source']): string {
  const answered = remotes.filter(({ askedAt, error }) => askedAt !== undefined && error === undefined);
  const times = answered.map(({ askedAt }) => Date.parse(askedAt ?? ''));
  const last = answered[times.indexOf(Math.max(...times))];
  return last === undefined ? '' : ` from ${last.url}`;
}

/** Those that were passed over. Where all failed, the error of the source names each. */
function remoteFields({ remotes = [], lastError }: StatusView['source'], nowMs: number): Field[] {
  if (lastError !== undefined) return [];
  return remotes.map(({ error, askedAt }): Field => {
    if (error === undefined) return undefined;
    return { name: 'Passed over', text: `${ageOf(askedAt, nowMs)} ago: ${error}`, tone: 'warn' };
  });
}

function conditionTable(conditions: readonly Condition[], { nowMs, style, width }: StatusLayout): string {
  if (conditions.length === 0) return '';
  const columns = [
    { header: 'CONDITION' },
    { header: 'STATUS' },
    { header: 'REASON' },
    { header: 'SINCE' },
    { header: 'MESSAGE', flexible: true },
  ];
  const rows = conditions.map((condition) => [
    condition.type,
    { text: condition.status, tone: conditionTone(condition) },
    condition.reason,
    ageOf(condition.lastTransitionTime, nowMs),
    shortDigests(condition.message),
  ]);
  return renderTable(columns, rows, { style, width });
}

/** Those that say how well it is; of the others True is what wants attention. */
const GOOD_WHEN_TRUE: ReadonlySet<Condition['type']> = new Set(['Ready', 'SourceReady', 'SourceVerified']);
const BAD_WHEN_TRUE: ReadonlySet<Condition['type']> = new Set(['Stalled', 'Contested']);

function conditionTone({ type, status }: Condition): Tone {
  if (status === 'Unknown') return 'warn';
  if (GOOD_WHEN_TRUE.has(type)) return status === 'True' ? 'good' : 'bad';
  if (status === 'False') return 'good';
  return BAD_WHEN_TRUE.has(type) ? 'bad' : 'warn';
}

function interfaceTable({ dataPlane }: StatusView, { style, width }: StatusLayout): string {
  if (dataPlane.interfaces.length === 0) return '';
  const columns = [{ header: 'INTERFACE' }, { header: 'ROLE' }, { header: 'XDP MODE' }, { header: 'MTU' }];
  const rows = dataPlane.interfaces.map(({ name, role, mode, mtu }) => [name, role, mode ?? '<none>', String(mtu)]);
  return renderTable(columns, rows, { style, width });
}

function dropLines({ counters }: StatusView, { style, width }: StatusLayout): string {
  const drops = Object.entries(counters.drops).filter(([, count]) => BigInt(count) > 0n);
  if (drops.length === 0) return '';
  drops.sort((a, b) => (BigInt(b[1]) > BigInt(a[1]) ? 1 : -1));
  const rows = drops.map(([reason, count]) => [reason, humanCount(count)]);
  return renderTable([{ header: 'DROPPED' }, { header: 'PACKETS' }], rows, { style, width });
}
