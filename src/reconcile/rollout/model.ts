import type { ErrorClass } from '../../errors.ts';
import type { Block } from '../block.ts';
import type { GateAnswer } from './gates.ts';
import type { Hold, QuarantineReason, RevisionInfo, Revocation, RolloutRecord } from './record.ts';
import type { Cut } from './revocation.ts';

/*
 * Which revision is in force, as plain data. At most one revision is a candidate (it is looked at, waits, is refused, or
 * its baseline is being measured), and at most one is on trial or being taken back; what is newer comes first.
 */

/** `follow`: the source's newest. `return`: a person chose it, by `omni rollback`. */
export type Intent = 'follow' | 'return';

/** Why a candidate is not tried now, or not at all. `since`: RFC 3339. */
export interface Obstacle {
  /** A guard, a quarantine or an error in it keeps it out; else it only waits. */
  readonly refused: boolean;
  readonly reason: string;
  readonly message: string;
  readonly since: string;
}

export type Stage =
  /** What it would do is worked out, and the gates are asked. */
  | { readonly at: 'examining'; readonly token: number }
  | ({ readonly at: 'waiting'; readonly recheckAtMs: number } & Obstacle)
  | ({ readonly at: 'refused' } & Obstacle)
  /** Probes are tried before the first write. */
  | { readonly at: 'measuring'; readonly token: number; readonly facts: Facts }
  /** The trial is being written to disk. `before`: what is there again where that fails. */
  | {
      readonly at: 'recording';
      readonly token: number;
      readonly trial: LiveTrial;
      readonly before: Pick<RolloutState, 'record' | 'trial'>;
    };

export interface Candidate {
  readonly revision: RevisionInfo;
  readonly intent: Intent;
  readonly stage: Stage;
  /** What kept it last, while it is looked at again. */
  readonly obstacle: Obstacle | undefined;
}

/** What a revision would do to this node, worked out against what is in force and the last known good one. */
export interface Facts {
  /** No row and no setting of the sessions is different. */
  readonly changesNothing: boolean;
  readonly confirmWithinMs: number;
  /** How long it stays quarantined if its probes fail, before it is tried once more. */
  readonly quarantineForMs: number;
  /** Keys that it takes out, compared with the last known good revision. */
  readonly revokes: readonly Revocation[];
}

/** What passed before a trial, by id. `required`: each must pass again; of the other peers half is enough. */
export interface Baseline {
  readonly ids: readonly string[];
  readonly required: readonly string[];
}

export interface ProbeResult {
  readonly state: 'pending' | 'passed' | 'failing';
  /** Why it fails, for people. */
  readonly message?: string;
}

/** A row that the revision touched and that is not as desired. */
export interface UnmetRow {
  readonly key: string;
  readonly class: ErrorClass;
  readonly message: string;
}

export interface LiveTrial {
  readonly revision: RevisionInfo;
  readonly intent: Intent;
  readonly facts: Facts;
  readonly baseline: Baseline;
  readonly startedAt: string;
  readonly startedMs: number;
  readonly deadlineMs: number;
  readonly results: Readonly<Record<string, ProbeResult>>;
  /** Undefined: no pass has got through since it is in force. */
  readonly unmet: readonly UnmetRow[] | undefined;
  /** Ids of the probes that are being tried. */
  readonly running: readonly string[];
  readonly retryAtMs: number;
}

/** A revision that failed is being taken back: its rows, and then one more look at its probes for the report. */
export interface Reverting {
  readonly revision: RevisionInfo;
  readonly reason: QuarantineReason;
  readonly message: string;
  readonly baseline: Baseline;
  /** Rows are as they were. */
  readonly restored: boolean;
  /** Of the probes that were tried once more. */
  readonly results: Readonly<Record<string, ProbeResult>>;
  /** The report does not wait for ever. */
  readonly deadlineMs: number;
}

/** What is trusted is in force again, and the probes that failed a revision are tried as long as its trial lasted. */
interface Aftermath {
  readonly revision: RevisionInfo;
  readonly silent: readonly string[];
  readonly withinMs: number;
  /** Rows were read back: from then on silence counts. */
  readonly restored: boolean;
  readonly running: readonly string[];
  readonly retryAtMs: number;
  readonly deadlineMs: number;
}

/**
 * What became of a revision. `waiting`: something keeps it from being tried, and `message` says what.
 * `refused`: a guard or a quarantine. `trial`: the time of the caller was up before the verdict.
 */
export interface Verdict {
  readonly outcome: 'good' | 'rolled-back' | 'refused' | 'waiting' | 'preempted' | 'trial';
  /** PascalCase, as in conditions. */
  readonly reason: string;
  readonly message: string;
}

interface Decision {
  readonly sequence: number;
  readonly id: string;
  readonly verdict: Verdict;
}

export interface RolloutState {
  /** As it is to be on disk. */
  readonly record: RolloutRecord;
  readonly bootId: string;
  /** Undefined: nothing is programmed. */
  readonly inForce: RevisionInfo | undefined;
  readonly candidate: Candidate | undefined;
  readonly trial: LiveTrial | undefined;
  readonly reverting: Reverting | undefined;
  readonly aftermath: Aftermath | undefined;
  /** The last few, oldest first. */
  readonly decisions: readonly Decision[];
  readonly sequence: number;
}

