import { LayeredMap } from './layered.ts';
import type { DesiredRow, ObservedRow, RowKey, RowSet } from './rows.ts';

/**
 * A manifest's endpoint is a hint. Where a handshake proved another one, that one is what is desired; otherwise every
 * pass would send a roamed peer back to where it no longer is. Cost: the observed rows.
 */
export function foldEndpoints(desired: RowSet<DesiredRow>, observed: RowSet<ObservedRow>): RowSet<DesiredRow> {
  const folded = new Map<RowKey, DesiredRow>();
  for (const [key, seen] of observed) {
    if (seen.endpointObserved !== true || seen.row.kind !== 'peer') continue;
    const want = desired.get(key);
    if (want?.row.kind !== 'peer' || want.row.endpoint === seen.row.endpoint) continue;
    folded.set(key, { ...want, row: seen.row });
  }
  return folded.size === 0 ? desired : LayeredMap.of(desired).with(folded);
}
