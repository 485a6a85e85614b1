import { quarantineOf, retryOf, withoutQuarantine, withQuarantine, withRetry } from './bookkeeping.ts';
import { examine } from './examine.ts';
import { type Draft, type RolloutState, save, say, update } from './model.ts';
import type { Quarantined, RevisionInfo, RolloutRecord } from './record.ts';

/*
 * What becomes of a revision that failed by its probes alone. Once the trusted revision is back in force, the probes that
 * failed are tried again, for as long as the trial lasted: one that answers now is evidence against the revision. If none
 * does, their silence has another cause, and the revision is tried once more without them. Evidence lapses after a while.
 */

/** A probe that failed is tried again so soon. */
const RETRY_MS = 500;
const NEVER = Number.POSITIVE_INFINITY;
/** Wall clocks are set: the end of a quarantine is looked at this often. */
const LAPSE_CHECK_MS = 60_000;

/**
 * Whether silence on both sides of a revision discounts a probe. Of a peer it does, for the peer alone decides whether it
 * answers. The way to the source and declared checks are what keeps a node within reach of people: these are not given up.
 */
function mayDiscount(id: string): boolean {
  return /^(peer|endpoint|key)\//.test(id);
}

/** The failed revision is still the newest, and what is trusted is in force. `restored`: its rows were read back. */
export function beginAftermath(draft: Draft, { id }: Pick<RevisionInfo, 'id'>, restored: boolean): void {
  const { record, candidate, inForce, trial, reverting } = draft.state;
  const { recheck, revision } = quarantineOf(record, id) ?? {};
  const isNewest = candidate?.revision.id === id && candidate.stage.at === 'refused';
  const isBack = inForce !== undefined && inForce.id === record.lastKnownGood?.id;
  if (recheck === undefined || revision === undefined || !isNewest || !isBack || trial || reverting) return;
  const { probes: silent, withinMs } = recheck;
  update(draft, {
    aftermath: { revision, silent, withinMs, restored: false, running: [], retryAtMs: NEVER, deadlineMs: NEVER },
  });
  if (restored) rowsAreBack(draft);
}

/** The first pass over the trusted revision's rows got through: from here on silence counts. */
export function rowsAreBack(draft: Draft): void {
  const { aftermath } = draft.state;
  if (aftermath === undefined || aftermath.restored) return;
  const deadlineMs = draft.nowMs + aftermath.withinMs;
  update(draft, { aftermath: { ...aftermath, restored: true, deadlineMs } });
  askSilent(draft);
}

function askSilent(draft: Draft): void {
  const { aftermath } = draft.state;
  if (aftermath === undefined) return;
  const ids = aftermath.silent.filter((id) => !aftermath.running.includes(id));
  update(draft, { aftermath: { ...aftermath, running: [...aftermath.running, ...ids], retryAtMs: NEVER } });
  if (ids.length > 0) draft.effects.push({ type: 'probe', ids });
}

export function silentAsked(draft: Draft, results: ReadonlyMap<string, string | undefined>): void {
  const { aftermath } = draft.state;
  if (aftermath === undefined) return;
  const answered = aftermath.silent.filter((id) => results.has(id) && results.get(id) === undefined);
  if (answered.length > 0) {
    endAftermath(draft);
    stands(draft, aftermath.revision);
    return;
  }
  const running = aftermath.running.filter((id) => !results.has(id));
  const retryAtMs = Math.min(aftermath.retryAtMs, draft.nowMs + RETRY_MS);
  update(draft, { aftermath: { ...aftermath, running, retryAtMs } });
}

/** A probe that failed under the revision answers without it: the quarantine stands. */
export function stands(draft: Draft, { id }: Pick<RevisionInfo, 'id'>): void {
  const entry = quarantineOf(draft.state.record, id);
  if (entry?.recheck === undefined) return;
  const { recheck: _, ...settled } = entry;
  save(draft, (record) => withQuarantine(record, settled));
}

