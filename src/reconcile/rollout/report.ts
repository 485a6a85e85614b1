import type { Moment, Obstacle, ProbeResult, RolloutState } from './model.ts';
import type { HistoryEntry, Hold, Quarantined, RevisionInfo, Revocation, Suspension } from './record.ts';

/** Which revision this node trusts, and why not another: for people. */
export interface RolloutView {
  readonly lastKnownGood?: RevisionInfo & { readonly since: string };
  readonly trial?: {
    readonly revision: RevisionInfo;
    readonly startedAt: string;
    readonly remainingMs: number;
    readonly probes: readonly ({ readonly id: string } & ProbeResult)[];
  };
  readonly waiting?: Readonly<Pick<Obstacle, 'refused' | 'reason' | 'message'>> & { readonly revision: RevisionInfo };
  /** Newest first. */
  readonly quarantined: readonly Omit<Quarantined, 'recheck'>[];
  readonly history: readonly HistoryEntry[];
  readonly revoked: readonly Revocation[];
  readonly hold?: Hold;
  readonly suspension?: Suspension;
}

export function viewOf({ record, trial, candidate }: RolloutState, { nowMs }: Pick<Moment, 'nowMs'>): RolloutView {
  const { lastKnownGood, quarantined, history, revoked, hold, suspension } = record;
  const obstacle = candidate?.obstacle;
  return {
    ...(lastKnownGood && { lastKnownGood }),
    ...(trial && {
      trial: {
        revision: trial.revision,
        startedAt: trial.startedAt,
        remainingMs: Math.max(0, Math.round(trial.deadlineMs - nowMs)),
        probes: Object.entries(trial.results).map(([id, result]) => ({ id, ...result })),
      },
    }),
    ...(candidate &&
      obstacle && {
        waiting: {
          revision: candidate.revision,
          refused: obstacle.refused,
          reason: obstacle.reason,
          message: obstacle.message,
        },
      }),
    quarantined: quarantined.map(({ recheck: _, ...entry }) => entry).toReversed(),
    history: history.toReversed(),
    revoked,
    ...(hold && { hold }),
    ...(suspension && { suspension }),
  };
}
