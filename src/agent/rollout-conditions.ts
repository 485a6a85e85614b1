import type { RolloutState } from '../reconcile/rollout/model.ts';
import type { Condition } from './api.ts';

/** Something that keeps the node from being Ready whatever the reconciler says. */
export interface Obstacle {
  readonly reason: string;
  readonly message: string;
  /** Milliseconds since 1970. */
  readonly sinceMs: number;
  readonly observedRevision: string;
}

/** The newest revision is refused: by a guard, or because it was tried and failed. */
export function refusedRevision({ candidate, record }: RolloutState): Obstacle | undefined {
  if (candidate?.stage.at !== 'refused') return undefined;
  const { reason, message, since } = candidate.stage;
  const { id, label } = candidate.revision;
  const common = { sinceMs: Date.parse(since), observedRevision: label };
  if (reason !== 'RevisionQuarantined') return { ...common, reason, message };
  // A person took it back: that is no trouble, any more than a hold is.
  if (record.quarantined.some((one) => one.revision.id === id && one.reason === 'RolledBackByHand')) return undefined;
  const { lastKnownGood } = record;
  const inForce = lastKnownGood === undefined ? 'nothing is programmed' : `in force is ${lastKnownGood.label}`;
  return {
    ...common,
    reason: 'RolledBackToLastKnownGood',
    message: `${label} is quarantined: ${message}; ${inForce}. Commit a newer one, or run omni retry`,
  };
}

/** While a revision is on trial nobody knows yet whether the node is well. */
export function onTrial(conditions: readonly Condition[], { trial }: RolloutState): readonly Condition[] {
  if (trial === undefined || conditions.some(({ type }) => type === 'Stalled')) return conditions;
  const common = {
    reason: 'Probation',
    message: messageOf(trial),
    lastTransitionTime: trial.startedAt,
    observedRevision: trial.revision.label,
  };
  return [
    { type: 'Ready', status: 'Unknown', ...common },
    { type: 'Reconciling', status: 'True', ...common },
    ...conditions.filter(({ type }) => type !== 'Ready' && type !== 'Reconciling'),
  ];
}

/** Each only while True. */
export function rolloutConditions({ trial, candidate, inForce, record }: RolloutState): readonly Condition[] {
  const { hold, suspension } = record;
  const observedRevision = candidate?.revision.label ?? inForce?.label ?? '';
  const conditions: Condition[] = [];
  if (trial !== undefined) {
    const { startedAt: lastTransitionTime, revision } = trial;
    const message = messageOf(trial);
    conditions.push({
      type: 'Probation',
      status: 'True',
      reason: 'Probation',
      message,
      lastTransitionTime,
      observedRevision: revision.label,
    });
  }
  if (hold !== undefined) {
    const message = hold.until === undefined ? hold.reason : `${hold.reason} (until ${hold.until})`;
    const { since: lastTransitionTime } = hold;
    conditions.push({ type: 'Held', status: 'True', reason: 'Held', message, lastTransitionTime, observedRevision });
  }
  if (suspension !== undefined) {
    const { since: lastTransitionTime, reason: message } = suspension;
    const reason = 'Suspended';
    conditions.push({ type: 'Suspended', status: 'True', reason, message, lastTransitionTime, observedRevision });
  }
  return conditions;
}

function messageOf({ revision, baseline, results }: NonNullable<RolloutState['trial']>): string {
  const passed = baseline.ids.filter((id) => results[id]?.state === 'passed').length;
  return `${revision.label} is on trial: ${passed} of ${baseline.ids.length} probes pass`;
}
