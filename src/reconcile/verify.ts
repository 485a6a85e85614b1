import { diff } from './diff.ts';
import { foldEndpoints } from './fold.ts';
import type { Change, DesiredRow, ObservedRow, RowKey, RowSet } from './rows.ts';

/** A row that, read again after the plan was carried out, is still not as desired. */
export interface Unmet {
  readonly key: RowKey;
  /** What is still missing. */
  readonly change: Change;
  readonly message: string;
}

/** Success means observed again, not "no error returned". Compares only `keys`: the rows that were touched. */
export function verify(
  desired: RowSet<DesiredRow>,
  observedAgain: RowSet<ObservedRow>,
  keys: ReadonlySet<RowKey>,
): readonly Unmet[] {
  const target = foldEndpoints(desired, observedAgain);
  return diff(target, observedAgain, keys).map((change) => ({ key: change.key, change, message: messageOf(change) }));
}

function messageOf(change: Change): string {
  switch (change.op) {
    case 'create':
      return 'was written, but is not there when read again';
    case 'delete':
      return 'was deleted, but is still there when read again';
    case 'update':
      return `was written, but ${change.fields.join(', ')} differ${change.fields.length === 1 ? 's' : ''} when read again`;
  }
}
