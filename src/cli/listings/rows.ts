import type { AgentClient } from '../../agent/client.ts';
import { peerNames } from '../agent.ts';
import { pairRows, type RowPair, rowTable } from '../views/rows.ts';
import type { Listing } from './listing.ts';

/** `wanted`: a row's key, a kind of rows, or the object that they follow from. */
export function rowListing(client: AgentClient, wanted: string | undefined): Listing<RowPair> {
  return {
    kind: 'RowList',
    none: 'no rows: no revision gave this node anything to do yet',
    read: async () => {
      const [rows, objects] = await Promise.all([client.rows(), client.objects()]);
      const names = peerNames(objects);
      return {
        items: pairRows(rows).filter(
          ({ key, row, origin }) =>
            wanted === undefined || key === wanted || row.kind === wanted || origin?.object === wanted,
        ),
        tables: (items, wide) => [rowTable(items, { names, columns: wide ? 'wide' : 'all' })],
      };
    },
    name: ({ key }) => key,
    document: (pair) => pair,
    state: ({ state, row, observed }) => [state, row, observed],
    gone: (pair) => ({ ...pair, state: 'gone' }),
  };
}
