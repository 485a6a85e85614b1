import { macOf } from '../manifest/keys.ts';
import type { PublicKey } from '../manifest/model.ts';
import { type DesiredRow, type ObservedRow, type PeerRow, type Row, type RowKey, type RowSet, rowKey } from './rows.ts';

/*
 * A peer that changes its key keeps what it has: the row of one key that goes and that of the other that comes are one
 * change, and the forwarding rows of both keys follow without one.
 */

/** The row that an observed one becomes; undefined: it stays as it is, or goes. */
export function heirOf(
  desired: RowSet<DesiredRow>,
  observed: RowSet<ObservedRow>,
  row: PeerRow,
): DesiredRow | undefined {
  if (desired.has(rowKey(row))) return undefined;
  const heir = successorOf(desired, row.interface, row.publicKey);
  return heir === undefined || observed.has(rowKey(heir.row)) ? undefined : heir;
}

/** The observed row that becomes `row`; undefined: it is new, or there already. */
export function forerunnerOf(
  desired: RowSet<DesiredRow>,
  observed: RowSet<ObservedRow>,
  row: Row,
): PeerRow | undefined {
  if (row.kind !== 'peer' || row.nextPublicKey === undefined) return undefined;
  const old = observed.get(peerKey(row.interface, row.nextPublicKey))?.row;
  if (old?.kind !== 'peer') return undefined;
  const heir = heirOf(desired, observed, old);
  return heir !== undefined && rowKey(heir.row) === rowKey(row) ? old : undefined;
}

/** Whether a forwarding row differs only as long as its peer's change of key was not carried out. */
export function followsItsPeer(
  desired: RowSet<DesiredRow>,
  observed: RowSet<ObservedRow>,
  from: Row,
  to: Row,
): boolean {
  if (from.kind !== 'fdb' || to.kind !== 'fdb' || from.publicKey === 'self') return false;
  const old = observed.get(peerKey(from.interface, from.publicKey))?.row;
  const heir = old?.kind === 'peer' ? heirOf(desired, observed, old)?.row : undefined;
  return heir?.kind === 'peer' && heir.publicKey === to.publicKey;
}

/** `keys`, and all rows of those peers among them that have two keys: a change of key cannot be told from less. */
export function withBothKeys(keys: ReadonlySet<RowKey>, desired: RowSet<DesiredRow>): ReadonlySet<RowKey> {
  const more = new Set<RowKey>();
  for (const key of keys) {
    const peer = peerBehind(key, desired);
    if (peer?.nextPublicKey === undefined) continue;
    for (const each of [peer.publicKey, peer.nextPublicKey]) {
      more.add(peerKey(peer.interface, each)).add(forwardingKey(peer.interface, each));
    }
  }
  return more.size === 0 ? keys : new Set([...keys, ...more]);
}

/** The peer that a row of a data plane is about, as far as keys alone tell. */
function peerBehind(key: RowKey, desired: RowSet<DesiredRow>): PeerRow | undefined {
  const [, kind, name, id] = /^(peer|fdb)\/([^/]+)\/(.*)$/.exec(key) ?? [];
  if (name === undefined || id === undefined) return undefined;
  const row = desired.get(key)?.row;
  if (row?.kind === 'peer') return row;
  if (row?.kind === 'fdb') return row.publicKey === 'self' ? undefined : peerAt(desired, name, row.publicKey);
  const heir = kind === 'peer' ? successorOf(desired, name, id as PublicKey)?.row : undefined;
  return heir?.kind === 'peer' ? heir : undefined;
}

/** The desired row that names `key` as its other one. Both keys' MACs lead to the peer, which saves a search through all. */
function successorOf(desired: RowSet<DesiredRow>, interfaceName: string, key: PublicKey): DesiredRow | undefined {
  const forwarding = desired.get(forwardingKey(interfaceName, key))?.row;
  if (forwarding?.kind !== 'fdb' || forwarding.publicKey === 'self') return undefined;
  const found = desired.get(peerKey(interfaceName, forwarding.publicKey));
  return found?.row.kind === 'peer' && found.row.nextPublicKey === key ? found : undefined;
}

function peerAt(desired: RowSet<DesiredRow>, interfaceName: string, key: PublicKey): PeerRow | undefined {
  const row = desired.get(peerKey(interfaceName, key))?.row;
  return row?.kind === 'peer' ? row : undefined;
}

function peerKey(interfaceName: string, publicKey: PublicKey): RowKey {
  return `peer/${interfaceName}/${publicKey}` as RowKey;
}

function forwardingKey(interfaceName: string, publicKey: PublicKey): RowKey {
  return `fdb/${interfaceName}/${macOf(publicKey)}` as RowKey;
}
