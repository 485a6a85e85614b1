import { type ObservedRow, type RowKey, type RowKind, type RowSet, rowKey } from '../../reconcile/rows.ts';
import { observeAddresses } from './address.ts';
import type { Context } from './context.ts';
import { observeForwarding } from './fdb.ts';
import { observeLink, ourInterfaces } from './link.ts';
import { observeNeighbours } from './neighbour.ts';
import type { Overlay } from './overlay.ts';
import { observePeers } from './peer.ts';
import { observePolicy, observeSubnets } from './policy.ts';
import { observeRoutes } from './route.ts';

type Ids = ReadonlySet<string> | undefined;

function fromMaps(read: (context: Context, overlay: Overlay, ids: Ids) => ObservedRow[]) {
  return (context: Context, name: string, ids: Ids): ObservedRow[] => {
    const overlay = context.overlays.get(name);
    return overlay === undefined ? [] : read(context, overlay, ids);
  };
}

const READERS: Readonly<Record<RowKind, (context: Context, name: string, ids: Ids) => ObservedRow[]>> = {
  link: (context, name) => {
    const row = observeLink(context, name);
    return row === undefined ? [] : [row];
  },
  address: observeAddresses,
  route: observeRoutes,
  peer: fromMaps(observePeers),
  fdb: fromMaps(observeForwarding),
  neighbour: fromMaps(observeNeighbours),
  subnet: fromMaps(observeSubnets),
  policy: fromMaps(observePolicy),
};

/** Rows that netlink tells of; the others change only by our own hand. */
export const NETLINK_KINDS: readonly RowKind[] = ['link', 'address', 'route'];
const ALL_KINDS = Object.keys(READERS) as RowKind[];

function collect(rows: Iterable<ObservedRow>, into: Map<RowKey, ObservedRow>): void {
  for (const observed of rows) into.set(rowKey(observed.row), observed);
}

/** Everything of the given kinds that is ours. */
export function observeAll(context: Context, kinds: readonly RowKind[] = ALL_KINDS): RowSet<ObservedRow> {
  const found = new Map<RowKey, ObservedRow>();
  for (const name of ourInterfaces(context)) collect(observeInterface(context, name, kinds).values(), found);
  return found;
}

export function observeInterface(context: Context, name: string, kinds: readonly RowKind[]): RowSet<ObservedRow> {
  const found = new Map<RowKey, ObservedRow>();
  for (const kind of kinds) collect(READERS[kind](context, name, undefined), found);
  return found;
}

/** Only these rows, each kind of each interface read once. */
export function observeKeys(context: Context, keys: ReadonlySet<RowKey>): RowSet<ObservedRow> {
  const groups = new Map<string, Set<string>>();
  for (const key of keys) {
    // `kind/interface`, then what identifies the row, slashes of base64 and prefixes included.
    const [, group = '', id = ''] = /^([^/]+\/[^/]+)\/?(.*)$/.exec(key) ?? [];
    const ids = groups.get(group) ?? new Set();
    groups.set(group, ids.add(id));
  }
  const found = new Map<RowKey, ObservedRow>();
  for (const [group, ids] of groups) {
    const [kind = '', name = ''] = group.split('/');
    if (kind in READERS) collect(READERS[kind as RowKind](context, name, ids), found);
  }
  return found;
}
