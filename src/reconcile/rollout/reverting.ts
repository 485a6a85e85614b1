import { beginAftermath, stands } from './aftermath.ts';
import { quarantineOf } from './bookkeeping.ts';
import { type Draft, decide, type Reverting, resultOf, say, update } from './model.ts';

/** By then it is told of, whatever became of it. */
const REPORT_MS = 4_000;

/** What was trusted before comes back in force; where there was nothing, nothing. */
export function beginReverting(
  draft: Draft,
  failed: Pick<Reverting, 'revision' | 'reason' | 'message' | 'baseline'>,
): void {
  const { lastKnownGood } = draft.state.record;
  const deadlineMs = draft.nowMs + REPORT_MS;
  update(draft, { inForce: lastKnownGood, reverting: { ...failed, restored: false, results: {}, deadlineMs } });
  draft.effects.push({ type: 'stop-probing' }, { type: 'restore', reason: failed.reason });
}

/** A pass got through: one more look at the probes, for the report. */
export function rowsRestored(draft: Draft, reverting: Reverting): void {
  if (reverting.restored) return;
  const { ids } = reverting.baseline;
  update(draft, { reverting: { ...reverting, restored: true } });
  if (ids.length === 0) finishReverting(draft);
  else draft.effects.push({ type: 'probe', ids });
}

export function probesRestored(
  draft: Draft,
  reverting: Reverting,
  seen: ReadonlyMap<string, string | undefined>,
): void {
  const results = { ...reverting.results };
  for (const [id, message] of seen) results[id] = resultOf(message);
  update(draft, { reverting: { ...reverting, results } });
  if (reverting.baseline.ids.every((id) => results[id] !== undefined)) finishReverting(draft);
}

export function finishReverting(draft: Draft): void {
  const { reverting } = draft.state;
  if (reverting === undefined) return;
  const { revision, reason, message } = reverting;
  update(draft, { reverting: undefined });
  draft.effects.push({ type: 'stop-probing' });
  say(draft, 'Warning', 'RolledBack', `${revision.label} was rolled back: ${message}; ${describe(draft, reverting)}`);
  decide(draft, revision.id, { outcome: 'rolled-back', reason, message });
  const asked = quarantineOf(draft.state.record, revision.id)?.recheck?.probes ?? [];
  if (asked.some((id) => reverting.results[id]?.state === 'passed')) stands(draft, revision);
  else beginAftermath(draft, revision, reverting.restored);
}

function describe(draft: Draft, { restored, baseline, results }: Reverting): string {
  const { lastKnownGood } = draft.state.record;
  const target = lastKnownGood === undefined ? 'nothing is programmed' : `back on ${lastKnownGood.label}`;
  if (!restored) return `${target}, of which no row was verified yet`;
  const { ids } = baseline;
  const silent = ids.filter((id) => results[id]?.state !== 'passed');
  if (silent.length === 0) return target;
  return `${target}; not answering all the same: ${silent.join(', ')}`;
}
