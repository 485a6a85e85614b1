import type { OmniError } from '../errors.ts';
import type { Condition as ReconcileCondition } from '../reconcile/conditions.ts';
import type { Condition } from './api.ts';
import { describeErrors, type FollowerState } from './follower.ts';
import type { SessionProblem } from './session-shell.ts';

/** Something that keeps the node from being Ready whatever the reconciler says. */
interface Obstacle {
  readonly reason: string;
  readonly message: string;
  readonly sinceMs: number;
  readonly observedRevision: string;
}

/**
 * The reconciler's conditions, and what it does not see: whether the source answers, a newer revision that holds errors,
 * sessions that could not be configured.
 */
export function conditionsOf(
  reconcile: readonly ReconcileCondition[],
  follower: FollowerState,
  sessions: SessionProblem | undefined,
): readonly Condition[] {
  const obstacle = obstacleOf(reconcile, follower, sessions);
  const node = obstacle === undefined ? reconcile.map(withCause(follower)) : obstructed(reconcile, obstacle);
  return [...node, sourceReady(follower)];
}

/** A node that has read nothing yet says why, where the source has given a reason. */
function withCause({ error }: FollowerState): (condition: ReconcileCondition) => ReconcileCondition {
  return (condition) => {
    if (condition.reason !== 'NoRevision' || error === undefined) return condition;
    return { ...condition, message: `${condition.message}: ${withFix(error)}` };
  };
}

function obstacleOf(
  reconcile: readonly ReconcileCondition[],
  { invalid }: FollowerState,
  sessions: SessionProblem | undefined,
): Obstacle | undefined {
  if (invalid !== undefined) {
    return {
      reason: 'InvalidFleet',
      message: describeErrors(invalid.errors),
      sinceMs: invalid.sinceMs,
      observedRevision: invalid.revision.label,
    };
  }
  if (sessions === undefined) return undefined;
  return {
    reason: sessions.reason ?? reasonOf(sessions.error.code),
    message: withFix(sessions.error),
    sinceMs: sessions.sinceMs,
    observedRevision: reconcile[0]?.observedRevision ?? '',
  };
}

/** What is in force goes on being healed, but it is not what the source says: not Ready, and a human must act. */
function obstructed(reconcile: readonly ReconcileCondition[], { sinceMs, ...verdict }: Obstacle): readonly Condition[] {
  const since = new Date(sinceMs).toISOString();
  const transition = (type: 'Ready' | 'Stalled', status: 'True' | 'False') => {
    const old = reconcile.find((condition) => condition.type === type);
    return old?.status === status ? old.lastTransitionTime : since;
  };
  return [
    { type: 'Ready', status: 'False', lastTransitionTime: transition('Ready', 'False'), ...verdict },
    { type: 'Stalled', status: 'True', lastTransitionTime: transition('Stalled', 'True'), ...verdict },
    ...reconcile.filter(({ type }) => type === 'Drifted' || type === 'Contested'),
  ];
}

function sourceReady({ sourceReady, sinceMs, error, attempted }: FollowerState): Condition {
  const common = {
    type: 'SourceReady' as const,
    lastTransitionTime: new Date(sinceMs).toISOString(),
    observedRevision: attempted?.label ?? '',
  };
  if (sourceReady === undefined) {
    return { ...common, status: 'Unknown', reason: 'NotFetched', message: 'the source has not answered yet' };
  }
  if (sourceReady || error === undefined) {
    return { ...common, status: 'True', reason: 'Fetched', message: `newest revision: ${attempted?.label ?? 'none'}` };
  }
  return { ...common, status: 'False', reason: reasonOf(error.code), message: withFix(error) };
}

function withFix({ message, fix }: OmniError): string {
  return fix === undefined ? message : `${message}. ${fix}`;
}

/** `source-unreachable` -> `SourceUnreachable`. */
function reasonOf(code: string): string {
  return code.replace(/(^|-)([a-z0-9])/g, (_, _dash: string, letter: string) => letter.toUpperCase());
}
