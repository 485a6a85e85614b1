import { ethernet, internetChecksum, ip } from './frames.ts';

/** What IPv6 adds to a frame: outer Ethernet, IPv6, UDP, header; and what lies in front of the header. */
export const OVERHEAD6 = 94;
export const OUTER6 = 62;

export interface Datagram6 {
  readonly source?: string;
  readonly destination?: string;
  readonly sourcePort?: number;
  readonly port: number;
  readonly payload: Uint8Array;
  /** Extension headers: the type of each, and its bytes without the first, which names the next. */
  readonly extensions?: readonly { readonly type: number; readonly rest: Uint8Array }[];
  /** Instead of what is right. */
  readonly payloadLength?: number;
  readonly udpLength?: number;
  readonly nextHeader?: number;
  readonly version?: number;
}

/** RFC 8200, section 8.1. */
export function udp6Checksum(source: Uint8Array, destination: Uint8Array, udp: Uint8Array): number {
  const pseudo = Buffer.alloc(8);
  pseudo.writeUInt32BE(udp.length);
  pseudo[7] = 17;
  return internetChecksum(source, destination, pseudo, udp) || 0xffff;
}

/** An Ethernet frame with an IPv6 UDP datagram. */
export function datagram6(d: Datagram6): Buffer {
  const source = ip(d.source ?? '2001:db8:51::2');
  const destination = ip(d.destination ?? '2001:db8:51::1');
  const udp = Buffer.alloc(8 + d.payload.length);
  udp.writeUInt16BE(d.sourcePort ?? 51820);
  udp.writeUInt16BE(d.port, 2);
  udp.writeUInt16BE(d.udpLength ?? udp.length, 4);
  udp.set(d.payload, 8);
  udp.writeUInt16BE(udp6Checksum(source, destination, udp), 6);
  const chain = d.extensions ?? [];
  const types = [...chain.map(({ type }) => type), d.nextHeader ?? 17];
  const extensions = chain.map(({ rest }, i) => Buffer.concat([Uint8Array.from([types[i + 1] ?? 0]), rest]));
  const body = Buffer.concat([...extensions, udp]);
  const header = Buffer.alloc(8);
  header[0] = (d.version ?? 6) << 4;
  header.writeUInt16BE(d.payloadLength ?? body.length, 4);
  header[6] = types[0] ?? 17;
  header[7] = 64;
  const packet = Buffer.concat([header, source, destination, body]);
  return ethernet('02:00:00:00:51:01', '02:00:00:00:51:02', 0x86dd, packet);
}
