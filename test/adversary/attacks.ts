import type { Cast } from './inner-frames.ts';
import {
  advertisement,
  arp,
  EtherType,
  Extension,
  ethernet,
  icmp,
  icmpv6,
  ip,
  ipv4,
  ipv6,
  linkLayerOption,
  linkLocalOf,
  Protocol,
  redirect,
  solicitation,
  tagged,
  u16,
  u32,
  udp,
} from './packets.ts';
import { PORT } from './world.ts';

/** The frames of the findings, each from mallory to bravo. */

/** `frame` behind so many tags of VLAN 0. */
export function behindTags(frame: Buffer, count: number, kind: number = EtherType.vlan): Buffer {
  let [type, inside] = [frame.readUInt16BE(12), frame.subarray(14)];
  for (let tag = 0; tag < count; tag++) [type, inside] = [kind, tagged(0, type, inside)];
  return Buffer.concat([frame.subarray(0, 12), u16(type), inside]);
}

const four = (cast: Cast, payload: Buffer) => ethernet(cast.bravo.mac, cast.mallory.mac, EtherType.ipv4, payload);
const six = (cast: Cast, payload: Buffer) => ethernet(cast.bravo.mac, cast.mallory.mac, EtherType.ipv6, payload);

/** A datagram in the name of `source`; the destination is bravo's of the same family. */
export function datagramOf(cast: Cast, source: string, port = 9999): Buffer {
  const destination = source.includes(':') ? cast.bravo.ipv6 : cast.bravo.ipv4;
  const payload = udp({ source, destination, sourcePort: 4000, port, payload: Buffer.from('in whose name?') });
  return source.includes(':')
    ? six(cast, ipv6({ source, destination, next: Protocol.udp, payload }))
    : four(cast, ipv4({ source, destination, protocol: Protocol.udp, payload }));
}

/** ARP that says that charlie's address is at mallory's MAC. */
export function arpOf(cast: Cast, operation: 1 | 2, senderIp: string): Buffer {
  const target = { targetMac: cast.bravo.mac, targetIp: cast.bravo.ipv4 };
  const message = arp({ operation, senderMac: cast.mallory.mac, senderIp, ...target });
  return ethernet(cast.bravo.mac, cast.mallory.mac, EtherType.arp, message);
}

/** Extension headers that name `next`, by kind. */
const HEADERS: Readonly<Record<string, (next: number) => [number, Buffer]>> = {
  'hop-by-hop options': (next) => [Extension.hopByHop, Buffer.of(next, 0, 1, 4, 0, 0, 0, 0)],
  'destination options': (next) => [Extension.destination, Buffer.of(next, 0, 1, 4, 0, 0, 0, 0)],
  'a routing header': (next) => [Extension.routing, Buffer.of(next, 0, 0, 0, 0, 0, 0, 0)],
  'an atomic fragment': (next) => [Extension.fragment, Buffer.concat([Buffer.of(next, 0, 0, 0), u32(77)])],
};
export const headerNames = Object.keys(HEADERS);

/** An advertisement of `target` by mallory's own address, behind an extension header. */
export function hiddenAdvertisement(cast: Cast, target: string, header: string): Buffer {
  const [source, destination] = [cast.mallory.ipv6, cast.bravo.ipv6];
  const body = advertisement(target, 0x60, linkLayerOption(2, cast.mallory.mac));
  const message = icmpv6(source, destination, body);
  const [kind, bytes] = HEADERS[header]?.(Protocol.icmpv6) ?? [Protocol.icmpv6, Buffer.alloc(0)];
  return six(cast, ipv6({ source, destination, next: kind, hopLimit: 255, payload: Buffer.concat([bytes, message]) }));
}

/** The same in two fragments. */
export function fragmentedAdvertisement(cast: Cast, target: string): Buffer[] {
  const [source, destination] = [cast.mallory.ipv6, cast.bravo.ipv6];
  const message = icmpv6(source, destination, advertisement(target, 0x60, linkLayerOption(2, cast.mallory.mac)));
  return [
    { offset: 0, more: 1, part: message.subarray(0, 8) },
    { offset: 8, more: 0, part: message.subarray(8) },
  ].map(({ offset, more, part }) => {
    const header = Buffer.concat([Buffer.of(Protocol.icmpv6, 0), u16(offset | more), u32(78)]);
    const payload = Buffer.concat([header, part]);
    return six(cast, ipv6({ source, destination, next: Extension.fragment, hopLimit: 255, payload }));
  });
}

