import { randomBytes } from 'node:crypto';
import type { MacAddress } from '../../manifest/model.ts';
import type { PathMessage } from '../../reconcile/dataplane.ts';
import { PATH_MESSAGE_MIN } from '../../reconcile/dataplane.ts';
import { addressBytes, macBytes, type SocketAddress } from './addresses.ts';
import {
  encodeOmniPathFrame,
  encodeOrderEntry,
  OMNI_ETHERTYPE_PATH,
  OMNI_PATH_VERSION,
  OmniPathKind,
} from './layout.ts';

const ETHERNET_HEADER = 14;
/** A frame reaches the program within microseconds, or never. */
const ORDER_LIFE_NS = 1_000_000_000n;

/** The path that a message is to take: `local` and `localPort` are this node's. */
export interface Via extends SocketAddress {
  /** 16 bytes, network order; IPv4 as ::ffff:a.b.c.d. */
  readonly local: Uint8Array;
  readonly localPort: number;
}

/**
 * A path message as the agent sends it (struct omni_path_frame behind an Ethernet header). `order`: key of the order that
 * says which path it takes; 0, as it is between nodes, is none.
 */
export function encodePathFrame(
  macs: { readonly destination: MacAddress; readonly source: MacAddress },
  { kind, nonce, size }: PathMessage,
  order = 0n,
): Buffer {
  const frame = Buffer.alloc(Math.max(size, PATH_MESSAGE_MIN));
  frame.set(macBytes(macs.destination), 0);
  frame.set(macBytes(macs.source), 6);
  frame.writeUInt16BE(OMNI_ETHERTYPE_PATH, 12);
  const body = encodeOmniPathFrame({ version: OMNI_PATH_VERSION, kind: OmniPathKind[kind], nonce, order });
  frame.set(body, ETHERNET_HEADER);
  return frame;
}

/** A key that nobody else on `omni0` can guess; never 0. */
export function newOrder(): bigint {
  return randomBytes(8).readBigUInt64LE() || newOrder();
}

/** A row of `order_map`: one message of this kind may go to the peer of this id by this path. */
export function encodeOrder(peer: bigint, kind: PathMessage['kind'], via: Via, nowNs: bigint): Buffer {
  return encodeOrderEntry({
    via: {
      remote: { bytes: addressBytes(via.address) },
      local: { bytes: via.local },
      remotePort: via.port,
      localPort: via.localPort,
    },
    peer,
    expiresNs: nowNs + ORDER_LIFE_NS,
    kind: OmniPathKind[kind],
  });
}
