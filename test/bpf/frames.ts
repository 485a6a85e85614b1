import { createCipheriv, createDecipheriv } from 'node:crypto';
import { blake2s } from '@noble/hashes/blake2.js';
import { addressBytes, macBytes } from '../../src/dataplane/kernel/addresses.ts';

/** Packets, made and taken apart by rules that owe nothing to the programs under test. */

export const OVERHEAD = 74;
export const OUTER = 42;

/** 16 bytes; IPv4 as ::ffff:a.b.c.d. */
export const ip = addressBytes;
export const mac = macBytes;

export function ipv4(text: string): Uint8Array {
  return ip(text).subarray(12);
}

function be16(value: number): Buffer {
  const bytes = Buffer.alloc(2);
  bytes.writeUInt16BE(value);
  return bytes;
}

export function ethernet(destination: string, source: string, type: number, payload: Uint8Array): Buffer {
  return Buffer.concat([mac(destination), mac(source), be16(type), payload]);
}

/** RFC 1071. */
export function internetChecksum(...parts: Uint8Array[]): number {
  const bytes = Buffer.concat(parts);
  let sum = 0;
  for (let i = 0; i < bytes.length; i += 2) sum += ((bytes[i] ?? 0) << 8) | (bytes[i + 1] ?? 0);
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  return ~sum & 0xffff;
}

export interface Datagram {
  readonly source?: string;
  readonly destination?: string;
  readonly sourcePort?: number;
  readonly port: number;
  readonly payload: Uint8Array;
  /** Instead of what is right. */
  readonly totalLength?: number;
  readonly udpLength?: number;
  readonly fragment?: number;
  readonly options?: Uint8Array;
  readonly protocol?: number;
  readonly ethertype?: number;
}

/** An Ethernet frame with an IPv4 UDP datagram. */
export function datagram(d: Datagram): Buffer {
  const options = d.options ?? new Uint8Array(0);
  const header = Buffer.alloc(20);
  header[0] = 0x45 + options.length / 4;
  header.writeUInt16BE(d.totalLength ?? 20 + options.length + 8 + d.payload.length, 2);
  header.writeUInt16BE(d.fragment ?? 0x4000, 6);
  header[8] = 64;
  header[9] = d.protocol ?? 17;
  header.set(ipv4(d.source ?? '198.51.100.2'), 12);
  header.set(ipv4(d.destination ?? '198.51.100.1'), 16);
  header.writeUInt16BE(internetChecksum(header, options), 10);
  const udp = Buffer.concat([
    be16(d.sourcePort ?? 51820),
    be16(d.port),
    be16(d.udpLength ?? 8 + d.payload.length),
    be16(0),
  ]);
  const packet = Buffer.concat([header, options, udp, d.payload]);
  return ethernet('02:00:00:00:51:01', '02:00:00:00:51:02', d.ethertype ?? 0x0800, packet);
}

function nonce(counter: bigint): Buffer {
  const bytes = Buffer.alloc(12);
  bytes.writeBigUInt64LE(counter, 4);
  return bytes;
}

function associated(id: bigint, counter: bigint): Buffer {
  const bytes = Buffer.alloc(16);
  bytes.writeBigUInt64LE(id);
  bytes.writeBigUInt64LE(counter, 8);
  return bytes;
}

/** A data message by OpenSSL: header and ciphertext. */
export function sealed(key: Uint8Array, id: bigint, counter: bigint, frame: Uint8Array): Buffer {
  const cipher = createCipheriv('chacha20-poly1305', key, nonce(counter), { authTagLength: 16 });
  const aad = associated(id, counter);
  cipher.setAAD(aad, { plaintextLength: frame.length });
  const text = Buffer.concat([cipher.update(frame), cipher.final()]);
  return Buffer.concat([aad, cipher.getAuthTag(), text]);
}

/** The reverse; throws if the tag does not verify. */
export function opened(key: Uint8Array, message: Uint8Array): { id: bigint; counter: bigint; frame: Buffer } {
  const bytes = Buffer.from(message);
  const id = bytes.readBigUInt64LE(0);
  const counter = bytes.readBigUInt64LE(8);
  const decipher = createDecipheriv('chacha20-poly1305', key, nonce(counter), { authTagLength: 16 });
  decipher.setAAD(bytes.subarray(0, 16), { plaintextLength: bytes.length - 32 });
  decipher.setAuthTag(bytes.subarray(16, 32));
  return { id, counter, frame: Buffer.concat([decipher.update(bytes.subarray(32)), decipher.final()]) };
}

/** A control message with a right mac1: type, exact length, the rest zeros but for `body`. */
export function control(
  type: number,
  length: number,
  mac1Key: Uint8Array,
  body: Uint8Array = new Uint8Array(0),
): Buffer {
  const message = Buffer.alloc(length);
  message[8] = type;
  message[9] = 1;
  message.set(body, 16);
  const signed = message.subarray(0, length - 32);
  message.set(blake2s(signed, { key: mac1Key, dkLen: 16 }), length - 32);
  return message;
}

export interface Arp {
  readonly operation: number;
  readonly senderMac: string;
  readonly sender: string;
  readonly targetMac?: string;
  readonly target: string;
}

export function arp(destination: string, source: string, a: Arp): Buffer {
  return ethernet(
    destination,
    source,
    0x0806,
    Buffer.concat([
      Buffer.from(`0001080006040${a.operation.toString(16).padStart(3, '0')}`, 'hex'),
      mac(a.senderMac),
      ipv4(a.sender),
      mac(a.targetMac ?? '00:00:00:00:00:00'),
      ipv4(a.target),
    ]),
  );
}

/** An IPv6 packet with an ICMPv6 message whose checksum is made right. */
export function icmp6(source: string, destination: string, message: Uint8Array, hopLimit = 255): Buffer {
  const header = Buffer.alloc(40);
  header[0] = 0x60;
  header.writeUInt16BE(message.length, 4);
  header[6] = 58;
  header[7] = hopLimit;
  header.set(ip(source), 8);
  header.set(ip(destination), 24);
  const body = Buffer.from(message);
  body.writeUInt16BE(0, 2);
  const pseudo = Buffer.alloc(8);
  pseudo.writeUInt32BE(body.length);
  pseudo[7] = 58;
  body.writeUInt16BE(internetChecksum(header.subarray(8), pseudo, body), 2);
  return Buffer.concat([header, body]);
}

/** `option`: 1 source, 2 target link-layer address (RFC 4861, section 4.6.1). */
export function ndMessage(type: number, flags: number, target: string, option?: { type: number; mac: string }): Buffer {
  const fixed = Buffer.alloc(8);
  fixed[0] = type;
  fixed.writeUInt32BE(flags >>> 0, 4);
  const tail = option ? Buffer.concat([Uint8Array.from([option.type, 1]), mac(option.mac)]) : Buffer.alloc(0);
  return Buffer.concat([fixed, ip(target), tail]);
}

/** An inner IPv4 frame with a payload. */
export function inner(
  destination: string,
  source: string,
  from: string,
  to: string,
  payload: Uint8Array = Buffer.from('ping'),
): Buffer {
  const header = Buffer.alloc(20);
  header[0] = 0x45;
  header.writeUInt16BE(20 + payload.length, 2);
  header[8] = 64;
  header[9] = 1;
  header.set(ipv4(from), 12);
  header.set(ipv4(to), 16);
  header.writeUInt16BE(internetChecksum(header), 10);
  return ethernet(destination, source, 0x0800, Buffer.concat([header, payload]));
}
