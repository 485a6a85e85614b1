import { ageOf, clockTime, humanTook, shortDigests, shortRevision } from '../format.ts';
import type { Tone } from '../style.ts';
import type { Cell, Column } from '../table.ts';
import { QUARANTINED, type RevisionView, type RolloutView, type StatusView, trialWords } from './rollout.ts';

const SIGNER = 'SIGNED BY';
const COLUMNS: readonly Column[] = [
  { header: 'REVISION' },
  { header: 'OUTCOME' },
  { header: 'AGE' },
  { header: 'TOOK', optional: true },
  { header: 'NOW' },
  { header: SIGNER, optional: true },
  { header: 'MESSAGE', flexible: true },
];

export interface HistoryItem {
  readonly revision: RevisionView;
  /** As in `HistoryEntry`, or where it stands: `trial`, `waiting`, `refused`, `quarantined` (and forgotten by the history). */
  readonly outcome: RolloutView['history'][number]['outcome'] | 'trial' | 'waiting' | 'refused' | 'quarantined';
  readonly message: string;
  /** RFC 3339. */
  readonly at?: string;
  readonly tookMs?: number;
  /** What the revision is to the node now. Only the newest entry of a revision is marked. */
  readonly marks: readonly ('in-force' | 'last-known-good' | 'quarantined')[];
  /** RFC 3339: it is quarantined until then. */
  readonly until?: string;
}

/** What became of revisions, newest first: those to come, those tried, and what else is quarantined. */
export function historyItems({ rollout, revision }: StatusView): readonly HistoryItem[] {
  const { trial, waiting, history, quarantined, lastKnownGood } = rollout;
  const inQuarantine = new Map(quarantined.map((one) => [one.revision.id, one]));
  const entries: Omit<HistoryItem, 'marks' | 'until'>[] = [];
  // What is quarantined has its entry below.
  if (waiting !== undefined && waiting.reason !== QUARANTINED) {
    const { refused, reason, message } = waiting;
    const outcome = refused ? 'refused' : 'waiting';
    entries.push({ revision: waiting.revision, outcome, message: `${reason}: ${message}` });
  }
  if (trial !== undefined) {
    entries.push({ revision: trial.revision, outcome: 'trial', message: trialWords(trial), at: trial.startedAt });
  }
  entries.push(...history);
  const told = new Set(history.map((entry) => entry.revision.id));
  for (const { revision: one, reason, message, at } of quarantined) {
    if (told.has(one.id)) continue;
    entries.push({ revision: one, outcome: 'quarantined', message: `${reason}: ${message}`, at });
  }
  const seen = new Set<string>();
  return entries.map((entry) => {
    const { id } = entry.revision;
    const marks: HistoryItem['marks'][number][] = [];
    if (!seen.has(id)) {
      if (revision.lastApplied?.id === id) marks.push('in-force');
      if (lastKnownGood?.id === id) marks.push('last-known-good');
      if (inQuarantine.has(id)) marks.push('quarantined');
    }
    seen.add(id);
    const until = marks.includes('quarantined') ? inQuarantine.get(id)?.until : undefined;
    return { ...entry, marks, ...(until === undefined ? {} : { until }) };
  });
}

const TONES: Readonly<Record<HistoryItem['outcome'], Tone>> = {
  good: 'good',
  chosen: 'good',
  'rolled-back': 'bad',
  quarantined: 'bad',
  refused: 'bad',
  preempted: 'dim',
  trial: 'warn',
  waiting: 'warn',
};

const MARK_TEXTS = { 'in-force': 'in force', 'last-known-good': 'last good', quarantined: 'quarantined' } as const;

/** Who signed is a column only where somebody did. */
export function historyTable(
  items: readonly HistoryItem[],
  nowMs: number,
): { readonly columns: readonly Column[]; readonly rows: readonly (readonly Cell[])[] } {
  const signed = items.some(({ revision }) => revision.signature !== undefined);
  const isShown = (_: unknown, at: number): boolean => signed || COLUMNS[at]?.header !== SIGNER;
  const rows = items.map((item) => cellsOf(item, nowMs).filter(isShown));
  return { columns: COLUMNS.filter(isShown), rows };
}

function cellsOf({ revision, outcome, message, at, tookMs, marks, until }: HistoryItem, nowMs: number): Cell[] {
  const bad = marks.includes('quarantined');
  const lapses = until === undefined ? '' : ` until ${clockTime(until, nowMs)}`;
  const now = `${marks.map((mark) => MARK_TEXTS[mark]).join(', ')}${lapses}`;
  return [
    shortRevision(revision.label),
    { text: outcome, tone: TONES[outcome] },
    ageOf(at, nowMs),
    tookMs === undefined ? '' : humanTook(tookMs),
    bad ? { text: now, tone: 'bad' } : now,
    revision.signature?.signer ?? '',
    shortDigests(message || revision.subject || ''),
  ];
}
