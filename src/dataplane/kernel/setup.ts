import { OmniError } from '../../errors.ts';
import type { LinkRow } from '../../reconcile/rows.ts';
import { attachAll, attachSlowPath, detachAll } from './attach.ts';
import type { LinkInfo } from './calls.ts';
import { encodeMeta, type Meta, ONE_KEY, settingsOf } from './codec.ts';
import type { Context } from './context.ts';
import { eraseSessions } from './erase.ts';
import { writeGate } from './gate.ts';
import { OMNI_LAYOUT_VERSION } from './layout.ts';
import { changeMac, prepareMacChange } from './mac.ts';
import { missingCapabilities } from './needs.ts';
import { restoreNeighbours } from './neighbour.ts';
import { closeOverlay, type Overlay, openOverlay, readMeta } from './overlay.ts';
import { rewriteLocalPort } from './peer.ts';
import { ensureFolder, isPinned, type Pins, pinsOf, unpinAll } from './pins.ts';
import { buildIdOf, loadPrograms, ROLES } from './programs.ts';
import { guardSockets } from './socket.ts';
import { automaticMtu, requireUnderlays, type Underlays, usualMtu } from './underlay.ts';
import { bringUp, ensurePair, findPair, isOurs, type Pair, removeLink } from './veth.ts';

/**
 * Creates, completes or changes a link so that it is as `row` says. A first creation that fails leaves nothing behind;
 * one that carries sessions already is left as far as it came, for the next attempt.
 */
export async function ensureLink(context: Context, row: LinkRow, signal: AbortSignal): Promise<void> {
  requireCapabilities(context, row);
  const pins = pinsOf(context.bpffs, row.interface);
  const underlays = requireUnderlays(context, pins);
  const mtu = typeof row.mtu === 'number' ? row.mtu : (automaticMtu(underlays, row.mtu) ?? usualMtu(row.mtu));
  const before = readMeta(context, pins);
  const pair = ensurePair(context, row, mtu);
  try {
    await ensurePrograms(context, { row, pins, underlays, mtu, pair, before }, signal);
  } catch (error) {
    if (before === undefined || before.layoutVersion === 0) removeInterface(context, row.interface);
    throw error;
  }
}

interface Prepared {
  readonly row: LinkRow;
  readonly pins: Pins;
  readonly underlays: Underlays;
  readonly mtu: number;
  readonly pair: Pair;
  /** What was loaded until now. */
  readonly before: Meta | undefined;
}

async function ensurePrograms(context: Context, prepared: Prepared, signal: AbortSignal): Promise<void> {
  const { row, pins, underlays, mtu, pair, before } = prepared;
  ensureFolder(context, pins);
  const settings = settingsOf(row, mtu);
  const buildId = buildIdOf(context, settings, pair);
  if (before?.buildId.equals(buildId) !== true || !programsPinned(pins)) {
    distrustMeta(context, row.interface, before);
    await loadPrograms(context, pins, settings, pair);
    signal.throwIfAborted();
  }
  changeMac(context, pins, pair.inner, row.mac, () => attachPrograms(context, pins, pair, underlays));
  prepareMacChange(context, pins, pair.inner);
  bringUp(context, pair);
  const meta: Meta = {
    ...settings,
    layoutVersion: OMNI_LAYOUT_VERSION,
    buildId,
    mtuAuto: typeof row.mtu === 'number' ? undefined : row.mtu,
    cluster: row.cluster,
  };
  const overlay = openWith(context, row.interface, pair, meta);
  writeMeta(context, overlay, before, meta);
  writeGate(context, overlay);
  restoreNeighbours(context, overlay);
}

/** From here until the new meta is written the programs are not what the old one says; a kill between is noticed by this. */
function distrustMeta(context: Context, name: string, before: Meta | undefined): void {
  const overlay = context.overlays.get(name);
  if (overlay === undefined || before === undefined) return;
  const value = encodeMeta({ ...before, buildId: Buffer.alloc(before.buildId.length) });
  context.calls.write(`link/${name}`, () => overlay.maps.meta.update({ key: ONE_KEY, value }));
}

export function programsPinned(pins: Pins): boolean {
  return ROLES.every((role) => isPinned(pins.program(role)));
}

export function attachPrograms(context: Context, pins: Pins, pair: Pair, underlays: Underlays): void {
  attachSlowPath(context, pins, pair.outer);
  attachAll(context, pins, pair.outer, underlays);
}

/** The overlay with this pair, opened if it is not; events come from the pair from then on. */
export function openWith(context: Context, name: string, pair: Pair, meta: Meta): Overlay {
  const overlay = context.overlays.get(name) ?? openOverlay(context, name, meta);
  const moved = overlay.outer !== pair.outer.ifindex || overlay.inner !== pair.inner.ifindex;
  overlay.inner = pair.inner.ifindex;
  overlay.outer = pair.outer.ifindex;
  overlay.meta = meta;
  if (moved) context.events.open(overlay);
  return overlay;
}

/** Last of all: from now on a restarted agent adopts this. */
export function writeMeta(context: Context, overlay: Overlay, before: Meta | undefined, meta: Meta): void {
  if (before?.port !== meta.port) rewriteLocalPort(context, overlay, meta.port);
  const value = encodeMeta(meta);
  const object = `link/${overlay.name}`;
  const found = context.calls.read(object, () => overlay.maps.meta.lookup({ key: ONE_KEY }));
  if (found?.equals(value) !== true)
    context.calls.write(object, () => overlay.maps.meta.update({ key: ONE_KEY, value }));
  guardSockets(context);
}

/** Removes the pair, the programs, every pin and with them all rows and sessions of the interface. */
export function removeInterface(context: Context, name: string): void {
  const overlay = context.overlays.get(name);
  if (overlay !== undefined) {
    context.events.close(name);
    closeOverlay(context, overlay);
  }
  const pins = pinsOf(context.bpffs, name);
  const found = findPair(context, name);
  const ours = (link: LinkInfo | undefined): link is LinkInfo => link !== undefined && isOurs(link);
  const link = [found.inner, found.outer].find(ours);
  if (link !== undefined) removeLink(context, link);
  detachAll(context, pins);
  eraseSessions(context, pins);
  unpinAll(context, pins);
  context.inventory.forget(name);
}

function requireCapabilities(context: Context, row: LinkRow): void {
  const held = context.calls.read('capabilities', (native) => native.capabilities());
  const lacking = missingCapabilities(held);
  if (lacking.length === 0) return;
  throw new OmniError(`the agent lacks ${lacking.join(', ')}`, {
    code: 'not-permitted',
    class: 'stall',
    exitCode: 2,
    object: `link/${row.interface}`,
    fix: `run as root, or grant ${lacking.join(', ')}`,
  });
}
