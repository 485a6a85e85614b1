import { attachAll } from './attach.ts';
import { encodeMeta, ONE_KEY } from './codec.ts';
import type { Context } from './context.ts';
import type { Overlay } from './overlay.ts';
import { automaticMtu, chooseUnderlays } from './underlay.ts';
import { findPair, type Pair } from './veth.ts';

/**
 * Lets the overlay listen wherever its datagrams are routed, and no longer where they are not. That is no drift: nobody
 * changed what is ours, so nothing is reported, and no reconciler waited for. Returns the milliseconds after which to look
 * again although no route changed; undefined: never.
 */
export function followUnderlays(context: Context, overlay: Overlay, nowMs: number): number | undefined {
  const found = findPair(context, overlay.name);
  const { inner, outer } = found;
  if (inner === undefined || outer === undefined || outer.ifindex !== overlay.outer) return undefined;
  const underlays = chooseUnderlays(context, overlay.pins, nowMs);
  try {
    attachAll(context, overlay.pins, outer, underlays);
  } catch (error) {
    // What is left undone is a fault of the link's, which the reconciler sees and tells of.
    context.log('warn', 'cannot follow the underlay', { interface: overlay.name, reason: String(error) });
    return undefined;
  }
  const { mtuAuto } = overlay.meta;
  const mtu = mtuAuto === undefined ? undefined : automaticMtu(underlays, mtuAuto);
  if (mtu !== undefined && mtu !== overlay.meta.mtu) resize(context, overlay, { inner, outer }, mtu);
  return underlays.nextLookMs;
}

function resize(context: Context, overlay: Overlay, pair: Pair, mtu: number): void {
  for (const { name, ifindex } of [pair.outer, pair.inner]) {
    context.calls.write(`interface/${name}`, (native) => native.setLink({ ifindex, mtu }));
  }
  overlay.meta = { ...overlay.meta, mtu };
  const value = encodeMeta(overlay.meta);
  context.calls.write(`link/${overlay.name}`, () => overlay.maps.meta.update({ key: ONE_KEY, value }));
}

/**
 * Something is about to leave for an address that is routed through `ifindex`: the answer must find the ingress program
 * there. Cheap where it does.
 */
export function listenOn(context: Context, overlay: Overlay, ifindex: number): void {
  if (context.underlay !== undefined) return;
  const nowMs = performance.now();
  const known = (overlay.outlets.idleFor(ifindex, nowMs) ?? context.lingerMs) < context.lingerMs;
  overlay.outlets.use(ifindex, nowMs);
  if (!known) followUnderlays(context, overlay, nowMs);
}