/** Something else is tried, or asked for. */
export function endAftermath(draft: Draft): void {
  if (draft.state.aftermath === undefined) return;
  update(draft, { aftermath: undefined });
  draft.effects.push({ type: 'stop-probing' });
}

/** To be called when time passed. */
export function aftermathTimer(draft: Draft): void {
  const { aftermath } = draft.state;
  if (aftermath !== undefined && aftermath.deadlineMs <= draft.nowMs) discount(draft, aftermath);
  else if (aftermath !== undefined && aftermath.retryAtMs <= draft.nowMs) askSilent(draft);
  const { candidate } = draft.state;
  if (candidate?.stage.at === 'refused') lapse(draft, candidate.revision);
}

function discount(draft: Draft, { revision, silent }: NonNullable<RolloutState['aftermath']>): void {
  const trusted = draft.state.record.lastKnownGood?.label ?? 'nothing';
  endAftermath(draft);
  save(draft, (record) => {
    const known = retryOf(record, revision.id);
    const discounted = [...new Set([...(known?.discounted ?? []), ...silent])].sort();
    return withRetry(withoutQuarantine(record, revision.id), { ...known, id: revision.id, discounted });
  });
  const names = silent.join(', ');
  say(
    draft,
    'Warning',
    'ProbeDiscounted',
    `${revision.label} is tried once more without ${names}: silent under ${trusted} as well, which is no evidence against it`,
  );
  tryAgain(draft, revision);
}

/** The quarantine of a revision that failed by its probes ends by itself, once. True: it did. */
export function lapse(draft: Draft, revision: RevisionInfo): boolean {
  const { record } = draft.state;
  const entry = quarantineOf(record, revision.id);
  if (entry?.until === undefined || Date.parse(entry.until) > draft.wallMs) return false;
  endAftermath(draft);
  save(draft, (old) => {
    const discounted = retryOf(old, revision.id)?.discounted ?? [];
    return withRetry(withoutQuarantine(old, revision.id), { id: revision.id, discounted, lapsed: true });
  });
  const message = `${revision.label} is tried once more: it was quarantined until ${entry.until}`;
  say(draft, 'Normal', 'QuarantineLapsed', message);
  tryAgain(draft, revision);
  return true;
}

function tryAgain(draft: Draft, { id }: RevisionInfo): void {
  const { candidate } = draft.state;
  if (candidate?.revision.id === id && candidate.stage.at === 'refused') examine(draft, candidate);
}

/** When `aftermathTimer` is due, monotonic; Infinity where nothing is pending. */
export function aftermathDueMs(
  { aftermath, candidate, record }: RolloutState,
  { nowMs, wallMs }: Pick<Draft, 'nowMs' | 'wallMs'>,
): number {
  const refused = candidate?.stage.at === 'refused' ? quarantineOf(record, candidate.revision.id) : undefined;
  const untilMs = refused?.until === undefined ? NEVER : Math.max(Date.parse(refused.until) - wallMs, 0);
  const lapseMs = untilMs === NEVER ? NEVER : nowMs + Math.min(untilMs, LAPSE_CHECK_MS);
  return Math.min(aftermath?.deadlineMs ?? NEVER, aftermath?.retryAtMs ?? NEVER, lapseMs);
}

/** What is found out about a revision that failed by these probes alone, and until when it is quarantined. */
export function probationOver(
  record: RolloutRecord,
  id: string,
  {
    failed,
    withinMs,
    untilMs,
  }: { readonly failed: readonly string[]; readonly withinMs: number; readonly untilMs: number },
): Pick<Quarantined, 'until' | 'recheck'> {
  const known = retryOf(record, id);
  const isNews = failed.some((probe) => known?.discounted.includes(probe) !== true);
  const rechecked = record.lastKnownGood !== undefined && failed.length > 0 && failed.every(mayDiscount) && isNews;
  return {
    ...(known?.lapsed ? {} : { until: new Date(untilMs).toISOString() }),
    ...(rechecked ? { recheck: { probes: failed, withinMs } } : {}),
  };
}
