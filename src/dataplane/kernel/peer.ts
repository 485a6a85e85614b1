import { OmniError } from '../../errors.ts';
import type { PublicKey } from '../../manifest/model.ts';
import type { Change, ObservedRow, PeerRow } from '../../reconcile/rows.ts';
import { endpointText, isLinkLocal, parseEndpoint, UNSPECIFIED } from './addresses.ts';
import { decodePeer, encodePeer, type PeerValue, readU64, u64 } from './codec.ts';
import type { Context } from './context.ts';
import { eraseSession } from './erase.ts';
import { stall } from './errors.ts';
import { followUnderlays, listenOn } from './follow.ts';
import { eachEntry, type Overlay, requireOverlay } from './overlay.ts';
import { forgetRefusals } from './refusals.ts';
import { isOverlayInterface, wayTo } from './source.ts';

/** A row of `peer_map`. */
interface PeerEntry extends PeerValue {
  readonly id: bigint;
}

export function observePeers(context: Context, overlay: Overlay, ids?: ReadonlySet<string>): ObservedRow[] {
  const rows: ObservedRow[] = [];
  const take = ({ id, publicKey, roles, endpoint, observed }: PeerEntry) => {
    const text = endpoint && endpointText(endpoint);
    const nextPublicKey = overlay.peers.nextKeyOf(id);
    rows.push({
      row: {
        kind: 'peer',
        interface: overlay.name,
        publicKey,
        ...(nextPublicKey !== undefined && { nextPublicKey }),
        ...(roles !== undefined && { roles }),
        ...(text !== undefined && { endpoint: text }),
      },
      ...(observed && { endpointObserved: true }),
    });
  };
  if (ids === undefined) {
    for (const peer of allPeers(context, overlay)) {
      overlay.peers.learn(peer.id, peer.publicKey);
      take(peer);
    }
    return rows;
  }
  for (const id of ids) {
    const found = readPeer(context, overlay, id as PublicKey);
    if (found !== undefined) take(found);
  }
  return rows;
}

function allPeers(context: Context, overlay: Overlay): PeerEntry[] {
  const peers: PeerEntry[] = [];
  eachEntry(context, overlay.maps.peer, `peers of ${overlay.name}`, (key, value) => {
    peers.push({ ...decodePeer(value), id: readU64(key) });
  });
  return peers;
}

/** The row of the peer that has this key. */
function readPeer(context: Context, overlay: Overlay, publicKey: PublicKey): PeerEntry | undefined {
  const found = findPeer(context, overlay, publicKey);
  return found?.publicKey === publicKey ? found : undefined;
}

/** The row of the peer that has this key, or went by it until a moment ago: whoever asks learns of that a little later. */
export function findPeer(context: Context, overlay: Overlay, publicKey: PublicKey): PeerEntry | undefined {
  const id = overlay.peers.find(publicKey);
  if (id === undefined) return undefined;
  const key = u64(id);
  const value = context.calls.read(objectOf(overlay, publicKey), () => overlay.maps.peer.lookup({ key }));
  return value && { ...decodePeer(value), id };
}

export function writePeer(context: Context, overlay: Overlay, { id, ...peer }: PeerEntry): void {
  const value = encodePeer(peer);
  context.calls.write(objectOf(overlay, peer.publicKey), () => overlay.maps.peer.update({ key: u64(id), value }));
  if (peer.observed) overlay.proved.set(id, peer);
}

function objectOf(overlay: Overlay, publicKey: PublicKey): string {
  return `peer/${overlay.name}/${publicKey}`;
}

export function applyPeer(context: Context, change: Change): void {
  if (change.op === 'update') rename(context, change.from as PeerRow, change.to as PeerRow);
  if (change.op === 'delete') remove(context, change.from as PeerRow);
  else put(context, change.to as PeerRow);
}

/** A peer goes on under another key: what is under its id stays. */
function rename(context: Context, from: PeerRow, to: PeerRow): void {
  if (from.publicKey === to.publicKey) return;
  const overlay = requireOverlay(context, to.interface, `peer/${to.interface}/${to.publicKey}`);
  const before = readPeer(context, overlay, from.publicKey);
  if (before === undefined || readPeer(context, overlay, to.publicKey) !== undefined) return;
  writePeer(context, overlay, { ...before, publicKey: to.publicKey });
  overlay.peers.rename(before.id, to.publicKey);
}

