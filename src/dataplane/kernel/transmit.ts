import type { BpfMap, LinkInfo } from './calls.ts';
import { u32Key } from './codec.ts';
import type { Context } from './context.ts';
import { isPinned, type Pins } from './pins.ts';
import { findLink } from './veth.ts';
import { redirectObstacle, takesRedirects } from './xdp-mode.ts';

/**
 * Which underlays the egress program sends to itself. To the others datagrams go by way of the stack: slower, but they
 * arrive, where the kernel would drop what XDP redirects.
 */
export const TRANSMIT_MAP = 'xmit_map';

function withMap<T>(context: Context, pins: Pins, action: (map: BpfMap) => T): T {
  const pin = pins.map(TRANSMIT_MAP);
  return context.calls.read(pin, (native) => {
    const map = new native.BpfMap({ pin });
    try {
      return action(map);
    } finally {
      map.close();
    }
  });
}

/** A generic program may redirect to any device. */
function shouldTransmit(context: Context, outer: LinkInfo, link: LinkInfo): boolean {
  return outer.xdpMode === 'generic' || takesRedirects(context, link);
}

function transmits(map: BpfMap, { ifindex }: LinkInfo): boolean {
  return map.lookup({ key: u32Key(ifindex) }) !== undefined;
}

/** After programs were attached or detached: modes are read anew. A device that vanishes takes its entry along. */
export function syncTransmit(context: Context, pins: Pins, outer: LinkInfo, underlays: readonly LinkInfo[]): void {
  const egress = findLink(context, outer.name);
  if (egress === undefined) return;
  withMap(context, pins, (map) => {
    for (const { name } of underlays) {
      const link = findLink(context, name);
      if (link === undefined) continue;
      const should = shouldTransmit(context, egress, link);
      if (should === transmits(map, link)) continue;
      const key = u32Key(link.ifindex);
      if (should) context.calls.write(`interface/${name}`, () => map.update({ key, value: key }));
      else context.calls.erase(`interface/${name}`, () => map.delete({ key }));
    }
  });
}

/** Underlays that frames are lost to, or that get them by a way that is slower than need be. */
export function transmitFaults(
  context: Context,
  pins: Pins,
  outer: LinkInfo,
  underlays: readonly LinkInfo[],
): string[] {
  if (!isPinned(pins.map(TRANSMIT_MAP))) return [];
  return withMap(context, pins, (map) =>
    underlays.flatMap((link) => {
      const should = shouldTransmit(context, outer, link);
      if (should === transmits(map, link)) return [];
      return [should ? `XDP could send by ${link.name}, and does not` : redirectObstacle(link)];
    }),
  );
}

/** For status: why what leaves by an underlay goes by way of the stack; undefined: it does not. */
export function detour(context: Context, outer: LinkInfo, link: LinkInfo): string | undefined {
  if (shouldTransmit(context, outer, link)) return undefined;
  return `what leaves by ${link.name} goes by way of the stack, which is slower: ${redirectObstacle(link)}`;
}
