import { aftermathDueMs, aftermathTimer, rowsAreBack, silentAsked } from './aftermath.ts';
import { withHistory, withLastKnownGood, withoutLastKnownGood, withQuarantine, withTrial } from './bookkeeping.ts';
import { examined, measured, offered, recorded, unmeasured } from './candidate.ts';
import { askAgain, command, release } from './commands.ts';
import {
  type Draft,
  type Moment,
  type RolloutEffect,
  type RolloutInput,
  type RolloutState,
  save,
  say,
  timeText,
  update,
} from './model.ts';
import type { RolloutRecord } from './record.ts';
import { finishReverting, probesRestored, rowsRestored } from './reverting.ts';
import { decideTrial, probesSeen, rowsSeen, trialOf, tryProbes } from './trial.ts';

const NEVER = Number.POSITIVE_INFINITY;
/** Wall clocks are set: a hold's end is looked at this often. */
const HOLD_CHECK_MS = 10_000;

/** Before anything is in force. `record`: what `recover` made of the one on disk. */
export function initialState(record: RolloutRecord, bootId: string): RolloutState {
  return {
    record,
    bootId,
    inForce: undefined,
    candidate: undefined,
    trial: undefined,
    reverting: undefined,
    aftermath: undefined,
    decisions: [],
    sequence: 0,
  };
}

/**
 * Which revision is in force, as a function: same arguments, same result. The caller carries out the effects in order,
 * and calls again with `timer` at `nextDeadlineMs`.
 */
export function step(
  state: RolloutState,
  input: RolloutInput,
  moment: Moment,
): { readonly state: RolloutState; readonly effects: readonly RolloutEffect[] } {
  const draft: Draft = { state, effects: [], ...moment };
  react(draft, input);
  return { state: draft.state, effects: draft.effects };
}

/** When `timer` is due next, monotonic; Infinity where nothing is pending. */
export function nextDeadlineMs(state: RolloutState, moment: Moment): number {
  const { trial, reverting, candidate, record } = state;
  const { nowMs, wallMs } = moment;
  const until = record.hold?.until;
  const holdMs = until === undefined ? NEVER : Math.min(Math.max(Date.parse(until) - wallMs, 0), HOLD_CHECK_MS);
  return Math.min(
    trial?.deadlineMs ?? NEVER,
    trial?.retryAtMs ?? NEVER,
    reverting?.deadlineMs ?? NEVER,
    candidate?.stage.at === 'waiting' ? candidate.stage.recheckAtMs : NEVER,
    nowMs + holdMs,
    aftermathDueMs(state, moment),
  );
}

function react(draft: Draft, input: RolloutInput): void {
  const { trial, reverting } = draft.state;
  switch (input.type) {
    case 'booted':
      update(draft, { inForce: input.inForce });
      if (input.inForce === undefined && draft.state.record.lastKnownGood !== undefined)
        save(draft, withoutLastKnownGood);
      break;
    case 'resumed':
      resumed(draft, input);
      break;
    case 'dropped':
      save(draft, (record) => withTrial(record, undefined));
      break;
    case 'trusted':
      // It is the newest: what older ones took out is its to say.
      save(draft, (record) => ({ ...withLastKnownGood(record, input.revision, timeText(draft)), revoked: [] }));
      update(draft, { inForce: input.revision });
      break;
    case 'offered':
      offered(draft, input);
      break;
    case 'examined':
      examined(draft, input);
      break;
    case 'measured':
      measured(draft, input);
      break;
    case 'unmeasured':
      unmeasured(draft, input);
      break;
    case 'recorded':
      recorded(draft, input);
      break;
    case 'passed':
      if (trial !== undefined) rowsSeen(draft, trial, input.unmet);
      else if (reverting !== undefined) rowsRestored(draft, reverting);
      else rowsAreBack(draft);
      break;
    case 'probed':
      if (trial !== undefined) probesSeen(draft, trial, input.results);
      else if (reverting !== undefined) probesRestored(draft, reverting, input.results);
      else silentAsked(draft, input.results);
      break;
    case 'timer':
      timer(draft);
      break;
    default:
      command(draft, input);
  }
}

function timer(draft: Draft): void {
  const { record, candidate, reverting, trial } = draft.state;
  const { nowMs } = draft;
  const until = record.hold?.until;
  if (until !== undefined && Date.parse(until) <= draft.wallMs) release(draft, `the hold ended at ${until}`);
  if (trial !== undefined && trial.retryAtMs <= nowMs) tryProbes(draft);
  decideTrial(draft);
  if (reverting !== undefined && reverting.deadlineMs <= nowMs) finishReverting(draft);
  aftermathTimer(draft);
  if (candidate?.stage.at === 'waiting' && candidate.stage.recheckAtMs <= nowMs) askAgain(draft);
}

function resumed(draft: Draft, { facts, baseline }: Extract<RolloutInput, { readonly type: 'resumed' }>): void {
  const { trial } = draft.state.record;
  if (trial === undefined) return;
  const { stopped: _, ...goesOn } = trial;
  save(draft, (record) => withTrial(record, goesOn));
  update(draft, { inForce: trial.revision, trial: trialOf(draft, trial.revision, 'follow', facts, baseline) });
  say(draft, 'Normal', 'Probation', `${trial.revision.label} was on trial when the agent ended; it goes on`);
}

/**
 * What a record says after a start. A trial in it was interrupted, which counts as a failure, unless the agent ended in
 * order and the system runs on: then it is still in the record. Where nothing was trusted before there is nothing to
 * go back to, and the revision is tried again.
 */
export function recover(record: RolloutRecord, bootId: string, at: string): RolloutRecord {
  const { trial, lastKnownGood } = record;
  if (trial === undefined || (trial.stopped && trial.bootId === bootId)) return record;
  const { revision } = trial;
  const message = 'the agent or the system ended before its verdict';
  const over = withHistory(withTrial(record, undefined), { revision, outcome: 'rolled-back', message, at, tookMs: 0 });
  if (lastKnownGood === undefined) return over;
  return withQuarantine(over, { revision, reason: 'Interrupted', message, at });
}
