import { API_VERSION } from '../options.ts';
import type { OutputFormat, Printer } from '../output.ts';
import { tableWriter } from '../table.ts';
import type { Listed, Listing } from './listing.ts';

/** Of Kubernetes' watch API. */
interface Difference<T> {
  readonly type: 'ADDED' | 'MODIFIED' | 'DELETED';
  readonly item: T;
}

/** Prints what there is, then what changes, reading by reading; undefined ones are passed over. */
export async function watchListing<T>(
  listing: Listing<T>,
  readings: AsyncIterable<Listed<T> | undefined>,
  { out, output }: { readonly out: Printer; readonly output: OutputFormat },
): Promise<void> {
  const compare = createComparison(listing);
  const writeRows = createRowWriter(listing, out, output === 'wide');
  for await (const listed of readings) {
    const differences = listed === undefined ? [] : compare(listed.items);
    if (listed === undefined || differences.length === 0) continue;
    if (output === 'table' || output === 'wide') {
      writeRows(listed, differences);
      continue;
    }
    for (const { type, item } of differences) {
      if (output === 'name') {
        out.write(`${listing.name(item)}\n`);
        continue;
      }
      if (output === 'yaml') out.write('---\n');
      const object = { apiVersion: API_VERSION, ...listing.document(item) };
      out.data({ type, object }, output === 'yaml' ? 'yaml' : 'line');
    }
  }
}

function createComparison<T>(listing: Listing<T>): (items: readonly T[]) => readonly Difference<T>[] {
  let known = new Map<string, { readonly item: T; readonly state: string }>();
  return (items) => {
    const now = new Map(
      items.map((item) => [listing.name(item), { item, state: JSON.stringify(listing.state(item)) }]),
    );
    const differences: Difference<T>[] = [];
    for (const [name, { item, state }] of now) {
      const before = known.get(name);
      if (before === undefined) differences.push({ type: 'ADDED', item });
      else if (before.state !== state) differences.push({ type: 'MODIFIED', item });
    }
    for (const [name, { item }] of known) if (!now.has(name)) differences.push({ type: 'DELETED', item });
    known = now;
    return differences;
  };
}

function createRowWriter<T>(listing: Listing<T>, out: Printer, wide: boolean) {
  const { style, width } = out;
  let write: ReturnType<typeof tableWriter> | undefined;
  return ({ tables }: Listed<T>, differences: readonly Difference<T>[]): void => {
    const items = differences.map(({ type, item }) => (type === 'DELETED' ? listing.gone(item) : item));
    for (const { columns, rows } of tables(items, wide)) {
      write ??= tableWriter(columns, { style, width: wide ? undefined : width });
      out.write(write(rows));
    }
  };
}