function put(context: Context, row: PeerRow): void {
  const object = `peer/${row.interface}/${row.publicKey}`;
  const overlay = requireOverlay(context, row.interface, object);
  const id = overlay.peers.allot(row.publicKey);
  overlay.peers.setNextKey(id, row.nextPublicKey);
  const before = readPeer(context, overlay, row.publicKey);
  // A handshake proved its endpoint a moment ago; the plan was made from what was seen before.
  if (before?.observed) {
    putRoles(context, overlay, before, row.roles);
    return;
  }
  const proved = overlay.proved.get(id);
  if (before === undefined && proved !== undefined) {
    writePeer(context, overlay, {
      ...proved,
      id,
      publicKey: row.publicKey,
      ...(row.roles !== undefined && { roles: row.roles }),
    });
    return;
  }
  const remote = row.endpoint === undefined ? undefined : parseEndpoint(row.endpoint);
  const found = remote && wayTo(context, remote);
  const loops = found !== undefined && isOverlayInterface(context, found.ifindex);
  const way = loops ? undefined : found;
  const local = way?.source;
  overlay.outlets.route(id, way?.ifindex);
  if (way !== undefined) listenOn(context, overlay, way.ifindex);
  const peer: PeerEntry = {
    id,
    publicKey: row.publicKey,
    ...(row.roles !== undefined && { roles: row.roles }),
    ...(remote !== undefined && local !== undefined && { endpoint: { ...remote, local } }),
    observed: false,
    localPort: overlay.meta.port,
  };
  if (before === undefined || !encodePeer(before).equals(encodePeer(peer))) writePeer(context, overlay, peer);
  if (remote === undefined || local !== undefined) return;
  if (loops) throw inOverlay(object, row.endpoint ?? '');
  if (isLinkLocal(remote.address)) throw linkLocal(object, remote.address);
  throw new OmniError(`the underlay has no route to ${row.endpoint}`, {
    code: 'no-route-to-endpoint',
    class: 'wait',
    object,
    fix: 'check the routes of this node; the peer is tried again when they change',
  });
}

function putRoles(context: Context, overlay: Overlay, { roles: before, ...peer }: PeerEntry, roles?: string): void {
  if (before !== roles) writePeer(context, overlay, { ...peer, ...(roles !== undefined && { roles }) });
}

function inOverlay(object: string, endpoint: string): OmniError {
  return new OmniError(`${endpoint} is reached through the overlay itself: datagrams to it would loop`, {
    code: 'endpoint-in-overlay',
    class: 'wait',
    object,
    fix: 'correct the routes of this node, or the endpoint of the peer; the peer is tried again when routes change',
  });
}

function linkLocal(object: string, address: string): OmniError {
  return stall(
    'endpoint-link-local',
    object,
    `${address} is a link-local address, which does not say on which interface the peer is`,
    'give the peer an endpoint with a routed address: a global one, a unique local one (fd00::/8), or IPv4',
  );
}

/** In this order nothing of the peer passes any more after the first step that it concerns: sending, endpoint, receiving. */
function remove(context: Context, row: PeerRow): void {
  const overlay = context.overlays.get(row.interface);
  if (overlay === undefined) return;
  const id = overlay.peers.find(row.publicKey);
  if (id === undefined || overlay.peers.keyOf(id) !== row.publicKey) return;
  const object = objectOf(overlay, row.publicKey);
  overlay.peers.setNextKey(id, undefined);
  overlay.proved.delete(id);
  context.calls.erase(object, () => overlay.maps.send.delete({ key: u64(id) }));
  context.calls.erase(object, () => overlay.maps.peer.delete({ key: u64(id) }));
  for (const [session, peer] of overlay.sessionPeer) {
    if (peer !== id) continue;
    eraseSession(context, object, overlay.maps.session, session);
    overlay.sessionPeer.delete(session);
  }
  context.calls.erase(object, () => overlay.maps.path.delete({ key: u64(id) }));
  overlay.outlets.route(id, undefined);
  context.calls.erase(object, () => overlay.maps.handover.delete({ key: u64(id) }));
  forgetRefusals(context, overlay, id);
  // A session that was confirmed meanwhile has put itself back as the one to send on.
  context.calls.erase(object, () => overlay.maps.send.delete({ key: u64(id) }));
}

/** Datagrams leave from the link's port; a change of it concerns every peer. */
export function rewriteLocalPort(context: Context, overlay: Overlay, port: number): void {
  for (const peer of allPeers(context, overlay)) {
    if (peer.localPort !== port) writePeer(context, overlay, { ...peer, localPort: port });
  }
}

/**
 * After the underlay changed: listens where peers' endpoints are routed now, then gives peers the source address that their
 * datagrams have, none where there is no route any more, and tells of those that it changed for. Returns the milliseconds
 * after which to look again; undefined: when something changes.
 */
export function refreshSources(context: Context, overlay: Overlay, nowMs: number): number | undefined {
  const found = allPeers(context, overlay).map((peer) => {
    const way = peer.endpoint && wayTo(context, peer.endpoint);
    return { peer, way: way !== undefined && isOverlayInterface(context, way.ifindex) ? undefined : way };
  });
  for (const { peer, way } of found) overlay.outlets.route(peer.id, way?.ifindex);
  const nextLookMs = followUnderlays(context, overlay, nowMs);
  for (const { peer, way } of found) {
    const local = way?.source ?? UNSPECIFIED;
    if (peer.endpoint === undefined || Buffer.compare(local, peer.endpoint.local) === 0) continue;
    writePeer(context, overlay, { ...peer, endpoint: { ...peer.endpoint, local } });
    context.events.tell({ type: 'source-changed', interface: overlay.name, peer: peer.publicKey });
  }
  return nextLookMs;
}
