import type { Failure } from './cycle.ts';
import { LEFT } from './drift.ts';
import { needsHelp } from './ledger.ts';
import type { Target } from './target.ts';

export type ConditionStatus = 'True' | 'False' | 'Unknown';

/** Kubernetes-shaped and kstatus-safe: `Ready` always, the others only while True, `Reconciling` and `Stalled` never both. */
export interface Condition {
  readonly type: 'Ready' | 'Reconciling' | 'Stalled' | 'Drifted' | 'Contested';
  readonly status: ConditionStatus;
  /** PascalCase. */
  readonly reason: string;
  readonly message: string;
  /** RFC 3339. */
  readonly lastTransitionTime: string;
  /** The revision that it speaks of. */
  readonly observedRevision: string;
}

/** All that the conditions follow from. */
interface Situation {
  /** The revision in force; undefined: none yet, or it was withdrawn. */
  readonly attempted: string | undefined;
  /** A revision whose rows have not all been looked at yet. */
  readonly progressing: boolean;
  readonly suspended: boolean;
  readonly rows: number;
  /** Failures that decide: the first that needs help, else the first. */
  readonly failure: { readonly first: Failure; readonly count: number; readonly needsHelp: boolean } | undefined;
  /** Drift that is left because the cluster says `report`, and because somebody keeps changing it. */
  readonly drifted: readonly Failure[];
  readonly contested: readonly Failure[];
}

export function situationOf({
  target,
  progressing,
  failures,
  left,
}: {
  readonly target: Target | undefined;
  readonly progressing: boolean;
  readonly failures: readonly Failure[];
  /** Rows that are left on purpose. */
  readonly left: readonly Failure[];
}): Situation {
  const first = failures.find(needsHelp) ?? failures.find((failure) => failure.attempted) ?? failures[0];
  return {
    attempted: target?.revision || undefined,
    progressing,
    suspended: target?.state.standing === 'suspended',
    rows: target?.state.rows.size ?? 0,
    failure: first && { first, count: failures.length, needsHelp: needsHelp(first) },
    drifted: left.filter(({ code }) => code === LEFT.drifted),
    contested: left.filter(({ code }) => code === LEFT.contested),
  };
}

type Verdict = Pick<Condition, 'type' | 'status' | 'reason' | 'message'>;

/** Pure. `previous` gives the transition times of conditions whose status stays. */
export function conditionsOf(situation: Situation, previous: readonly Condition[], now: string): readonly Condition[] {
  return verdictsOf(situation).map((verdict) => {
    const old = previous.find(({ type }) => type === verdict.type);
    const lastTransitionTime = old?.status === verdict.status ? old.lastTransitionTime : now;
    return { ...verdict, lastTransitionTime, observedRevision: situation.attempted ?? '' };
  });
}

function verdictsOf(situation: Situation): readonly Verdict[] {
  const { drifted, contested } = situation;
  return [
    ...readiness(situation),
    ...(drifted.length === 0 ? [] : [leftAlone('Drifted', 'ModeReport', drifted)]),
    ...(contested.length === 0 ? [] : [leftAlone('Contested', 'ChangedAgain', contested)]),
  ];
}

const NAMED = 3;

function leftAlone(type: 'Drifted' | 'Contested', reason: string, rows: readonly Failure[]): Verdict {
  const named = rows.slice(0, NAMED).map(({ key, message }) => `${key} ${message}`);
  const more = rows.length > NAMED ? [`and ${rows.length - NAMED} more`] : [];
  const count = rows.length === 1 ? '1 row' : `${rows.length} rows`;
  const fix = rows[0]?.fix === undefined ? '' : `. ${rows[0].fix}`;
  return { type, status: 'True', reason, message: `${count}: ${[...named, ...more].join('; ')}${fix}` };
}

function readiness(situation: Situation): readonly Verdict[] {
  const { attempted, progressing, failure, suspended, rows, drifted, contested } = situation;
  if (attempted === undefined) return [ready('Unknown', 'NoRevision', 'no revision has been read yet')];
  if (failure !== undefined) {
    const { first, count } = failure;
    const rest = count > 1 ? `, and ${count - 1} more` : '';
    const message = `${first.key}: ${first.message}${rest}${first.fix === undefined ? '' : `. ${first.fix}`}`;
    const next = failure.needsHelp ? stalled('ReconcileFailed', message) : reconciling('ProgressingWithRetry', message);
    return [ready('False', 'ReconcileFailed', message), next];
  }
  if (progressing) {
    const message = `programming revision ${attempted}`;
    return [ready('Unknown', 'Progressing', message), reconciling('Progressing', message)];
  }
  if (contested.length > 0) {
    const { message } = leftAlone('Contested', 'ChangedAgain', contested);
    return [ready('False', 'Contested', message), stalled('Contested', message)];
  }
  if (suspended) return [ready('True', 'Suspended', "this node's Peer is suspended: nothing is programmed")];
  // A node of mode report is ready when it did what commits asked for: what drifted since is left because they say so.
  const left = drifted.length === 0 ? '' : `, ${drifted.length} left as they are`;
  const message = `revision ${attempted}: ${rows - drifted.length} rows verified${left}`;
  return [ready('True', 'ReconciliationSucceeded', message)];
}

function ready(status: ConditionStatus, reason: string, message: string): Verdict {
  return { type: 'Ready', status, reason, message };
}

function stalled(reason: string, message: string): Verdict {
  return { type: 'Stalled', status: 'True', reason, message };
}

function reconciling(reason: string, message: string): Verdict {
  return { type: 'Reconciling', status: 'True', reason, message };
}
