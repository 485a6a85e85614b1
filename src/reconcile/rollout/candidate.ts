import { canonicalKey } from '../../manifest/keys.ts';
import type { Block } from '../block.ts';
import { beginAftermath, endAftermath, lapse } from './aftermath.ts';
import { quarantineOf, retryOf, withHistory, withRevoked, withTrial } from './bookkeeping.ts';
import { examine } from './examine.ts';
import type { GateAnswer } from './gates.ts';
import {
  type Candidate,
  type Draft,
  decide,
  type Facts,
  type LiveTrial,
  nextToken,
  type Obstacle,
  type RolloutInput,
  type Stage,
  save,
  say,
  timeText,
  update,
} from './model.ts';
import type { RolloutRecord } from './record.ts';
import { finishReverting } from './reverting.ts';
import type { Cut } from './revocation.ts';
import { preemptedEntry, promote, quarantinedStage, trialOf, tryProbes, withoutText } from './trial.ts';

type Input<T extends RolloutInput['type']> = Extract<RolloutInput, { readonly type: T }>;

const NEVER = Number.POSITIVE_INFINITY;
/** A trial that could not begin is tried again after this. */
const RETRY_MS = 5_000;

/** A revision that may be newer than what is in force. The one before that still waited is forgotten. */
export function offered(draft: Draft, { revision, intent, cuts }: Input<'offered'>): void {
  const { candidate } = draft.state;
  if (candidate?.revision.id === revision.id && isUnderWay(candidate.stage)) return;
  if (candidate !== undefined) forget(draft, candidate, revision.id);
  endAftermath(draft);
  cut(draft, cuts);
  const { inForce, trial, record } = draft.state;
  if (inForce?.id === revision.id) {
    if (trial === undefined && intent === 'follow') readmit(draft);
    return;
  }
  if (trial !== undefined && record.lastKnownGood?.id === revision.id) returnAtOnce(draft, trial);
  else if (quarantineOf(record, revision.id) === undefined) examine(draft, { revision, intent, obstacle: undefined });
  else refuseQuarantined(draft, revision, intent);
}

function refuseQuarantined(draft: Draft, revision: Candidate['revision'], intent: Candidate['intent']): void {
  const stage = quarantinedStage(draft.state, revision.id);
  update(draft, { candidate: { revision, intent, stage, obstacle: stage } });
  if (lapse(draft, revision)) return;
  beginAftermath(draft, revision, true);
  say(draft, 'Warning', stage.reason, `${revision.label} is not tried again: ${stage.message}`);
}

function isUnderWay({ at }: Stage): boolean {
  return at === 'examining' || at === 'measuring' || at === 'recording';
}

/** `by`: id of what came instead. */
function forget(draft: Draft, { revision, stage }: Candidate, by: string): void {
  update(draft, { candidate: undefined });
  if (stage.at === 'recording') undoRecording(draft, stage);
  if (by !== revision.id && isUnderWay(stage)) decide(draft, revision.id, superseded);
}

const superseded = {
  outcome: 'preempted',
  reason: 'Superseded',
  message: 'a newer revision came before it was tried',
} as const;

/** What is in force is the newest again, as in a folder that was put back: what others took out since is let in. */
function readmit(draft: Draft): void {
  const { inForce, record } = draft.state;
  if (inForce?.id !== record.lastKnownGood?.id || record.revoked.length === 0) return;
  save(draft, (old) => ({ ...old, revoked: [] }));
  draft.effects.push({ type: 'bar' });
}

/** What is trusted is the newest again: no blame for what was on trial, and no trial for what is trusted. */
function returnAtOnce(draft: Draft, trial: LiveTrial): void {
  const { lastKnownGood } = draft.state.record;
  if (lastKnownGood === undefined) return;
  const entry = preemptedEntry(draft, trial, lastKnownGood.label);
  update(draft, { trial: undefined, inForce: lastKnownGood });
  save(draft, (record) => withHistory(withTrial({ ...record, revoked: [] }, undefined), entry));
  draft.effects.push({ type: 'stop-probing' }, { type: 'restore' });
  decide(draft, trial.revision.id, preempted(lastKnownGood.label));
}

function preempted(by: string): { outcome: 'preempted'; reason: string; message: string } {
  return { outcome: 'preempted', reason: 'Preempted', message: `${by} came before its verdict` };
}

