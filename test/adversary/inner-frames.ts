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
  prefixOption,
  redirect,
  routerAdvertisement,
  solicitation,
  tagged,
  u16,
  u32,
  udp,
} from './packets.ts';
import type { Random } from './random.ts';
import { type Place, PORT } from './world.ts';

/** Frames that a traitor sends, in the order that they are sent in. */
export interface Attack {
  readonly what: string;
  readonly frames: readonly Buffer[];
  /** In mallory's own name, of the plainest shape: it must arrive. */
  readonly honest: boolean;
}

export interface Cast {
  readonly alpha: Place;
  readonly bravo: Place;
  readonly charlie: Place;
  readonly dave: Place;
  readonly mallory: Place;
}

const HONEST_PORTS = [53, 5000, 7400, 9999, 40000];
const PORTS = [
  7,
  53,
  67,
  68,
  123,
  137,
  520,
  521,
  546,
  547,
  1900,
  2152,
  4789,
  5353,
  5355,
  5683,
  6081,
  7400,
  8472,
  9999,
  PORT,
  51821,
];
const MARK = 'omni-honest';

/** Somebody's name, or nobody's: what a frame may claim. `own` is mallory's. */
function sources(cast: Cast): Readonly<Record<4 | 6, readonly string[]>> {
  const { alpha, bravo, charlie, dave } = cast;
  return {
    4: [
      ...[charlie, bravo, alpha, dave].map(({ ipv4: address }) => address),
      ...['10.77.0.99', '10.77.255.255', '192.0.2.1', '192.0.2.2', '192.0.2.3', '8.8.8.8', '127.0.0.1', '169.254.7.7'],
      ...['0.0.0.0', '255.255.255.255', '224.0.0.1', '10.77.0.0'],
    ],
    6: [
      ...[charlie, bravo, alpha, dave].map(({ ipv6: address }) => address),
      ...[charlie, bravo, dave].map(({ mac }) => linkLocalOf(mac)),
      ...[
        'fd77::99',
        '2001:db8::1',
        '::1',
        '::',
        'fe80::1',
        '::ffff:10.77.0.3',
        '::10.77.0.3',
        'ff02::1',
        '2002:a4d:3::1',
      ],
      ...['64:ff9b::a4d:3', 'fd77::', '::ffff:10.77.0.9'],
    ],
  };
}

/**
 * Random frames of a traitor's. Every one of them is authentic; what they say is not to be believed, unless `honest`.
 * They are the same for the same seed.
 */
export class InnerFrames {
  readonly #random: Random;
  readonly #cast: Cast;
  readonly #sources: Readonly<Record<4 | 6, readonly string[]>>;
  #made = 0;
  #notes: string[] = [];

  constructor(random: Random, cast: Cast) {
    this.#random = random;
    this.#cast = cast;
    this.#sources = sources(cast);
  }

