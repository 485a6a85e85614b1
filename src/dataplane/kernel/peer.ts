import { OmniError } from '../../errors.ts';
import { peerIdOf } from '../../manifest/keys.ts';
import type { PublicKey } from '../../manifest/model.ts';
import type { Change, ObservedRow, PeerRow } from '../../reconcile/rows.ts';
import { addressBytes, endpointText, isUnspecified, parseEndpoint, type SocketAddress } from './addresses.ts';
import { decodePeer, encodePeer, type PeerValue, u64 } from './codec.ts';
import type { Context } from './context.ts';
import { eraseSession } from './erase.ts';
import { failedWith } from './errors.ts';
import { eachEntry, type Overlay, requireOverlay } from './overlay.ts';

export function observePeers(context: Context, overlay: Overlay, ids?: ReadonlySet<string>): ObservedRow[] {
  const rows: ObservedRow[] = [];
  const take = ({ publicKey, endpoint, observed }: PeerValue) => {
    const text = endpoint && endpointText(endpoint);
    rows.push({
      row: { kind: 'peer', interface: overlay.name, publicKey, ...(text !== undefined && { endpoint: text }) },
      ...(observed && { endpointObserved: true }),
    });
  };
  if (ids === undefined) {
    eachEntry(context, overlay.maps.peer, `peers of ${overlay.name}`, (_key, value) => take(decodePeer(value)));
    return rows;
  }
  for (const id of ids) {
    const found = readPeer(context, overlay, id as PublicKey);
    if (found !== undefined) take(found);
  }
  return rows;
}

export function readPeer(context: Context, overlay: Overlay, publicKey: PublicKey): PeerValue | undefined {
  const key = u64(peerIdOf(publicKey));
  const value = context.calls.read(objectOf(overlay, publicKey), () => overlay.maps.peer.lookup({ key }));
  const found = value && decodePeer(value);
  return found?.publicKey === publicKey ? found : undefined;
}

export function writePeer(context: Context, overlay: Overlay, peer: PeerValue): void {
  const id = peerIdOf(peer.publicKey);
  context.keys.set(id, peer.publicKey);
  const value = encodePeer(peer);
  context.calls.write(objectOf(overlay, peer.publicKey), () => overlay.maps.peer.update({ key: u64(id), value }));
}

function objectOf(overlay: Overlay, publicKey: PublicKey): string {
  return `peer/${overlay.name}/${publicKey}`;
}

/** The source address of datagrams to `remote`; undefined while the underlay has no route to it. */
export function sourceFor(context: Context, remote: SocketAddress): Uint8Array | undefined {
  try {
    const { source } = context.calls.read(`route to ${remote.address}`, (native) =>
      native.lookupRoute({ destination: remote.address }),
    );
    const bytes = source === '' ? undefined : addressBytes(source);
    return bytes === undefined || isUnspecified(bytes) ? undefined : bytes;
  } catch (error) {
    if (failedWith(error, 'ENETUNREACH', 'EHOSTUNREACH', 'ENETDOWN', 'EACCES', 'EINVAL')) return undefined;
    throw error;
  }
}

export function applyPeer(context: Context, change: Change): void {
  if (change.op === 'delete') remove(context, change.from as PeerRow);
  else put(context, change.to as PeerRow);
}

function put(context: Context, row: PeerRow): void {
  const object = `peer/${row.interface}/${row.publicKey}`;
  const overlay = requireOverlay(context, row.interface, object);
  const before = readPeer(context, overlay, row.publicKey);
  // A handshake proved it a moment ago; the plan was made from what was seen before.
  if (before?.observed) return;
  const remote = row.endpoint === undefined ? undefined : parseEndpoint(row.endpoint);
  const local = remote && sourceFor(context, remote);
  const peer: PeerValue = {
    publicKey: row.publicKey,
    ...(remote !== undefined && local !== undefined && { endpoint: { ...remote, local } }),
    observed: false,
    localPort: overlay.meta.port,
  };
  if (before === undefined || !encodePeer(before).equals(encodePeer(peer))) writePeer(context, overlay, peer);
  if (remote === undefined || local !== undefined) return;
  throw new OmniError(`the underlay has no route to ${row.endpoint}`, {
    code: 'no-route-to-endpoint',
    class: 'wait',
    object,
    fix: 'check the routes of this node; the peer is tried again when they change',
  });
}

/** In this order nothing of the peer passes any more after the first step that it concerns: sending, endpoint, receiving. */
function remove(context: Context, row: PeerRow): void {
  const overlay = context.overlays.get(row.interface);
  if (overlay === undefined) return;
  const id = peerIdOf(row.publicKey);
  const object = objectOf(overlay, row.publicKey);
  context.calls.erase(object, () => overlay.maps.send.delete({ key: u64(id) }));
  context.calls.erase(object, () => overlay.maps.peer.delete({ key: u64(id) }));
  for (const [session, peer] of overlay.sessionPeer) {
    if (peer !== id) continue;
    eraseSession(context, object, overlay.maps.session, session);
    overlay.sessionPeer.delete(session);
  }
  // A session that was confirmed meanwhile has put itself back as the one to send on.
  context.calls.erase(object, () => overlay.maps.send.delete({ key: u64(id) }));
}

/** Datagrams leave from the link's port; a change of it concerns every peer. */
export function rewriteLocalPort(context: Context, overlay: Overlay, port: number): void {
  const stale: PeerValue[] = [];
  eachEntry(context, overlay.maps.peer, `peers of ${overlay.name}`, (_key, value) => {
    const peer = decodePeer(value);
    if (peer.localPort !== port) stale.push(peer);
  });
  for (const peer of stale) writePeer(context, overlay, { ...peer, localPort: port });
}

/** After the underlay changed: gives peers the source address that their datagrams have now. */
export function refreshSources(context: Context, overlay: Overlay): void {
  const peers: PeerValue[] = [];
  eachEntry(
    context,
    overlay.maps.peer,
    `peers of ${overlay.name}`,
    (_key, value) => void peers.push(decodePeer(value)),
  );
  for (const peer of peers) {
    if (peer.endpoint === undefined) continue;
    const local = sourceFor(context, peer.endpoint);
    if (local === undefined || Buffer.compare(local, peer.endpoint.local) === 0) continue;
    writePeer(context, overlay, { ...peer, endpoint: { ...peer.endpoint, local } });
  }
}
