import { addressBytes, isLinkLocal, isUnspecified, type SocketAddress } from './addresses.ts';
import type { Context } from './context.ts';
import { failedWith } from './errors.ts';

/** How this node's datagrams reach an address. */
export interface Way {
  /** Their source: 16 bytes, as maps hold it. */
  readonly source: Uint8Array;
  /** The interface that they leave by. */
  readonly ifindex: number;
}

/** Whether datagrams to an endpoint would go into the overlay themselves, by way of this interface. */
export function isOverlayInterface(context: Context, ifindex: number): boolean {
  return [...context.overlays.values()].some(({ inner, outer }) => ifindex === inner || ifindex === outer);
}

/** What the kernel says where there is no way, or no such family. */
const NO_WAY = ['ENETUNREACH', 'EHOSTUNREACH', 'ENETDOWN', 'EACCES', 'EINVAL', 'EAFNOSUPPORT', 'EOPNOTSUPP'];

/** undefined while the underlay has no route to `remote`; a link-local address names no interface, and has none ever. */
export function wayTo(context: Context, remote: Pick<SocketAddress, 'address'>): Way | undefined {
  if (isLinkLocal(remote.address)) return undefined;
  try {
    const { source, oif } = context.calls.read(`route to ${remote.address}`, (native) =>
      native.lookupRoute({ destination: remote.address }),
    );
    // A host without a routed address offers the only one that it has, which takes no datagram further than the link.
    if (source === '' || isLinkLocal(source)) return undefined;
    const bytes = addressBytes(source);
    return isUnspecified(bytes) ? undefined : { source: bytes, ifindex: oif };
  } catch (error) {
    if (failedWith(error, ...NO_WAY)) return undefined;
    throw error;
  }
}
