import { formatEndpoint } from '../../manifest/endpoint.ts';
import type { IpAddress, MacAddress } from '../../manifest/model.ts';
import { formatIp, parseIp } from '../../manifest/net.ts';

/** `::ffff:0:0/96`: how maps hold IPv4 (RFC 4291, section 2.5.5.2). */
const MAPPED = Uint8Array.from([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff]);

/** 16 bytes, network order. Throws RangeError for anything but an address without a zone. */
export function addressBytes(text: string): Uint8Array {
  const ip = parseIp(text);
  if (!ip.ok) throw new RangeError(`not an IP address: ${text}: ${ip.problem}`);
  return ip.value.family === 4 ? Uint8Array.from([...MAPPED, ...ip.value.bytes]) : ip.value.bytes;
}

/** Canonical text of 16 bytes. */
export function addressText(bytes: Uint8Array): IpAddress {
  const mapped = MAPPED.every((byte, i) => bytes[i] === byte);
  return formatIp(mapped ? { family: 4, bytes: bytes.subarray(12) } : { family: 6, bytes });
}

/** The text that manifests and rows use, whatever the kernel's spelling. */
export function canonicalAddress(text: string): IpAddress {
  return addressText(addressBytes(text));
}

/** 16 zeros: how maps hold an address that is not known. */
export const UNSPECIFIED = new Uint8Array(16);

/** fe80::/10 (RFC 4291, section 2.5.6): it means something on one link only. */
export function isLinkLocal(address: string): boolean {
  return /^fe[89ab][0-9a-f]:/i.test(address);
}

export function isUnspecified(bytes: Uint8Array): boolean {
  return bytes.every((byte) => byte === 0);
}

export function macBytes(text: string): Uint8Array {
  return Uint8Array.from(text.split(':'), (part) => Number.parseInt(part, 16));
}

export function macText(bytes: Uint8Array): MacAddress {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join(':') as MacAddress;
}

export interface SocketAddress {
  readonly address: IpAddress;
  readonly port: number;
}

/** `192.0.2.1:51820`, `[2001:db8::1]:51820`: the text of endpoints in rows. */
export function endpointText(endpoint: SocketAddress): string {
  return formatEndpoint({ host: endpoint.address, port: endpoint.port });
}

/** The inverse. Rows are validated, so anything else is a bug: RangeError. */
export function parseEndpoint(text: string): SocketAddress {
  const parts = /^(?:\[(?<six>[^\]]+)\]|(?<four>[^:]+)):(?<port>\d{1,5})$/.exec(text)?.groups;
  const address = parts?.six ?? parts?.four;
  if (address === undefined) throw new RangeError(`not an endpoint: ${text}`);
  return { address: canonicalAddress(address), port: Number(parts?.port) };
}
