import type { DataPlaneDescription } from '../../reconcile/dataplane.ts';
import type { LinkInfo } from './calls.ts';
import type { Context } from './context.ts';
import { linkFaults, ourInterfaces } from './link.ts';
import { pinnedUnderlays, pinsOf } from './pins.ts';
import { findLink, outerName } from './veth.ts';
import { redirectObstacle } from './xdp-mode.ts';

type Described = DataPlaneDescription['interfaces'][number];

function describeLink(link: LinkInfo, role: Described['role']): Described {
  const mode = link.xdpMode === 'native' || link.xdpMode === 'generic' ? link.xdpMode : undefined;
  return { name: link.name, role, ifindex: link.ifindex, mtu: link.mtu, ...(mode !== undefined && { mode }) };
}

export function describe(context: Context): DataPlaneDescription {
  const interfaces: Described[] = [];
  const notes: string[] = [];
  for (const name of ourInterfaces(context)) {
    const pins = pinsOf(context.bpffs, name);
    const roles: readonly (readonly [string, Described['role']])[] = [
      [name, 'overlay'],
      [outerName(name), 'outer'],
      ...pinnedUnderlays(pins).map((underlay) => [underlay, 'underlay'] as const),
    ];
    for (const [linkName, role] of roles) {
      const link = findLink(context, linkName);
      if (link === undefined) continue;
      interfaces.push(describeLink(link, role));
      if (role !== 'underlay' || context.mode !== 'native' || link.xdpMode !== 'native') continue;
      const obstacle = redirectObstacle(context, link);
      if (obstacle !== undefined) notes.push(obstacle);
    }
    const generic = interfaces.some((each) => each.name === outerName(name) && each.mode === 'generic');
    const reason = context.inventory.fallback(name)?.reason ?? 'native XDP was not asked for';
    if (generic) notes.push(`${name} runs on generic XDP, which is slower: ${reason}`);
    notes.push(...linkFaults(context, name));
  }
  return { engine: 'kernel', interfaces, notes };
}
