import type { LinkInfo } from './calls.ts';
import type { Context, XdpMode } from './context.ts';
import { failedWith, stall } from './errors.ts';
import type { Fallback } from './inventory.ts';
import { isPinned, type Pins, pinnedUnderlays } from './pins.ts';
import { programId } from './programs.ts';
import type { Underlays } from './underlay.ts';
import { conditionsOf, nativeMayReturn, redirectObstacle } from './xdp-mode.ts';

/** A device and the program that belongs there. */
interface Hook {
  readonly link: LinkInfo;
  readonly pin: string;
  readonly program: string;
  /** Sealed frames go out here. The pair's own end is one whose other end we see to. */
  readonly underlay: boolean;
}

export interface Attachment {
  readonly mode: XdpMode;
  /** Where native mode was wanted, but not possible. */
  readonly fallback?: Fallback;
}

/** errno of drivers that cannot run XDP themselves, or not with this MTU or these queues. */
const NATIVE_REFUSED = ['EOPNOTSUPP', 'EINVAL', 'ERANGE', 'ENOSPC', 'E2BIG'];

function hooksOf(pins: Pins, outer: LinkInfo, underlays: readonly LinkInfo[]): Hook[] {
  return [
    ...underlays.map((link) => ({
      link,
      pin: pins.ingressLink(link.name),
      program: pins.program('ingress'),
      underlay: true,
    })),
    { link: outer, pin: pins.egressLink, program: pins.program('egress'), underlay: false },
  ];
}

/**
 * Attaches what is missing, swaps programs behind links that run older ones, and lets go of devices that are no
 * underlay any more. All hooks run in one mode: a native egress program cannot redirect to a device that has only a
 * generic hook. Falling back cuts what was native for a moment.
 */
export function attachAll(context: Context, pins: Pins, outer: LinkInfo, underlays: Underlays): Attachment {
  const hooks = hooksOf(pins, outer, underlays.present);
  dropStale(context, pins, hooks, underlays.explicit);
  const running = hooks.find((hook) => isPinned(hook.pin))?.link.xdpMode;
  const current = running === 'native' || running === 'generic' ? running : undefined;
  if (context.mode !== 'auto') {
    if (current !== undefined && current !== context.mode) detachAll(context, pins);
    for (const hook of hooks) attach(context, hook, context.mode);
    return { mode: context.mode };
  }
  if (current === 'generic') {
    for (const hook of hooks) attach(context, hook, 'generic');
    const fallback = context.inventory.fallback(pins.interface);
    return { mode: 'generic', ...(fallback !== undefined && { fallback }) };
  }
  return attachNativeOrAll(context, pins, hooks);
}

function slowPathAttached(context: Context, pins: Pins, outer: LinkInfo): boolean {
  const found = context.calls.read(`interface/${outer.name}`, (native) => native.tcIngress({ ifindex: outer.ifindex }));
  return found !== undefined && found === programId(context, pins.program('slowpath'));
}

/** Before the fast path: what that hands up must not reach the stack. */
export function attachSlowPath(context: Context, pins: Pins, outer: LinkInfo): void {
  if (slowPathAttached(context, pins, outer)) return;
  context.calls.write(`interface/${outer.name}`, (native) =>
    native.attachTcIngress({ program: pins.program('slowpath'), ifindex: outer.ifindex }),
  );
}

function attachNativeOrAll(context: Context, pins: Pins, hooks: readonly Hook[]): Attachment {
  const obstacle = attachNative(context, hooks);
  if (obstacle === undefined) return { mode: 'native' };
  const { link, reason } = obstacle;
  context.log('warn', 'falling back to generic XDP', { reason });
  detachAll(context, pins);
  for (const each of hooks) attach(context, each, 'generic');
  return { mode: 'generic', fallback: { interface: link.name, conditions: conditionsOf(context, link), reason } };
}

/** The first interface that cannot run native XDP, or not together with the others; undefined: all do. */
function attachNative(
  context: Context,
  hooks: readonly Hook[],
): { readonly link: LinkInfo; readonly reason: string } | undefined {
  for (const hook of hooks) {
    try {
      attach(context, hook, 'native');
    } catch (error) {
      if (!failedWith(error, ...NATIVE_REFUSED)) throw error;
      const why = error instanceof Error ? error.message : String(error);
      return { link: hook.link, reason: `${hook.link.name} cannot run native XDP: ${why}` };
    }
  }
  for (const { link, underlay } of hooks) {
    const reason = underlay ? redirectObstacle(context, link) : undefined;
    if (reason !== undefined) return { link, reason };
  }
  return undefined;
}

