import type { Change, LinkRow, ObservedRow } from '../../reconcile/rows.ts';
import { attachmentFaults } from './attach.ts';
import { encodeMeta, type Meta, ONE_KEY } from './codec.ts';
import type { Context } from './context.ts';
import { failedWith } from './errors.ts';
import { gateFaults } from './gate.ts';
import { type Overlay, readMeta } from './overlay.ts';
import { isPinned, type Pins, pinnedInterfaces, pinsOf } from './pins.ts';
import { ensureLink, removeInterface } from './setup.ts';
import { spreadFaults } from './spread.ts';
import { automaticMtu, findUnderlays, type Underlays } from './underlay.ts';
import { ALIAS_PREFIX, findPair, isOurs, markedInterfaces, type Pair, pairFaults } from './veth.ts';

/** At a link that vanishes while it is looked at. */
const LOOKS = 3;
const NO_MAC = '00:00:00:00:00:00' as LinkRow['mac'];

/** Everything that is ours: a folder of pins, or a pair with our alias, or both. */
export function ourInterfaces(context: Context): string[] {
  return [...new Set([...pinnedInterfaces(context.bpffs), ...markedInterfaces(context)])].sort();
}

/**
 * The link as it is. What a row cannot say is told by the fields that it breaks: an interface that is down or half
 * there has MTU 0, one whose programs do not see every packet has port 0; so drift is a difference, and `update` heals it.
 */
export function observeLink(context: Context, name: string): ObservedRow | undefined {
  for (let look = 1; ; look++) {
    try {
      return lookAtLink(context, name);
    } catch (error) {
      // Somebody deleted it between two of our looks; who does so again and again is for the caller to hear of.
      if (look === LOOKS || !failedWith(error, 'ENODEV')) throw error;
    }
  }
}

function lookAtLink(context: Context, name: string): ObservedRow | undefined {
  const pins = pinsOf(context.bpffs, name);
  const meta = context.overlays.get(name)?.meta ?? readMeta(context, pins);
  const found = findPair(context, name);
  const inner = found.inner !== undefined && isOurs(found.inner) ? found.inner : undefined;
  if (meta === undefined && inner === undefined && !isPinned(pins.folder)) return undefined;
  const underlays = findUnderlays(context, pins);
  const pair = inner && found.outer && { inner, outer: found.outer };
  const listening =
    meta !== undefined && pair !== undefined && programFaults(context, pins, pair, underlays).length === 0;
  return {
    row: {
      kind: 'link',
      interface: name,
      cluster: inner?.alias.slice(ALIAS_PREFIX.length) ?? meta?.cluster ?? '',
      mac: (inner?.mac ?? meta?.mac ?? NO_MAC) as LinkRow['mac'],
      mtu: pair === undefined || pairFaults(context, pair).length > 0 ? 0 : observedMtu(pair, meta, underlays),
      port: listening ? meta.port : 0,
      newSessionsPerSecondPerSource: meta?.newSessionsPerSecond ?? 0,
      arpSuppression: meta?.arpSuppression ?? false,
    },
  };
}

function observedMtu(pair: Pair, meta: Meta | undefined, underlays: Underlays): LinkRow['mtu'] {
  const { mtu } = pair.inner;
  if (meta === undefined || pair.outer.mtu !== mtu || meta.mtu !== mtu) return 0;
  if (meta.mtuAuto === undefined) return mtu;
  const automatic = automaticMtu(underlays, meta.mtuAuto);
  return automatic === undefined || automatic === mtu ? meta.mtuAuto : mtu;
}

function programFaults(context: Context, pins: Pins, pair: Pair, underlays: Underlays): string[] {
  const overlay = context.overlays.get(pins.interface);
  return [
    ...attachmentFaults(context, pins, pair.outer, underlays),
    ...(overlay === undefined ? [] : rowFaults(context, overlay)),
    ...(overlay !== undefined && overlay.outer !== pair.outer.ifindex ? [`${pair.outer.name} was made anew`] : []),
  ];
}

/** Rows of one-row maps that somebody else changed. */
function rowFaults(context: Context, overlay: Overlay): string[] {
  const meta = context.calls.read(`link/${overlay.name}`, () => overlay.maps.meta.lookup({ key: ONE_KEY }));
  return [
    ...(meta?.equals(encodeMeta(overlay.meta)) === true ? [] : ['the record of what is loaded was changed']),
    ...gateFaults(context, overlay),
    ...spreadFaults(context, overlay),
  ];
}

/** For status: everything that keeps the interface from working. */
export function linkFaults(context: Context, name: string): string[] {
  const pins = pinsOf(context.bpffs, name);
  const { inner, outer } = findPair(context, name);
  if (inner === undefined || outer === undefined) return [`interface ${name} is not there`];
  const underlays = findUnderlays(context, pins);
  return [
    ...pairFaults(context, { inner, outer }),
    ...programFaults(context, pins, { inner, outer }, underlays),
    ...underlays.missing.map((missing) => `underlay ${missing} is not there`),
  ];
}

export async function applyLink(context: Context, change: Change, signal: AbortSignal): Promise<void> {
  switch (change.op) {
    case 'delete':
      return removeInterface(context, change.from.interface);
    case 'create':
    case 'update':
      return ensureLink(context, change.to as LinkRow, signal);
  }
}
