import type { LinkInfo } from './calls.ts';
import type { Context } from './context.ts';
import { failedWith } from './errors.ts';
import type { Fallback } from './inventory.ts';

/** NETDEV_XDP_ACT_NDO_XMIT of linux/netdev.h: a native program elsewhere may redirect frames to it. */
const REDIRECT_TARGET = 4;

/** undefined: the kernel cannot tell, or the interface vanished a moment ago. */
function xdpFeatures(context: Context, link: LinkInfo): number | undefined {
  try {
    return context.calls.read(`interface/${link.name}`, (native) => native.xdpFeatures({ ifindex: link.ifindex }));
  } catch (error) {
    if (failedWith(error, 'ENODEV')) return undefined;
    throw error;
  }
}

/**
 * Whether a native program can send by way of this underlay: what it redirects to others the kernel drops without a word.
 * Where nobody can tell (before 6.3, and while the interface is down), one that runs native XDP is taken at its word. To be
 * asked with a program attached: some drivers set up their transmit queues for XDP only then.
 */
export function takesRedirects(context: Context, link: LinkInfo): boolean {
  const features = link.up ? xdpFeatures(context, link) : undefined;
  return features === undefined ? link.xdpMode === 'native' : (features & REDIRECT_TARGET) !== 0;
}

/** For people: why an underlay takes no redirects. */
export function redirectObstacle(link: LinkInfo): string {
  const hint = link.kind === 'veth' ? ': the other end of the pair has neither GRO nor a native program' : '';
  return `${link.name} takes no frames that native XDP redirects (no NDO_XMIT)${hint}`;
}

/** What decides whether an interface can run native XDP, as far as one can see without trying. */
export function conditionsOf(context: Context, link: LinkInfo): string {
  const features = xdpFeatures(context, link)?.toString(16) ?? 'unknown';
  return `ifindex ${link.ifindex}, MTU ${link.mtu}, ${link.numRxQueues} queues, XDP features ${features}`;
}

/** Whether what kept an interface from native mode is gone or has changed since. */
export function nativeMayReturn(context: Context, link: LinkInfo, fallback: Fallback | undefined): boolean {
  return fallback === undefined || conditionsOf(context, link) !== fallback.conditions;
}
