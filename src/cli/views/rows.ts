import type { Json } from '../../agent/api.ts';
import type { DesiredRow, ObservedRow, Row } from '../../reconcile/rows.ts';
import { rowKey } from '../../reconcile/rows.ts';
import type { Style } from '../style.ts';
import type { Cell, Column } from '../table.ts';
import { changeWords, type PeerNames, rowName } from './changes.ts';
import { place } from './objects.ts';

export interface RowsView {
  readonly desired: readonly Json<DesiredRow>[];
  readonly observed: readonly Json<ObservedRow>[];
}

/** A row as the node wants it and as the kernel has it. */
export interface RowPair {
  readonly key: string;
  readonly row: Row;
  readonly state: 'in-sync' | 'missing' | 'different' | 'unexpected';
  readonly desired?: Row;
  readonly observed?: Row;
  readonly origin?: Json<DesiredRow>['origin'];
}

export function pairRows(view: RowsView): RowPair[] {
  const observed = new Map(view.observed.map(({ row }) => [rowKey(row), row]));
  const pairs: RowPair[] = view.desired.map(({ row, origin }) => {
    const key = rowKey(row);
    const found = observed.get(key);
    observed.delete(key);
    if (found === undefined) return { key, row, state: 'missing', desired: row, origin };
    return { key, row, state: sameRow(row, found) ? 'in-sync' : 'different', desired: row, observed: found, origin };
  });
  for (const [key, row] of observed) pairs.push({ key, row, state: 'unexpected', observed: row });
  return pairs.sort((a, b) => a.key.localeCompare(b.key, 'en', { numeric: true }));
}

export function rowTable(
  pairs: readonly RowPair[],
  context: { readonly names: PeerNames; readonly style: Style; readonly wide: boolean },
): { readonly columns: readonly Column[]; readonly rows: readonly (readonly Cell[])[] } {
  const columns: Column[] = [
    { header: 'ROW' },
    { header: 'STATE' },
    { header: 'MEANING', flexible: true },
    { header: 'OBJECT', optional: true },
    ...(context.wide ? [{ header: 'DECLARED AT' }] : []),
  ];
  const rows = pairs.map((pair): Cell[] => [
    rowName(pair.row),
    { text: pair.state, tone: pair.state === 'in-sync' ? 'good' : 'warn' },
    changeWords({ op: 'create', key: rowKey(pair.row), to: pair.row }, context.names, context.style),
    pair.origin?.object ?? '<none>',
    ...(context.wide ? [pair.origin ? place(pair.origin.position) : '<none>'] : []),
  ]);
  return { columns, rows };
}

/** Equal in every field; the endpoint counts only where a manifest or a handshake set one. */
function sameRow(desired: Row, observed: Row): boolean {
  const left: Readonly<Record<string, unknown>> = { ...desired };
  const right: Readonly<Record<string, unknown>> = { ...observed };
  return [...new Set([...Object.keys(left), ...Object.keys(right)])].every((field) => left[field] === right[field]);
}
