import { wrongMac1 } from '../../lab/hostile.ts';
import { OmniProtocol } from '../../src/dataplane/kernel/layout.ts';
import { EtherType, Extension, ethernet, icmp, ip, ipv4, ipv6, Protocol, tagged, u16, u32, udp } from './packets.ts';
import type { Random } from './random.ts';
import { PORT } from './world.ts';

export interface Target {
  readonly mac: string;
  readonly ipv4: string;
  readonly ipv6: string;
  /** A peer of the target's, in whose name the stranger speaks now and then. */
  readonly peer: string;
}

export interface Packet {
  readonly what: string;
  readonly frame: Buffer;
}

const JUNK = [wrongMac1(50, OmniProtocol.classic), wrongMac1(50, OmniProtocol.hybrid)].flat();

/**
 * What a stranger on the wire may send to a node's port: junk, handshakes with a wrong mac1, recorded ones, ICMP about
 * flows of the node's; tagged, fragmented, with options, with lying lengths. The same for the same seed, but for the
 * bytes of the junk.
 */
export class OuterFrames {
  readonly #random: Random;
  readonly #own: string;
  readonly #target: Target;
  readonly #recorded: readonly Uint8Array[];
  #notes: string[] = [];

  constructor(random: Random, stranger: string, target: Target, recorded: readonly Uint8Array[]) {
    this.#random = random;
    this.#own = stranger;
    this.#target = target;
    this.#recorded = recorded;
  }

  next(): Packet {
    const random = this.#random;
    this.#notes = [];
    const six = random.chance(0.25);
    const packet = random.chance(0.15) ? this.#icmp() : six ? this.#ipv6() : this.#ipv4();
    const type = packet[0] === undefined || packet[0] >> 4 !== 6 ? EtherType.ipv4 : EtherType.ipv6;
    const frame = ethernet(this.#target.mac, this.#own, ...this.#tags(type, packet));
    const cut = random.chance(0.03) ? frame.subarray(0, 14 + random.below(frame.length - 13)) : frame;
    return { what: this.#notes.join(', '), frame: cut };
  }

  #note<T>(text: string, value: T): T {
    this.#notes.push(text);
    return value;
  }

  #tags(type: number, payload: Buffer): [number, Buffer] {
    const random = this.#random;
    let [outer, inside] = [type, payload];
    for (let depth = random.pick([0, 0, 0, 1, 1, 2, 3, 5]); depth > 0; depth--) {
      const kind = random.pick([EtherType.vlan, EtherType.vlan, EtherType.qinq]);
      inside = tagged((random.below(8) << 13) | (random.chance(0.8) ? 0 : random.below(4096)), outer, inside);
      outer = this.#note(`tag ${kind.toString(16)}`, kind);
    }
    return [outer, inside];
  }

  #payload(): Uint8Array {
    const random = this.#random;
    if (this.#recorded.length > 0 && random.chance(0.2)) return this.#note('recorded', random.pick(this.#recorded));
    if (random.chance(0.5)) return this.#note('wrong mac1', random.pick(JUNK));
    const bytes = random.bytes(random.below(300));
    if (random.chance(0.3)) bytes.fill(0, 0, Math.min(8, bytes.length));
    return this.#note('junk', bytes);
  }

  #source(family: 4 | 6): string {
    const random = this.#random;
    const four = ['192.0.2.6', this.#target.peer, '198.51.100.7', '203.0.113.1', '127.0.0.1', this.#target.ipv4];
    const six = ['2001:db8:51::6', '2001:db8:9::1', 'fe80::6', '::ffff:192.0.2.1', '::1', this.#target.ipv6];
    const source = random.pick(family === 4 ? four : six);
    return this.#note(`source ${source}`, source);
  }

  #ipv4(): Buffer {
    const random = this.#random;
    const [source, destination] = [this.#source(4), this.#target.ipv4];
    const text = udp({
      source,
      destination,
      sourcePort: random.pick([PORT, 4000, 53]),
      port: PORT,
      payload: this.#payload(),
    });
    const options = random.weighted([
      [85, ''],
      [5, '01010100'],
      [5, '94040000'],
      [5, '8307040a000001'.concat('00')],
    ] as const);
    const fragment = random.weighted([
      [80, 0],
      [8, 0x2000],
      [7, 1 + random.below(8)],
      [5, 0x2000 | (1 + random.below(8))],
    ] as const);
    if (options !== '') this.#note('options', 0);
    if (fragment !== 0) this.#note(`fragment ${fragment.toString(16)}`, 0);
    return ipv4({
      source,
      destination,
      protocol: Protocol.udp,
      payload: text,
      options: Buffer.from(options, 'hex'),
      fragment,
      id: random.below(8),
    });
  }

  #ipv6(): Buffer {
    const random = this.#random;
    const [source, destination] = [this.#source(6), this.#target.ipv6];
    const text = udp({ source, destination, sourcePort: PORT, port: PORT, payload: this.#payload() });
    let [next, payload]: [number, Buffer] = [Protocol.udp, text];
    for (let depth = random.pick([0, 0, 1, 2, 9]); depth > 0; depth--) {
      const kind = random.pick([Extension.destination, Extension.fragment, Extension.hopByHop, Extension.routing]);
      const header =
        kind === Extension.fragment
          ? Buffer.concat([Buffer.of(next, 0), u16(random.pick([0, 1, 8])), u32(random.below(8))])
          : Buffer.concat([
              Buffer.of(next, 0),
              kind === Extension.routing ? Buffer.of(0, 0, 0, 0, 0, 0) : Buffer.of(1, 4, 0, 0, 0, 0),
            ]);
      [next, payload] = [this.#note(`header ${kind}`, kind), Buffer.concat([header, payload])];
    }
    return ipv6({ source, destination, next, payload });
  }

  /** Errors about what the node sent, or did not: a router anywhere may say so. */
  #icmp(): Buffer {
    const random = this.#random;
    const { ipv4: from, peer } = this.#target;
    const quoted = ipv4({
      source: from,
      destination: peer,
      protocol: random.pick([Protocol.udp, Protocol.icmp]),
      payload: Buffer.concat([u16(PORT), u16(PORT), u16(1000), u16(0)]),
    });
    const head = random.pick([
      Buffer.concat([Buffer.of(3, 4, 0, 0, 0, 0), u16(random.pick([68, 552, 1280]))]),
      Buffer.concat([Buffer.of(3, random.below(16), 0, 0), u32(0)]),
      Buffer.concat([Buffer.of(11, 0, 0, 0), u32(0)]),
      Buffer.concat([Buffer.of(5, 1, 0, 0), ip('192.0.2.6')]),
      Buffer.concat([Buffer.of(12, 0, 0, 0), u32(0)]),
    ]);
    const body = icmp(Buffer.concat([head, quoted]));
    return ipv4({
      source: this.#source(4),
      destination: from,
      protocol: this.#note(`icmp ${head[0]}/${head[1]}`, Protocol.icmp),
      payload: body,
    });
  }
}
