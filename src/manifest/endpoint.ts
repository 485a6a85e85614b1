import { isIPv6 } from 'node:net';
import type { EndpointHint } from './model.ts';
import { contains, formatIp, type Ip, type Network, network, type Parsed, parseIp } from './net.ts';

export type EndpointResult = Parsed<EndpointHint> | { readonly ok: false; readonly portMissing: string };

const NOWHERE: readonly Network[] = [
  network('0.0.0.0/8'),
  network('224.0.0.0/4'),
  network('255.255.255.255/32'),
  network('::/128'),
  network('fe80::/10'),
  network('ff00::/8'),
];

function addressHost(ip: Ip): Parsed<string> {
  if (NOWHERE.some((no) => contains(no, ip))) return { ok: false, problem: 'no node can be reached at this address' };
  return { ok: true, value: formatIp(ip) };
}

/** RFC 1123 names; a last label of digits alone would be an address with a slip in it. */
function nameHost(host: string): Parsed<string> {
  const name = host.toLowerCase().replace(/\.$/, '');
  const label = /^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$/;
  const labels = name.split('.');
  if (name.length > 253 || !labels.every((part) => label.test(part)) || /^\d+$/.test(labels.at(-1) ?? '')) {
    return { ok: false, problem: 'the part before the port is neither an address nor a DNS name' };
  }
  return { ok: true, value: name };
}

function hostOf(host: string, bracketed: boolean): Parsed<string> {
  const ip = parseIp(host);
  if (bracketed && (!ip.ok || ip.value.family === 4)) {
    return { ok: false, problem: ip.ok ? 'brackets are for IPv6' : `inside the brackets, ${ip.problem}` };
  }
  return ip.ok ? addressHost(ip.value) : nameHost(host);
}

function portMissing(text: string): EndpointResult | undefined {
  const bare = text.startsWith('[') && text.endsWith(']') ? text.slice(1, -1) : text;
  const ip = parseIp(bare);
  if (ip.ok) return { ok: false, portMissing: ip.value.family === 4 ? `${bare}:51820` : `[${bare}]:51820` };
  return !text.includes(':') && nameHost(text).ok ? { ok: false, portMissing: `${text}:51820` } : undefined;
}

/** `address:port`, `[IPv6]:port` or `name:port`; the host comes back canonical and without brackets. */
export function parseEndpoint(text: string): EndpointResult {
  const parts = /^(?:\[(?<six>[^\]]*)\]|(?<host>[^[\]:]*)):(?<port>[^:]*)$/.exec(text)?.groups;
  if (parts === undefined) {
    const missing = portMissing(text);
    if (missing !== undefined) return missing;
    const bareSix = text.includes('::') && isIPv6(text.slice(0, text.lastIndexOf(':')));
    return { ok: false, problem: bareSix ? 'IPv6 stands in brackets before the port' : 'it is not host:port' };
  }
  const host = hostOf(parts.six ?? parts.host ?? '', parts.six !== undefined);
  if (!host.ok) return host;
  const port = Number(parts.port);
  if (!/^[1-9]\d{0,4}$/.test(parts.port ?? '') || port > 65535) {
    return { ok: false, problem: 'the port is a number from 1 to 65535' };
  }
  return { ok: true, value: { host: host.value, port } };
}

export function formatEndpoint(endpoint: EndpointHint): string {
  return `${endpoint.host.includes(':') ? `[${endpoint.host}]` : endpoint.host}:${endpoint.port}`;
}
