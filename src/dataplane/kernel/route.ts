import { OmniError } from '../../errors.ts';
import type { Cidr } from '../../manifest/model.ts';
import type { Change, ObservedRow, RouteRow } from '../../reconcile/rows.ts';
import { canonicalAddress } from './addresses.ts';
import type { Context } from './context.ts';
import { failedWith } from './errors.ts';
import { OUR_PROTOCOL, routeProtocol } from './protocols.ts';
import { ownLink, requireOwnLink } from './veth.ts';

/** The text that manifests and rows use, whatever the kernel's spelling. */
export function canonicalCidr(text: string): Cidr {
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

/** What the kernel gives a route that names no metric; one of the same metric would be replaced. */
const DEFAULT_METRIC = { 4: 0, 6: 1024 } as const;

/** A route of somebody else's to the same place stays: replacing it would be deleting it. */
function refuseForeign(context: Context, object: string, destination: Cidr): void {
  const foreign = context.calls
    .read(object, (native) => native.routes({}))
    .find(
      (route) =>
        route.protocol !== OUR_PROTOCOL &&
        route.metric === DEFAULT_METRIC[route.family] &&
        canonicalCidr(route.destination) === destination,
    );
  if (foreign === undefined) return;
  const link = context.calls.read(object, (native) => native.links({ ifindex: foreign.oif }))[0];
  const where = `dev ${link?.name ?? foreign.oif}`;
  throw new OmniError(
    `there is a route to ${destination} that is not ours (${where}, protocol ${routeProtocol(foreign.protocol)})`,
    {
      code: 'route-not-ours',
      class: 'retry',
      object,
      fix: `Remove it (ip route delete ${destination} ${where}), or take ${destination} out of the cluster's subnets.`,
    },
  );
}

export function applyRoute(context: Context, change: Change): void {
  const row = (change.op === 'delete' ? change.from : change.to) as RouteRow;
  const object = `route/${row.interface}/${row.destination}`;
  if (change.op !== 'delete') {
    const { ifindex } = requireOwnLink(context, row.interface, object);
    const options = { destination: row.destination, oif: ifindex, protocol: OUR_PROTOCOL };
    refuseForeign(context, object, row.destination);
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
