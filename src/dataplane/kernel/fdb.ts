import type { MacAddress, PublicKey } from '../../manifest/model.ts';
import type { Change, FdbRow, ObservedRow } from '../../reconcile/rows.ts';
import { macBytes, macText } from './addresses.ts';
import { u64 } from './codec.ts';
import type { Context } from './context.ts';
import { decodeFdbEntry, decodeFdbKey, encodeFdbEntry, encodeFdbKey, OmniFdbFlags } from './layout.ts';
import { eachEntry, type Overlay, requireOverlay } from './overlay.ts';

/** Instead of a peer's id: frames to this MAC are for this node. */
const SELF = 0n;

/** Declared rows; learned ones are observed state of the programs and no business of a plan. */
export function observeForwarding(context: Context, overlay: Overlay, ids?: ReadonlySet<string>): ObservedRow[] {
  const rows: ObservedRow[] = [];
  const take = (key: Buffer, value: Buffer) => {
    const { peer, flags } = decodeFdbEntry(value);
    if ((flags & OmniFdbFlags.declared) === 0) return;
    const mac = macText(decodeFdbKey(key).mac);
    rows.push({
      row: { kind: 'fdb', interface: overlay.name, mac, publicKey: peer === SELF ? 'self' : keyOf(overlay, peer) },
    });
  };
  if (ids === undefined) {
    eachEntry(context, overlay.maps.forwarding, `forwarding rows of ${overlay.name}`, take);
    return rows;
  }
  for (const mac of ids) {
    const key = encodeFdbKey({ mac: macBytes(mac) });
    const value = context.calls.read(`fdb/${overlay.name}/${mac}`, () => overlay.maps.forwarding.lookup({ key }));
    if (value !== undefined) take(key, value);
  }
  return rows;
}

/**
 * A row that outlived its peer's row and our memory of it still has to be seen, or it would never be pruned: it shows a
 * key that nobody has, the id followed by zeros.
 */
function keyOf({ peers }: Overlay, peer: bigint): PublicKey {
  return peers.keyOf(peer) ?? (Buffer.concat([u64(peer), Buffer.alloc(24)]).toString('base64') as PublicKey);
}

/** Whom frames to a MAC are for. */
export function holderOf(context: Context, overlay: Overlay, mac: MacAddress): PublicKey | 'self' | undefined {
  const key = encodeFdbKey({ mac: macBytes(mac) });
  const value = context.calls.read(`fdb/${overlay.name}`, () => overlay.maps.forwarding.lookup({ key }));
  if (value === undefined) return undefined;
  const { peer } = decodeFdbEntry(value);
  return peer === SELF ? 'self' : overlay.peers.keyOf(peer);
}

export function applyForwarding(context: Context, change: Change): void {
  const row = (change.op === 'delete' ? change.from : change.to) as FdbRow;
  const object = `fdb/${row.interface}/${row.mac}`;
  const key = encodeFdbKey({ mac: macBytes(row.mac) });
  if (change.op === 'delete') {
    const overlay = context.overlays.get(row.interface);
    if (overlay !== undefined) context.calls.erase(object, () => overlay.maps.forwarding.delete({ key }));
    return;
  }
  const overlay = requireOverlay(context, row.interface, object);
  const peer = row.publicKey === 'self' ? SELF : overlay.peers.allot(row.publicKey);
  const value = encodeFdbEntry({ peer, flags: OmniFdbFlags.declared });
  context.calls.write(object, () => overlay.maps.forwarding.update({ key, value }));
}
