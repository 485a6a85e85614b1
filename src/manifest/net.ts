import { isIPv4, isIPv6 } from 'node:net';
import type { Cidr, IpAddress } from './model.ts';

/** An address as bytes in network order: 4 or 16 of them. */
export interface Ip {
  readonly family: 4 | 6;
  readonly bytes: Uint8Array;
}

/** A network; host bits are zero. */
export interface Network extends Ip {
  readonly prefix: number;
  readonly text: Cidr;
}

export type Parsed<T> = { readonly ok: true; readonly value: T } | { readonly ok: false; readonly problem: string };

// --- addresses ---------------------------------------------------------------------------------------------------

function groupsOf(text: string): number[] {
  if (text === '') return [];
  return text.split(':').flatMap((group) => {
    if (!group.includes('.')) return [Number.parseInt(group, 16)];
    const [a = 0, b = 0, c = 0, d = 0] = group.split('.').map(Number);
    return [(a << 8) | b, (c << 8) | d];
  });
}

/** `text` is known to be IPv4. A loop: a fleet has tens of thousands. */
function ipv4Bytes(text: string): Uint8Array {
  const bytes = new Uint8Array(4);
  let octet = 0;
  for (let at = 0; at < text.length; at++) {
    const code = text.charCodeAt(at);
    if (code === 0x2e) octet++;
    else bytes[octet] = (bytes[octet] ?? 0) * 10 + code - 0x30;
  }
  return bytes;
}

/** `text` is known to be IPv6. */
function ipv6Bytes(text: string): Uint8Array {
  const [head = '', tail] = text.split('::');
  const before = groupsOf(head);
  const after = tail === undefined ? [] : groupsOf(tail);
  const bytes = new Uint8Array(16);
  const view = new DataView(bytes.buffer);
  before.forEach((group, at) => {
    view.setUint16(at * 2, group);
  });
  after.forEach((group, at) => {
    view.setUint16(16 - (after.length - at) * 2, group);
  });
  return bytes;
}

function isMapped(bytes: Uint8Array): boolean {
  return bytes[10] === 0xff && bytes[11] === 0xff && bytes.subarray(0, 10).every((byte) => byte === 0);
}

/** An IPv4 address in four decimals or an IPv6 address (RFC 4291, 2.2), without zone, brackets or prefix. */
export function parseIp(text: string): Parsed<Ip> {
  if (isIPv4(text)) return { ok: true, value: { family: 4, bytes: ipv4Bytes(text) } };
  if (text.includes('/')) return { ok: false, problem: 'it has a prefix length' };
  if (text.includes('%')) return { ok: false, problem: 'it has a zone, which means something on one node only' };
  if (text.startsWith('[')) return { ok: false, problem: 'brackets belong to endpoints only' };
  if (/^\d+(\.\d+){3}$/.test(text)) {
    return { ok: false, problem: 'each of the four numbers is 0 to 255, without leading zeros' };
  }
  if (!isIPv6(text)) return { ok: false, problem: 'it is neither IPv4 nor IPv6' };
  const bytes = ipv6Bytes(text);
  if (isMapped(bytes)) {
    return { ok: false, problem: `it is an IPv4 address inside IPv6; write ${bytes.subarray(12).join('.')}` };
  }
  return { ok: true, value: { family: 6, bytes } };
}

/** RFC 5952: lower case, no leading zeros, the first of the longest runs of two or more zero groups as `::`. */
function formatIpv6(bytes: Uint8Array): string {
  const view = new DataView(bytes.buffer, bytes.byteOffset, 16);
  const groups = Array.from({ length: 8 }, (_, at) => view.getUint16(at * 2));
  let start = 0;
  let length = 0;
  for (let at = 0; at < 8; at++) {
    let end = at;
    while (end < 8 && groups[end] === 0) end++;
    if (end - at > length) [start, length] = [at, end - at];
  }
  const hex = (part: readonly number[]) => part.map((group) => group.toString(16)).join(':');
  return length < 2 ? hex(groups) : `${hex(groups.slice(0, start))}::${hex(groups.slice(start + length))}`;
}

/** The one text of an address: RFC 5952 for IPv6. */
export function formatIp(ip: Ip): IpAddress {
  return (ip.family === 4 ? ip.bytes.join('.') : formatIpv6(ip.bytes)) as IpAddress;
}

// --- networks ----------------------------------------------------------------------------------------------------

