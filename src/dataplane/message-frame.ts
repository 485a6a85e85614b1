import { OmniError } from '../errors.ts';
import type { MacAddress } from '../manifest/model.ts';
import { macBytes, macText } from './kernel/addresses.ts';

/** EtherType of agents' messages: IEEE Std 802, local experimental 2. */
export const MESSAGE_ETHERTYPE = 0x88b6;
const HEADER_BYTES = 14;
const TYPE_OFFSET = 12;

/** The Ethernet frame of a message. Throws `message-too-long`, class bug, where `payload` exceeds `capacity` bytes. */
export function messageFrame(
  { destination, source }: { readonly destination: MacAddress; readonly source: MacAddress },
  payload: Uint8Array,
  capacity: number,
): Buffer {
  if (payload.length > capacity) {
    throw new OmniError(`a message of ${payload.length} bytes, where a frame carries ${capacity}`, {
      code: 'message-too-long',
      class: 'bug',
    });
  }
  const frame = Buffer.alloc(HEADER_BYTES + payload.length);
  frame.set(macBytes(destination), 0);
  frame.set(macBytes(source), 6);
  frame.writeUInt16BE(MESSAGE_ETHERTYPE, TYPE_OFFSET);
  frame.set(payload, HEADER_BYTES);
  return frame;
}

/** Who sent the message in a frame, and what; undefined: it is none, or for a MAC that is not this node's. The payload is a copy. */
export function readMessageFrame(
  frame: Uint8Array,
  isOwn: (mac: MacAddress) => boolean,
): { readonly source: MacAddress; readonly payload: Uint8Array } | undefined {
  if (frame.length < HEADER_BYTES) return undefined;
  const type = ((frame[TYPE_OFFSET] ?? 0) << 8) | (frame[TYPE_OFFSET + 1] ?? 0);
  if (type !== MESSAGE_ETHERTYPE || !isOwn(macText(frame.subarray(0, 6)))) return undefined;
  return { source: macText(frame.subarray(6, 12)), payload: frame.slice(HEADER_BYTES) };
}
