import type { Change, NeighbourRow, ObservedRow, RowKey } from '../../reconcile/rows.ts';
import { rowKey } from '../../reconcile/rows.ts';
import { addressBytes, addressText, macBytes, macText } from './addresses.ts';
import type { Context } from './context.ts';
import { decodeNeighEntry, decodeOmniAddress, encodeNeighEntry, encodeOmniAddress } from './layout.ts';
import type { NeighbourInfo } from './native.ts';
import { eachEntry, type Overlay, requireOverlay } from './overlay.ts';
import { OUR_PROTOCOL } from './protocols.ts';
import { NUD_PERMANENT, type StackLink } from './stack-neighbours.ts';

/*
 * A neighbour row is in two tables: `neigh_map`, from which the programs answer questions and check sources, and the
 * kernel's own one, as a permanent entry. The second keeps the stack from believing what anybody says by ARP or ND.
 */

export function observeNeighbours(context: Context, overlay: Overlay, ids?: ReadonlySet<string>): ObservedRow[] {
  return look(context, overlay, ids).map(({ row }) => ({ row }));
}

/** Those of the addresses whose two tables do not say the same. */
export function neighboursAmiss(context: Context, overlay: Overlay, ids?: ReadonlySet<string>): RowKey[] {
  return look(context, overlay, ids).flatMap(({ row, right }) => (right ? [] : [rowKey(row)]));
}

export function isDeclared(context: Context, overlay: Overlay, address: string): boolean {
  return context.calls.read(`neighbour/${overlay.name}/${address}`, () => {
    return overlay.maps.neighbour.lookup({ key: keyOf(address) }) !== undefined;
  });
}

interface Look {
  readonly row: NeighbourRow;
  readonly right: boolean;
}

/** Rows as both tables have them. While the interface is away or down only the map counts: the link's own row tells. */
function look(context: Context, overlay: Overlay, ids: ReadonlySet<string> | undefined): Look[] {
  const declared = readMap(context, overlay, ids);
  const link = stackLink(context, overlay);
  if (link === undefined) return [...declared.values()].map((row) => ({ row, right: true }));
  const entries = context.stack.read(link, ids);
  const looks = [...declared.values()].map((row) => {
    return context.stack.holds(link, row.address) ? compare(row, entries.get(row.address)) : { row, right: true };
  });
  for (const [address, { mac, state, protocol }] of entries) {
    if (declared.has(address) || protocol !== OUR_PROTOCOL || (state & NUD_PERMANENT) === 0) continue;
    const row = { kind: 'neighbour', interface: overlay.name, address, mac, fault: 'not-in-map' } as NeighbourRow;
    looks.push({ row, right: false });
  }
  return looks;
}

function compare(row: NeighbourRow, entry: NeighbourInfo | undefined): Look {
  if (entry === undefined || entry.mac === '') return { row: { ...row, fault: 'not-in-stack' }, right: false };
  if (entry.mac !== row.mac) return { row: { ...row, fault: 'other-in-stack' }, right: false };
  if ((entry.state & NUD_PERMANENT) === 0) return { row: { ...row, fault: 'not-permanent' }, right: false };
  return { row, right: true };
}

function readMap(context: Context, overlay: Overlay, ids: ReadonlySet<string> | undefined): Map<string, NeighbourRow> {
  const rows = new Map<string, NeighbourRow>();
  const take = (key: Buffer, value: Buffer) => {
    const address = addressText(decodeOmniAddress(key).bytes);
    const mac = macText(decodeNeighEntry(value).mac);
    rows.set(address, { kind: 'neighbour', interface: overlay.name, address, mac });
  };
  if (ids === undefined) {
    eachEntry(context, overlay.maps.neighbour, `neighbours of ${overlay.name}`, take);
    return rows;
  }
  for (const address of ids) {
    const key = keyOf(address);
    const object = `neighbour/${overlay.name}/${address}`;
    const value = context.calls.read(object, () => overlay.maps.neighbour.lookup({ key }));
    if (value !== undefined) take(key, value);
  }
  return rows;
}

/** The stack's end; undefined: it is not there, or down, which empties the kernel's tables. */
function stackLink(context: Context, { name, inner }: Overlay): StackLink | undefined {
  if (inner === 0) return undefined;
  const [link] = context.calls.read(`interface/${name}`, (native) => native.links({ ifindex: inner }));
  return link?.up ? { name, ifindex: inner } : undefined;
}

function keyOf(address: string): Buffer {
  return encodeOmniAddress({ bytes: addressBytes(address) });
}

export function applyNeighbour(context: Context, change: Change): void {
  const row = (change.op === 'delete' ? change.from : change.to) as NeighbourRow;
  const object = `neighbour/${row.interface}/${row.address}`;
  const key = keyOf(row.address);
  if (change.op === 'delete') {
    const overlay = context.overlays.get(row.interface);
    if (overlay === undefined) return;
    context.calls.erase(object, () => overlay.maps.neighbour.delete({ key }));
    if (overlay.inner !== 0) context.stack.delete({ name: overlay.name, ifindex: overlay.inner }, row.address);
    return;
  }
  const overlay = requireOverlay(context, row.interface, object);
  const value = encodeNeighEntry({ mac: macBytes(row.mac), flags: 0 });
  const found = context.calls.read(object, () => overlay.maps.neighbour.lookup({ key }));
  if (found?.equals(value) !== true) {
    context.calls.write(object, () => overlay.maps.neighbour.update({ key, value }));
  }
  // In place: what the stack sends meanwhile goes to the one MAC or the other, both of which are the peer's.
  if (overlay.inner !== 0) context.stack.put({ name: overlay.name, ifindex: overlay.inner }, [row]);
}

/**
 * Gives the stack the entries of all rows that it lacks: those that went with an interface that was down or got another
 * MAC, and those that an older build did not make.
 */
export function restoreNeighbours(context: Context, overlay: Overlay): void {
  const declared = readMap(context, overlay, undefined);
  const link = stackLink(context, overlay);
  if (link === undefined || declared.size === 0) return;
  const entries = context.stack.read(link, undefined);
  const lacking = [...declared.values()].filter((row) => !compare(row, entries.get(row.address)).right);
  if (lacking.length > 0) context.stack.put(link, lacking);
}
