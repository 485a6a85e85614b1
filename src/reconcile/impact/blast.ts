import { canonicalKey, fingerprint, holderOf } from '../../manifest/keys.ts';
import type { Fleet, IpAddress, ObjectRef, Peer, PublicKey, Vip } from '../../manifest/model.ts';
import { revokedBy, splitRef } from '../share.ts';
import { type NodeChange, successor } from './nodes.ts';
import type { ObjectChanges } from './objects.ts';

/** An address that comes, goes, or is at another peer. */
export interface AddressChange {
  readonly cluster: string;
  readonly address: IpAddress;
  /** Names of the peers that hold it. */
  readonly from?: string;
  readonly to?: string;
}

/** What becomes of a key. Keys as fingerprints. */
export interface KeyChange {
  /** Of the later fleet; for one that is gone, of the earlier; absent: no Peer has the key. */
  readonly peer?: string;
  /**
   * `replaced`: sessions end. `promoted`: the second key took over, and they go on. `announced`, `withdrawn`: a second key
   * comes, or goes. `revoked`, `readmitted`: `revokedKeys`.
   */
  readonly change: 'replaced' | 'announced' | 'withdrawn' | 'promoted' | 'revoked' | 'readmitted';
  readonly from?: string;
  readonly to?: string;
  /**
   * Of `replaced`. Present: a peer that answers by the old key must answer by the new one within so long, or nodes take the
   * revision back. Absent: the old key is revoked, and nothing is asked.
   */
  readonly confirmWithinMs?: number;
}

export function addressChanges(before: Fleet, after: Fleet, objects: ObjectChanges): AddressChange[] {
  const holders = (fleet: Fleet, refs: readonly ObjectRef[]): Map<string, Vip> => {
    const vips = new Map<string, Vip>();
    for (const ref of refs) {
      const [kind, name] = splitRef(ref);
      const vip = kind === 'vip' ? fleet.vips.get(name) : undefined;
      if (vip !== undefined) vips.set(`${vip.cluster} ${vip.address}`, vip);
    }
    return vips;
  };
  const was = holders(before, [...objects.changed, ...objects.removed]);
  const is = holders(after, [...objects.changed, ...objects.added]);
  return [...new Set([...was.keys(), ...is.keys()])].sort().flatMap((key): AddressChange[] => {
    const [old, now] = [was.get(key), is.get(key)];
    const vip = now ?? old;
    if (vip === undefined) return [];
    const holder = old && before.peers.get(old.peer);
    if (holder !== undefined && now !== undefined && successor(after, holder) === now.peer) return [];
    const { cluster, address } = vip;
    return [{ cluster, address, ...(old && { from: old.peer }), ...(now && { to: now.peer }) }];
  });
}

export function keyChanges(before: Fleet, after: Fleet, nodes: readonly NodeChange[]): KeyChange[] {
  const found: KeyChange[] = [];
  for (const { node, was, is } of nodes) {
    if (was === undefined || is === undefined) continue;
    const [old, next] = [was.nextPublicKey, is.nextPublicKey];
    if (was.publicKey !== is.publicKey) {
      const change = next === was.publicKey || old === is.publicKey ? 'promoted' : 'replaced';
      const asked = change === 'replaced' ? askedOf(after, was, is) : {};
      found.push({ peer: node, change, from: fingerprint(was.publicKey), to: fingerprint(is.publicKey), ...asked });
    }
    if (old === next) continue;
    if (next !== undefined && next !== was.publicKey)
      found.push({ peer: node, change: 'announced', to: fingerprint(next) });
    else if (next === undefined && old !== undefined && old !== is.publicKey)
      found.push({ peer: node, change: 'withdrawn', from: fingerprint(old) });
  }
  const nameOf = (key: PublicKey) => holderOf(after, key) ?? holderOf(before, key);
  const named = (key: PublicKey): { readonly peer?: string } => {
    const peer = nameOf(key);
    return peer === undefined ? {} : { peer };
  };
  for (const name of new Set([...before.clusters.keys(), ...after.clusters.keys()])) {
    const [old, now] = [before, after].map(
      (fleet) => new Map(fleet.clusters.get(name)?.revokedKeys.map((key) => [canonicalKey(key), key])),
    );
    for (const [canonical, key] of now ?? []) {
      if (!old?.has(canonical)) found.push({ ...named(key), change: 'revoked', from: fingerprint(key) });
    }
    for (const [canonical, key] of old ?? []) {
      if (!now?.has(canonical)) found.push({ ...named(key), change: 'readmitted', to: fingerprint(key) });
    }
  }
  return found;
}

/** What is asked of a peer whose key is replaced outright. */
function askedOf(after: Fleet, was: Peer, is: Peer): Pick<KeyChange, 'confirmWithinMs'> {
  const cluster = after.clusters.get(is.clusters[0] ?? '');
  if (cluster === undefined || revokedBy(cluster).has(canonicalKey(was.publicKey))) return {};
  return { confirmWithinMs: cluster.probation.confirmWithinMs };
}
