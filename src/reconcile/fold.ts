import { LayeredMap } from './layered.ts';
import { heirOf } from './rename.ts';
import { type DesiredRow, type ObservedRow, type RowKey, type RowSet, rowKey } from './rows.ts';

/**
 * A manifest's endpoint is a hint. Where a handshake proved another one, that one is what is desired; otherwise every
 * pass would send a roamed peer back to where it no longer is. It outlives a change of the peer's key. Cost: the observed rows.
 */
export function foldEndpoints(desired: RowSet<DesiredRow>, observed: RowSet<ObservedRow>): RowSet<DesiredRow> {
  const folded = new Map<RowKey, DesiredRow>();
  for (const [key, { row, endpointObserved }] of observed) {
    if (endpointObserved !== true || row.kind !== 'peer' || row.endpoint === undefined) continue;
    const want = desired.get(key) ?? heirOf(desired, observed, row);
    if (want?.row.kind !== 'peer' || want.row.endpoint === row.endpoint) continue;
    folded.set(rowKey(want.row), { ...want, row: { ...want.row, endpoint: row.endpoint } });
  }
  return folded.size === 0 ? desired : LayeredMap.of(desired).with(folded);
}
