import type { Cause } from './dataplane.ts';
import type { Drift, DriftReport } from './drift.ts';
import type { Settlement } from './ledger.ts';
import { needsHelp, reasonOf } from './ledger.ts';
import { type NameOf, nameOfRow } from './names.ts';
import { fieldText, valueText } from './plan.ts';
import { type Change, type NeighbourFault, rowOf } from './rows.ts';

/** What the loop has to say; the agent numbers and dates it. */
export interface ReconcileEvent {
  readonly type: 'Normal' | 'Warning';
  /**
   * PascalCase: `Adopted`, `RevisionApplied`, `DriftHealed`, `DriftDetected`, `Contested`, `ReconcileFailed`, `Recovered`, or a
   * block's reason.
   */
  readonly reason: string;
  readonly object: string;
  readonly message: string;
}

/** One event per row up to this many; a deleted link of a large fleet is told in one sentence. */
const MAX_DRIFT_EVENTS = 10;

export function driftEvents({ healed, detected, contested }: DriftReport, nameOf: NameOf): readonly ReconcileEvent[] {
  return [
    ...eventsOf(healed, { type: 'Normal', reason: 'DriftHealed' }, nameOf, ({ change }) => HEALED[change.op]),
    ...eventsOf(detected, { type: 'Warning', reason: 'DriftDetected' }, nameOf, () => 'left as it is (mode report)'),
    ...eventsOf(contested, { type: 'Warning', reason: 'Contested' }, nameOf, () => GIVEN_UP),
  ];
}

const HEALED: Readonly<Record<Change['op'], string>> = {
  create: 'made again',
  update: 'set back',
  delete: 'removed',
};

const GIVEN_UP =
  'it was set right three times within ten minutes, and is left alone until it has been quiet for ten minutes. Stop what changes it, then run omni reconcile';

function eventsOf(
  drift: readonly Drift[],
  kind: Pick<ReconcileEvent, 'type' | 'reason'>,
  nameOf: NameOf,
  outcome: (drift: Drift) => string,
): readonly ReconcileEvent[] {
  const events = drift.slice(0, MAX_DRIFT_EVENTS).map((one): ReconcileEvent => {
    const object = nameOfRow(rowOf(one.change), nameOf);
    return { ...kind, object, message: `${describeDrift(one, nameOf)}; ${outcome(one)}` };
  });
  const rest = drift.length - events.length;
  return rest === 0 ? events : [...events, { ...kind, object: 'node', message: `and ${rest} more rows` }];
}

/** What happened to the row, and who did it: `was removed by ip (pid 4242)`. */
export function describeDrift({ change, cause, notified }: Drift, nameOf: NameOf): string {
  const who = cause === undefined ? '' : ` by ${nameOfCause(cause)}`;
  const how = notified ? '' : ', found by a look at everything';
  return `${whatHappened(change, who !== '', nameOf)}${who}${how}`;
}

function whatHappened(change: Change, known: boolean, nameOf: NameOf): string {
  switch (change.op) {
    case 'create': {
      const value = valueText(change.to, nameOf);
      return `${known ? 'was removed' : 'was missing'}${value && ` (${value})`}`;
    }
    case 'delete': {
      const value = valueText(change.from, nameOf);
      return `${known ? 'was added' : 'was there but is not desired'}${value && ` (${value})`}`;
    }
    case 'update':
      return change.fields.map((field) => whatChanged(change, field, nameOf)).join(' and ');
  }
}

/** A link says with impossible values what keeps it from working. */
function whatChanged({ from, to }: Change & { op: 'update' }, field: string, nameOf: NameOf): string {
  if (from.kind === 'link' && to.kind === 'link') {
    if (field === 'mtu' && from.mtu === 0) return 'was down, missing or altered';
    if (field === 'mtu' && to.mtu === 'auto')
      return `had an mtu of ${from.mtu} that does not fit the underlay any more`;
    if (field === 'port' && from.port === 0)
      return 'had programs that did not see every packet, or rows of theirs changed';
  }
  if (from.kind === 'neighbour' && field === 'fault' && from.fault !== undefined) return NEIGHBOUR_FAULTS[from.fault];
  return `had its ${field} changed from ${fieldText(to, field, nameOf)} to ${fieldText(from, field, nameOf)}`;
}

const NEIGHBOUR_FAULTS: Readonly<Record<NeighbourFault, string>> = {
  'not-in-map': "was removed from the programs' map",
  'not-in-stack': "was removed from the stack's neighbour table",
  'other-in-stack': "was given another MAC in the stack's neighbour table",
  'not-permanent': "was made an entry of the stack's neighbour table that anybody can change",
};

/** `ip (pid 4242)`, `pid 4242`, `bird (pid 77, protocol bird)`, `protocol dhcp`. */
function nameOfCause({ pid, program, protocol }: Cause): string {
  const number = pid === undefined ? [] : [`pid ${pid}`];
  const details = [...number, ...(protocol === undefined ? [] : [`protocol ${protocol}`])].join(', ');
  return program === undefined ? details : `${program} (${details})`;
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
