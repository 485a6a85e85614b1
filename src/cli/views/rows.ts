import type { Json } from '../../agent/api.ts';
import { fingerprint } from '../../manifest/keys.ts';
import { nameOfRow } from '../../reconcile/names.ts';
import type { DesiredRow, ObservedRow, Row } from '../../reconcile/rows.ts';
import { changedFields, rowKey, sameRow } from '../../reconcile/rows.ts';
import type { Cell, Column } from '../table.ts';
import { type PeerNames, policyWords } from './changes.ts';
import { place } from './objects.ts';

export interface RowsView {
  readonly desired: readonly Json<DesiredRow>[];
  readonly observed: readonly Json<ObservedRow>[];
}

/** A row as the node wants it and as the kernel has it. */
export interface RowPair {
  readonly key: string;
  readonly row: Row;
  /** `gone`: neither wanted nor there any more; only for whoever watches. */
  readonly state: 'in-sync' | 'missing' | 'different' | 'unexpected' | 'gone';
  readonly desired?: Row;
  readonly observed?: Row;
  readonly origin?: Json<DesiredRow>['origin'];
}

export function pairRows(view: RowsView): RowPair[] {
  const observed = new Map(view.observed.map((observed) => [rowKey(observed.row), observed]));
  const pairs: RowPair[] = view.desired.map(({ row, origin }) => {
    const key = rowKey(row);
    const found = observed.get(key);
    observed.delete(key);
    if (found === undefined) return { key, row, state: 'missing', desired: row, origin };
    // The manifest's endpoint is a hint: one that a handshake proved is as good.
    const inSync = found.endpointObserved === true || sameRow(row, found.row);
    return { key, row, state: inSync ? 'in-sync' : 'different', desired: row, observed: found.row, origin };
  });
  for (const [key, { row }] of observed) pairs.push({ key, row, state: 'unexpected', observed: row });
  return pairs.sort((a, b) => a.key.localeCompare(b.key, 'en', { numeric: true }));
}

/** `own`: the rows of one object, which is not named again. */
export function rowTable(
  pairs: readonly RowPair[],
  context: { readonly names: PeerNames; readonly columns: 'own' | 'all' | 'wide' },
): { readonly columns: readonly Column[]; readonly rows: readonly (readonly Cell[])[] } {
  const { names } = context;
  const columns: Column[] = [{ header: 'ROW' }, { header: 'STATE' }, { header: 'VALUE', flexible: true }];
  if (context.columns !== 'own') columns.push({ header: 'OBJECT', optional: context.columns === 'all' });
  if (context.columns === 'wide') columns.push({ header: 'DECLARED AT' });
  const rows = pairs.map((pair): Cell[] => {
    const cells: Cell[] = [
      nameOfRow(pair.row, fingerprint),
      { text: pair.state, tone: pair.state === 'in-sync' ? 'good' : 'warn' },
      rowValue(pair, names),
    ];
    if (context.columns !== 'own') cells.push(pair.origin?.object ?? '<none>');
    if (context.columns === 'wide') cells.push(pair.origin ? place(pair.origin.position) : '<none>');
    return cells;
  });
  return { columns, rows };
}

/** What the row says beyond its key; where it is not as desired, what it should say. */
function rowValue({ row, state, desired, observed }: RowPair, names: PeerNames): string {
  if (state !== 'different' || desired === undefined || observed === undefined) return rowText(observed ?? row, names);
  const have: Readonly<Record<string, unknown>> = { ...observed };
  const want: Readonly<Record<string, unknown>> = { ...desired };
  const show = (value: unknown): string => String(value ?? 'none');
  return changedFields(observed, desired)
    .map((field) => `${field} is ${show(have[field])}, should be ${show(want[field])}`)
    .join('; ');
}

function rowText(row: Row, names: PeerNames): string {
  switch (row.kind) {
    case 'link':
      return `cluster ${row.cluster}, ${row.mac}, MTU ${row.mtu}, UDP port ${row.port}`;
    case 'address':
      return 'this node';
    case 'route':
      return 'on-link';
    case 'subnet':
      return 'declared sources alone';
    case 'policy':
      return policyWords(row);
    case 'peer':
      return `${names.ofKey(row.publicKey)}${row.endpoint === undefined ? '' : ` at ${row.endpoint}`}${row.roles === undefined ? '' : `, ${row.roles}`}`;
    case 'fdb':
      return row.publicKey === 'self' ? 'this node' : names.ofKey(row.publicKey);
    case 'neighbour':
      return `${names.ofMac(row.mac)} (${row.mac})`;
  }
}
