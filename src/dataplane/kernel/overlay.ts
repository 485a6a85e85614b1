import { OmniError } from '../../errors.ts';
import type { BpfMap } from './calls.ts';
import { decodeMeta, decodePeer, decodeSession, type Meta, ONE_KEY, type PeerValue, readU64 } from './codec.ts';
import type { Context } from './context.ts';
import { writeGate } from './gate.ts';
import { type FormerCounters, inheritGate, openFormerCounters } from './older-pins.ts';
import { Outlets } from './outlets.ts';
import { PeerIds } from './peer-ids.ts';
import { isPinned, type Pins, pinsOf } from './pins.ts';
import { guardMaps } from './sentry.ts';
import { readSpread, SPREAD_MAPS } from './spread.ts';
import { TRANSMIT_MAP } from './transmit.ts';

const MAP_NAMES = {
  session: 'session_map',
  peer: 'peer_map',
  send: 'send_map',
  forwarding: 'fdb_map',
  neighbour: 'neigh_map',
  subnet: 'subnet_map',
  policy: 'policy_map',
  refused: 'refused_map',
  drop: 'drop_map',
  stats: 'stats_map',
  meta: 'meta_map',
  gate: 'gate_map',
  pending: 'pending_map',
  order: 'order_map',
  path: 'path_map',
  handover: 'handover_map',
  known: 'known_map',
} as const;
/** Maps that the programs alone read and write. */
const PROGRAM_MAPS = ['source_map', 'seen_map', 'seen_proven_map', 'ticket_map', 'event_map'] as const;
/** All map names: pins that lack one of them are an older build's. */
export const ALL_MAPS: readonly string[] = [...Object.values(MAP_NAMES), ...PROGRAM_MAPS, TRANSMIT_MAP, ...SPREAD_MAPS];
type Maps = { readonly [K in keyof typeof MAP_NAMES]: BpfMap };

/** One cluster interface whose maps are open. */
export interface Overlay {
  readonly name: string;
  readonly pins: Pins;
  readonly maps: Maps;
  readonly peers: PeerIds;
  readonly former: FormerCounters;
  readonly outlets: Outlets;
  /** Peer by local session id: the index that a peer's deletion needs. Ours alone to keep, as only we insert and remove. */
  readonly sessionPeer: Map<bigint, bigint>;
  /** Rows of one-row maps as this process wrote or found them, to tell and undo what others do to them. `gate` holds keys. */
  readonly kept: { gate?: Buffer; spread?: Buffer };
  /** Endpoints that a handshake proved, by peer: a row that somebody else deletes comes back with its own. */
  readonly proved: Map<bigint, PeerValue>;
  /** As loaded; changed by the link row alone. */
  meta: Meta;
  /** Interface indexes of the veth pair; 0: not there. */
  inner: number;
  outer: number;
}

export function readMeta(context: Context, pins: Pins): Meta | undefined {
  const pin = pins.map(MAP_NAMES.meta);
  if (!isPinned(pin)) return undefined;
  return context.calls.read(pin, (native) => {
    const map = new native.BpfMap({ pin });
    try {
      return decodeMeta(map.lookup({ key: ONE_KEY }) ?? Buffer.alloc(4));
    } finally {
      map.close();
    }
  });
}

/** Opens the pinned maps and reads what we keep an index of. All maps must be pinned. */
export function openOverlay(context: Context, name: string, meta: Meta): Overlay {
  const pins = pinsOf(context.bpffs, name);
  const opened: BpfMap[] = [];
  const open = (mapName: string): BpfMap => {
    const pin = pins.map(mapName);
    const map = context.calls.read(pin, (native) => new native.BpfMap({ pin }));
    opened.push(map);
    return map;
  };
  try {
    const maps = Object.fromEntries(Object.entries(MAP_NAMES).map(([role, mapName]) => [role, open(mapName)])) as Maps;
    const former = openFormerCounters(pins, open);
    const overlay: Overlay = {
      name,
      pins,
      maps,
      peers: new PeerIds(),
      former,
      outlets: new Outlets(),
      sessionPeer: new Map(),
      kept: {},
      proved: new Map(),
      meta,
      inner: 0,
      outer: 0,
    };
    learnPeers(context, overlay);
    learnSessions(context, overlay);
    inheritGate(context, overlay);
    writeGate(context, overlay);
    const spread = readSpread(context, pins);
    if (spread !== undefined) overlay.kept.spread = spread;
    guardMaps(context, overlay);
    context.overlays.set(name, overlay);
    return overlay;
  } catch (error) {
    for (const map of opened) map.close();
    throw error;
  }
}

export function closeOverlay(context: Context, overlay: Overlay): void {
  context.overlays.delete(overlay.name);
  overlay.kept.gate?.fill(0);
  for (const map of [...Object.values(overlay.maps), ...Object.values(overlay.former)]) map.close();
}

/** Calls `visit` with each entry of a map; the buffers are reused and wiped afterwards, since some hold keys. */
export function eachEntry(
  context: Context,
  map: BpfMap,
  object: string,
  visit: (key: Buffer, value: Buffer) => void,
): void {
  const { keySize, valueSize } = map.info;
  const { count, keys, values } = context.calls.read(object, () => map.entries());
  try {
    for (let i = 0; i < count; i++) {
      visit(keys.subarray(i * keySize, (i + 1) * keySize), values.subarray(i * valueSize, (i + 1) * valueSize));
    }
  } finally {
    values.fill(0);
  }
}

function learnPeers(context: Context, overlay: Overlay): void {
  eachEntry(context, overlay.maps.peer, `peers of ${overlay.name}`, (key, value) => {
    const peer = decodePeer(value);
    overlay.peers.learn(readU64(key), peer.publicKey);
    if (peer.observed) overlay.proved.set(readU64(key), peer);
  });
}

function learnSessions(context: Context, overlay: Overlay): void {
  eachEntry(context, overlay.maps.session, `sessions of ${overlay.name}`, (key, value) => {
    overlay.sessionPeer.set(readU64(key), decodeSession(value).peer);
  });
}

/** For rows that live in maps: the link comes first in every plan, so its absence is a matter of waiting. */
export function requireOverlay(context: Context, name: string, object: string): Overlay {
  const overlay = context.overlays.get(name);
  if (overlay !== undefined) return overlay;
  throw new OmniError(`interface ${name} is not there yet`, { code: 'link-absent', class: 'wait', object });
}