/** Neighbour discovery in the name of `source`, which may be nobody's. */
export function solicitationFrom(cast: Cast, source: string, target: string): Buffer {
  const option = source === '::' ? Buffer.alloc(0) : linkLayerOption(1, cast.mallory.mac);
  const message = icmpv6(source, cast.bravo.ipv6, solicitation(target, option));
  return six(
    cast,
    ipv6({ source, destination: cast.bravo.ipv6, next: Protocol.icmpv6, hopLimit: 255, payload: message }),
  );
}

/** UDP to the agent's port, by every way that leads there from inside the overlay. */
export function toTheAgent(cast: Cast, payload: Uint8Array): Readonly<Record<string, readonly Buffer[]>> {
  const { mallory, bravo } = cast;
  const v4 = (destination: string, options = Buffer.alloc(0)) => {
    const text = udp({ source: mallory.ipv4, destination, sourcePort: 51900, port: PORT, payload });
    return ipv4({ source: mallory.ipv4, destination, protocol: Protocol.udp, payload: text, options });
  };
  const text6 = udp({ source: mallory.ipv6, destination: bravo.ipv6, sourcePort: 51900, port: PORT, payload });
  const v6 = (next: number, body: Buffer) =>
    ipv6({ source: mallory.ipv6, destination: bravo.ipv6, next, payload: body });
  const [kind, header] = HEADERS['destination options']?.(Protocol.udp) ?? [0, Buffer.alloc(0)];
  const whole = udp({ source: mallory.ipv4, destination: bravo.ipv4, sourcePort: 51900, port: PORT, payload });
  const parts = [
    { fragment: 0x2000, part: whole.subarray(0, 8) },
    { fragment: 1, part: whole.subarray(8) },
  ].map(({ fragment, part }) =>
    four(
      cast,
      ipv4({ source: mallory.ipv4, destination: bravo.ipv4, protocol: Protocol.udp, id: 99, fragment, payload: part }),
    ),
  );
  return {
    plain: [four(cast, v4(bravo.ipv4))],
    'behind a tag': [behindTags(four(cast, v4(bravo.ipv4)), 1)],
    'behind three tags': [behindTags(four(cast, v4(bravo.ipv4)), 3)],
    'with options': [four(cast, v4(bravo.ipv4, Buffer.of(1, 1, 1, 0)))],
    'in fragments': parts,
    'to the underlay address': [four(cast, v4('192.0.2.2'))],
    'to everybody': [four(cast, v4('255.255.255.255'))],
    'over IPv6': [six(cast, v6(Protocol.udp, text6))],
    'over IPv6, behind options': [six(cast, v6(kind, Buffer.concat([header, text6])))],
  };
}

/** ICMP and ICMPv6 that would change how bravo reaches charlie. */
export function detours(cast: Cast): Readonly<Record<string, Buffer>> {
  const { mallory, bravo, charlie } = cast;
  const echo4 = ipv4({
    source: bravo.ipv4,
    destination: charlie.ipv4,
    protocol: Protocol.icmp,
    payload: Buffer.from('0800000000010001', 'hex'),
  });
  const echo6 = ipv6({
    source: bravo.ipv6,
    destination: charlie.ipv6,
    next: Protocol.icmpv6,
    payload: Buffer.from('8000000000010001', 'hex'),
  });
  const by4 = (body: Buffer) =>
    four(cast, ipv4({ source: mallory.ipv4, destination: bravo.ipv4, protocol: Protocol.icmp, payload: icmp(body) }));
  const by6 = (source: string, body: Buffer) =>
    six(
      cast,
      ipv6({
        source,
        destination: bravo.ipv6,
        next: Protocol.icmpv6,
        hopLimit: 255,
        payload: icmpv6(source, bravo.ipv6, body),
      }),
    );
  const own = linkLayerOption(2, mallory.mac);
  return {
    'ICMP redirect': by4(Buffer.concat([Buffer.of(5, 1, 0, 0), ip(mallory.ipv4), echo4])),
    'ICMP fragmentation needed about a third party': by4(Buffer.concat([Buffer.of(3, 4, 0, 0, 0, 0), u16(552), echo4])),
    'ICMPv6 redirect': by6(linkLocalOf(mallory.mac), redirect(linkLocalOf(mallory.mac), charlie.ipv6, own)),
    'ICMPv6 redirect on link, from the own address': by6(mallory.ipv6, redirect(charlie.ipv6, charlie.ipv6, own)),
    'ICMPv6 packet too big about a third party': by6(
      mallory.ipv6,
      Buffer.concat([Buffer.of(2, 0, 0, 0), u32(1280), echo6]),
    ),
  };
}
