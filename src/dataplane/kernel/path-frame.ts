import type { MacAddress } from '../../manifest/model.ts';
import type { PathMessage } from '../../reconcile/dataplane.ts';
import { PATH_MESSAGE_MIN } from '../../reconcile/dataplane.ts';
import { addressBytes, macBytes, type SocketAddress } from './addresses.ts';
import { encodeOmniPathFrame, OMNI_ETHERTYPE_PATH, OMNI_PATH_VERSION, OmniPathKind } from './layout.ts';

const ETHERNET_HEADER = 14;

/** A way that a path message is to take: `local` and `localPort` are this node's. */
interface Via extends SocketAddress {
  /** 16 bytes, network order; IPv4 as ::ffff:a.b.c.d. */
  readonly local: Uint8Array;
  readonly localPort: number;
}

/** What the egress program turns into a sealed path message (struct omni_path_frame behind an Ethernet header). */
export function encodePathFrame(
  macs: { readonly destination: MacAddress; readonly source: MacAddress },
  via: Via,
  { kind, nonce, size }: PathMessage,
): Buffer {
  const frame = Buffer.alloc(Math.max(size, PATH_MESSAGE_MIN));
  frame.set(macBytes(macs.destination), 0);
  frame.set(macBytes(macs.source), 6);
  frame.writeUInt16BE(OMNI_ETHERTYPE_PATH, 12);
  const body = encodeOmniPathFrame({
    version: OMNI_PATH_VERSION,
    kind: OmniPathKind[kind],
    nonce,
    via: {
      remote: { bytes: addressBytes(via.address) },
      local: { bytes: via.local },
      remotePort: via.port,
      localPort: via.localPort,
    },
  });
  frame.set(body, ETHERNET_HEADER);
  return frame;
}
