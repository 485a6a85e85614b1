import type { ErrorClass } from '../errors.ts';
import type { Failure } from './cycle.ts';
import type { DriftReport } from './drift.ts';
import { type Change, type RowKind, rowOf } from './rows.ts';

/** Counts since start, for `omni_reconcile_*`. */
export interface ReconcileStats {
  readonly passes: number;
  /** Passes that a newer revision cut short. */
  readonly superseded: number;
  readonly changes: Readonly<Record<Change['op'], number>>;
  readonly errors: Readonly<Record<ErrorClass, number>>;
  readonly driftHealed: number;
  /** Drift by kind of row: healed, or found and left where the cluster says `report`. */
  readonly drift: Readonly<Record<RowKind, number>>;
  /** Rows that are left now because somebody keeps changing them. */
  readonly contestedRows: number;
  /** Rows that are left now because the cluster says `report`. */
  readonly driftedRows: number;
  readonly lastDurationMs: number;
  readonly totalDurationMs: number;
}

type Mutable<T> = { -readonly [K in keyof T]: T[K] extends number ? number : Mutable<T[K]> };
export type StatsCounter = Mutable<ReconcileStats>;

export function newStats(): StatsCounter {
  return {
    passes: 0,
    superseded: 0,
    changes: { create: 0, update: 0, delete: 0 },
    errors: { retry: 0, wait: 0, stall: 0, bug: 0 },
    driftHealed: 0,
    drift: { link: 0, peer: 0, address: 0, fdb: 0, neighbour: 0, route: 0, subnet: 0, policy: 0 },
    contestedRows: 0,
    driftedRows: 0,
    lastDurationMs: 0,
    totalDurationMs: 0,
  };
}

/** What one pass that got through adds. */
interface Pass {
  readonly failures: readonly Failure[];
  readonly drift: Pick<DriftReport, 'healed' | 'detected'>;
  readonly durationMs: number;
}

export function countPass(stats: StatsCounter, { failures, drift, durationMs }: Pass): void {
  stats.passes++;
  stats.driftHealed += drift.healed.length;
  for (const { change } of [...drift.healed, ...drift.detected]) stats.drift[rowOf(change).kind]++;
  stats.lastDurationMs = durationMs;
  stats.totalDurationMs += durationMs;
  for (const failure of failures) if (failure.attempted) stats.errors[failure.class]++;
}
