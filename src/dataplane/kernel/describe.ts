import type { DataPlaneDescription } from '../../reconcile/dataplane.ts';
import type { LinkInfo } from './calls.ts';
import type { Context } from './context.ts';
import { linkFaults, ourInterfaces } from './link.ts';
import { pinnedUnderlays, pinsOf } from './pins.ts';
import { spreadCpus, spreadObstacle } from './spread.ts';
import { detour } from './transmit.ts';
import { findLink, outerName } from './veth.ts';

type Described = DataPlaneDescription['interfaces'][number];

function describeLink(link: LinkInfo, role: Described['role']): Described {
  const mode = link.xdpMode === 'native' || link.xdpMode === 'generic' ? link.xdpMode : undefined;
  return { name: link.name, role, ifindex: link.ifindex, mtu: link.mtu, ...(mode !== undefined && { mode }) };
}

function slower(context: Context, name: string, linkName: string): string {
  const fallback = context.inventory.fallbacks(name).find((each) => each.interface === linkName);
  return `${linkName} runs on generic XDP, which is slower: ${fallback?.reason ?? 'native XDP was not asked for'}`;
}

export function describe(context: Context): DataPlaneDescription {
  const interfaces: Described[] = [];
  const notes: string[] = [];
  for (const name of ourInterfaces(context)) {
    const pins = pinsOf(context.bpffs, name);
    const cpus = spreadCpus(context, pins);
    const roles: readonly (readonly [string, Described['role']])[] = [
      [name, 'overlay'],
      [outerName(name), 'outer'],
      ...pinnedUnderlays(pins).map((underlay) => [underlay, 'underlay'] as const),
    ];
    for (const [linkName, role] of roles) {
      const link = findLink(context, linkName);
      if (link === undefined) continue;
      interfaces.push({
        ...describeLink(link, role),
        ...(role === 'overlay' && cpus.length > 0 && { receiveCpus: cpus }),
      });
      if (link.xdpMode === 'generic' && role !== 'overlay') notes.push(slower(context, name, linkName));
      const outer = role === 'underlay' ? findLink(context, outerName(name)) : undefined;
      const reason = outer && detour(context, outer, link);
      const obstacle = role === 'underlay' ? spreadObstacle(link, cpus) : undefined;
      notes.push(...[reason, obstacle].filter((note) => note !== undefined));
    }
    if (interfaces.every(({ role }) => role !== 'underlay') && context.underlay === undefined) {
      notes.push(`${name} listens nowhere: there is no default route, and no route to a peer's endpoint`);
    }
    notes.push(...linkFaults(context, name));
  }
  return { engine: 'kernel', interfaces, notes };
}
