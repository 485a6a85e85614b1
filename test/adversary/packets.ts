import { macBytes } from '../../src/dataplane/kernel/addresses.ts';

/** Packets byte by byte, right or wrong as the caller wants them. Sizes and offsets are bytes. */

export const EtherType = {
  ipv4: 0x0800,
  arp: 0x0806,
  ipv6: 0x86dd,
  vlan: 0x8100,
  qinq: 0x88a8,
  oldQinq: 0x9100,
} as const;
export const Protocol = { icmp: 1, ipip: 4, tcp: 6, udp: 17, ipv6: 41, gre: 47, icmpv6: 58 } as const;
/** IPv6 extension headers (RFC 8200; 135: mobility, RFC 6275). */
export const Extension = {
  hopByHop: 0,
  routing: 43,
  fragment: 44,
  esp: 50,
  ah: 51,
  none: 59,
  destination: 60,
  mobility: 135,
} as const;

export function u16(value: number): Buffer {
  const bytes = Buffer.alloc(2);
  bytes.writeUInt16BE(value & 0xffff);
  return bytes;
}
export function u32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value >>> 0);
  return bytes;
}

const known = new Map<string, Buffer>();
/** 4 or 16 bytes. Texts recur, so each is parsed once; IPv4 inside IPv6 is written as any other address here. */
export function ip(text: string): Buffer {
  let bytes = known.get(text);
  if (bytes === undefined) {
    bytes = text.includes(':') ? ipv6Bytes(text) : Buffer.from(text.split('.').map(Number));
    known.set(text, bytes);
  }
  return bytes;
}
function ipv6Bytes(text: string): Buffer {
  const words = (part: string) =>
    part
      .split(':')
      .filter(Boolean)
      .flatMap((word) => {
        if (!word.includes('.')) return [Number.parseInt(word, 16)];
        const [a = 0, b = 0, c = 0, d = 0] = word.split('.').map(Number);
        return [(a << 8) | b, (c << 8) | d];
      });
  const [head = '', tail] = text.split('::');
  const [before, after] = [words(head), words(tail ?? '')];
  const zeros = new Array<number>(8 - before.length - after.length).fill(0);
  return Buffer.concat([...before, ...zeros, ...after].map(u16));
}
export function mac(text: string): Buffer {
  let bytes = known.get(text);
  if (bytes === undefined) {
    bytes = Buffer.from(macBytes(text));
    known.set(text, bytes);
  }
  return bytes;
}

/** RFC 1071, before the complement. */
function sum(bytes: Uint8Array, from = 0): number {
  let total = from;
  const even = bytes.length & ~1;
  for (let i = 0; i < even; i += 2) total += ((bytes[i] ?? 0) << 8) | (bytes[i + 1] ?? 0);
  if (even < bytes.length) total += (bytes[even] ?? 0) << 8;
  return total;
}
function checksum(...parts: readonly Uint8Array[]): number {
  let total = 0;
  for (const part of parts) total = sum(part, total);
  while (total > 0xffff) total = (total & 0xffff) + (total >>> 16);
  return ~total & 0xffff;
}

export function ethernet(destination: string, source: string, type: number, payload: Uint8Array): Buffer {
  return Buffer.concat([mac(destination), mac(source), u16(type), payload]);
}

/** The payload of the next tag or type: `tci`, then `type`. */
export function tagged(tci: number, type: number, payload: Uint8Array): Buffer {
  return Buffer.concat([u16(tci), u16(type), payload]);
}

export interface Ipv4 {
  readonly source: string;
  readonly destination: string;
  readonly protocol: number;
  readonly payload: Uint8Array;
  readonly options?: Uint8Array;
  readonly ttl?: number;
  /** Flags and offset, as they stand in the header. */
  readonly fragment?: number;
  readonly id?: number;
  readonly totalLength?: number;
  readonly version?: number;
}
export function ipv4(packet: Ipv4): Buffer {
  const options = packet.options ?? Buffer.alloc(0);
  const header = Buffer.alloc(20 + options.length);
  header[0] = ((packet.version ?? 4) << 4) | (header.length / 4);
  header.writeUInt16BE((packet.totalLength ?? header.length + packet.payload.length) & 0xffff, 2);
  header.writeUInt16BE(packet.id ?? 0, 4);
  header.writeUInt16BE(packet.fragment ?? 0, 6);
  header[8] = packet.ttl ?? 64;
  header[9] = packet.protocol;
  header.set(ip(packet.source), 12);
  header.set(ip(packet.destination), 16);
  header.set(options, 20);
  header.writeUInt16BE(checksum(header), 10);
  return Buffer.concat([header, packet.payload]);
}

