import { readFileSync } from 'node:fs';

/** IFA_PROTO, rtm_protocol and NDA_PROTOCOL of everything we add. */
export const OUR_PROTOCOL = 111;

/** RTPROT_*: rtnetlink(7), linux/rtnetlink.h. */
const ROUTE_PROTOCOLS: readonly (readonly [number, string])[] = [
  [1, 'redirect'],
  [2, 'kernel'],
  [3, 'boot'],
  [4, 'static'],
  [8, 'gated'],
  [9, 'ra'],
  [10, 'mrt'],
  [11, 'zebra'],
  [12, 'bird'],
  [14, 'xorp'],
  [15, 'ntk'],
  [16, 'dhcp'],
  [17, 'mrouted'],
  [18, 'keepalived'],
  [42, 'babel'],
  [84, 'ovn'],
  [99, 'openr'],
  [186, 'bgp'],
  [187, 'isis'],
  [188, 'ospf'],
  [189, 'rip'],
  [192, 'eigrp'],
];
/** IFAPROT_*: linux/if_addr.h. */
const ADDRESS_PROTOCOLS: readonly (readonly [number, string])[] = [
  [1, 'kernel_lo'],
  [2, 'kernel_ra'],
  [3, 'kernel_ll'],
];

/** Where iproute2 keeps a machine's own names; later ones win. */
const FOLDERS = ['/usr/lib/iproute2', '/usr/share/iproute2', '/etc/iproute2'];
const known = new Map<string, ReadonlyMap<number, string>>();

/** As `ip route` prints it: `static`, `dhcp`; the number where it has no name. */
export function routeProtocol(protocol: number): string {
  return namesIn('rt_protos', ROUTE_PROTOCOLS).get(protocol) ?? String(protocol);
}

/** As `ip address` prints it. */
export function addressProtocol(protocol: number): string {
  return namesIn('rt_addrprotos', ADDRESS_PROTOCOLS).get(protocol) ?? String(protocol);
}

function namesIn(file: string, builtIn: readonly (readonly [number, string])[]): ReadonlyMap<number, string> {
  const found = known.get(file);
  if (found !== undefined) return found;
  const names = new Map([...builtIn, ...FOLDERS.flatMap((folder) => parseNames(readOptional(`${folder}/${file}`)))]);
  known.set(file, names);
  return names;
}

/** Lines of a number, decimal or 0x…, and a name; `#` begins a comment. */
export function parseNames(text: string): readonly (readonly [number, string])[] {
  return text.split('\n').flatMap((line): (readonly [number, string])[] => {
    const [, number, name] = /^\s*(0x[0-9a-fA-F]+|\d+)\s+([\w.-]+)/.exec(line) ?? [];
    return number === undefined || name === undefined ? [] : [[Number(number), name]];
  });
}

function readOptional(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return ''; // as on most machines
  }
}