  next(): Attack {
    this.#made++;
    this.#notes = [];
    if (this.#random.chance(0.05)) return this.#honest();
    if (this.#random.chance(0.15)) return this.#almostHonest();
    const bodies = this.#bodies();
    const frames = bodies.map(({ type, payload }) => this.#frame(type, payload));
    return { what: this.#notes.join(', '), frames, honest: false };
  }

  /** Says what was drawn. */
  #note<T>(text: string, value: T): T {
    this.#notes.push(text);
    return value;
  }

  #mark(text: string): Buffer {
    return Buffer.from(`${text} #${this.#made.toString(16)}`);
  }

  #honest(): Attack {
    const random = this.#random;
    const { mallory, bravo } = this.#cast;
    const [port, four] = [random.pick(HONEST_PORTS), random.chance(0.5)];
    const [source, destination] = four ? [mallory.ipv4, bravo.ipv4] : [mallory.ipv6, bravo.ipv6];
    const text = udp({ source, destination, sourcePort: 4000, port, payload: this.#mark(MARK) });
    const frame = four
      ? ethernet(
          bravo.mac,
          mallory.mac,
          EtherType.ipv4,
          ipv4({ source, destination, protocol: Protocol.udp, payload: text }),
        )
      : ethernet(
          bravo.mac,
          mallory.mac,
          EtherType.ipv6,
          ipv6({ source, destination, next: Protocol.udp, payload: text }),
        );
    return { what: `honest, to port ${port}`, frames: [frame], honest: true };
  }

  /** In mallory's own name, but for one to three bytes of its headers: what passes nearly every check. */
  #almostHonest(): Attack {
    const random = this.#random;
    const { mallory, bravo } = this.#cast;
    const [source4, source6] = [mallory.ipv4, mallory.ipv6];
    const say = (source: string, destination: string) =>
      udp({
        source,
        destination,
        sourcePort: 4000,
        port: random.pick(HONEST_PORTS),
        payload: this.#mark('omni-frames'),
      });
    const own = linkLayerOption(1, mallory.mac);
    const ask = icmpv6(source6, bravo.ipv6, solicitation(bravo.ipv6, own));
    const tell = icmpv6(source6, bravo.ipv6, advertisement(source6, 0x60, linkLayerOption(2, mallory.mac)));
    const six = (next: number, payload: Buffer, hopLimit = 255) =>
      ipv6({ source: source6, destination: bravo.ipv6, next, payload, hopLimit });
    const target = { targetMac: bravo.mac, targetIp: bravo.ipv4 };
    const [type, packet] = random.weighted<readonly [number, Buffer]>([
      [
        3,
        [
          EtherType.ipv4,
          ipv4({ source: source4, destination: bravo.ipv4, protocol: Protocol.udp, payload: say(source4, bravo.ipv4) }),
        ],
      ],
      [3, [EtherType.ipv6, six(Protocol.udp, say(source6, bravo.ipv6))]],
      [2, [EtherType.ipv6, six(Protocol.icmpv6, ask)]],
      [2, [EtherType.ipv6, six(Protocol.icmpv6, tell)]],
      [2, [EtherType.ipv6, six(...this.#chain(Protocol.icmpv6, tell))]],
      [
        2,
        [EtherType.arp, arp({ operation: random.pick([1, 2]), senderMac: mallory.mac, senderIp: source4, ...target })],
      ],
    ]);
    const frame = ethernet(bravo.mac, mallory.mac, ...this.#tags(type, packet));
    for (let change = random.below(3); change >= 0; change--) {
      const at = 12 + random.below(Math.min(frame.length, 90) - 12);
      frame[at] = random.chance(0.5) ? random.below(256) : (frame[at] ?? 0) ^ (1 << random.below(8));
      this.#note(`byte ${at} is ${frame[at]}`, 0);
    }
    return { what: `almost honest, ${this.#notes.join(', ')}`, frames: [frame], honest: false };
  }

  #frame(type: number, payload: Buffer): Buffer {
    const random = this.#random;
    const { bravo, charlie, mallory } = this.#cast;
    const to = random.weighted([
      [80, bravo.mac],
      [6, 'ff:ff:ff:ff:ff:ff'],
      [5, '33:33:00:00:00:01'],
      [2, `33:33:ff:00:00:0${1 + random.below(9)}`],
      [3, '01:00:5e:00:00:01'],
      [2, '01:80:c2:00:00:00'],
      [2, charlie.mac],
    ]);
    const from = random.weighted([
      [94, mallory.mac],
      [3, charlie.mac],
      [2, bravo.mac],
      [1, '02:00:00:00:00:07'],
    ]);
    if (to !== bravo.mac) this.#note(`to ${to}`, to);
    if (from !== mallory.mac) this.#note(`from ${from}`, from);
    const frame = ethernet(to, from, ...this.#tags(type, payload));
    if (random.chance(0.02)) return this.#note('cut short', frame.subarray(0, 14 + random.below(frame.length - 13)));
    if (random.chance(0.05)) return this.#note('padded', Buffer.concat([frame, random.bytes(1 + random.below(64))]));
    return frame.length > 1426 ? frame.subarray(0, 1426) : frame;
  }

  /** Wraps into 0 to 6 tags. */
  #tags(type: number, payload: Buffer): [number, Buffer] {
    const random = this.#random;
    const depth = random.weighted([
      [50, 0],
      [10, 1],
      [10, 2],
      [12, 3],
      [8, 4],
      [6, 5],
      [4, 6],
    ] as const);
    const zeros = random.chance(0.8);
    let [outer, inside] = [type, payload];
    for (let tag = 0; tag < depth; tag++) {
      const kind = random.weighted([
        [60, EtherType.vlan],
        [30, EtherType.qinq],
        [10, EtherType.oldQinq],
      ] as const);
      const id = zeros ? 0 : random.pick([0, 1, 5, 100, 4095]);
      inside = tagged((random.below(16) << 12) | id, outer, inside);
      outer = kind;
      this.#note(`tag ${kind.toString(16)}/${id}`, 0);
    }
    return [outer, inside];
  }

  #bodies(): { type: number; payload: Buffer }[] {
    const random = this.#random;
    const one = (type: number, payload: Buffer) => [{ type, payload }];
    return random.weighted<() => { type: number; payload: Buffer }[]>([
      [34, () => this.#ipv4Packets().map((payload) => ({ type: EtherType.ipv4, payload }))],
      [26, () => this.#ipv6Packets().map((payload) => ({ type: EtherType.ipv6, payload }))],
      [22, () => this.#discovery().map((payload) => ({ type: EtherType.ipv6, payload }))],
      [12, () => one(EtherType.arp, this.#arp())],
      [4, () => this.#otherType()],
      [2, () => this.#llc()],
    ])();
  }

  /** Half of them mallory's own name. */
  #source(family: 4 | 6): string {
    const own = family === 4 ? this.#cast.mallory.ipv4 : this.#cast.mallory.ipv6;
    const source = this.#random.chance(0.4) ? own : this.#random.pick(this.#sources[family]);
    return this.#note(`source ${source}`, source);
  }
  #destination(family: 4 | 6): string {
    const { bravo, charlie } = this.#cast;
    const [own, others] =
      family === 4
        ? [
            bravo.ipv4,
            ['255.255.255.255', '224.0.0.1', '224.0.0.251', '10.77.255.255', '127.0.0.1', charlie.ipv4, '192.0.2.2'],
          ]
        : [
            bravo.ipv6,
            ['ff02::1', 'ff02::fb', 'ff05::2', '::1', charlie.ipv6, linkLocalOf(bravo.mac), '::ffff:10.77.0.2'],
          ];
    const destination = this.#random.chance(0.8) ? own : this.#random.pick(others);
    if (destination !== own) this.#note(`destination ${destination}`, 0);
    return destination;
  }

  #udp(source: string, destination: string): Buffer {
    const random = this.#random;
    const [sourcePort, port] = [random.pick([4000, 53, 67, 547, PORT, 5353]), random.pick(PORTS)];
    const payload = port === 68 ? this.#offer(random.chance(0.5)) : this.#mark('omni-frames');
    return this.#note(`udp ${sourcePort} to ${port}`, udp({ source, destination, sourcePort, port, payload }));
  }

  /** A DHCP offer (RFC 2131), or the beginning of one. */
  #offer(whole: boolean): Buffer {
    const { mallory } = this.#cast;
    const header = Buffer.concat([Buffer.of(2, 1, 6, 0), u32(1), Buffer.alloc(8), ip('10.77.0.77'), ip(mallory.ipv4)]);
    const options = Buffer.from('6382536335010203040a4d0009ff', 'hex');
    return whole ? Buffer.concat([header, Buffer.alloc(240 - 4 - header.length), options]) : header;
  }

  #icmp(): Buffer {
    const random = this.#random;
    const { bravo, charlie } = this.#cast;
    const quoted = ipv4({
      source: bravo.ipv4,
      destination: random.pick([charlie.ipv4, this.#cast.alpha.ipv4, '192.0.2.1']),
      protocol: random.pick([Protocol.icmp, Protocol.udp]),
      payload: Buffer.concat([u16(PORT), u16(PORT), u16(100), u16(0)]),
    });
    const message = random.weighted<() => Buffer>([
      [3, () => this.#note('echo', Buffer.concat([Buffer.of(8, 0, 0, 0, 0, 1, 0, 1), this.#mark('echo')]))],
      [4, () => this.#note('too big', Buffer.concat([Buffer.of(3, 4, 0, 0, 0, 0), u16(552), quoted]))],
      [
        4,
        () =>
          this.#note(
            'redirect',
            Buffer.concat([Buffer.of(5, random.below(4), 0, 0), ip(this.#cast.mallory.ipv4), quoted]),
          ),
      ],
      [
        1,
        () =>
          this.#note('router', Buffer.concat([Buffer.of(9, 0, 0, 0, 1, 2, 7, 8), ip(this.#cast.mallory.ipv4), u32(1)])),
      ],
      [1, () => this.#note('unreachable', Buffer.concat([Buffer.of(3, random.below(16), 0, 0), u32(0), quoted]))],
      [1, () => this.#note('mask', Buffer.concat([Buffer.of(random.below(256), 0, 0, 0), random.bytes(16)]))],
    ])();
    return icmp(message);
  }

  /** Protocol and payload of something for IPv4; deeper ones are wrapped. */
  #above4(source: string, destination: string, depth = 0): [number, Buffer] {
    const random = this.#random;
    const wrapped = (protocol: number, name: string, inside: () => Buffer): [number, Buffer] => {
      if (depth > 2) return [protocol, random.bytes(40)];
      this.#note(name, 0);
      return [protocol, inside()];
    };
    const deeper = () => this.#plain4(depth + 1);
    return random.weighted<() => [number, Buffer]>([
      [50, () => [Protocol.udp, this.#udp(source, destination)]],
      [18, () => [Protocol.icmp, this.#icmp()]],
      [4, () => [Protocol.tcp, this.#tcp(source, destination)]],
      [6, () => wrapped(Protocol.ipip, 'ipip', deeper)],
      [6, () => wrapped(Protocol.ipv6, 'sit', () => this.#plain6(depth + 1))],
      [5, () => wrapped(Protocol.gre, 'gre', () => this.#gre(depth + 1))],
      [2, () => [2, this.#note('igmp', icmp(Buffer.concat([Buffer.of(0x11, 10, 0, 0), u32(0)])))]],
      [
        2,
        () => [
          Extension.ah,
          this.#note(
            'ah',
            Buffer.concat([Buffer.of(17, 4, 0, 0), u32(1), u32(1), random.bytes(12), this.#udp(source, destination)]),
          ),
        ],
      ],
      [2, () => [Extension.esp, this.#note('esp', random.bytes(48))]],
      [5, () => [this.#note('any protocol', random.below(256)), random.bytes(40)]],
    ])();
  }

  #plain4(depth: number): Buffer {
    const [source, destination] = [this.#source(4), this.#destination(4)];
    const [protocol, payload] = this.#above4(source, destination, depth);
    return ipv4({ source, destination, protocol, payload });
  }
  #plain6(depth: number): Buffer {
    const [source, destination] = [this.#source(6), this.#destination(6)];
    const [next, payload] = this.#above6(source, destination, depth);
    return ipv6({ source, destination, next, payload });
  }

  #gre(depth: number): Buffer {
    return this.#random.weighted<() => Buffer>([
      [3, () => Buffer.concat([u16(0), u16(EtherType.ipv4), this.#plain4(depth)])],
      [2, () => Buffer.concat([u16(0), u16(EtherType.ipv6), this.#plain6(depth)])],
      [1, () => Buffer.concat([u16(0), u16(0x6558), this.#frame(EtherType.arp, this.#arp())])],
    ])();
  }

  #tcp(source: string, destination: string): Buffer {
    const header = Buffer.concat([
      u16(4000),
      u16(this.#random.pick([22, 80, 9586])),
      u32(1),
      u32(0),
      Buffer.of(0x50, 2),
      u16(1000),
      u32(0),
    ]);
    // The checksum field of UDP is at 6, of TCP at 16: made by hand, over the same pseudo-header.
    const sum = icmpv6(source, destination, header).readUInt16BE(2);
    header.writeUInt16BE(sum, 16);
    return this.#note('tcp', header);
  }

  #options4(): Buffer {
    const random = this.#random;
    const { charlie } = this.#cast;
    return random.weighted<() => Buffer>([
      [80, () => Buffer.alloc(0)],
      [4, () => this.#note('options nop', Buffer.from('01010100', 'hex'))],
      [4, () => this.#note('options lsrr', Buffer.concat([Buffer.of(0x83, 7, 4), ip(charlie.ipv4), Buffer.of(0)]))],
      [3, () => this.#note('options ssrr', Buffer.concat([Buffer.of(0x89, 7, 8), ip(charlie.ipv4), Buffer.of(0)]))],
      [3, () => this.#note('options rr', Buffer.from('0707040000000000', 'hex'))],
      [3, () => this.#note('router alert', Buffer.from('94040000', 'hex'))],
      [3, () => this.#note('options junk', random.bytes(4 * (1 + random.below(10))))],
    ])();
  }

  #ipv4Packets(): Buffer[] {
    const random = this.#random;
    const [source, destination] = [this.#source(4), this.#destination(4)];
    const [protocol, payload] = this.#above4(source, destination);
    const base = {
      source,
      destination,
      protocol,
      options: this.#options4(),
      ttl: random.pick([1, 64, 255]),
      id: random.below(65536),
    };
    if (random.chance(0.03)) {
      const [version, totalLength] = [random.pick([0, 4, 5, 6, 15]), random.below(2 * (20 + payload.length))];
      return [ipv4({ ...base, payload, version, totalLength: this.#note('lengths lie', totalLength) })];
    }
    if (!random.chance(0.15)) return [ipv4({ ...base, payload, fragment: random.pick([0, 0x4000]) })];
    return this.#fragments(payload).map(({ offset, more, part }) =>
      ipv4({ ...base, payload: part, fragment: (offset / 8) | (more ? 0x2000 : 0) }),
    );
  }

  /** Two or three: in order or not, tiny first ones, overlaps. Offsets are multiples of 8. */
  #fragments(payload: Buffer): { offset: number; more: boolean; part: Buffer }[] {
    const random = this.#random;
    const cut = Math.min(8 * (1 + random.below(3)), Math.max(8, payload.length & ~7));
    const parts = [
      { offset: 0, more: true, part: payload.subarray(0, cut) },
      { offset: cut, more: false, part: payload.subarray(cut) },
    ];
    const overlap = {
      offset: 0,
      more: true,
      part: Buffer.concat([payload.subarray(0, 8), random.bytes(Math.max(0, cut - 8))]),
    };
    const shape = random.below(4);
    this.#note(`fragments ${['in order', 'reversed', 'overlapping', 'first alone'][shape]}`, 0);
    if (shape === 1) return parts.reverse();
    if (shape === 2) return [overlap, ...parts];
    return shape === 3 ? parts.slice(0, 1) : parts;
  }

  #icmp6(source: string, destination: string): Buffer {
    const random = this.#random;
    const { bravo, charlie } = this.#cast;
    const quoted = ipv6({
      source: bravo.ipv6,
      destination: random.pick([charlie.ipv6, this.#cast.alpha.ipv6]),
      next: Protocol.icmpv6,
      payload: Buffer.from('8000000000010001', 'hex'),
    });
    const body = random.weighted<() => Buffer>([
      [2, () => this.#note('echo', Buffer.concat([Buffer.of(128, 0, 0, 0, 0, 1, 0, 1), this.#mark('echo')]))],
      [3, () => this.#note('too big', Buffer.concat([Buffer.of(2, 0, 0, 0), u32(1280), quoted]))],
      [1, () => this.#note('unreachable', Buffer.concat([Buffer.of(1, random.below(7), 0, 0), u32(0), quoted]))],
      [1, () => this.#note('mld', Buffer.concat([Buffer.of(130, 0, 0, 0), u32(0), Buffer.alloc(16)]))],
      [1, () => this.#note('any type', Buffer.concat([Buffer.of(random.below(256), 0, 0, 0), random.bytes(24)]))],
    ])();
    return icmpv6(source, destination, body);
  }

  #above6(source: string, destination: string, depth = 0): [number, Buffer] {
    const random = this.#random;
    const wrap = (inside: () => Buffer) => (depth > 2 ? random.bytes(40) : inside());
    return random.weighted<() => [number, Buffer]>([
      [55, () => [Protocol.udp, this.#udp(source, destination)]],
      [15, () => [Protocol.icmpv6, this.#icmp6(source, destination)]],
      [4, () => [Protocol.tcp, this.#tcp(source, destination)]],
      [
        6,
        () => [
          Protocol.ipip,
          this.#note(
            'ipv4 in ipv6',
            wrap(() => this.#plain4(depth + 1)),
          ),
        ],
      ],
      [
        6,
        () => [
          Protocol.ipv6,
          this.#note(
            'ipv6 in ipv6',
            wrap(() => this.#plain6(depth + 1)),
          ),
        ],
      ],
      [
        4,
        () => [
          Protocol.gre,
          this.#note(
            'gre',
            wrap(() => this.#gre(depth + 1)),
          ),
        ],
      ],
      [5, () => [this.#note('any protocol', random.below(256)), random.bytes(40)]],
    ])();
  }

  /** Puts 1 to 4 extension headers before what is there. */
  #chain(next: number, payload: Buffer): [number, Buffer] {
    const random = this.#random;
    let [type, inside] = [next, payload];
    for (let header = random.below(4); header >= 0; header--) {
      const kind = random.weighted([
        [4, Extension.hopByHop],
        [5, Extension.destination],
        [5, Extension.routing],
        [2, Extension.fragment],
        [2, Extension.ah],
        [1, Extension.esp],
        [1, Extension.mobility],
        [1, Extension.none],
        [1, 139],
        [1, 140],
      ] as const);
      inside = Buffer.concat([this.#extension(kind, type), inside]);
      type = kind;
      this.#note(`header ${kind}`, 0);
    }
    return [type, inside];
  }

  #extension(kind: number, next: number): Buffer {
    const random = this.#random;
    if (kind === Extension.fragment) return Buffer.concat([Buffer.of(next, 0), u16(0), u32(random.u32())]);
    if (kind === Extension.ah) return Buffer.concat([Buffer.of(next, 4, 0, 0), u32(1), u32(1), random.bytes(12)]);
    if (kind === Extension.routing) {
      const type = random.pick([0, 2, 3, 4]);
      const left = random.below(2);
      const segments = Buffer.concat([u32(0), ip(this.#cast.charlie.ipv6)]);
      // A segment routing header (RFC 8754): last entry 0, one segment.
      return Buffer.concat([Buffer.of(next, 2, this.#note(`routing ${type}`, type), left), segments]);
    }
    const padding = Buffer.from('010400000000', 'hex');
    return Buffer.concat([Buffer.of(next, 0), padding]);
  }

  #ipv6Packets(): Buffer[] {
    const random = this.#random;
    const [source, destination] = [this.#source(6), this.#destination(6)];
    let [next, payload] = this.#above6(source, destination);
    if (random.chance(0.4)) [next, payload] = this.#chain(next, payload);
    const base = { source, destination, hopLimit: random.pick([1, 64, 255]) };
    if (random.chance(0.03))
      return [ipv6({ ...base, next, payload, payloadLength: this.#note('length lies', random.below(100)) })];
    if (random.chance(0.1)) return this.#fragments6(base, next, payload);
    return [ipv6({ ...base, next, payload })];
  }

  #fragments6(
    base: { source: string; destination: string; hopLimit: number },
    next: number,
    payload: Buffer,
  ): Buffer[] {
    const id = this.#random.u32();
    return this.#fragments(payload).map(({ offset, more, part }) => {
      const header = Buffer.concat([Buffer.of(next, 0), u16(offset | (more ? 1 : 0)), u32(id)]);
      return ipv6({ ...base, next: Extension.fragment, payload: Buffer.concat([header, part]) });
    });
  }

  /** Neighbour discovery, plain and hidden. */
  #discovery(): Buffer[] {
    const random = this.#random;
    const { mallory, bravo, charlie, dave, alpha } = this.#cast;
    const own = random.chance(0.7);
    const source = own ? random.pick([mallory.ipv6, linkLocalOf(mallory.mac)]) : random.pick(this.#sources[6]);
    const destination = random.weighted([
      [8, bravo.ipv6],
      [2, 'ff02::1'],
      [1, linkLocalOf(bravo.mac)],
      [1, `ff02::1:ff00:${random.below(9)}`],
    ] as const);
    const target = random.pick([
      charlie.ipv6,
      alpha.ipv6,
      bravo.ipv6,
      dave.ipv6,
      'fd77::99',
      'fe80::1',
      linkLocalOf(charlie.mac),
      mallory.ipv6,
    ]);
    const address = random.weighted([
      [8, mallory.mac],
      [1, charlie.mac],
      [1, '02:00:00:00:00:09'],
    ] as const);
    const [slla, tlla] = [linkLayerOption(1, address), linkLayerOption(2, address)];
    const body = random.weighted<() => Buffer>([
      [
        5,
        () =>
          this.#note(`advertisement of ${target}`, advertisement(target, random.pick([0x20, 0x60, 0xa0, 0x00]), tlla)),
      ],
      [4, () => this.#note(`solicitation of ${target}`, solicitation(target, random.chance(0.8) ? slla : tlla))],
      [2, () => this.#note('router solicitation', Buffer.concat([Buffer.of(133, 0, 0, 0), u32(0), slla]))],
      [
        4,
        () =>
          this.#note(
            'router advertisement',
            routerAdvertisement(1800, Buffer.concat([slla, prefixOption('2001:db8:66::')])),
          ),
      ],
      [
        3,
        () =>
          this.#note(
            'redirect',
            redirect(random.pick([mallory.ipv6, linkLocalOf(mallory.mac), charlie.ipv6]), charlie.ipv6, tlla),
          ),
      ],
    ])();
    this.#note(`source ${source}`, 0);
    const message = icmpv6(source, destination, body);
    const base = { source, destination, hopLimit: random.chance(0.85) ? 255 : 64 };
    return random.weighted<() => Buffer[]>([
      [5, () => [ipv6({ ...base, next: Protocol.icmpv6, payload: message })]],
      [4, () => this.#hidden(base, message)],
      [2, () => this.#fragments6(base, Protocol.icmpv6, message)],
    ])();
  }

  #hidden(base: { source: string; destination: string; hopLimit: number }, message: Buffer): Buffer[] {
    const [next, payload] = this.#chain(Protocol.icmpv6, message);
    return [ipv6({ ...base, next, payload })];
  }

  #arp(): Buffer {
    const random = this.#random;
    const { mallory, bravo, charlie } = this.#cast;
    const all = [mallory.ipv4, ...this.#sources[4]];
    const [senderIp, targetIp] = [random.pick(all), random.chance(0.6) ? bravo.ipv4 : random.pick(all)];
    const senderMac = random.weighted([
      [7, mallory.mac],
      [2, charlie.mac],
      [1, '02:00:00:00:00:09'],
    ] as const);
    const operation = random.weighted([
      [5, 1],
      [5, 2],
      [1, random.below(20)],
    ] as const);
    const gratuitous = random.chance(0.2);
    const target = {
      targetMac: random.pick([bravo.mac, '00:00:00:00:00:00', 'ff:ff:ff:ff:ff:ff']),
      targetIp: gratuitous ? senderIp : targetIp,
    };
    this.#note(`arp ${operation} of ${senderIp} at ${senderMac} for ${target.targetIp}`, 0);
    const message = arp({ operation, senderMac, senderIp, ...target });
    if (random.chance(0.05)) message[this.#note('odd arp', random.below(8))] = random.below(256);
    return message;
  }

  #otherType(): { type: number; payload: Buffer }[] {
    const random = this.#random;
    const labels = Buffer.concat([u32(0x3e8 << 12), u32(0x000100 | 64)]);
    return random.weighted<() => { type: number; payload: Buffer }[]>([
      [2, () => [{ type: this.#note('mpls', 0x8847), payload: Buffer.concat([labels, this.#plain4(1)]) }]],
      [
        2,
        () => [
          {
            type: this.#note('pppoe', 0x8864),
            payload: Buffer.concat([Buffer.of(0x11, 0, 0, 1), u16(60), u16(0x21), this.#plain4(1)]),
          },
        ],
      ],
      [1, () => [{ type: 0x88b5, payload: random.bytes(80) }]],
      [1, () => [{ type: 0x8035, payload: this.#arp() }]],
      [1, () => [{ type: 0x88e5, payload: random.bytes(60) }]],
      [1, () => [{ type: 0x22f0, payload: this.#plain4(1) }]],
      [2, () => [{ type: 0x0600 + random.below(0xf9ff), payload: this.#plain6(1) }]],
    ])();
  }

  /** 802.3 with a length instead of a type, and SNAP (RFC 1042). */
  #llc(): { type: number; payload: Buffer }[] {
    const inside = this.#random.chance(0.5) ? this.#plain4(1) : this.#arp();
    const type = inside.length === 28 ? EtherType.arp : EtherType.ipv4;
    const payload = Buffer.concat([Buffer.from('aaaa03000000', 'hex'), u16(type), inside]);
    return [{ type: this.#note('snap', Math.min(payload.length, 1500)), payload }];
  }
}
