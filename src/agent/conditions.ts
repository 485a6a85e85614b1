import type { OmniError } from '../errors.ts';
import type { Condition as ReconcileCondition } from '../reconcile/conditions.ts';
import type { RolloutState } from '../reconcile/rollout/model.ts';
import { DISTRUST } from '../source/git-trust-errors.ts';
import type { Condition } from './api.ts';
import { describeErrors, type FollowerState } from './follower.ts';
import type { Parts } from './parts.ts';
import { type Obstacle, onTrial, refusedRevision, rolloutConditions } from './rollout-conditions.ts';
import type { SessionProblem } from './session-shell.ts';

/** All that a node's conditions follow from. */
export interface Circumstances {
  readonly reconcile: readonly ReconcileCondition[];
  readonly follower: FollowerState;
  readonly sessions: SessionProblem | undefined;
  readonly rollout: RolloutState;
  /** The node asks for signatures. */
  readonly verifies: boolean;
}

/** A running agent's, now. */
export function currentConditions(
  parts: Pick<Parts, 'config' | 'reconciler' | 'follower' | 'sessions' | 'rollout'>,
): readonly Condition[] {
  const { config, reconciler, follower, sessions, rollout } = parts;
  return conditionsOf({
    reconcile: reconciler.status().conditions,
    follower: follower.state,
    sessions: sessions.problem,
    rollout: rollout.state,
    verifies: config.verify !== undefined && (config.verify.commits !== 'off' || config.verify.tag),
  });
}

/**
 * The reconciler's conditions, and what it does not see: whether the source answers and is believed, a newer revision that
 * holds errors, is on trial or refused, sessions that could not be configured, what people told the node to leave.
 */
export function conditionsOf(circumstances: Circumstances): readonly Condition[] {
  const { reconcile, follower, rollout, verifies } = circumstances;
  const obstacle = obstacleOf(circumstances);
  const node =
    obstacle === undefined ? onTrial(reconcile.map(withCause(follower)), rollout) : obstructed(reconcile, obstacle);
  return [
    ...node,
    sourceReady(follower),
    ...(verifies ? [sourceVerified(follower)] : []),
    ...rolloutConditions(rollout),
  ];
}

/** A node that has read nothing yet says why, where the source has given a reason. */
function withCause({ error }: FollowerState): (condition: ReconcileCondition) => ReconcileCondition {
  return (condition) => {
    if (condition.reason !== 'NoRevision' || error === undefined) return condition;
    return { ...condition, message: `${condition.message}: ${withFix(error)}` };
  };
}

function obstacleOf({ reconcile, follower: { invalid }, sessions, rollout }: Circumstances): Obstacle | undefined {
  if (invalid !== undefined) {
    return {
      reason: 'InvalidFleet',
      message: describeErrors(invalid.errors),
      sinceMs: invalid.sinceMs,
      observedRevision: invalid.revision.label,
    };
  }
  const refused = refusedRevision(rollout);
  if (refused !== undefined) return refused;
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

/** Codes of a source that was reached and not believed. */
const UNBELIEVED: ReadonlySet<string> = new Set([...DISTRUST, 'signers-unusable', 'mark-damaged']);

function sourceVerified({ sinceMs, error, attempted, lastFetchMs }: FollowerState): Condition {
  const common = {
    type: 'SourceVerified' as const,
    lastTransitionTime: new Date(sinceMs).toISOString(),
    observedRevision: attempted?.label ?? '',
  };
  if (error !== undefined && UNBELIEVED.has(error.code)) {
    return { ...common, status: 'False', reason: reasonOf(error.code), message: withFix(error) };
  }
  if (attempted === undefined || (lastFetchMs === undefined && attempted.signature === undefined)) {
    return {
      ...common,
      status: 'Unknown',
      reason: 'NotVerified',
      message: 'nothing was verified since the agent runs',
    };
  }
  const { signer, key } = attempted.signature ?? {};
  const message = signer === undefined ? 'signed as asked for' : `signed by ${signer} with ${key ?? ''}`;
  return { ...common, status: 'True', reason: 'Verified', message };
}

function withFix({ message, fix }: OmniError): string {
  return fix === undefined ? message : `${message}. ${fix}`;
}

/** `source-unreachable` -> `SourceUnreachable`. */
function reasonOf(code: string): string {
  return code.replace(/(^|-)([a-z0-9])/g, (_, _dash: string, letter: string) => letter.toUpperCase());
}
