import type { Failure } from './cycle.ts';

export type ConditionStatus = 'True' | 'False' | 'Unknown';

/** Kubernetes-shaped and kstatus-safe: `Ready` always, `Reconciling` and `Stalled` only while True, and never both. */
export interface Condition {
  readonly type: 'Ready' | 'Reconciling' | 'Stalled';
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
export interface Situation {
  /** The revision in force; undefined: none yet, or it was withdrawn. */
  readonly attempted: string | undefined;
  /** A revision whose rows have not all been looked at yet. */
  readonly progressing: boolean;
  readonly suspended: boolean;
  readonly rows: number;
  /** Failures that decide: the first that needs help, else the first. */
  readonly failure: { readonly first: Failure; readonly count: number; readonly needsHelp: boolean } | undefined;
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

function verdictsOf({ attempted, progressing, failure, suspended, rows }: Situation): readonly Verdict[] {
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
  if (suspended) return [ready('True', 'Suspended', "this node's Peer is suspended: nothing is programmed")];
  return [ready('True', 'ReconciliationSucceeded', `revision ${attempted}: ${rows} rows verified`)];
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
