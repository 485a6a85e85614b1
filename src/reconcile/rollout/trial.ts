import { probationOver } from './aftermath.ts';
import {
  quarantineOf,
  retryOf,
  withHistory,
  withLastKnownGood,
  withoutRetry,
  withQuarantine,
  withRevoked,
  withTrial,
} from './bookkeeping.ts';
import { examineAnew } from './examine.ts';
import { judge } from './judge.ts';
import {
  type Baseline,
  type Draft,
  decide,
  type Facts,
  type Intent,
  type LiveTrial,
  type RolloutState,
  resultOf,
  type Stage,
  save,
  say,
  timeText,
  type UnmetRow,
  update,
} from './model.ts';
import type { HistoryEntry, QuarantineReason, RevisionInfo, Revocation } from './record.ts';
import { beginReverting } from './reverting.ts';

/** A probe that failed is tried again so soon. */
const RETRY_MS = 500;
const NEVER = Number.POSITIVE_INFINITY;

/** A trial that begins now. */
export function trialOf(
  draft: Draft,
  revision: RevisionInfo,
  intent: Intent,
  facts: Facts,
  baseline: Baseline,
): LiveTrial {
  return {
    revision,
    intent,
    facts,
    baseline,
    startedAt: timeText(draft),
    startedMs: draft.nowMs,
    deadlineMs: draft.nowMs + facts.confirmWithinMs,
    results: Object.fromEntries(baseline.ids.map((id) => [id, { state: 'pending' }])),
    unmet: undefined,
    running: [],
    retryAtMs: NEVER,
  };
}

/** A pass got through over the rows of the trial. The first one starts the probes. */
export function rowsSeen(draft: Draft, trial: LiveTrial, unmet: readonly UnmetRow[]): void {
  update(draft, { trial: { ...trial, unmet } });
  if (trial.unmet === undefined) tryProbes(draft);
  decideTrial(draft);
}

export function probesSeen(draft: Draft, trial: LiveTrial, results: ReadonlyMap<string, string | undefined>): void {
  const seen = Object.fromEntries([...results].map(([id, message]) => [id, resultOf(message)]));
  const failed = Object.values(seen).some(({ state }) => state === 'failing');
  update(draft, {
    trial: {
      ...trial,
      results: { ...trial.results, ...seen },
      running: trial.running.filter((id) => !results.has(id)),
      retryAtMs: failed ? Math.min(trial.retryAtMs, draft.nowMs + RETRY_MS) : trial.retryAtMs,
    },
  });
  decideTrial(draft);
}

/** Tries every probe that has not passed and is not being tried. */
export function tryProbes(draft: Draft): void {
  const { trial } = draft.state;
  if (trial === undefined) return;
  const ids = trial.baseline.ids.filter((id) => trial.results[id]?.state !== 'passed' && !trial.running.includes(id));
  update(draft, { trial: { ...trial, running: [...trial.running, ...ids], retryAtMs: NEVER } });
  if (ids.length > 0) draft.effects.push({ type: 'probe', ids });
}

/** Ends the trial once it has shown enough. */
export function decideTrial(draft: Draft): void {
  const { trial, record } = draft.state;
  const judgement = trial && judge(trial, record.lastKnownGood !== undefined, draft.nowMs);
  if (trial === undefined || judgement === undefined) return;
  if (judgement.kind === 'good') promote(draft, judgement.message);
  else if (judgement.kind === 'bad') {
    const failed = 'failed' in judgement ? judgement.failed : undefined;
    failTrial(draft, judgement.reason, judgement.message, failed);
  } else update(draft, { trial: { ...trial, deadlineMs: draft.nowMs + trial.facts.confirmWithinMs } });
}

