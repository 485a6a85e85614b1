import { OmniError } from '../../errors.ts';
import type { LinkInfo } from './calls.ts';
import type { Context } from './context.ts';
import { stall } from './errors.ts';
import { type Pins, pinnedUnderlays } from './pins.ts';

/** Outer Ethernet payload that a sealed frame adds: IPv4 20 + UDP 8 + omni_header 32 + inner Ethernet 14. */
const OVERHEAD_IPV4 = 74;
/** The same with IPv6 40. */
const OVERHEAD_IPV6 = 94;
/** A native program needs a frame in one page: 4,096 less 256 headroom, 320 skb_shared_info, 14 Ethernet, 2 NET_IP_ALIGN. */
const MAX_NATIVE_MTU = 3504;
/** Where no underlay is there to tell: Ethernet's. */
const USUAL_MTU = 1500;
const RTN_UNICAST = 1;
const DEFAULT_ROUTES = new Set(['default', '0.0.0.0/0', '::/0']);

export interface Underlays {
  readonly present: readonly LinkInfo[];
  /** Named by `--underlay`, but not there. */
  readonly missing: readonly string[];
  /** Nothing else is to listen: programs elsewhere are to be detached. */
  readonly exclusive: boolean;
}

function named(context: Context, names: readonly string[]): Underlays {
  const links = new Map(context.calls.read('links', (native) => native.links({})).map((link) => [link.name, link]));
  const present = names.flatMap((name) => links.get(name) ?? []);
  for (const link of present) {
    if (!link.loopback) continue;
    throw stall(
      'underlay-loopback',
      `interface/${link.name}`,
      `${link.name} is the loopback: an XDP program there would slow down every local connection`,
      'name the interface that reaches the other nodes with --underlay',
    );
  }
  return { present, missing: names.filter((name) => !links.has(name)), exclusive: true };
}

/** Numbers of the interfaces that hold a default route, or a route to an endpoint of this overlay's peers. */
function routedInterfaces(context: Context, pins: Pins): ReadonlySet<number> {
  const routes = context.calls.read('routes', (native) => native.routes({}));
  const outgoing = new Set(context.overlays.get(pins.interface)?.outlets.routed());
  for (const route of routes) {
    if (DEFAULT_ROUTES.has(route.destination) && route.type === RTN_UNICAST) outgoing.add(route.oif);
  }
  return outgoing;
}

/** Everything that could be an underlay. */
function candidates(context: Context): LinkInfo[] {
  const ours = new Set([...context.overlays.values()].flatMap(({ inner, outer }) => [inner, outer]));
  return context.calls
    .read('links', (native) => native.links({}))
    .filter((link) => !link.loopback && !ours.has(link.ifindex));
}

/** Where datagrams come in. May be none at the moment; see `requireUnderlays`. */
export function findUnderlays(context: Context, pins: Pins): Underlays {
  if (context.underlay !== undefined) return named(context, context.underlay);
  const routed = routedInterfaces(context, pins);
  const attached = new Set(pinnedUnderlays(pins));
  const present = candidates(context).filter((link) => routed.has(link.ifindex) || attached.has(link.name));
  return { present, missing: [], exclusive: false };
}

/**
 * Where datagrams are to come in from now on: what is routed now, what was until a moment ago, and what was tried. One that
 * carried traffic goes on listening for a while, since peers go on sending there until they know better; and for as long as
 * nothing has taken its place. `nextLookMs`: when that will be another answer though no route changes.
 */
export function chooseUnderlays(
  context: Context,
  pins: Pins,
  nowMs: number,
): Underlays & { readonly nextLookMs?: number } {
  const outlets = context.overlays.get(pins.interface)?.outlets;
  if (context.underlay !== undefined || outlets === undefined) return findUnderlays(context, pins);
  const routed = routedInterfaces(context, pins);
  const attached = new Set(pinnedUnderlays(pins));
  const known = candidates(context).filter(
    (link) => routed.has(link.ifindex) || attached.has(link.name) || outlets.idleFor(link.ifindex, nowMs) !== undefined,
  );
  outlets.settle(routed, nowMs);
  for (const { ifindex } of known) if (outlets.idleFor(ifindex, nowMs) === undefined) outlets.use(ifindex, nowMs);
  const remaining = ({ ifindex }: LinkInfo) => context.lingerMs - (outlets.idleFor(ifindex, nowMs) ?? 0);
  const wanted = known.filter((link) => remaining(link) > 0);
  if (wanted.length === 0) return { present: known, missing: [], exclusive: false };
  const ends = wanted.filter(({ ifindex }) => !routed.has(ifindex)).map(remaining);
  return { present: wanted, missing: [], exclusive: true, ...(ends.length > 0 && { nextLookMs: Math.min(...ends) }) };
}

/** Throws `underlay-missing` (wait) where none of those that `--underlay` names is there. */
export function requireUnderlays(context: Context, pins: Pins): Underlays {
  const found = findUnderlays(context, pins);
  if (found.present.length > 0 || context.underlay === undefined) return found;
  throw new OmniError(`no underlay interface is there: ${found.missing.join(', ')}`, {
    code: 'underlay-missing',
    class: 'wait',
    object: `interface/${found.missing[0] ?? ''}`,
    fix: 'check the names given to --underlay; the agent goes on as soon as one appears',
  });
}

/** MTU of the overlay such that every sealed frame fits the smallest underlay; undefined while there is none. */
export function automaticMtu({ present }: Underlays, mode: 'auto' | 'auto-ipv6'): number | undefined {
  return present.length === 0 ? undefined : mtuFor(Math.min(...present.map((link) => link.mtu)), mode);
}

/** The same where no underlay is there yet: for Ethernet's. */
export function usualMtu(mode: 'auto' | 'auto-ipv6'): number {
  return mtuFor(USUAL_MTU, mode);
}

function mtuFor(underlay: number, mode: 'auto' | 'auto-ipv6'): number {
  return Math.min(MAX_NATIVE_MTU, underlay - (mode === 'auto' ? OVERHEAD_IPV4 : OVERHEAD_IPV6));
}