export type RolloutInput =
  /** What a start put in force. */
  | { readonly type: 'booted'; readonly inForce: RevisionInfo | undefined }
  /** A trial that was stopped in order goes on: its revision is in force. */
  | { readonly type: 'resumed'; readonly facts: Facts; readonly baseline: Baseline }
  /** It cannot: the revision is not there any more. */
  | { readonly type: 'dropped' }
  /** A revision that no record speaks of was in force before this agent came. */
  | { readonly type: 'trusted'; readonly revision: RevisionInfo }
  /** `cuts`: keys that it newly names in `revokedKeys`. */
  | {
      readonly type: 'offered';
      readonly revision: RevisionInfo;
      readonly intent: Intent;
      readonly cuts: readonly Cut[];
    }
  | {
      readonly type: 'examined';
      readonly token: number;
      readonly finding: { readonly block: Block } | { readonly gate: GateAnswer; readonly facts: Facts };
    }
  | { readonly type: 'measured'; readonly token: number; readonly baseline: Baseline }
  /** It could not be found out what passes now. */
  | { readonly type: 'unmeasured'; readonly token: number; readonly problem: string }
  | { readonly type: 'recorded'; readonly token: number; readonly problem?: string }
  /** A pass got through: the rows that the trial touched and that are not as desired. */
  | { readonly type: 'passed'; readonly unmet: readonly UnmetRow[] }
  /** Probes were tried once. Undefined: it passed. */
  | { readonly type: 'probed'; readonly results: ReadonlyMap<string, string | undefined> }
  | { readonly type: 'timer' }
  | { readonly type: 'confirm'; readonly id: string; readonly allowPartition: boolean }
  | { readonly type: 'lift'; readonly id: string }
  | { readonly type: 'fail' }
  | { readonly type: 'hold'; readonly hold: Hold }
  | { readonly type: 'release' }
  | { readonly type: 'suspend'; readonly reason: string }
  | { readonly type: 'resume' }
  /** The agent ends in order. */
  | { readonly type: 'stopped' };

export type RolloutEffect =
  /** Write the record; with a token, answer with `recorded`. */
  | { readonly type: 'save'; readonly record: RolloutRecord; readonly token?: number }
  | { readonly type: 'examine'; readonly token: number; readonly revision: RevisionInfo; readonly intent: Intent }
  /** Try what can be tried before the candidate; `carried` counts as passed where it still exists. */
  | {
      readonly type: 'measure';
      readonly token: number;
      readonly revision: RevisionInfo;
      readonly intent: Intent;
      readonly carried: Baseline | undefined;
      /** Probes that are not tried. */
      readonly discounted: readonly string[];
    }
  /** Put the revision in force. */
  | { readonly type: 'apply'; readonly revision: RevisionInfo; readonly intent: Intent }
  /** Put the last known good revision in force, or nothing where there is none. `reason`: of a revision that failed. */
  | { readonly type: 'restore'; readonly reason?: QuarantineReason }
  /** Other keys get nothing than before. */
  | { readonly type: 'bar' }
  | { readonly type: 'probe'; readonly ids: readonly string[] }
  | { readonly type: 'stop-probing' }
  | { readonly type: 'pause' }
  | { readonly type: 'go-on' }
  | {
      readonly type: 'say';
      readonly level: 'Normal' | 'Warning';
      readonly reason: string;
      readonly message: string;
    };

export interface Moment {
  /** Monotonic. */
  readonly nowMs: number;
  /** Since 1970. */
  readonly wallMs: number;
}

/** A step under way. */
export interface Draft extends Moment {
  state: RolloutState;
  readonly effects: RolloutEffect[];
}

export function update(draft: Draft, change: Partial<RolloutState>): void {
  draft.state = { ...draft.state, ...change };
}

/** A number that no earlier step used. */
export function nextToken(draft: Draft): number {
  const sequence = draft.state.sequence + 1;
  update(draft, { sequence });
  return sequence;
}

export function say(draft: Draft, level: 'Normal' | 'Warning', reason: string, message: string): void {
  draft.effects.push({ type: 'say', level, reason, message });
}

/** The record from here on, to be written in time. */
export function save(draft: Draft, change: (record: RolloutRecord) => RolloutRecord): void {
  const record = change(draft.state.record);
  update(draft, { record });
  draft.effects.push({ type: 'save', record });
}

export function timeText({ wallMs }: Moment): string {
  return new Date(wallMs).toISOString();
}

const MAX_DECISIONS = 16;

export function decide(draft: Draft, id: string, verdict: Verdict): void {
  const decision = { sequence: nextToken(draft), id, verdict };
  update(draft, { decisions: [...draft.state.decisions, decision].slice(-MAX_DECISIONS) });
}

/** Of one try; undefined: it passed. */
export function resultOf(message: string | undefined): ProbeResult {
  return message === undefined ? { state: 'passed' } : { state: 'failing', message };
}
