import type { LinkInfo } from './calls.ts';
import type { Context, XdpMode } from './context.ts';
import { failedWith, stall } from './errors.ts';
import type { Fallback } from './inventory.ts';
import { isPinned, type Pins, pinnedUnderlays } from './pins.ts';
import { programId } from './programs.ts';
import { syncSpread } from './spread.ts';
import { syncTransmit, transmitFaults } from './transmit.ts';
import type { Underlays } from './underlay.ts';
import { conditionsOf, nativeMayReturn } from './xdp-mode.ts';

/** A device and the program that belongs there. */
interface Hook {
  readonly link: LinkInfo;
  readonly pin: string;
  readonly program: string;
}

/** errno of drivers that cannot run XDP themselves, or not with this MTU or these queues. */
const NATIVE_REFUSED = ['EOPNOTSUPP', 'EINVAL', 'ERANGE', 'ENOSPC', 'E2BIG'];

function hooksOf(pins: Pins, outer: LinkInfo, underlays: readonly LinkInfo[]): Hook[] {
  return [
    ...underlays.map((link) => ({ link, pin: pins.ingressLink(link.name), program: pins.program('ingress') })),
    { link: outer, pin: pins.egressLink, program: pins.program('egress') },
  ];
}

/**
 * Attaches what is missing, swaps programs behind links that run older ones, and lets go of devices that are no underlay
 * any more. Each hook runs in the best mode that its device has, and none is touched for another's sake.
 */
export function attachAll(context: Context, pins: Pins, outer: LinkInfo, underlays: Underlays): void {
  const hooks = hooksOf(pins, outer, underlays.present);
  dropStale(context, pins, hooks, underlays.exclusive);
  const known = context.inventory.fallbacks(pins.interface);
  const fallbacks = hooks.flatMap((hook) => {
    const before = known.find(({ interface: name }) => name === hook.link.name);
    return attach(context, hook, before) ?? [];
  });
  syncTransmit(context, pins, outer, underlays.present);
  syncSpread(context, pins, underlays.present);
  context.inventory.setFallbacks(pins.interface, fallbacks);
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

/**
 * Lets go of each hook that runs in generic mode where `auto` may find native mode possible now; true if of any, and
 * everything is to be attached again. The kernel refuses a native program beside a generic one, so going back costs that
 * device the packets of a few milliseconds. That is why only the start of an agent does it, once per change of what stood
 * in the way, and a link's update at run time never.
 */
export function leaveGeneric(context: Context, pins: Pins, outer: LinkInfo, underlays: Underlays): boolean {
  if (context.mode !== 'auto') return false;
  const known = context.inventory.fallbacks(pins.interface);
  const leaving = hooksOf(pins, outer, underlays.present).filter(({ link, pin }) => {
    const before = known.find(({ interface: name }) => name === link.name);
    return link.xdpMode === 'generic' && isPinned(pin) && nativeMayReturn(context, link, before);
  });
  for (const { link, pin } of leaving) {
    context.log('info', 'trying native XDP again', { interface: link.name });
    context.calls.write(pin, (native) => native.detachLink({ pin }));
  }
  return leaving.length > 0;
}

/**
 * Idempotent: attaches, or swaps the program behind the pinned link, or finds it as it should be. Returns why the device
 * runs in generic mode although native was wanted; `before`: why it did.
 */
function attach(context: Context, hook: Hook, before: Fallback | undefined): Fallback | undefined {
  const { link, pin, program } = hook;
  const found = context.calls.read(pin, (native) => native.linkInfo({ pin }));
  const unwanted = found !== undefined && context.mode !== 'auto' && link.xdpMode !== context.mode;
  if (unwanted) context.calls.write(pin, (native) => native.detachLink({ pin }));
  if (found !== undefined && !unwanted) {
    if (found.programId !== programId(context, program)) {
      context.calls.write(pin, (native) => native.updateLink({ link: pin, program }));
    }
    return context.mode === 'auto' && link.xdpMode === 'generic' ? before : undefined;
  }
  if (context.mode !== 'auto') {
    attachIn(context, hook, context.mode);
    return undefined;
  }
  try {
    attachIn(context, hook, 'native');
    return undefined;
  } catch (error) {
    if (!failedWith(error, ...NATIVE_REFUSED)) throw error;
    const reason = `${link.name} cannot run native XDP: ${error instanceof Error ? error.message : String(error)}`;
    context.log('warn', 'falling back to generic XDP', { interface: link.name, reason });
    attachIn(context, hook, 'generic');
    return { interface: link.name, conditions: conditionsOf(context, link), reason };
  }
}

function attachIn(context: Context, { link, pin, program }: Hook, mode: XdpMode): void {
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
function dropStale(context: Context, pins: Pins, hooks: readonly Hook[], exclusive: boolean): void {
  const wanted = new Map(hooks.map((hook) => [hook.pin, hook.link.ifindex]));
  for (const pin of pinnedLinks(pins)) {
    const found = context.calls.read(pin, (native) => native.linkInfo({ pin }));
    const ifindex = wanted.get(pin);
    const unwanted = ifindex === undefined && exclusive;
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
  for (const { link, pin, program } of hooksOf(pins, outer, underlays.present)) {
    const found = isPinned(pin) ? context.calls.read(pin, (native) => native.linkInfo({ pin })) : undefined;
    if (found === undefined || found.ifindex !== link.ifindex || found.programId !== programId(context, program)) {
      faults.push(`our program is not attached to ${link.name}`);
    } else if (context.mode !== 'auto' && link.xdpMode !== context.mode) {
      faults.push(`${link.name} runs in ${link.xdpMode} mode, not ${context.mode}`);
    }
  }
  faults.push(...transmitFaults(context, pins, outer, underlays.present));
  if (!slowPathAttached(context, pins, outer)) faults.push(`our filter is not attached to ${outer.name}`);
  if (underlays.present.length === 0 && context.underlay !== undefined) faults.push('no underlay interface');
  return faults;
}
