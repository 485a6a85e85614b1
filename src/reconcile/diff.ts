import {
  type Change,
  changedFields,
  type DesiredRow,
  type ObservedRow,
  type Row,
  type RowKey,
  type RowSet,
} from './rows.ts';

/**
 * What turns `observed` into `desired`. Pure; the order follows the inputs (`plan` orders for execution). Foreign rows
 * never appear: `observe()` returns only what carries our mark. With `keys`, only those rows are compared.
 */
export function diff(
  desired: RowSet<DesiredRow>,
  observed: RowSet<ObservedRow>,
  keys?: ReadonlySet<RowKey>,
): readonly Change[] {
  const changes: Change[] = [];
  for (const key of keys ?? union(desired, observed)) {
    const change = changeOf(key, observed.get(key)?.row, desired.get(key)?.row);
    if (change !== undefined) changes.push(change);
  }
  return changes;
}

function* union(desired: RowSet<DesiredRow>, observed: RowSet<ObservedRow>): Generator<RowKey> {
  yield* desired.keys();
  for (const key of observed.keys()) if (!desired.has(key)) yield key;
}

function changeOf(key: RowKey, from: Row | undefined, to: Row | undefined): Change | undefined {
  if (from === undefined) return to && { op: 'create', key, to };
  if (to === undefined) return { op: 'delete', key, from };
  const fields = changedFields(from, to);
  if (fields.length === 0) return undefined;
  return { op: needsReplacement(to, fields) ? 'replace' : 'update', key, from, to, fields };
}

/** A live link's MAC is what everybody's forwarding points at; kernels and TAPs take a new one on a new device only. */
function needsReplacement(row: Row, fields: readonly string[]): boolean {
  return row.kind === 'link' && fields.includes('mac');
}
