import { release } from 'node:os';
import type { AddressRow, Change, ObservedRow } from '../../reconcile/rows.ts';
import { canonicalAddress } from './addresses.ts';
import type { Context } from './context.ts';
import { failedWith } from './errors.ts';
import { restoreNeighbours } from './neighbour.ts';
import { OUR_PROTOCOL } from './protocols.ts';
import { ownLink, requireOwnLink } from './veth.ts';

/** Kernels mark addresses since 5.18; before, the inventory has to remember them. A backport only makes it remember in vain. */
function kernelMarksAddresses(): boolean {
  const [major = 0, minor = 0] = release()
    .split('.')
    .map((part) => Number.parseInt(part, 10));
  return major > 5 || (major === 5 && minor >= 18);
}

function hostPrefix(address: string): number {
  return address.includes(':') ? 128 : 32;
}

export function observeAddresses(context: Context, name: string, ids?: ReadonlySet<string>): ObservedRow[] {
  const link = ownLink(context, name);
  if (link === undefined) return [];
  return context.calls
    .read(`addresses of ${name}`, (native) => native.addresses({ ifindex: link.ifindex }))
    .filter((found) => found.prefixLength === hostPrefix(found.address))
    .map((found) => ({ address: canonicalAddress(found.address), protocol: found.protocol }))
    .filter(({ address, protocol }) => protocol === OUR_PROTOCOL || context.inventory.hasAddress(name, address))
    .filter(({ address }) => ids?.has(address) ?? true)
    .map(({ address }) => ({ row: { kind: 'address', interface: name, address } }));
}

export function applyAddress(context: Context, change: Change): void {
  if (change.op === 'delete') remove(context, change.from as AddressRow);
  else add(context, change.to as AddressRow);
}

function add(context: Context, row: AddressRow): void {
  const object = `address/${row.interface}/${row.address}`;
  const { ifindex } = requireOwnLink(context, row.interface, object);
  const options = { ifindex, address: row.address, prefixLength: hostPrefix(row.address) };
  if (!kernelMarksAddresses()) context.inventory.addAddress(row.interface, row.address);
  try {
    context.calls.write(object, (native) =>
      native.addAddress({ ...options, protocol: OUR_PROTOCOL, noDad: true, noPrefixRoute: true }),
    );
  } catch (error) {
    if (!failedWith(error, 'EEXIST')) throw error;
    // Somebody else's: a manifest declares it, so from now on it is ours.
    if (observeAddresses(context, row.interface, new Set([row.address])).length > 0) return;
    context.calls.write(object, (native) => native.deleteAddress(options));
    context.calls.write(object, (native) =>
      native.addAddress({ ...options, protocol: OUR_PROTOCOL, noDad: true, noPrefixRoute: true }),
    );
  }
}

/** With the last address of a family the kernel forgets the neighbours of it. */
function remove(context: Context, row: AddressRow): void {
  const object = `address/${row.interface}/${row.address}`;
  const link = ownLink(context, row.interface);
  if (link !== undefined && observeAddresses(context, row.interface, new Set([row.address])).length > 0) {
    try {
      context.calls.write(object, (native) =>
        native.deleteAddress({
          ifindex: link.ifindex,
          address: row.address,
          prefixLength: hostPrefix(row.address),
        }),
      );
    } catch (error) {
      if (!failedWith(error, 'EADDRNOTAVAIL', 'ENODEV')) throw error;
    }
    const overlay = context.overlays.get(row.interface);
    if (overlay !== undefined) restoreNeighbours(context, overlay);
  }
  context.inventory.removeAddress(row.interface, row.address);
}