function masked(bytes: Uint8Array, prefix: number): Uint8Array {
  return bytes.map((byte, at) => byte & (0xff << Math.min(8, Math.max(0, 8 - (prefix - at * 8)))) & 0xff);
}

function sameBytes(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && a.every((byte, at) => byte === b[at]);
}

/** The network of `prefix` bits that the address is in. */
export function networkOf(ip: Ip, prefix: number): Network {
  const bytes = masked(ip.bytes, prefix);
  const text = `${formatIp({ family: ip.family, bytes })}/${prefix}` as Cidr;
  return { family: ip.family, bytes, prefix, text };
}

export interface CidrText {
  readonly network: Network;
  /** False: bits beyond the prefix were set, and `network` is what was most likely meant. */
  readonly exact: boolean;
}

/** `address/prefix`. */
export function parseCidr(text: string): Parsed<CidrText> {
  const slash = text.indexOf('/');
  const ip = parseIp(slash === -1 ? text : text.slice(0, slash));
  if (!ip.ok) return ip;
  if (slash === -1) return { ok: false, problem: 'it has no prefix length' };
  const digits = text.slice(slash + 1);
  const most = ip.value.family === 4 ? 32 : 128;
  const prefix = Number(digits);
  if (!/^(0|[1-9]\d{0,2})$/.test(digits) || prefix > most) {
    return { ok: false, problem: `the prefix length is a number from 0 to ${most}` };
  }
  const network = networkOf(ip.value, prefix);
  return { ok: true, value: { network, exact: sameBytes(network.bytes, ip.value.bytes) } };
}

export function contains(network: Network, ip: Ip): boolean {
  if (network.family !== ip.family) return false;
  const whole = network.prefix >> 3;
  for (let at = 0; at < whole; at++) if (network.bytes[at] !== ip.bytes[at]) return false;
  const rest = network.prefix & 7;
  return rest === 0 || ((network.bytes[whole] ?? 0) ^ (ip.bytes[whole] ?? 0)) >> (8 - rest) === 0;
}

export function overlaps(a: Network, b: Network): boolean {
  return a.prefix <= b.prefix ? contains(a, b) : contains(b, a);
}

/**
 * What an address inside the network is, if no host may have it: IPv4's network and broadcast addresses (not in a
 * /31, RFC 3021, or a /32), IPv6's subnet-router anycast address (RFC 4291, 2.6.1; not in a /127, RFC 6164, or a /128).
 */
export function reservedUse(network: Network, ip: Ip): string | undefined {
  const bits = network.bytes.length * 8;
  if (bits - network.prefix < 2) return undefined;
  if (sameBytes(ip.bytes, network.bytes)) {
    return network.family === 4 ? 'network address' : 'subnet-router anycast address';
  }
  const last = network.bytes.map((byte, at) => byte | (~(masked(ALL_ONES, network.prefix)[at] ?? 0) & 0xff));
  return network.family === 4 && sameBytes(ip.bytes, last) ? 'broadcast address' : undefined;
}

const ALL_ONES = new Uint8Array(16).fill(0xff);

/** A network known to the program; throws on a slip in it. */
export function network(text: string): Network {
  const parsed = parseCidr(text);
  if (!parsed.ok || !parsed.value.exact) throw new Error(`${text} is not a network`);
  return parsed.value.network;
}

/** Networks that every host uses already (RFC 6890). A default route overlaps them all. */
const RESERVED: readonly (readonly [Network, string])[] = [
  [network('0.0.0.0/8'), 'this host, 0.0.0.0/8'],
  [network('127.0.0.0/8'), 'loopback, 127.0.0.0/8'],
  [network('169.254.0.0/16'), 'link-local, 169.254.0.0/16'],
  [network('224.0.0.0/4'), 'multicast, 224.0.0.0/4'],
  [network('255.255.255.255/32'), 'broadcast, 255.255.255.255'],
  [network('::/127'), 'the unspecified and loopback addresses, :: and ::1'],
  [network('fe80::/10'), 'link-local, fe80::/10'],
  [network('ff00::/8'), 'multicast, ff00::/8'],
];

/** What of every host's networks a network overlaps, in words; undefined: nothing. */
export function reservedOverlap(subnet: Network): string | undefined {
  return RESERVED.find(([reserved]) => overlaps(reserved, subnet))?.[1];
}
