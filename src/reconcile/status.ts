import type { ObjectRef } from '../manifest/model.ts';
import type { Condition } from './conditions.ts';
import type { Failure } from './cycle.ts';
import type { Standing } from './desired.ts';
import type { ObjectState } from './ledger.ts';
import type { Change, DesiredRow, ObservedRow, Plan, RowKey } from './rows.ts';
import { objectOf } from './share.ts';
import type { Target } from './target.ts';

/** What one completed pass did and found. */
export interface PassReport {
  readonly revision: string;
  /** Every row that was looked at is as desired, read back, but for those in `left`. */
  readonly ready: boolean;
  readonly changes: Plan;
  readonly failures: readonly Failure[];
  /** Drift that is left on purpose: the cluster says `report`, or somebody keeps changing it. */
  readonly left: readonly Failure[];
  /** The part of `changes`, and of those of passes cut short before, that no commit asked for. */
  readonly drift: readonly Change[];
  /** All rows were looked at, not only those that a commit or a notification named. */
  readonly whole: boolean;
  readonly durationMs: number;
}

export interface ReconcilerStatus {
  /** `attempted`: the newest that was set; `applied`: the newest of which every row was verified. */
  readonly revision: { readonly attempted?: string; readonly applied?: string };
  /** The node's Peer. */
  readonly self?: string;
  readonly standing?: Standing;
  readonly conditions: readonly Condition[];
  readonly objects: { readonly total: number; readonly ready: number; readonly failed: number };
  /** `pending`: not verified yet, or known not to be as desired. */
  readonly rows: { readonly desired: number; readonly observed: number; readonly pending: number };
  readonly failures: readonly Failure[];
  /** Drift that is left on purpose. */
  readonly left: readonly Failure[];
}

export function statusOf({
  target,
  applied,
  observed,
  pending,
  ...rest
}: Pick<ReconcilerStatus, 'conditions' | 'objects' | 'failures' | 'left'> & {
  readonly target: Target | undefined;
  readonly applied: string | undefined;
  /** Numbers of rows. */
  readonly observed: number;
  readonly pending: number;
}): ReconcilerStatus {
  const { standing, self, rows } = target?.state ?? {};
  return {
    revision: { ...(target?.revision && { attempted: target.revision }), ...(applied && { applied }) },
    ...(standing && { standing }),
    ...(self && { self }),
    rows: { desired: rows?.size ?? 0, observed, pending },
    ...rest,
  };
}

/** Live: to be read at once, not kept. */
export interface RowsView {
  readonly target: Target | undefined;
  /** As last seen. */
  readonly observed: ReadonlyMap<RowKey, ObservedRow>;
  /** Rows that are not as desired, those that are left on purpose among them. */
  readonly failures: ReadonlyMap<RowKey, Failure>;
  /** When the row was last read back as desired, milliseconds since 1970; undefined: never since it is desired. */
  verifiedAt(key: RowKey): number | undefined;
}

export interface ObjectReport extends Omit<ObjectState, 'sinceMs'> {
  readonly object: ObjectRef;
  readonly revision: string;
  /** RFC 3339 of the last change of `ready` or `reason`. */
  readonly since: string;
}

export function objectReports(states: ReadonlyMap<ObjectRef, ObjectState>, revision: string): readonly ObjectReport[] {
  return [...states].map(([object, { sinceMs, ...state }]) => {
    return { object, ...state, revision, since: new Date(sinceMs).toISOString() };
  });
}

export interface RowsReport {
  readonly desired: readonly DesiredRow[];
  readonly observed: readonly ObservedRow[];
}

/** Positions are the fleet's: a row does not change when a line above its object does. */
export function rowsReport(target: Target | undefined, observed: ReadonlyMap<RowKey, ObservedRow>): RowsReport {
  const desired = [...(target?.state.rows.values() ?? [])].map(({ row, origin }): DesiredRow => {
    const position = (target && objectOf(target.fleet, origin.object)?.position) ?? origin.position;
    return { row, origin: { ...origin, position } };
  });
  return { desired, observed: [...observed.values()] };
}
