import { followsItsPeer, forerunnerOf, heirOf } from './rename.ts';
import { type Change, changedFields, type DesiredRow, type ObservedRow, type RowKey, type RowSet } from './rows.ts';

/**
 * What turns `observed` into `desired`. Pure; the order follows the inputs (`plan` orders for execution). Foreign rows
 * never appear: `observe()` returns only what carries our mark. With `keys`, only those rows are compared; for peers with two
 * keys they must be those of `withBothKeys`.
 */
export function diff(
  desired: RowSet<DesiredRow>,
  observed: RowSet<ObservedRow>,
  keys?: ReadonlySet<RowKey>,
): readonly Change[] {
  const changes: Change[] = [];
  for (const key of keys ?? union(desired, observed)) {
    const change = changeAt(key, desired, observed);
    if (change !== undefined) changes.push(change);
  }
  return changes;
}

function* union(desired: RowSet<DesiredRow>, observed: RowSet<ObservedRow>): Generator<RowKey> {
  yield* desired.keys();
  for (const key of observed.keys()) if (!desired.has(key)) yield key;
}

function changeAt(key: RowKey, desired: RowSet<DesiredRow>, observed: RowSet<ObservedRow>): Change | undefined {
  const [seen, to] = [observed.get(key)?.row, desired.get(key)?.row];
  if (to === undefined) {
    const goesOn = seen?.kind === 'peer' && heirOf(desired, observed, seen) !== undefined;
    return seen && !goesOn ? { op: 'delete', key, from: seen } : undefined;
  }
  const from = seen ?? (to.kind === 'peer' ? forerunnerOf(desired, observed, to) : undefined);
  if (from === undefined) return { op: 'create', key, to };
  const fields = changedFields(from, to);
  return fields.length === 0 || followsItsPeer(desired, observed, from, to)
    ? undefined
    : { op: 'update', key, from, to, fields };
}
