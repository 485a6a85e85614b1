import type { Cidr } from '../../manifest/model.ts';
import type { Change, ObservedRow, RouteRow } from '../../reconcile/rows.ts';
import { OUR_PROTOCOL } from './address.ts';
import { canonicalAddress } from './addresses.ts';
import type { Context } from './context.ts';
import { failedWith } from './errors.ts';
import { ownLink, requireOwnLink } from './veth.ts';

function canonicalCidr(text: string): Cidr {
  const [address = '', length = ''] = text.split('/');
  return `${canonicalAddress(address)}/${length || (address.includes(':') ? '128' : '32')}` as Cidr;
}

export function observeRoutes(context: Context, name: string, ids?: ReadonlySet<string>): ObservedRow[] {
  const link = ownLink(context, name);
  if (link === undefined) return [];
  return context.calls
    .read(`routes of ${name}`, (native) => native.routes({ protocol: OUR_PROTOCOL, oif: link.ifindex }))
    .map((route) => canonicalCidr(route.destination))
    .filter((destination) => ids?.has(destination) ?? true)
    .map((destination) => ({ row: { kind: 'route', interface: name, destination } }));
}

export function applyRoute(context: Context, change: Change): void {
  const row = (change.op === 'delete' ? change.from : change.to) as RouteRow;
  const object = `route/${row.interface}/${row.destination}`;
  if (change.op !== 'delete') {
    const { ifindex } = requireOwnLink(context, row.interface, object);
    const options = { destination: row.destination, oif: ifindex, protocol: OUR_PROTOCOL };
    context.calls.write(object, (native) => native.replaceRoute(options));
    return;
  }
  const link = ownLink(context, row.interface);
  if (link === undefined) return;
  const options = { destination: row.destination, oif: link.ifindex, protocol: OUR_PROTOCOL };
  try {
    context.calls.write(object, (native) => native.deleteRoute(options));
  } catch (error) {
    if (!failedWith(error, 'ESRCH', 'ENODEV', 'ENOENT')) throw error;
  }
}