/** The revision is trusted from here on. */
export function promote(draft: Draft, why: string): void {
  const { trial, record, candidate } = draft.state;
  if (trial === undefined) return;
  const { revision, intent } = trial;
  const message = `${why}${withoutText(draft, revision.id)}`;
  const before = record.lastKnownGood;
  const now = timeText(draft);
  update(draft, { trial: undefined });
  draft.effects.push({ type: 'stop-probing' });
  save(draft, (old) => {
    let next = withHistory(withTrial(withoutRetry(old, revision.id), undefined), {
      ...entryOf(draft, trial, message),
      outcome: intent === 'return' ? 'chosen' : 'good',
    });
    if (intent === 'return' && before !== undefined && before.id !== revision.id) {
      const { since: _, ...present } = before;
      const why = `${revision.label} was chosen in its place`;
      next = withQuarantine(next, { revision: present, reason: 'RolledBackByHand', message: why, at: now });
    }
    // What it has again is let in, and what it lacks it cannot let in; only keys that a newer one cut stay barred.
    const newer = candidate?.revision.label;
    const isNewer = (key: Revocation) => key.revision === newer || key.during === revision.id;
    const kept = next.revoked.filter((key) => intent === 'return' || isNewer(key));
    return withLastKnownGood({ ...next, revoked: kept }, revision, now);
  });
  draft.effects.push({ type: 'bar' });
  say(draft, 'Normal', 'RevisionConfirmed', `${revision.label} is the last known good revision: ${message}`);
  decide(draft, revision.id, { outcome: 'good', reason: 'RevisionConfirmed', message });
  examineAnew(draft);
}

/** Probes that a revision is tried without, for people. */
export function withoutText({ state: { record } }: Draft, id: string): string {
  const discounted = retryOf(record, id)?.discounted ?? [];
  return discounted.length === 0 ? '' : `; without ${discounted.join(', ')}, silent before it as well`;
}

/** Back to the last known good revision, or to nothing where there is none. `failed`: probes that decided it. */
export function failTrial(
  draft: Draft,
  reason: QuarantineReason,
  message: string,
  failed: readonly string[] | undefined = undefined,
): void {
  const { trial } = draft.state;
  if (trial === undefined) return;
  const { revision, intent, facts, baseline } = trial;
  save(draft, (old) => {
    const at = timeText(draft);
    const over = {
      failed: failed ?? [],
      withinMs: facts.confirmWithinMs,
      untilMs: draft.wallMs + facts.quarantineForMs,
    };
    const passing = failed === undefined || intent === 'return' ? {} : probationOver(old, revision.id, over);
    const quarantined = withQuarantine(withTrial(old, undefined), { revision, reason, message, at, ...passing });
    return withRevoked(
      withHistory(quarantined, { ...entryOf(draft, trial, message), outcome: 'rolled-back' }),
      facts.revokes,
    );
  });
  update(draft, { trial: undefined });
  say(draft, 'Warning', reason, `${revision.label} is taken back: ${message}`);
  beginReverting(draft, { revision, reason, message, baseline });
  examineAnew(draft);
  if (draft.state.candidate !== undefined || intent !== 'follow') return;
  const stage = quarantinedStage(draft.state, revision.id);
  update(draft, { candidate: { revision, intent, stage, obstacle: stage } });
}

/** Why a quarantined revision is not tried. */
export function quarantinedStage(
  { record }: Pick<RolloutState, 'record'>,
  id: string,
): Extract<Stage, { readonly at: 'refused' }> {
  const entry = quarantineOf(record, id);
  const until = entry?.until === undefined ? '' : `; tried once more after ${entry.until}`;
  const message = `${entry?.reason ?? ''}: ${entry?.message ?? ''}${until}`;
  return { at: 'refused', refused: true, reason: 'RevisionQuarantined', message, since: entry?.at ?? '' };
}

/** A newer revision came first. */
export function preemptedEntry(draft: Draft, trial: LiveTrial, by: string): HistoryEntry {
  return { ...entryOf(draft, trial, `${by} came before its verdict`), outcome: 'preempted' };
}

function entryOf(draft: Draft, { revision, startedMs }: LiveTrial, message: string): Omit<HistoryEntry, 'outcome'> {
  return { revision, message, at: timeText(draft), tookMs: Math.round(draft.nowMs - startedMs) };
}
