import { etherTypeText } from '../../manifest/ethertype.ts';
import type { Cidr } from '../../manifest/model.ts';
import type { Change, ObservedRow, PolicyRow, SubnetRow } from '../../reconcile/rows.ts';
import { addressBytes, addressText } from './addresses.ts';
import { ONE_KEY } from './codec.ts';
import type { Context } from './context.ts';
import {
  decodePolicyEntry,
  decodeSubnetKey,
  encodePolicyEntry,
  encodeSubnetEntry,
  encodeSubnetKey,
  OMNI_MAX_ETHERTYPES,
  OmniForeignSources,
  policyEntryLayout,
} from './layout.ts';
import { eachEntry, type Overlay, requireOverlay } from './overlay.ts';

/** What an IPv4 prefix length is longer by in a map whose addresses are ::ffff:a.b.c.d. */
const MAPPED_BITS = 96;

export function observeSubnets(context: Context, overlay: Overlay, ids?: ReadonlySet<string>): ObservedRow[] {
  const rows: ObservedRow[] = [];
  // A cluster has a handful: to look at all is as cheap as to look one up.
  eachEntry(context, overlay.maps.subnet, `subnets of ${overlay.name}`, (key) => {
    const subnet = subnetOf(key);
    if (ids?.has(subnet) ?? true) rows.push({ row: { kind: 'subnet', interface: overlay.name, subnet } });
  });
  return rows;
}

/** Of a key of `subnet_map`. */
export function subnetOf(key: Buffer): Cidr {
  const { prefixLength, address } = decodeSubnetKey(key);
  const text = addressText(address.bytes);
  return `${text}/${text.includes(':') ? prefixLength : prefixLength - MAPPED_BITS}` as Cidr;
}

function keyOf(subnet: Cidr): Buffer {
  const [address = '', bits = ''] = subnet.split('/');
  const prefixLength = Number(bits) + (address.includes(':') ? 0 : MAPPED_BITS);
  return encodeSubnetKey({ prefixLength, address: { bytes: addressBytes(address) } });
}

export function applySubnet(context: Context, change: Change): void {
  const row = (change.op === 'delete' ? change.from : change.to) as SubnetRow;
  const object = `subnet/${row.interface}/${row.subnet}`;
  const key = keyOf(row.subnet);
  if (change.op === 'delete') {
    const overlay = context.overlays.get(row.interface);
    if (overlay !== undefined) context.calls.erase(object, () => overlay.maps.subnet.delete({ key }));
    return;
  }
  const overlay = requireOverlay(context, row.interface, object);
  context.calls.write(object, () => overlay.maps.subnet.update({ key, value: encodeSubnetEntry({ flags: 0 }) }));
}

/** An entry of an array is always there: one that this process would not write is no row. */
export function observePolicy(context: Context, overlay: Overlay): ObservedRow[] {
  const object = `policy/${overlay.name}`;
  const value = context.calls.read(object, () => overlay.maps.policy.lookup({ key: ONE_KEY }));
  const entry = value && decodePolicyEntry(value);
  if (value === undefined || entry === undefined) return [];
  const row: PolicyRow = {
    kind: 'policy',
    interface: overlay.name,
    foreignSources: entry.foreignSources === OmniForeignSources.allow ? 'allow' : 'deny',
    etherTypes: entry.ethertypes.slice(0, entry.ethertypeCount).map(etherTypeText).join(','),
  };
  return encodePolicy(row).equals(value) ? [{ row }] : [];
}

export function applyPolicy(context: Context, change: Change): void {
  const row = (change.op === 'delete' ? change.from : change.to) as PolicyRow;
  const object = `policy/${row.interface}`;
  if (change.op === 'delete') {
    const overlay = context.overlays.get(row.interface);
    if (overlay === undefined || observePolicy(context, overlay).length === 0) return;
    const value = Buffer.alloc(policyEntryLayout.size);
    context.calls.write(object, () => overlay.maps.policy.update({ key: ONE_KEY, value }));
    return;
  }
  const overlay = requireOverlay(context, row.interface, object);
  const value = encodePolicy(row);
  context.calls.write(object, () => overlay.maps.policy.update({ key: ONE_KEY, value }));
}

function encodePolicy({ foreignSources, etherTypes }: PolicyRow): Buffer {
  const types = etherTypes === '' ? [] : etherTypes.split(',').map((text) => Number.parseInt(text, 16));
  return encodePolicyEntry({
    foreignSources: OmniForeignSources[foreignSources],
    ethertypeCount: types.length,
    ethertypes: Array.from({ length: OMNI_MAX_ETHERTYPES }, (_, at) => types[at] ?? 0),
  });
}
