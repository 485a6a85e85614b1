import { type RowKey, rowKey } from '../../reconcile/rows.ts';
import { addressText, macText } from './addresses.ts';
import type { BpfMap } from './calls.ts';
import { decodePeer, decodeSession, readU64, u64 } from './codec.ts';
import type { Context } from './context.ts';
import { eraseSession } from './erase.ts';
import { failedWith } from './errors.ts';
import { decodeFdbKey, decodeOmniAddress, sessionEntryLayout } from './layout.ts';
import type { Overlay } from './overlay.ts';
import { isPinned } from './pins.ts';
import { subnetOf } from './policy.ts';
import { SPREAD_ROWS, spreadFaults } from './spread.ts';
import { TRANSMIT_MAP, transmitFaults } from './transmit.ts';
import { findUnderlays } from './underlay.ts';
import { findPair } from './veth.ts';

/*
 * Maps announce nothing: what others do to their rows is found by looking. The addon keeps account of what this process
 * wrote (`BpfMap.track`) and says which rows are otherwise. Rows that the reconciler keeps are named to it. Rows of
 * sessions are put back here, or the sessions are told of those that are gone.
 */

interface Changes {
  readonly added: readonly Buffer[];
  readonly changed: readonly Buffer[];
  readonly removed: readonly Buffer[];
}

interface Watched {
  /** Of a value the bytes that nobody but this process writes: not 0. */
  mask(size: number): Uint8Array;
  /** What to do about it; the rows that the reconciler is to look at. */
  take(context: Context, overlay: Overlay, changes: Changes): readonly RowKey[];
}

const WHOLE = (size: number) => new Uint8Array(size).fill(1);
const KEYS_ALONE = (size: number) => new Uint8Array(size);

/** Maps of lasting rows that this process writes. Rows of `order_map` live for a second, and those of `known_map` are hints. */
const WATCHED: { readonly [R in keyof Overlay['maps']]?: Watched } = {
  peer: { mask: WHOLE, take: namePeers },
  forwarding: { mask: WHOLE, take: named(({ name }, key) => `fdb/${name}/${macText(decodeFdbKey(key).mac)}`) },
  neighbour: {
    mask: WHOLE,
    take: named(({ name }, key) => `neighbour/${name}/${addressText(decodeOmniAddress(key).bytes)}`),
  },
  subnet: { mask: WHOLE, take: named(({ name }, key) => `subnet/${name}/${subnetOf(key)}`) },
  policy: { mask: WHOLE, take: named(({ name }) => `policy/${name}`) },
  gate: { mask: WHOLE, take: nameLink },
  meta: { mask: WHOLE, take: nameLink },
  pending: { mask: WHOLE, take: restorePending },
  // The programs count in a session, and wipe the keys of one that has expired.
  session: { mask: ofSession, take: dropSessions },
  // The programs send on the session of a peer that was confirmed last.
  send: { mask: KEYS_ALONE, take: restoreSending },
};
const ROLES = Object.keys(WATCHED) as (keyof typeof WATCHED)[];

/** Maps that are opened only when they are written: whether they are right is a matter of the link's faults. */
const SMALL_MAPS: readonly string[] = [TRANSMIT_MAP, ...SPREAD_ROWS];

/** Once, when the maps were opened and what an earlier process left was read. */
export function guardMaps(context: Context, { name, maps }: Pick<Overlay, 'name' | 'maps'>): void {
  for (const role of ROLES) {
    const mask = (WATCHED[role]?.mask ?? WHOLE)(maps[role].info.valueSize);
    context.calls.read(`maps of ${name}`, () => maps[role].track({ mask }));
  }
}

/** Between two looks: what is changed is back within two seconds. */
const LOOK_MS = 1_000;
const MAX_LOOK_MS = 1_500;
/**
 * The pause is this multiple of a look's CPU time, which is below one per cent, and never longer than MAX_LOOK_MS: beyond
 * about 10,000 peers (12 ms a look) it is more.
 */
const IDLE_RATIO = 120;
/** A change of ours is half made: sooner. */
const BUSY_MS = 50;

