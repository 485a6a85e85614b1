import type { Settlement } from './ledger.ts';
import { needsHelp, reasonOf } from './ledger.ts';
import { type NameOf, nameOfRow } from './plan.ts';
import type { Change } from './rows.ts';

/** What the loop has to say; the agent numbers and dates it. */
export interface ReconcileEvent {
  readonly type: 'Normal' | 'Warning';
  /** PascalCase: `Adopted`, `RevisionApplied`, `DriftHealed`, `ReconcileFailed`, `Recovered`, or a block's reason. */
  readonly reason: string;
  readonly object: string;
  readonly message: string;
}

/** One event per row up to this many; a deleted link of a large fleet is told in one sentence. */
const MAX_DRIFT_EVENTS = 10;

export function driftEvents(healed: readonly Change[], nameOf: NameOf): readonly ReconcileEvent[] {
  const events = healed.slice(0, MAX_DRIFT_EVENTS).map((change): ReconcileEvent => {
    const object = nameOfRow(change.op === 'delete' ? change.from : change.to, nameOf);
    return { type: 'Normal', reason: 'DriftHealed', object, message: driftOf(change) };
  });
  const rest = healed.length - events.length;
  if (rest === 0) return events;
  return [...events, { type: 'Normal', reason: 'DriftHealed', object: 'node', message: `and ${rest} more rows` }];
}

function driftOf(change: Change): string {
  switch (change.op) {
    case 'create':
      return 'was missing; made again';
    case 'delete':
      return 'was there but is not desired; removed';
    case 'update':
    case 'replace':
      return `${change.fields.join(', ')} had changed; set back`;
  }
}

export function settlementEvents({ failed, recovered }: Settlement): readonly ReconcileEvent[] {
  return [
    ...failed.map(({ subject, failure }): ReconcileEvent => {
      const next = needsHelp(failure)
        ? (failure.fix ?? 'it is not tried again until something changes')
        : 'trying again';
      const message = `${failure.key}: ${reasonOf(failure.code)}: ${failure.message}; ${next}`;
      return { type: 'Warning', reason: 'ReconcileFailed', object: subject, message };
    }),
    ...recovered.map((subject): ReconcileEvent => {
      return { type: 'Normal', reason: 'Recovered', object: subject, message: 'as desired again' };
    }),
  ];
}
