import type { Change, NeighbourRow, ObservedRow } from '../../reconcile/rows.ts';
import { addressBytes, addressText, macBytes, macText } from './addresses.ts';
import type { Context } from './context.ts';
import { decodeNeighEntry, decodeOmniAddress, encodeNeighEntry, encodeOmniAddress } from './layout.ts';
import { eachEntry, type Overlay, requireOverlay } from './overlay.ts';

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
    if (overlay !== undefined) context.calls.erase(object, () => overlay.maps.neighbour.delete({ key }));
    return;
  }
  const overlay = requireOverlay(context, row.interface, object);
  const value = encodeNeighEntry({ mac: macBytes(row.mac), flags: 0 });
  context.calls.write(object, () => overlay.maps.neighbour.update({ key, value }));
}