export function examined(draft: Draft, { token, finding }: Input<'examined'>): void {
  const { candidate, trial, reverting, inForce } = draft.state;
  if (candidate?.stage.at !== 'examining' || candidate.stage.token !== token) return;
  if ('block' in finding) {
    refuse(draft, candidate, finding.block);
    return;
  }
  const { facts, gate } = finding;
  const obstacle = obstacleOf(draft.state.record, candidate, gate);
  const settled = trial === undefined && reverting === undefined && inForce !== undefined;
  if (obstacle !== undefined) wait(draft, candidate, obstacle);
  else if (facts.changesNothing && settled) adoptAtOnce(draft, candidate, facts);
  else measure(draft, candidate, facts);
}

function measure(draft: Draft, candidate: Candidate, facts: Facts): void {
  const { trial, reverting } = draft.state;
  const token = nextToken(draft);
  update(draft, { candidate: { ...candidate, stage: { at: 'measuring', token, facts } } });
  const carried = trial?.baseline ?? reverting?.baseline;
  const { revision, intent } = candidate;
  const discounted = retryOf(draft.state.record, revision.id)?.discounted ?? [];
  draft.effects.push({ type: 'measure', token, revision, intent, carried, discounted });
}

type Waiting = Pick<Obstacle, 'reason' | 'message'> & { readonly recheckMs: number };

/** A person who goes back to an older revision is not kept from it by a hold or a window. */
function obstacleOf(record: RolloutRecord, { intent }: Candidate, gate: GateAnswer): Waiting | undefined {
  const { hold, suspension } = record;
  if (suspension !== undefined) {
    return { reason: 'Suspended', message: `this node is suspended: ${suspension.reason}`, recheckMs: NEVER };
  }
  if (intent === 'return') return undefined;
  if (hold !== undefined) {
    const until = hold.until === undefined ? '' : ` until ${hold.until}`;
    return { reason: 'Held', message: `this node is on hold${until}: ${hold.reason}`, recheckMs: NEVER };
  }
  return gate.open ? undefined : gate;
}

function wait(draft: Draft, candidate: Candidate, waiting: Waiting): void {
  const { reason, message } = waiting;
  const obstacle = { refused: false, reason, message, since: sinceOf(draft, candidate, waiting) };
  const stage: Stage = { at: 'waiting', ...obstacle, recheckAtMs: draft.nowMs + waiting.recheckMs };
  if (candidate.obstacle?.reason !== waiting.reason) {
    say(draft, 'Normal', waiting.reason, `${candidate.revision.label} waits: ${waiting.message}`);
  }
  update(draft, { candidate: { ...candidate, stage, obstacle } });
}

/**
 * Keys that a revision revokes by name are cut off when the node first sees it, whatever becomes of the rest of it. They
 * stay out for as long as it, or a newer one, wants it so.
 */
function cut(draft: Draft, cuts: readonly Cut[]): void {
  const { record, trial } = draft.state;
  const known = new Map(record.revoked.map((entry) => [canonicalKey(entry.publicKey), entry]));
  const news = cuts.filter(({ publicKey, revision }) => known.get(canonicalKey(publicKey))?.revision !== revision);
  if (news.length === 0) return;
  const during = trial === undefined ? {} : { during: trial.revision.id };
  const entries = news.map(({ publicKey, name, revision }) => ({ publicKey, name, revision, ...during }));
  const renewed = new Set(news.map(({ publicKey }) => canonicalKey(publicKey)));
  const others = record.revoked.filter(({ publicKey }) => !renewed.has(canonicalKey(publicKey)));
  save(draft, (old) => ({ ...old, revoked: [...others, ...entries] }));
  draft.effects.push({ type: 'bar' });
  for (const { name, revision, publicKey, held } of news) {
    if (held && !known.has(canonicalKey(publicKey)))
      say(draft, 'Warning', 'PeerRevoked', `peer/${name} is cut off: ${revision} revokes its key`);
  }
}

function refuse(draft: Draft, candidate: Candidate, { reason, message }: Block): void {
  const obstacle = { refused: true, reason, message, since: sinceOf(draft, candidate, { reason }) };
  if (candidate.obstacle?.reason !== reason) {
    say(draft, 'Warning', reason, `${candidate.revision.label} is refused: ${message}`);
  }
  update(draft, { candidate: { ...candidate, stage: { at: 'refused', ...obstacle }, obstacle } });
}