/** Looks at the maps again and again while somebody listens. */
export class Sentry {
  readonly #context: Context;
  readonly #busy: () => boolean;
  readonly #tell: (keys: ReadonlySet<RowKey>) => void;
  readonly #seen = new Map<string, string>();
  #timer: NodeJS.Timeout | undefined;

  constructor(context: Context, busy: () => boolean, tell: (keys: ReadonlySet<RowKey>) => void) {
    this.#context = context;
    this.#busy = busy;
    this.#tell = tell;
  }

  start(): void {
    this.#timer ??= setTimeout(() => this.#look(), LOOK_MS);
  }

  stop(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
  }

  #look(): void {
    if (this.#busy()) {
      this.#timer = setTimeout(() => this.#look(), BUSY_MS);
      return;
    }
    const started = process.cpuUsage();
    try {
      const keys = inspect(this.#context, this.#seen);
      if (keys.size > 0) this.#tell(keys);
    } catch (error) {
      this.#context.log('warn', 'cannot look whether somebody changed a map', { error: String(error) });
    }
    const { user, system } = process.cpuUsage(started);
    const pauseMs = ((user + system) / 1_000) * IDLE_RATIO;
    this.#timer = setTimeout(() => this.#look(), Math.min(Math.max(LOOK_MS, pauseMs), MAX_LOOK_MS));
  }
}

/** The rows that the reconciler is to look at. `seen`: the small maps at the last look, by interface; brought up to date. */
function inspect(context: Context, seen: Map<string, string>): ReadonlySet<RowKey> {
  const keys = new Set<RowKey>();
  for (const overlay of context.overlays.values()) {
    for (const role of ROLES) {
      for (const key of inspectMap(context, overlay, role)) keys.add(key);
    }
    const content = SMALL_MAPS.map((name) => contentOf(context, overlay.pins.map(name))).join('\n');
    const same = (seen.get(overlay.name) ?? content) === content;
    seen.set(overlay.name, content);
    if (!same && smallFaults(context, overlay)) keys.add(`link/${overlay.name}` as RowKey);
  }
  return keys;
}

/** What follows the routes is not as it should be either. This process writes these maps too: then it is. */
function smallFaults(context: Context, overlay: Overlay): boolean {
  const { outer } = findPair(context, overlay.name);
  const { present } = findUnderlays(context, overlay.pins);
  const faults = outer === undefined ? [] : transmitFaults(context, overlay.pins, outer, present);
  return faults.length + spreadFaults(context, overlay).length > 0;
}

function inspectMap(context: Context, overlay: Overlay, role: keyof typeof WATCHED): readonly RowKey[] {
  const map = overlay.maps[role];
  const found = context.calls.read(`maps of ${overlay.name}`, () => map.foreignChanges());
  const changes: Changes = {
    added: split(found.added, map.info),
    changed: split(found.changed, map.info),
    removed: split(found.removed, map.info),
  };
  return allOf(changes).length === 0 ? [] : (WATCHED[role]?.take(context, overlay, changes) ?? []);
}

function split(keys: Buffer, { keySize }: BpfMap['info']): Buffer[] {
  return Array.from({ length: keys.length / keySize }, (_, at) => keys.subarray(at * keySize, (at + 1) * keySize));
}

function allOf({ added, changed, removed }: Changes): readonly Buffer[] {
  return [...added, ...changed, ...removed];
}

function contentOf(context: Context, pin: string): string {
  if (!isPinned(pin)) return '';
  return context.calls.read(pin, (native) => {
    const map = new native.BpfMap({ pin });
    try {
      const { keys, values } = map.entries();
      return `${keys.toString('base64')} ${values.toString('base64')}`;
    } finally {
      map.close();
    }
  });
}

// --- rows of the reconciler ------------------------------------------------------

function named(nameOf: (overlay: Overlay, key: Buffer) => string): Watched['take'] {
  return (_context, overlay, changes) => allOf(changes).map((key) => nameOf(overlay, key) as RowKey);
}

/** Settings and keys of the programs: `linkFaults` finds what is not as it was written. */
function nameLink(_context: Context, { name }: Overlay): readonly RowKey[] {
  return [`link/${name}` as RowKey];
}

/**
 * A row that says something else goes at once, so that the reconciler finds it missing: as it stands it may claim an
 * endpoint that a handshake proved. One under an id that nobody was given goes, too.
 */