export interface Ipv6 {
  readonly source: string;
  readonly destination: string;
  readonly next: number;
  readonly payload: Uint8Array;
  readonly hopLimit?: number;
  readonly payloadLength?: number;
}
export function ipv6(packet: Ipv6): Buffer {
  const header = Buffer.alloc(40);
  header[0] = 0x60;
  header.writeUInt16BE((packet.payloadLength ?? packet.payload.length) & 0xffff, 4);
  header[6] = packet.next;
  header[7] = packet.hopLimit ?? 64;
  header.set(ip(packet.source), 8);
  header.set(ip(packet.destination), 24);
  return Buffer.concat([header, packet.payload]);
}

function pseudo(source: string, destination: string, protocol: number, length: number): Buffer {
  const [from, to] = [ip(source), ip(destination)];
  return from.length === 4
    ? Buffer.concat([from, to, u16(protocol), u16(length)])
    : Buffer.concat([from, to, u32(length), u32(protocol)]);
}

export interface Udp {
  readonly source: string;
  readonly destination: string;
  readonly sourcePort: number;
  readonly port: number;
  readonly payload: Uint8Array;
}
export function udp({ source, destination, sourcePort, port, payload }: Udp): Buffer {
  const length = 8 + payload.length;
  const header = Buffer.concat([u16(sourcePort), u16(port), u16(length), u16(0)]);
  const total = checksum(pseudo(source, destination, Protocol.udp, length), header, payload) || 0xffff;
  header.writeUInt16BE(total, 6);
  return Buffer.concat([header, payload]);
}

/** `body` begins with type and code; its checksum bytes are filled in. */
export function icmp(body: Uint8Array): Buffer {
  const message = Buffer.from(body);
  message.writeUInt16BE(0, 2);
  message.writeUInt16BE(checksum(message), 2);
  return message;
}
export function icmpv6(source: string, destination: string, body: Uint8Array): Buffer {
  const message = Buffer.from(body);
  message.writeUInt16BE(0, 2);
  message.writeUInt16BE(checksum(pseudo(source, destination, Protocol.icmpv6, message.length), message), 2);
  return message;
}

export interface Arp {
  readonly operation: number;
  readonly senderMac: string;
  readonly senderIp: string;
  readonly targetMac: string;
  readonly targetIp: string;
}
export function arp(message: Arp): Buffer {
  return Buffer.concat([
    u16(1),
    u16(EtherType.ipv4),
    Buffer.of(6, 4),
    u16(message.operation),
    mac(message.senderMac),
    ip(message.senderIp),
    mac(message.targetMac),
    ip(message.targetIp),
  ]);
}

/** Neighbour discovery option: type 1 source, type 2 target link-layer address (RFC 4861, section 4.6.1). */
export function linkLayerOption(type: 1 | 2, address: string): Buffer {
  return Buffer.concat([Buffer.of(type, 1), mac(address)]);
}
export function solicitation(target: string, option: Uint8Array): Buffer {
  return Buffer.concat([Buffer.of(135, 0, 0, 0, 0, 0, 0, 0), ip(target), option]);
}
/** `flags`: router 0x80, solicited 0x40, override 0x20. */
export function advertisement(target: string, flags: number, option: Uint8Array): Buffer {
  return Buffer.concat([Buffer.of(136, 0, 0, 0, flags, 0, 0, 0), ip(target), option]);
}
export function redirect(target: string, destination: string, option: Uint8Array): Buffer {
  return Buffer.concat([Buffer.of(137, 0, 0, 0, 0, 0, 0, 0), ip(target), ip(destination), option]);
}
/** A router that offers itself for `lifetimeS`, with the options given. */
export function routerAdvertisement(lifetimeS: number, options: Uint8Array): Buffer {
  return Buffer.concat([Buffer.of(134, 0, 0, 0, 64, 0), u16(lifetimeS), u32(0), u32(0), options]);
}
/** On-link, autonomous (RFC 4861, section 4.6.2). */
export function prefixOption(prefix: string): Buffer {
  return Buffer.concat([Buffer.of(3, 4, 64, 0xc0), u32(3600), u32(3600), u32(0), ip(prefix)]);
}

/** EUI-64 (RFC 4291, appendix A). */
export function linkLocalOf(address: string): string {
  const [a = 0, b = 0, c = 0, d = 0, e = 0, f = 0] = mac(address);
  const bytes = [a ^ 2, b, c, 0xff, 0xfe, d, e, f];
  const words = [0, 2, 4, 6].map((at) => (((bytes[at] ?? 0) << 8) | (bytes[at + 1] ?? 0)).toString(16));
  return `fe80::${words.join(':')}`;
}