function sinceOf(draft: Draft, { obstacle }: Candidate, { reason }: Pick<Obstacle, 'reason'>): string {
  return obstacle?.reason === reason ? obstacle.since : timeText(draft);
}

/** There is nothing to try: it is in force, and trusted, in one. */
function adoptAtOnce(draft: Draft, { revision, intent }: Candidate, facts: Facts): void {
  const trial = trialOf(draft, revision, intent, facts, { ids: [], required: [] });
  const record = withRevoked(draft.state.record, facts.revokes);
  update(draft, { candidate: undefined, inForce: revision, trial, record });
  draft.effects.push({ type: 'apply', revision, intent });
  const cuts = record.revoked.some((entry) => entry.revision === revision.label);
  const rest = cuts ? 'the keys that it revokes are cut off already, and the rest' : 'it';
  promote(draft, `${rest} changes nothing on this node`);
}

/** The baseline is known: the trial is written down before the first write of the revision. */
export function measured(draft: Draft, { token, baseline }: Input<'measured'>): void {
  const { candidate, record, trial: older, bootId } = draft.state;
  if (candidate?.stage.at !== 'measuring' || candidate.stage.token !== token) return;
  const { revision, intent, stage } = candidate;
  const obstacle = obstacleOf(record, candidate, { open: true });
  if (obstacle !== undefined) {
    wait(draft, candidate, obstacle);
    return;
  }
  const trial = trialOf(draft, revision, intent, stage.facts, baseline);
  const past = older === undefined ? record : withHistory(record, preemptedEntry(draft, older, revision.label));
  const next = withRevoked(
    withTrial(past, {
      revision,
      startedAt: trial.startedAt,
      bootId,
      baseline: baseline.ids,
      confirmWithinMs: stage.facts.confirmWithinMs,
    }),
    stage.facts.revokes,
  );
  const recording = nextToken(draft);
  update(draft, {
    record: next,
    trial: undefined,
    candidate: { ...candidate, stage: { at: 'recording', token: recording, trial, before: { record, trial: older } } },
  });
  if (older !== undefined) draft.effects.push({ type: 'stop-probing' });
  draft.effects.push({ type: 'save', record: next, token: recording });
}

/** What passes now is what a trial compares with: without it, there is none. */
export function unmeasured(draft: Draft, { token, problem }: Input<'unmeasured'>): void {
  const { candidate } = draft.state;
  if (candidate?.stage.at !== 'measuring' || candidate.stage.token !== token) return;
  wait(draft, candidate, { reason: 'NotMeasured', message: problem, recheckMs: RETRY_MS });
}

export function recorded(draft: Draft, { token, problem }: Input<'recorded'>): void {
  const { candidate, reverting } = draft.state;
  if (candidate?.stage.at !== 'recording' || candidate.stage.token !== token) return;
  const { revision, stage } = candidate;
  if (problem !== undefined) {
    undoRecording(draft, stage);
    wait(draft, candidate, { reason: 'StateNotSaved', message: problem, recheckMs: RETRY_MS });
    return;
  }
  if (stage.before.trial !== undefined) decide(draft, stage.before.trial.revision.id, preempted(revision.label));
  if (reverting !== undefined) finishReverting(draft);
  const { nowMs } = draft;
  const trial = { ...stage.trial, startedMs: nowMs, deadlineMs: nowMs + stage.trial.facts.confirmWithinMs };
  update(draft, { trial, candidate: undefined, inForce: revision });
  draft.effects.push({ type: 'apply', revision, intent: trial.intent });
  const count = trial.baseline.ids.length;
  const probes = count === 1 ? '1 probe' : `${count} probes`;
  say(
    draft,
    'Normal',
    'Probation',
    `${revision.label} is on trial for ${trial.facts.confirmWithinMs / 1_000} s: ${probes}${withoutText(draft, revision.id)}`,
  );
}

/** It was not applied after all: what was on trial before goes on. */
export function undoRecording(draft: Draft, { before }: Extract<Stage, { readonly at: 'recording' }>): void {
  const { history, revoked, trial } = before.record;
  update(draft, { trial: before.trial });
  save(draft, (record) => withTrial({ ...record, history, revoked }, trial));
  if (before.trial === undefined) return;
  update(draft, { trial: { ...before.trial, running: [] } });
  if (before.trial.unmet !== undefined) tryProbes(draft);
}
