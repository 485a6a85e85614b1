import { readdirSync, readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { diff } from '../../../src/reconcile/diff.ts';
import { foldEndpoints } from '../../../src/reconcile/fold.ts';
import { plan, renderPlan } from '../../../src/reconcile/plan.ts';
import { type DesiredRow, type ObservedRow, type Row, type RowKey, rowKey } from '../../../src/reconcile/rows.ts';

/*
 * A folder per case: the rows that are desired, the rows that are there, and the plan in the words of `renderPlan`.
 */
const folder = new URL('./fixtures/', import.meta.url);

function read<T>(name: string, file: string): T {
  return parse(readFileSync(new URL(`${name}/${file}.yaml`, folder), 'utf8')) as T;
}

function desiredRows(name: string): Map<RowKey, DesiredRow> {
  const origin = { object: 'cluster/warehouse', position: { file: 'fleet.yaml', line: 1, column: 1 } } as const;
  return new Map(read<Row[]>(name, 'desired').map((row) => [rowKey(row), { row, origin }]));
}

function observedRows(name: string): Map<RowKey, ObservedRow> {
  return new Map(
    read<(Row & { endpointObserved?: boolean })[]>(name, 'observed').map(({ endpointObserved = false, ...row }) => {
      return [rowKey(row), { row, endpointObserved }];
    }),
  );
}

describe('from rows to a plan', () => {
  it.each(readdirSync(folder))('%s', (name) => {
    const observed = observedRows(name);
    const steps = plan(diff(foldEndpoints(desiredRows(name), observed), observed));
    const lines = renderPlan(steps, (publicKey) => publicKey.replace('key-', 'robot-'));
    expect(lines.split('\n').filter(Boolean)).toEqual(read<string[]>(name, 'plan'));
  });
});
