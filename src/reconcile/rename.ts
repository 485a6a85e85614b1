import { macOf } from '../manifest/keys.ts';
import type { PublicKey } from '../manifest/model.ts';
import {
  type Change,
  type DesiredRow,
  type ObservedRow,
  type PeerRow,
  type Row,
  type RowKey,
  type RowSet,
  rowKey,
} from './rows.ts';

/*
 * A peer that changes its key keeps what it has: the row of one key that goes and that of another that comes are one change
 * where either names the other's key as its next, and the forwarding rows of both keys follow without one.
 */

type Rows = RowSet<{ readonly row: Row }>;

/** The desired row that an observed one becomes; undefined: it stays as it is, or goes. */
export function heirOf(
  desired: RowSet<DesiredRow>,
  observed: RowSet<ObservedRow>,
  row: PeerRow,
): DesiredRow | undefined {
  const heir = firstHeir(desired, observed, row);
  return heir !== undefined && forerunnerOf(desired, observed, heir) === row ? desired.get(rowKey(heir)) : undefined;
}

/** The observed row that a desired one was until now; undefined: it is new, or there already. */
export function forerunnerOf(
  desired: RowSet<DesiredRow>,
  observed: RowSet<ObservedRow>,
  row: PeerRow,
): PeerRow | undefined {
  if (observed.has(rowKey(row))) return undefined;
  return relatives(observed, row).find((old) => firstHeir(desired, observed, old) === row);
}

function firstHeir(desired: RowSet<DesiredRow>, observed: RowSet<ObservedRow>, row: PeerRow): PeerRow | undefined {
  if (desired.has(rowKey(row))) return undefined;
  return relatives(desired, row).find((heir) => !observed.has(rowKey(heir)));
}

/** Rows that name this one's key as their next, or have the key that this one names. */
function relatives(rows: Rows, { interface: name, publicKey, nextPublicKey }: PeerRow): PeerRow[] {
  // Both keys' MACs lead to a peer, which saves a search through all of them.
  const forwarding = rows.get(forwardingKey(name, publicKey))?.row;
  const holder = forwarding?.kind === 'fdb' && forwarding.publicKey !== 'self' ? forwarding.publicKey : undefined;
  const naming = holder && peerAt(rows, name, holder);
  const named = nextPublicKey && peerAt(rows, name, nextPublicKey);
  return [naming?.nextPublicKey === publicKey ? naming : undefined, named].filter((each) => each !== undefined);
}

/** Whether a forwarding row differs only as long as its peer's change of key was not carried out. */
export function followsItsPeer(
  desired: RowSet<DesiredRow>,
  observed: RowSet<ObservedRow>,
  from: Row,
  to: Row,
): boolean {
  if (from.kind !== 'fdb' || to.kind !== 'fdb' || from.publicKey === 'self') return false;
  const old = peerAt(observed, from.interface, from.publicKey);
  const heir = old && heirOf(desired, observed, old)?.row;
  return heir?.kind === 'peer' && heir.publicKey === to.publicKey;
}

/** Rows that a change concerns, `change.key` among them. */
export function rowsTouched(change: Change): readonly RowKey[] {
  if (!isRename(change)) return [change.key];
  const { from, to } = change;
  return [
    change.key,
    rowKey(from),
    forwardingKey(from.interface, from.publicKey),
    forwardingKey(to.interface, to.publicKey),
  ];
}

function isRename(change: Change): change is Change & { readonly from: PeerRow; readonly to: PeerRow } {
  return change.op === 'update' && change.from.kind === 'peer' && change.fields.includes('publicKey');
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

/** The desired peer that a row's key is about. */
function peerBehind(key: RowKey, desired: RowSet<DesiredRow>): PeerRow | undefined {
  const [, kind, name, id] = /^(peer|fdb)\/([^/]+)\/(.*)$/.exec(key) ?? [];
  if (name === undefined || id === undefined) return undefined;
  const row = desired.get(kind === 'fdb' ? key : forwardingKey(name, id as PublicKey))?.row;
  return row?.kind === 'fdb' && row.publicKey !== 'self' ? peerAt(desired, name, row.publicKey) : undefined;
}

function peerAt(rows: Rows, interfaceName: string, key: PublicKey): PeerRow | undefined {
  const row = rows.get(peerKey(interfaceName, key))?.row;
  return row?.kind === 'peer' ? row : undefined;
}

function peerKey(interfaceName: string, publicKey: PublicKey): RowKey {
  return `peer/${interfaceName}/${publicKey}` as RowKey;
}

function forwardingKey(interfaceName: string, publicKey: PublicKey): RowKey {
  return `fdb/${interfaceName}/${macOf(publicKey)}` as RowKey;
}
