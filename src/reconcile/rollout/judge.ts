import type { Baseline, LiveTrial, UnmetRow } from './model.ts';

export type Judgement =
  | { readonly kind: 'good'; readonly message: string }
  | { readonly kind: 'bad'; readonly reason: 'NotApplied'; readonly message: string }
  /** `failed`: ids of the probes that decided it. */
  | {
      readonly kind: 'bad';
      readonly reason: 'ProbationFailed';
      readonly message: string;
      readonly failed: readonly string[];
    }
  /** Its time is up, but going back would help nobody. */
  | { readonly kind: 'goes-on' };

/**
 * What a trial has shown; undefined: nothing final before its deadline. `trusted`: there is a last known good revision.
 * Pure. Why not every probe must pass: docs/adr/0005.
 */
export function judge(trial: LiveTrial, trusted: boolean, nowMs: number): Judgement | undefined {
  const { baseline, unmet } = trial;
  const failing = baseline.ids.filter((id) => trial.results[id]?.state !== 'passed');
  if (unmet?.length === 0 && failing.length === 0) return { kind: 'good', message: describePassed(baseline) };
  if (nowMs < trial.deadlineMs) return undefined;

  if (unmet === undefined) return { kind: 'bad', reason: 'NotApplied', message: 'no look at its rows got through' };
  const blocking = unmet.filter(blocks);
  if (blocking.length > 0) {
    // On a new node that has no network yet, nothing is no better than trying on.
    if (!trusted && blocking.every((row) => row.class === 'wait')) return { kind: 'goes-on' };
    return { kind: 'bad', reason: 'NotApplied', message: describeRows(blocking) };
  }
  const unexcused = excusable(baseline, failing) ? failing.filter((id) => isRequired(baseline, id)) : failing;
  if (unexcused.length > 0) {
    return { kind: 'bad', reason: 'ProbationFailed', message: describeProbes(trial, unexcused), failed: unexcused };
  }
  return { kind: 'good', message: describeExcused(failing, unmet) };
}

/**
 * A row that waits for its surroundings (a peer that this node has no route to) is no fault of the revision, but a link
 * that is not there leaves nothing to judge.
 */
function blocks(row: UnmetRow): boolean {
  return row.class !== 'wait' || row.key.startsWith('link/');
}

/** Of the peers that the revision did not touch one by one, half must answer: a robot may drive out of range meanwhile. */
function excusable(baseline: Baseline, failing: readonly string[]): boolean {
  const others = baseline.ids.filter((id) => !isRequired(baseline, id));
  const silent = failing.filter((id) => !isRequired(baseline, id));
  return silent.length * 2 <= others.length;
}

function isRequired({ required }: Baseline, id: string): boolean {
  return required.includes(id) || !id.startsWith('peer/');
}

function describePassed({ ids }: Baseline): string {
  if (ids.length === 0) return 'every row was verified';
  return `every row was verified, and what answered before answers again: ${listOf(ids)}`;
}

function describeExcused(failing: readonly string[], unmet: readonly UnmetRow[]): string {
  const silent = failing.length === 0 ? [] : [`not answering, and not touched by it: ${listOf(failing)}`];
  const waiting = unmet.length === 0 ? [] : [`waiting: ${describeRows(unmet)}`];
  return `most of what answered before answers again; ${[...silent, ...waiting].join('; ')}`;
}

function describeProbes({ results }: LiveTrial, ids: readonly string[]): string {
  return listOf(ids.map((id) => `${id}: ${results[id]?.message ?? 'no answer'}`));
}

function describeRows(rows: readonly UnmetRow[]): string {
  return listOf(rows.map(({ key, message }) => `${key}: ${message}`));
}

const MAX_NAMED = 5;

function listOf(texts: readonly string[]): string {
  const more = texts.length - MAX_NAMED;
  return more > 0 ? `${texts.slice(0, MAX_NAMED).join('; ')}; and ${more} more` : texts.join('; ');
}