/**
 * Lets go of everything in generic mode where `auto` may find native mode possible now; true if it did, and everything
 * is to be attached again. The kernel refuses a native program beside a generic one, so going back costs the packets of
 * a few milliseconds. That is why only the start of an agent does it, once per change of what stood in the way, and a
 * link's update at run time never.
 */
export function leaveGeneric(context: Context, pins: Pins, outer: LinkInfo, underlays: Underlays): boolean {
  if (context.mode !== 'auto' || outer.xdpMode !== 'generic' || underlays.present.length === 0) return false;
  const fallback = context.inventory.fallback(pins.interface);
  if (!nativeMayReturn(context, [...underlays.present, outer], fallback)) return false;
  context.log('info', 'trying native XDP again', { interface: pins.interface, before: fallback?.reason });
  detachAll(context, pins);
  return true;
}

/** Idempotent: attaches, or swaps the program behind the pinned link, or finds it as it should be. */
function attach(context: Context, hook: Hook, mode: XdpMode): void {
  const { link, pin, program } = hook;
  const found = context.calls.read(pin, (native) => native.linkInfo({ pin }));
  if (found !== undefined) {
    if (found.programId === programId(context, program)) return;
    context.calls.write(pin, (native) => native.updateLink({ link: pin, program }));
    return;
  }
  try {
    context.calls.write(pin, (native) => native.attachXdp({ program, ifindex: link.ifindex, mode, pin }));
  } catch (error) {
    if (!failedWith(error, 'EBUSY', 'EEXIST')) throw error;
    throw stall(
      'xdp-in-use',
      `interface/${link.name}`,
      `another XDP program${link.xdpProgramId === 0 ? '' : ` (id ${link.xdpProgramId})`} is attached to ${link.name}`,
      `see it with: bpftool prog show id ${link.xdpProgramId}; remove it with: ip link set dev ${link.name} xdp off`,
      error,
    );
  }
}

/** Pinned links whose device is gone, was made anew, or is no underlay any more. */
function dropStale(context: Context, pins: Pins, hooks: readonly Hook[], explicit: boolean): void {
  const wanted = new Map(hooks.map((hook) => [hook.pin, hook.link.ifindex]));
  for (const pin of pinnedLinks(pins)) {
    const found = context.calls.read(pin, (native) => native.linkInfo({ pin }));
    const ifindex = wanted.get(pin);
    const unwanted = ifindex === undefined && explicit;
    if (
      found === undefined ||
      found.ifindex === 0 ||
      unwanted ||
      (ifindex !== undefined && ifindex !== found.ifindex)
    ) {
      context.calls.write(pin, (native) => native.detachLink({ pin }));
    }
  }
}

function pinnedLinks(pins: Pins): string[] {
  return [pins.egressLink, ...pinnedUnderlays(pins).map((name) => pins.ingressLink(name))].filter(isPinned);
}

export function detachAll(context: Context, pins: Pins): void {
  for (const pin of pinnedLinks(pins)) context.calls.write(pin, (native) => native.detachLink({ pin }));
}

/** What keeps the programs from seeing every packet that they should; empty: nothing. */
export function attachmentFaults(context: Context, pins: Pins, outer: LinkInfo, underlays: Underlays): string[] {
  const faults: string[] = [];
  for (const { link, pin, program, underlay } of hooksOf(pins, outer, underlays.present)) {
    const found = isPinned(pin) ? context.calls.read(pin, (native) => native.linkInfo({ pin })) : undefined;
    if (found === undefined || found.ifindex !== link.ifindex || found.programId !== programId(context, program)) {
      faults.push(`our program is not attached to ${link.name}`);
    } else if (context.mode !== 'auto' && link.xdpMode !== context.mode) {
      faults.push(`${link.name} runs in ${link.xdpMode} mode, not ${context.mode}`);
    } else if (underlay && context.mode === 'auto' && link.xdpMode === 'native') {
      // Where native was asked for, nothing that we do heals it: status alone tells.
      const obstacle = redirectObstacle(context, link);
      if (obstacle !== undefined) faults.push(obstacle);
    }
  }
  if (!slowPathAttached(context, pins, outer)) faults.push(`our filter is not attached to ${outer.name}`);
  if (underlays.present.length === 0) faults.push('no underlay interface');
  return faults;
}
