import { ethernet, icmp6, internetChecksum, ip, ipv4 } from './frames.ts';

/** Frames of a peer, with whatever a liar may put into them. */

export const MINE = '02:00:00:00:00:01';
export const THEIRS = '02:00:00:00:00:02';
export const OTHERS = '02:00:00:00:00:03';

export interface Ipv4 {
  readonly from?: string;
  readonly to?: string;
  readonly protocol?: number;
  readonly payload?: Uint8Array;
  readonly options?: Uint8Array;
  /** The first byte, instead of what is right. */
  readonly first?: number;
  readonly totalLength?: number;
  /** Flags and offset, as they lie in the header. */
  readonly fragment?: number;
}

export function udp(sourcePort: number, port: number, length = 8): Buffer {
  const bytes = Buffer.alloc(Math.max(length, 6));
  bytes.writeUInt16BE(sourcePort, 0);
  bytes.writeUInt16BE(port, 2);
  bytes.writeUInt16BE(length, 4);
  return bytes.subarray(0, length);
}

/** An ordinary packet's upper layer. */
const UDP = udp(4000, 9999, 12);

/** A frame with an IPv4 packet of the peer's. */
export function four(packet: Ipv4 = {}): Buffer {
  const { payload = UDP, options = new Uint8Array(0) } = packet;
  const header = Buffer.alloc(20);
  header[0] = packet.first ?? 0x45 + options.length / 4;
  header.writeUInt16BE(packet.totalLength ?? 20 + options.length + payload.length, 2);
  header.writeUInt16BE(packet.fragment ?? 0x4000, 6);
  header[8] = 64;
  header[9] = packet.protocol ?? 17;
  header.set(ipv4(packet.from ?? '10.77.0.2'), 12);
  header.set(ipv4(packet.to ?? '10.77.0.1'), 16);
  header.writeUInt16BE(internetChecksum(header, options), 10);
  return ethernet(MINE, THEIRS, 0x0800, Buffer.concat([header, options, payload]));
}

export interface Extension {
  readonly type: number;
  /** Without the first byte, which names the next header. */
  readonly rest: Uint8Array;
}

export interface Ipv6 {
  readonly from?: string;
  readonly to?: string;
  readonly protocol?: number;
  readonly payload?: Uint8Array;
  readonly extensions?: readonly Extension[];
  readonly first?: number;
  readonly payloadLength?: number;
  readonly hopLimit?: number;
}

/** A frame with an IPv6 packet of the peer's. */
export function six(packet: Ipv6 = {}): Buffer {
  const { payload = UDP, extensions = [], protocol = 17 } = packet;
  const types = [...extensions.map(({ type }) => type), protocol];
  const chain = extensions.map(({ rest }, at) => Buffer.concat([Uint8Array.from([types[at + 1] ?? 0]), rest]));
  const body = Buffer.concat([...chain, payload]);
  const header = Buffer.alloc(8);
  header[0] = packet.first ?? 0x60;
  header.writeUInt16BE(packet.payloadLength ?? body.length, 4);
  header[6] = types[0] ?? 17;
  header[7] = packet.hopLimit ?? 64;
  const addresses = [ip(packet.from ?? 'fd77::2'), ip(packet.to ?? 'fd77::1')];
  return ethernet(MINE, THEIRS, 0x86dd, Buffer.concat([header, ...addresses, body]));
}

/** Options of 8 bytes, or more: destination options unless `type` says hop-by-hop. */
export function options(bytes: string, type = 60): Extension {
  const text = Buffer.from(bytes, 'hex');
  return { type, rest: Buffer.concat([Uint8Array.from([(text.length + 2) / 8 - 1]), text]) };
}

/** `offset` in bytes. */
export function fragment(offset: number, more: boolean): Extension {
  const rest = Buffer.alloc(7);
  rest.writeUInt16BE(offset + (more ? 1 : 0), 1);
  return { type: 44, rest };
}

/** ICMPv6 right behind the IPv6 header, its checksum right. */
export function icmpv6(from: string, message: Uint8Array, { to = 'fd77::1', hopLimit = 255 } = {}): Buffer {
  return ethernet(MINE, THEIRS, 0x86dd, icmp6(from, to, message, hopLimit));
}

/** The frame with tags between addresses and EtherType; VLAN 0, unless told otherwise. */
export function tagged(frame: Uint8Array, types: readonly number[], vlan = 0): Buffer {
  const tags = types.map((type) => Buffer.from([type >> 8, type & 255, vlan >> 8, vlan & 255]));
  return Buffer.concat([frame.subarray(0, 12), ...tags, frame.subarray(12)]);
}