function namePeers(context: Context, overlay: Overlay, { added, changed, removed }: Changes): readonly RowKey[] {
  const { calls } = context;
  const object = `peers of ${overlay.name}`;
  for (const key of added) {
    const value = calls.read(object, () => overlay.maps.peer.lookup({ key }));
    if (value === undefined) continue;
    const { publicKey } = decodePeer(value);
    context.log('warn', 'removing a peer that somebody put into the data plane', {
      interface: overlay.name,
      publicKey,
    });
    calls.erase(object, () => overlay.maps.peer.delete({ key }));
  }
  for (const key of changed) calls.erase(object, () => overlay.maps.peer.delete({ key }));
  return [...added, ...changed, ...removed].flatMap((key) => {
    const publicKey = overlay.peers.keyOf(readU64(key));
    return publicKey === undefined ? [] : rowKey({ kind: 'peer', interface: overlay.name, publicKey });
  });
}

// --- rows of sessions ----------------------------------------------------------

function ofSession(size: number): Uint8Array {
  const mask = new Uint8Array(size);
  const { peer, remoteId, createdNs } = sessionEntryLayout.fields;
  for (const field of [peer, remoteId, createdNs]) mask.fill(1, field.offset, field.offset + field.size);
  return mask;
}

/** A session that is not as it was installed is of no use, and one that nobody installed is none. */
function dropSessions(context: Context, overlay: Overlay, { added, changed, removed }: Changes): readonly RowKey[] {
  const object = `session/${overlay.name}`;
  for (const key of [...added, ...changed]) eraseSession(context, object, overlay.maps.session, readU64(key));
  for (const key of [...changed, ...removed]) {
    const localId = readU64(key);
    const peer = overlay.peers.keyOf(overlay.sessionPeer.get(localId) ?? 0n);
    overlay.sessionPeer.delete(localId);
    if (peer !== undefined) {
      context.events.tell({ type: 'session-disturbed', interface: overlay.name, peer, lost: [localId] });
    }
  }
  return [];
}

/** Frames of a peer that has lost its row go out on its newest session that the other end has shown to have. */
function restoreSending(context: Context, overlay: Overlay, { removed }: Changes): readonly RowKey[] {
  const object = `session/${overlay.name}`;
  for (const key of removed) {
    const id = readU64(key);
    const peer = overlay.peers.keyOf(id);
    const localId = newestSession(context, overlay, id);
    if (peer === undefined || localId === undefined) continue;
    try {
      context.calls.write(object, () => overlay.maps.send.update({ key, value: u64(localId), mode: 'create' }));
    } catch (error) {
      // The programs confirmed one meanwhile.
      if (!failedWith(error, 'EEXIST')) throw error;
    }
    context.events.tell({ type: 'session-disturbed', interface: overlay.name, peer, lost: [] });
  }
  return [];
}

function newestSession(context: Context, overlay: Overlay, peer: bigint): bigint | undefined {
  let newest: { readonly localId: bigint; readonly createdMs: number } | undefined;
  for (const [localId, of] of overlay.sessionPeer) {
    if (of !== peer) continue;
    const key = u64(localId);
    const value = context.calls.read(`session/${overlay.name}`, () => overlay.maps.session.lookup({ key, lock: true }));
    if (value === undefined) continue;
    const { unconfirmed, createdMs } = decodeSession(value);
    value.fill(0);
    if (!unconfirmed && (newest === undefined || createdMs > newest.createdMs)) newest = { localId, createdMs };
  }
  return newest?.localId;
}

/** Answers to initiations that are under way stay welcome; to others they are not. */
function restorePending(context: Context, overlay: Overlay, changes: Changes): readonly RowKey[] {
  const object = `session/${overlay.name}`;
  for (const key of allOf(changes)) {
    const value = context.expected.get(readU64(key));
    if (value === undefined) context.calls.erase(object, () => overlay.maps.pending.delete({ key }));
    else context.calls.write(object, () => overlay.maps.pending.update({ key, value }));
  }
  context.log('warn', 'somebody changed pending_map; its rows were restored', { interface: overlay.name });
  return [];
}
