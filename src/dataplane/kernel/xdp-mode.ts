import type { LinkInfo } from './calls.ts';
import type { Context } from './context.ts';
import type { Fallback } from './inventory.ts';

/** NETDEV_XDP_ACT_NDO_XMIT of linux/netdev.h: a native program elsewhere may redirect frames to it. */
const REDIRECT_TARGET = 4;

function xdpFeatures(context: Context, link: LinkInfo): number | undefined {
  return context.calls.read(`interface/${link.name}`, (native) => native.xdpFeatures({ ifindex: link.ifindex }));
}

/**
 * Why native programs cannot send by way of this underlay: the kernel drops without a word what they redirect. undefined
 * where they can, and where nobody can tell: before 6.3, and while the interface is down. To be asked with a program
 * attached: some drivers set up their transmit queues for XDP only then.
 */
export function redirectObstacle(context: Context, link: LinkInfo): string | undefined {
  const features = link.up ? xdpFeatures(context, link) : undefined;
  if (features === undefined || (features & REDIRECT_TARGET) !== 0) return undefined;
  const hint = link.kind === 'veth' ? ': the other end of the pair has neither GRO nor a native program' : '';
  return `${link.name} takes no frames that native XDP redirects (no NDO_XMIT)${hint}`;
}

/** What decides whether an interface can run native XDP, as far as one can see without trying. */
export function conditionsOf(context: Context, link: LinkInfo): string {
  const features = xdpFeatures(context, link)?.toString(16) ?? 'unknown';
  return `ifindex ${link.ifindex}, MTU ${link.mtu}, ${link.numRxQueues} queues, XDP features ${features}`;
}

/** Whether what forced generic mode is gone or has changed since. */
export function nativeMayReturn(
  context: Context,
  interfaces: readonly LinkInfo[],
  fallback: Fallback | undefined,
): boolean {
  const cause = interfaces.find((link) => link.name === fallback?.interface);
  return fallback === undefined || cause === undefined || conditionsOf(context, cause) !== fallback.conditions;
}
