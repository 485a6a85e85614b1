import type { Change, NeighbourRow, ObservedRow } from '../../reconcile/rows.ts';
import { addressBytes, addressText, macBytes, macText } from './addresses.ts';
import type { Context } from './context.ts';
import { failedWith } from './errors.ts';
import { decodeNeighEntry, decodeOmniAddress, encodeNeighEntry, encodeOmniAddress } from './layout.ts';
import type { Native, NeighbourInfo } from './native.ts';
import { eachEntry, type Overlay, requireOverlay } from './overlay.ts';

/** Bits of linux/neighbour.h: usable, and confirmed again once it is used. */
const NUD_STALE = 0x04;
/** NUD_NOARP | NUD_PERMANENT: somebody's own entries. */
const NUD_FOREIGN = 0x40 | 0x80;

export function observeNeighbours(context: Context, overlay: Overlay, ids?: ReadonlySet<string>): ObservedRow[] {
  const rows: ObservedRow[] = [];
  const take = (key: Buffer, value: Buffer) => {
    const address = addressText(decodeOmniAddress(key).bytes);
    const mac = macText(decodeNeighEntry(value).mac);
    rows.push({ row: { kind: 'neighbour', interface: overlay.name, address, mac } });
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
    forgetCached(context, overlay, row);
    return;
  }
  const overlay = requireOverlay(context, row.interface, object);
  const value = encodeNeighEntry({ mac: macBytes(row.mac), flags: 0 });
  context.calls.write(object, () => overlay.maps.neighbour.update({ key, value }));
  correctCached(context, overlay, row);
}

/**
 * The stack asks once and then believes its cache: it asks again a second after a question that had no answer, and
 * sends to a MAC that is gone until it has doubts. An entry that is not as the row says becomes so, which sends what
 * waits for it. Without an entry none is made: the stack asks when it needs to, and our programs answer.
 */
function correctCached(context: Context, overlay: Overlay, row: NeighbourRow): void {
  const cached = cachedOf(context, overlay, row);
  if (cached === undefined || cached.mac === row.mac) return;
  writeCached(context, row, (native) =>
    native.replaceNeighbour({ ifindex: overlay.inner, address: row.address, mac: row.mac, state: NUD_STALE }),
  );
}

/** The stack sends no more to the address; an entry that somebody else resolved to another MAC stays. */
function forgetCached(context: Context, overlay: Overlay, row: NeighbourRow): void {
  if (cachedOf(context, overlay, row)?.mac !== row.mac) return;
  writeCached(context, row, (native) => native.deleteNeighbour({ ifindex: overlay.inner, address: row.address }));
}

/** The stack's entry for the row's address, if it may be changed. */
function cachedOf(context: Context, { inner }: Overlay, row: NeighbourRow): NeighbourInfo | undefined {
  if (inner === 0) return undefined;
  const cached = context.calls.read(`neighbour/${row.interface}/${row.address}`, (native) =>
    native.neighbour({ ifindex: inner, address: row.address }),
  );
  return cached === undefined || (cached.state & NUD_FOREIGN) !== 0 ? undefined : cached;
}

function writeCached(context: Context, row: NeighbourRow, action: (native: Native) => void): void {
  try {
    context.calls.write(`neighbour/${row.interface}/${row.address}`, action);
  } catch (error) {
    // The stack dropped the entry meanwhile, or somebody the interface.
    if (!failedWith(error, 'ENOENT', 'ENODEV')) throw error;
  }
}
