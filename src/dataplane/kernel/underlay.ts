import { OmniError } from '../../errors.ts';
import type { LinkInfo } from './calls.ts';
import type { Context } from './context.ts';
import { stall } from './errors.ts';

/** Outer Ethernet payload that a sealed frame adds: IPv4 20 + UDP 8 + omni_header 32 + inner Ethernet 14. */
const OVERHEAD_IPV4 = 74;
/** The same with IPv6 40. */
const OVERHEAD_IPV6 = 94;
/** A native program needs a frame in one page: 4,096 less 256 headroom, 320 skb_shared_info, 14 Ethernet, 2 NET_IP_ALIGN. */
const MAX_NATIVE_MTU = 3504;
const RTN_UNICAST = 1;
const DEFAULT_ROUTES = new Set(['default', '0.0.0.0/0', '::/0']);

export interface Underlays {
  readonly present: readonly LinkInfo[];
  /** Named by `--underlay`, but not there. */
  readonly missing: readonly string[];
  /** Chosen by a person, so others of ours are to be detached. */
  readonly explicit: boolean;
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
  return { present, missing: names.filter((name) => !links.has(name)), explicit: true };
}

function byDefaultRoute(context: Context, attached: readonly string[]): Underlays {
  const routes = context.calls.read('routes', (native) => native.routes({}));
  const outgoing = new Set(
    routes
      .filter((route) => DEFAULT_ROUTES.has(route.destination) && route.type === RTN_UNICAST)
      .map((route) => route.oif),
  );
  const ours = new Set([...context.overlays.values()].flatMap(({ inner, outer }) => [inner, outer]));
  const links = context.calls
    .read('links', (native) => native.links({}))
    .filter((link) => !link.loopback && !ours.has(link.ifindex));
  // A node that lost its default route, or has another one for a while, keeps listening where it did.
  const present = links.filter((link) => outgoing.has(link.ifindex) || attached.includes(link.name));
  return { present, missing: [], explicit: false };
}

/** Where datagrams come in. May be empty at the moment; see `requireUnderlays`. */
export function findUnderlays(context: Context, attached: readonly string[]): Underlays {
  return context.underlay === undefined ? byDefaultRoute(context, attached) : named(context, context.underlay);
}

export function requireUnderlays(context: Context, attached: readonly string[]): Underlays {
  const found = findUnderlays(context, attached);
  if (found.present.length > 0) return found;
  if (found.explicit) {
    throw new OmniError(`no underlay interface is there: ${found.missing.join(', ')}`, {
      code: 'underlay-missing',
      class: 'wait',
      object: `interface/${found.missing[0] ?? ''}`,
      fix: 'check the names given to --underlay; the agent goes on as soon as one appears',
    });
  }
  throw new OmniError('no interface holds a default route, so the underlay is unknown', {
    code: 'underlay-unknown',
    class: 'wait',
    object: 'interface',
    fix: 'name the interface that reaches the other nodes with --underlay',
  });
}

/** MTU of the overlay such that every sealed frame fits the smallest underlay; undefined while there is none. */
export function automaticMtu(underlays: Underlays, mode: 'auto' | 'auto-ipv6'): number | undefined {
  if (underlays.present.length === 0) return undefined;
  const overhead = mode === 'auto' ? OVERHEAD_IPV4 : OVERHEAD_IPV6;
  return Math.min(MAX_NATIVE_MTU, Math.min(...underlays.present.map((link) => link.mtu)) - overhead);
}
