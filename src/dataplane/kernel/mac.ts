import type { MacAddress } from '../../manifest/model.ts';
import type { LinkInfo } from './calls.ts';
import type { Context } from './context.ts';
import type { Pins } from './pins.ts';
import { programId } from './programs.ts';

/**
 * Makes the place for the filter below while the interface is down: making it on one that is up deactivates its queue for
 * some milliseconds (qdisc_graft), and what is sent then is lost. Empty, it costs next to nothing.
 */
export function prepareMacChange(context: Context, pins: Pins, { name, ifindex, up }: LinkInfo): void {
  const object = `interface/${name}`;
  if (up || context.calls.read(object, (native) => native.tcIngress({ ifindex })) !== undefined) return;
  const program = pins.program('delivery');
  context.calls.write(object, (native) => native.attachTcIngress({ program, ifindex }));
  context.calls.write(object, (native) => native.detachTcIngress({ ifindex }));
}

/**
 * Gives the stack's end of a pair another MAC while frames arrive. The programs that readdress frames to it and the device
 * itself change one after the other: meanwhile a filter makes sure that the stack takes what is to either MAC. `swap`
 * attaches programs that know the new one; where the MAC is right already, nothing else is done.
 */
export function changeMac(context: Context, pins: Pins, inner: LinkInfo, mac: MacAddress, swap: () => void): void {
  if (inner.mac === mac) {
    swap();
    return;
  }
  const object = `interface/${inner.name}`;
  const { ifindex } = inner;
  const taken = context.calls.read(object, (native) => native.tcIngress({ ifindex }));
  if (taken === undefined) {
    const program = pins.program('delivery');
    context.calls.write(object, (native) => native.attachTcIngress({ program, ifindex }));
  } else {
    context.log('warn', 'somebody has a filter there: frames may be lost while the MAC changes', {
      interface: inner.name,
    });
  }
  try {
    swap();
    context.calls.write(object, (native) => native.setLink({ ifindex, mac }));
  } finally {
    if (taken === undefined) context.calls.write(object, (native) => native.detachTcIngress({ ifindex }));
  }
}

/** A process that was killed while it changed a MAC may have left its filter. */
export function dropFilter(context: Context, pins: Pins, inner: LinkInfo): void {
  const object = `interface/${inner.name}`;
  const { ifindex } = inner;
  const found = context.calls.read(object, (native) => native.tcIngress({ ifindex }));
  if (found === undefined || found !== programId(context, pins.program('delivery'))) return;
  context.calls.write(object, (native) => native.detachTcIngress({ ifindex }));
}
