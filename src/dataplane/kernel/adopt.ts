import type { AdoptReport } from '../../reconcile/dataplane.ts';
import { attachmentFaults, leaveGeneric } from './attach.ts';
import { type Meta, readU64, u64 } from './codec.ts';
import type { Context } from './context.ts';
import { eraseSession } from './erase.ts';
import { stall } from './errors.ts';
import { OMNI_LAYOUT_VERSION } from './layout.ts';
import { ourInterfaces } from './link.ts';
import { dropFilter } from './mac.ts';
import { restoreNeighbours } from './neighbour.ts';
import { setCountersAside } from './older-pins.ts';
import { ALL_MAPS, eachEntry, type Overlay, openOverlay, readMeta } from './overlay.ts';
import { refreshSources } from './peer.ts';
import { isPinned, type Pins, pinnedInterfaces, pinsOf } from './pins.ts';
import { buildIdOf, loadPrograms } from './programs.ts';
import { attachPrograms, openWith, programsPinned, removeInterface, writeMeta } from './setup.ts';
import { syncSpread } from './spread.ts';
import { findUnderlays } from './underlay.ts';
import { findPair, isOurs, type Pair, settle } from './veth.ts';

/**
 * Takes over what is pinned. Where nothing changed since, nothing is written. New programs for the same layout take
 * the old ones' places behind the pinned links, one atomic step each; sessions and counters stay in the maps.
 */
export async function adoptAll(context: Context, signal: AbortSignal): Promise<AdoptReport> {
  for (const name of pinnedInterfaces(context.bpffs)) {
    signal.throwIfAborted();
    await adoptInterface(context, name);
  }
  // The underlay may have moved while nobody was there to follow it.
  for (const overlay of context.overlays.values()) refreshSources(context, overlay, performance.now());
  const links = ourInterfaces(context);
  const sessions = [...context.overlays.values()].reduce((sum, overlay) => sum + overlay.sessionPeer.size, 0);
  return { adopted: links.length > 0, sessions, links };
}

async function adoptInterface(context: Context, name: string): Promise<void> {
  const pins = pinsOf(context.bpffs, name);
  const found = readMeta(context, pins);
  if (found === undefined || found.layoutVersion === 0) {
    context.log('warn', 'removing what an interrupted creation left', { interface: name });
    removeInterface(context, name);
    return;
  }
  if (found.layoutVersion !== OMNI_LAYOUT_VERSION) {
    throw stall(
      'layout-incompatible',
      `link/${name}`,
      `${pins.folder} was made by another version: its maps have layout ${found.layoutVersion}, this agent has ${OMNI_LAYOUT_VERSION}`,
      'run `omni agent --teardown`, then start the agent: its sessions are made anew, which interrupts traffic for about a second',
    );
  }
  const { inner, outer } = findPair(context, name);
  if (inner === undefined || outer === undefined || !isOurs(inner)) {
    // The pair was deleted behind our back: the link row differs, and reconciling it makes it anew around these maps,
    // unless they are an older version's, which lack one.
    if (!mapsPinned(pins)) return removeInterface(context, name);
    dropOrphans(context, openOverlay(context, name, found));
    return;
  }
  dropFilter(context, pins, inner);
  // Somebody who was killed while it changed the MAC had given the device the new one last of all.
  const meta = { ...found, mac: inner.mac as Meta['mac'] };
  // Pins from before a map: the new programs bring it, and the keys are in before one of them runs.
  const loaded = setCountersAside(context, pins) || !mapsPinned(pins);
  if (loaded) await loadPrograms(context, pins, meta, { inner, outer });
  const overlay = openWith(context, name, { inner, outer }, meta);
  dropOrphans(context, overlay);
  forgetPending(context, overlay);
  await renew(context, { pins, pair: { inner, outer }, overlay, meta, loaded });
}

/** Swaps in other programs, or attaches again what lost its device. */
async function renew(
  context: Context,
  adopted: {
    readonly pins: Pins;
    readonly pair: Pair;
    readonly overlay: Overlay;
    readonly meta: Meta;
    /** Other programs are pinned already, and not attached. */
    readonly loaded: boolean;
  },
): Promise<void> {
  const { pins, pair, overlay, meta, loaded } = adopted;
  const underlays = findUnderlays(context, pins);
  const buildId = buildIdOf(context, meta, pair);
  const changed = loaded || !buildId.equals(meta.buildId) || !programsPinned(pins);
  if (changed && !loaded) await loadPrograms(context, pins, meta, pair);
  const left = leaveGeneric(context, pins, pair.outer, underlays);
  if (!changed && !left && attachmentFaults(context, pins, pair.outer, underlays).length === 0) {
    // What the agent is told, and may run on, is another matter than what is attached.
    return syncSpread(context, pins, underlays.present);
  }
  attachPrograms(context, pins, pair, underlays);
  overlay.meta = { ...meta, buildId };
  writeMeta(context, overlay, meta, overlay.meta);
  // What an older build left otherwise is no drift.
  if (changed) {
    settle(context, pins.interface);
    restoreNeighbours(context, overlay);
  }
  if (changed) context.log('info', 'replaced the programs under way', { interface: pins.interface });
}

function mapsPinned(pins: Pins): boolean {
  return ALL_MAPS.every((name) => isPinned(pins.map(name)));
}

/** A crash between a peer's row and its sessions leaves sessions that nobody may use. */
function dropOrphans(context: Context, overlay: Overlay): void {
  for (const [session, peer] of overlay.sessionPeer) {
    if (overlay.peers.keyOf(peer) !== undefined) continue;
    eraseSession(context, `session/${overlay.name}`, overlay.maps.session, session);
    overlay.sessionPeer.delete(session);
  }
}

/** No initiation of ours is under way yet: answers to those of the process before are not welcome. */
function forgetPending(context: Context, overlay: Overlay): void {
  const object = `link/${overlay.name}`;
  const ids: bigint[] = [];
  eachEntry(context, overlay.maps.pending, object, (key) => void ids.push(readU64(key)));
  for (const id of ids) context.calls.erase(object, () => overlay.maps.pending.delete({ key: u64(id) }));
}
