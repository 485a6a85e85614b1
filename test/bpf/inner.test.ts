import { randomBytes } from 'node:crypto';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { type Arp, arp, datagram, ethernet, inner, ipv4, mac, ndMessage, sealed } from './frames.ts';
import { four, fragment, icmpv6, MINE, OTHERS, options, six, THEIRS, tagged, udp } from './inner-frames.ts';
import { Lab, PORT, words, XDP_DROP, XDP_REDIRECT } from './lab.ts';

/** Frames that an authenticated peer sends: which of them the stack gets to see, and why the others are dropped. */

const PEER = 7n;
const OTHER_PEER = 8n;
const ID = 0x8877665544332211n;
const KEY = randomBytes(32);
/** EUI-64 of THEIRS. */
const LINK_LOCAL = 'fe80::ff:fe00:2';

let lab: Lab;
let counter = 0n;
beforeAll(async () => {
  lab = await Lab.open({}, ['omni_ingress']);
});
afterAll(() => lab?.close());
beforeEach(() => {
  lab.clear();
  lab.setPolicy('deny');
  lab.setSubnet('10.77.0.0', 16);
  lab.setSubnet('fd77::', 64);
  lab.setFdb(THEIRS, PEER);
  lab.setFdb(OTHERS, OTHER_PEER);
  lab.setNeighbour('10.77.0.2', THEIRS);
  lab.setNeighbour('10.77.0.3', OTHERS);
  lab.setNeighbour('fd77::2', THEIRS);
  lab.setNeighbour('fd77::3', OTHERS);
  lab.setSession(ID, { peer: PEER, rxKey: words(KEY) });
  lab.setRoles(PEER, []);
});

/** `pass`, or the reasons under which it was dropped. */
async function verdict(frame: Uint8Array): Promise<string> {
  const packet = datagram({ port: PORT, payload: sealed(KEY, ID, counter++, frame) });
  const refusedBefore = lab.refused(PEER);
  const { result, drops, stats } = await lab.counted(() => lab.run('omni_ingress', packet));
  if (result.retval === XDP_REDIRECT) {
    expect(Buffer.compare(result.data, frame)).toBe(0);
    expect({ drops, stats }).toEqual({ drops: {}, stats: { rxPackets: 1, rxBytes: frame.length } });
    return 'pass';
  }
  expect({ verdict: result.retval, stats }).toEqual({ verdict: XDP_DROP, stats: {} });
  const reasons = Object.keys(drops);
  // A path message that is malformed is no frame.
  if (!reasons.includes('path')) {
    const refused = Object.entries(lab.refused(PEER)).map(([reason, count]) => {
      return [reason, count - (refusedBefore[reason as keyof typeof refusedBefore] ?? 0)] as const;
    });
    expect(Object.fromEntries(refused.filter(([, count]) => count > 0))).toEqual(drops);
  }
  return reasons.join(' ');
}

type Row = readonly [what: string, frame: Buffer, verdict: string];
function table(rows: readonly Row[]): void {
  it.each(rows)('%s', async (_, frame, expected) => {
    expect(await verdict(frame)).toBe(expected);
  });
}

const arpOf = (more: Partial<Arp>) =>
  arp(MINE, THEIRS, { operation: 1, senderMac: THEIRS, sender: '10.77.0.2', target: '10.77.0.1', ...more });
const option = (type: number, owner = THEIRS) => ({ type, mac: owner });
const advert = (target: string, owner = THEIRS) =>
  icmpv6('fd77::2', ndMessage(136, 0x60000000, target, option(2, owner)));
const solicit = (from: string, target: string, owner = THEIRS) =>
  icmpv6(from, ndMessage(135, 0, target, option(1, owner)));
const echo = Buffer.from('8000000000000000', 'hex');
const PAD = '010400000000';

describe('tags', () => {
  const spoofs: readonly (readonly [string, Buffer, string])[] = [
    ['ARP', arpOf({ sender: '10.77.0.3' }), 'innerNeighbour'],
    ['IPv4', four({ from: '10.77.0.3' }), 'innerSource'],
    ['IPv6', six({ from: 'fd77::3' }), 'innerSource'],
  ];
  const honest: readonly (readonly [string, Buffer])[] = [
    ['ARP', arpOf({})],
    ['IPv4', four()],
    ['IPv6', six()],
  ];
  for (const count of [0, 1, 2, 3, 4, 5]) {
    for (const type of [0x8100, 0x88a8]) {
      const types = new Array<number>(count).fill(type);
      const label = `${count} of ${type.toString(16)}`;
      table(
        honest.map(([what, frame]) => [`${label}: ${what}`, tagged(frame, types), count > 2 ? 'innerTags' : 'pass']),
      );
      table(
        spoofs.map(([what, frame, reason]) => [
          `${label}: ${what} of another's`,
          tagged(frame, types),
          count > 2 ? 'innerTags' : reason,
        ]),
      );
    }
  }
  const cut = (length: number, types: readonly number[]) => tagged(four(), types).subarray(0, length);
  table([
    ['with a VLAN', tagged(four(), [0x88a8, 0x8100], 100), 'pass'],
    ['a tag cut short', cut(17, [0x8100]), 'innerTags'],
    ['a second tag cut short', cut(21, [0x88a8, 0x8100]), 'innerTags'],
    ['a tag with nothing behind it', cut(18, [0x8100]), 'innerHeader'],
    ['0x9100', tagged(four(), [0x9100]), 'innerEthertype'],
    ['a path message in a tag', tagged(ethernet(MINE, THEIRS, 0x88b5, Buffer.alloc(64)), [0x8100]), 'innerEthertype'],
    ['a path message that is malformed', ethernet(MINE, THEIRS, 0x88b5, Buffer.alloc(8)), 'path'],
  ]);
});

describe('MACs', () => {
  table([
    ['another peer’s', inner(MINE, OTHERS, '10.77.0.3', '10.77.0.1'), 'innerSource'],
    ['one that nobody has', inner(MINE, '02:00:00:00:00:77', '10.77.0.2', '10.77.0.1'), 'innerSource'],
    ['broadcast', inner('ff:ff:ff:ff:ff:ff', THEIRS, '10.77.0.2', '10.77.255.255'), 'multicast'],
    ['a group', inner('01:00:5e:00:00:fb', THEIRS, '10.77.0.2', '224.0.0.251'), 'multicast'],
    ['an ARP question to all', Buffer.concat([mac('ff:ff:ff:ff:ff:ff'), arpOf({}).subarray(6)]), 'multicast'],
    [
      'a message of the agent’s to a group',
      ethernet('33:33:00:00:00:01', THEIRS, 0x88b6, Buffer.alloc(8)),
      'multicast',
    ],
  ]);
  it('thirteen bytes', async () => {
    expect(await verdict(Buffer.alloc(13))).toBe('innerMalformed');
  });
});

describe('EtherTypes', () => {
  const of = (type: number, length = 50) => ethernet(MINE, THEIRS, type, Buffer.alloc(length));
  table([
    ['an agent’s message', of(0x88b6), 'pass'],
    ['802.3 length, as LLC and SNAP have', of(0x0032), 'innerEthertype'],
    ['MPLS', of(0x8847), 'innerEthertype'],
    ['PPPoE', of(0x8864), 'innerEthertype'],
    ['MACsec', of(0x88e5), 'innerEthertype'],
    ['transparent bridging', of(0x6558), 'innerEthertype'],
    ['LLDP', of(0x88cc), 'innerEthertype'],
    ['PROFINET, which is not listed', of(0x8892), 'innerEthertype'],
  ]);
  it('those that the Cluster lists pass, tagged too', async () => {
    lab.setPolicy('deny', [0x8892, 1, 2, 3, 4, 5, 6, 0x88f7]);
    for (const type of [0x8892, 0x88f7]) {
      expect(await verdict(of(type))).toBe('pass');
      expect(await verdict(of(type, 0))).toBe('pass');
      expect(await verdict(tagged(of(type), [0x8100]))).toBe('pass');
    }
    expect(await verdict(of(0x88cc))).toBe('innerEthertype');
    expect(await verdict(of(0))).toBe('innerEthertype');
  });
});

describe('IPv4', () => {
  const alert = Buffer.from('94040000', 'hex');
  const igmp = Buffer.from('1100eeff00000000', 'hex');
  const register = Buffer.concat([Buffer.from('1401000010000000', 'hex'), four({ from: '10.77.0.3' }).subarray(14)]);
  table([
    ['UDP', four(), 'pass'],
    ['padded', Buffer.concat([four(), Buffer.alloc(9)]), 'pass'],
    ['a header cut short', four().subarray(0, 33), 'innerHeader'],
    ['longer than the frame', four({ totalLength: 33 }), 'innerHeader'],
    ['shorter than its header', four({ totalLength: 19 }), 'innerHeader'],
    ['no length, as a stack’s own segments have', four({ totalLength: 0 }), 'innerHeader'],
    ['version 6', four({ first: 0x65 }), 'innerHeader'],
    ['a header of 16 bytes', four({ first: 0x44 }), 'innerHeader'],
    ['loose source route', four({ options: Buffer.from('8303040a', 'hex') }), 'innerHeader'],
    ['record route', four({ options: Buffer.from('0703040a', 'hex') }), 'innerHeader'],
    ['no operation', four({ options: Buffer.from('01010101', 'hex') }), 'innerHeader'],
    ['IGMP', four({ protocol: 2, payload: igmp }), 'innerProtocol'],
    ['a register message of PIM version 1, in IGMP', four({ protocol: 2, payload: register }), 'innerProtocol'],
    ['IGMP with Router Alert', four({ protocol: 2, payload: igmp, options: alert }), 'innerHeader'],
    ['UDP with Router Alert', four({ options: alert }), 'innerHeader'],
    ['to a group', four({ to: '224.0.0.251' }), 'multicast'],
    ['to loopback', four({ to: '127.0.0.1' }), 'innerHeader'],
    ['to all', four({ to: '255.255.255.255' }), 'multicast'],
    ['an upper layer cut short', four({ payload: Buffer.alloc(7) }), 'innerHeader'],
    [
      'UDP that only padding completes',
      Buffer.concat([four({ payload: Buffer.alloc(7) }), Buffer.alloc(9)]),
      'innerHeader',
    ],
  ]);

  const protocols: readonly (readonly [number, string])[] = [
    ...[1, 6, 17, 33, 50, 89, 112, 132, 136].map((protocol) => [protocol, 'pass'] as const),
    ...[0, 4, 41, 43, 44, 46, 47, 51, 58, 59, 60, 94, 97, 98, 103, 108, 115, 135, 137, 139, 140, 143, 253, 255].map(
      (protocol) => [protocol, 'innerProtocol'] as const,
    ),
  ];
  table(
    protocols.map(([protocol, expected]) => [
      `protocol ${protocol}`,
      four({ protocol, payload: Buffer.alloc(24) }),
      expected,
    ]),
  );
});

describe('fragments of IPv4', () => {
  table([
    ['a first one', four({ fragment: 0x2000 }), 'pass'],
    ['a later one', four({ fragment: 0x2001 }), 'pass'],
    ['a last one, of a byte', four({ fragment: 0x0001, payload: Buffer.alloc(1) }), 'pass'],
    ['a later one of another’s', four({ fragment: 0x2001, from: '10.77.0.3' }), 'innerSource'],
    ['a later one of a tunnel', four({ fragment: 0x2001, protocol: 4 }), 'innerProtocol'],
    ['a first one without ports', four({ fragment: 0x2000, payload: udp(4000, PORT, 3) }), 'innerHeader'],
    ['a first one to the agent', four({ fragment: 0x2000, payload: udp(4000, PORT) }), 'innerAgent'],
    ['a later one that looks like one to the agent', four({ fragment: 0x2001, payload: udp(4000, PORT) }), 'pass'],
  ]);
});

describe('UDP', () => {
  const DCCP = 33;
  table([
    ['to the agent', four({ payload: udp(4000, PORT) }), 'innerAgent'],
    ['to the agent by whichever address', four({ to: '192.0.2.1', payload: udp(4000, PORT) }), 'innerAgent'],
    ['to the agent, IPv6', six({ payload: udp(4000, PORT) }), 'innerAgent'],
    ['to the agent, behind options', six({ extensions: [options(PAD)], payload: udp(4000, PORT) }), 'innerAgent'],
    [
      'to the agent, a first fragment',
      six({ extensions: [fragment(0, true)], payload: udp(4000, PORT) }),
      'innerAgent',
    ],
    [
      'to the agent, a whole fragment',
      six({ extensions: [fragment(0, false)], payload: udp(4000, PORT) }),
      'innerAgent',
    ],
    ['from that port', four({ payload: udp(PORT, 9999) }), 'pass'],
    ['UDP-Lite, which is another socket’s', four({ protocol: 136, payload: udp(4000, PORT) }), 'pass'],
    ['DCCP, likewise', four({ protocol: DCCP, payload: Buffer.concat([udp(4000, PORT), Buffer.alloc(8)]) }), 'pass'],
    ['a DHCP server’s', four({ payload: udp(67, 68) }), 'innerDhcp'],
    ['from a DHCP server’s port', four({ payload: udp(67, 4000) }), 'innerDhcp'],
    ['to a DHCP client from elsewhere', four({ payload: udp(4000, 68) }), 'innerDhcp'],
    ['a DHCP client’s', four({ payload: udp(68, 67) }), 'pass'],
    ['a DHCPv6 server’s', six({ payload: udp(547, 546) }), 'innerDhcp'],
    ['to a DHCPv6 client from elsewhere', six({ payload: udp(4000, 546) }), 'innerDhcp'],
    ['a DHCPv6 client’s', six({ payload: udp(546, 547) }), 'pass'],
    ['DHCP’s ports in IPv6', six({ payload: udp(67, 68) }), 'pass'],
  ]);
  it('of a declared DHCP server', async () => {
    lab.setRoles(PEER, ['dhcpServer']);
    expect(await verdict(four({ payload: udp(67, 68) }))).toBe('pass');
    expect(await verdict(six({ payload: udp(547, 546) }))).toBe('pass');
    expect(await verdict(four({ payload: udp(67, PORT) }))).toBe('innerAgent');
    expect(await verdict(four({ payload: udp(67, 68), from: '10.77.0.3' }))).toBe('innerSource');
  });
  it('a router is no DHCP server', async () => {
    lab.setRoles(PEER, ['router']);
    expect(await verdict(four({ payload: udp(67, 68) }))).toBe('innerDhcp');
  });
});

describe('IPv6', () => {
  const ALERT = '050200000100';
  const hop = options(ALERT, 0);
  const routing = { type: 43, rest: Buffer.from('00040000000000', 'hex') };
  const authentication = { type: 51, rest: Buffer.from('0400000000000000000000000000000000000000000000', 'hex') };
  table([
    ['UDP', six(), 'pass'],
    ['padded', Buffer.concat([six(), Buffer.alloc(9)]), 'pass'],
    ['a header cut short', six().subarray(0, 53), 'innerHeader'],
    ['longer than the frame', six({ payloadLength: 13 }), 'innerHeader'],
    ['a jumbogram’s length', six({ payloadLength: 0 }), 'innerHeader'],
    ['version 4', six({ first: 0x45 }), 'innerHeader'],
    ['an upper layer cut short', six({ payload: Buffer.alloc(7) }), 'innerHeader'],
    ['to a group', six({ to: 'ff02::fb' }), 'multicast'],
    ['to loopback', six({ to: '::1' }), 'innerHeader'],
    ['to an IPv4 address', six({ to: '127.0.0.1' }), 'innerHeader'],

    ['hop-by-hop options', six({ extensions: [hop] }), 'pass'],
    ['destination options', six({ extensions: [options(PAD)] }), 'pass'],
    ['destination options of 16 bytes', six({ extensions: [options('010c000000000000000000000000')] }), 'pass'],
    ['six bytes of padding', six({ extensions: [options('000000000000')] }), 'pass'],
    [
      'hop-by-hop, destination options, a fragment',
      six({ extensions: [hop, options(PAD), fragment(0, false)] }),
      'pass',
    ],
    ['four of them', six({ extensions: [hop, options(PAD), options(PAD), options(PAD)] }), 'innerHeader'],
    ['hop-by-hop options that are not first', six({ extensions: [options(PAD), hop] }), 'innerHeader'],
    ['hop-by-hop options twice', six({ extensions: [hop, hop] }), 'innerHeader'],
    ['two fragment headers', six({ extensions: [fragment(0, false), fragment(0, false)] }), 'innerHeader'],
    [
      'options longer than the packet',
      six({ extensions: [{ type: 60, rest: Buffer.from('02010400000000', 'hex') }], payload: Buffer.alloc(8) }),
      'innerHeader',
    ],
    ['an option longer than its header', six({ extensions: [options('010500000000')] }), 'innerHeader'],
    ['a jumbo payload option', six({ extensions: [options('c20400010000', 0)] }), 'innerHeader'],
    [
      'a home address',
      six({ extensions: [options(`c910${'fd770000000000000000000000000003'}01020000`.slice(0, 44))] }),
      'innerHeader',
    ],
    ['Router Alert among destination options', six({ extensions: [options(ALERT)] }), 'innerHeader'],
    ['an unknown option', six({ extensions: [options('1e0400000000')] }), 'innerHeader'],
    ['a routing header', six({ extensions: [routing] }), 'innerHeader'],
    ['an authentication header', six({ extensions: [authentication] }), 'innerHeader'],
    ['mobility', six({ protocol: 135 }), 'innerHeader'],
    ['nothing behind the header', six({ protocol: 59, payload: Buffer.alloc(8) }), 'innerProtocol'],
    [
      'nothing behind options',
      six({ extensions: [options(PAD)], protocol: 59, payload: Buffer.alloc(8) }),
      'innerProtocol',
    ],
  ]);

  const protocols: readonly (readonly [number, string])[] = [
    ...[6, 17, 33, 50, 89, 112, 132, 136].map((protocol) => [protocol, 'pass'] as const),
    ...[1, 2, 4, 41, 47, 97, 103, 108, 115, 137, 143, 253].map((protocol) => [protocol, 'innerProtocol'] as const),
    ...[43, 51, 139, 140].map((protocol) => [protocol, 'innerHeader'] as const),
  ];
  const payload = Buffer.alloc(40);
  table(protocols.map(([protocol, expected]) => [`protocol ${protocol}`, six({ protocol, payload }), expected]));
  table(
    protocols.map(([protocol, expected]) => [
      `protocol ${protocol} behind options`,
      six({ extensions: [options(PAD)], protocol, payload }),
      expected,
    ]),
  );
});

describe('fragments of IPv6', () => {
  table([
    ['a first one', six({ extensions: [fragment(0, true)] }), 'pass'],
    ['a whole one', six({ extensions: [fragment(0, false)] }), 'pass'],
    ['a later one', six({ extensions: [fragment(8, true)] }), 'pass'],
    ['a later one of options', six({ extensions: [fragment(8, true)], protocol: 60 }), 'pass'],
    ['a last one, of a byte', six({ extensions: [fragment(8, false)], payload: Buffer.alloc(1) }), 'pass'],
    ['a later one of another’s', six({ extensions: [fragment(8, false)], from: 'fd77::3' }), 'innerSource'],
    ['a later one of a tunnel', six({ extensions: [fragment(8, true)], protocol: 41 }), 'innerProtocol'],
    ['a later one of a routing header', six({ extensions: [fragment(8, true)], protocol: 43 }), 'innerHeader'],
    [
      'a first one whose headers end in the next',
      six({ extensions: [fragment(0, true)], protocol: 60, payload: Buffer.from('3a02010400000000', 'hex') }),
      'innerHeader',
    ],
    [
      'a first one with seven bytes of UDP',
      six({ extensions: [fragment(0, true)], payload: Buffer.alloc(7) }),
      'innerHeader',
    ],
  ]);
});

describe('sources', () => {
  table([
    ['its own', four(), 'pass'],
    ['another peer’s', four({ from: '10.77.0.3' }), 'innerSource'],
    ['this node’s, or a suspended peer’s', four({ from: '10.77.0.1' }), 'innerSource'],
    ['one of the subnet that nobody declares', four({ from: '10.77.0.99' }), 'innerSource'],
    ['outside the subnets', four({ from: '192.0.2.3' }), 'innerForeign'],
    ['another peer’s, IPv6', six({ from: 'fd77::3' }), 'innerSource'],
    ['one of the subnet that nobody declares, IPv6', six({ from: 'fd77::99' }), 'innerSource'],
    ['outside the subnets, IPv6', six({ from: '2001:db8::1' }), 'innerForeign'],
  ]);

  const never = [
    ...['0.0.0.0', '0.1.2.3', '127.0.0.1', '127.9.9.9', '224.0.0.1', '240.0.0.1', '255.255.255.255'].map((from) =>
      four({ from }),
    ),
    ...[
      '::',
      '::1',
      '::ffff:10.77.0.2',
      '::ffff:10.77.0.3',
      '::ffff:192.0.2.1',
      '::10.77.0.3',
      '::ffff:0:a4d:3',
      'ff02::1',
      'ff0e::1',
    ].map((from) => {
      // Written as IPv6 whatever its value.
      const frame = six();
      frame.set(sixteen(from), 22);
      return frame;
    }),
    ...['fe80::2', LINK_LOCAL, 'febf::1'].map((from) => six({ from })),
  ];
  it.each(['unset', 'deny', 'allow'] as const)('no source under %s', async (foreign) => {
    lab.setPolicy(foreign);
    for (const frame of never) expect(await verdict(frame)).toBe('innerSource');
  });
  it.each([
    ['unset', 'innerForeign'],
    ['deny', 'innerForeign'],
    ['allow', 'pass'],
  ] as const)('foreign ones under %s', async (foreign, expected) => {
    lab.setPolicy(foreign);
    for (const from of ['8.8.8.8', '10.78.0.1', '169.254.1.1', '192.0.2.3']) {
      expect(await verdict(four({ from }))).toBe(expected);
    }
    for (const from of ['2001:db8::1', 'fd78::1', '64:ff9b::a4d:3'])
      expect(await verdict(six({ from }))).toBe(expected);
    // What is declared, and what the subnets hold, is as ever.
    expect(await verdict(four())).toBe('pass');
    expect(await verdict(six())).toBe('pass');
    expect(await verdict(four({ from: '10.77.0.3' }))).toBe('innerSource');
    expect(await verdict(four({ from: '10.77.0.1' }))).toBe('innerSource');
    expect(await verdict(six({ from: 'fd77::99' }))).toBe('innerSource');
  });
  it('declared ones flow while maps of an older build hold no policy and no subnets', async () => {
    lab.clear();
    lab.setPolicy();
    lab.setFdb(THEIRS, PEER);
    lab.setNeighbour('10.77.0.2', THEIRS);
    lab.setNeighbour('fd77::2', THEIRS);
    lab.setSession(ID, { peer: PEER, rxKey: words(KEY) });
    for (const frame of [four(), six(), arpOf({}), advert('fd77::2')]) expect(await verdict(frame)).toBe('pass');
    expect(await verdict(four({ from: '10.77.0.99' }))).toBe('innerForeign');
  });
  it('a peer’s address, from the MAC of its other key', async () => {
    lab.setFdb('02:00:00:00:00:22', PEER);
    lab.setNeighbour('10.77.0.2', '02:00:00:00:00:22');
    expect(await verdict(four())).toBe('pass');
    expect(await verdict(arpOf({}))).toBe('pass');
  });
});

describe('ARP', () => {
  const with16 = (at: number, value: number) => {
    const frame = arpOf({});
    frame.writeUInt16BE(value, at);
    return frame;
  };
  table([
    ['a question', arpOf({}), 'pass'],
    ['an answer', arpOf({ operation: 2, targetMac: MINE }), 'pass'],
    ['padded', Buffer.concat([arpOf({}), Buffer.alloc(18)]), 'pass'],
    ['an announcement', arpOf({ target: '10.77.0.2' }), 'pass'],
    ['a probe for its own', arpOf({ sender: '0.0.0.0', target: '10.77.0.2' }), 'pass'],
    ['a probe for another’s', arpOf({ sender: '0.0.0.0', target: '10.77.0.3' }), 'innerNeighbour'],
    ['a probe for what nobody declares', arpOf({ sender: '0.0.0.0', target: '10.77.0.99' }), 'innerNeighbour'],
    ['an answer of nobody', arpOf({ operation: 2, sender: '0.0.0.0', target: '10.77.0.2' }), 'innerNeighbour'],
    ['another’s address', arpOf({ sender: '10.77.0.3' }), 'innerNeighbour'],
    ['this node’s address', arpOf({ sender: '10.77.0.1' }), 'innerNeighbour'],
    ['an address that nobody declares', arpOf({ sender: '10.77.0.99' }), 'innerNeighbour'],
    ['a foreign address', arpOf({ sender: '192.0.2.1' }), 'innerNeighbour'],
    ['another MAC than the frame’s', arpOf({ senderMac: OTHERS }), 'innerNeighbour'],
    ['RARP’s question', arpOf({ operation: 3 }), 'innerNeighbour'],
    ['InARP’s question', arpOf({ operation: 8 }), 'innerNeighbour'],
    ['no operation', arpOf({ operation: 0 }), 'innerNeighbour'],
    ['cut short', arpOf({}).subarray(0, 41), 'innerNeighbour'],
    ['for other hardware', with16(14, 6), 'innerNeighbour'],
    ['of another protocol', with16(16, 0x86dd), 'innerNeighbour'],
    ['with other lengths', with16(18, 0x0804), 'innerNeighbour'],
    [
      'of the type of RARP',
      Buffer.concat([arpOf({}).subarray(0, 12), Buffer.from('8035', 'hex'), arpOf({}).subarray(14)]),
      'innerEthertype',
    ],
  ]);
  it('foreign addresses are no neighbours where they are sources either', async () => {
    lab.setPolicy('allow');
    expect(await verdict(arpOf({ sender: '192.0.2.1' }))).toBe('innerNeighbour');
  });
});

describe('neighbour discovery', () => {
  const raw = (hex: string) => Buffer.from(hex, 'hex');
  const behind = (message: Uint8Array, extensions: readonly ReturnType<typeof options>[]) =>
    six({ extensions, protocol: 58, payload: message, hopLimit: 255 });
  const message = ndMessage(136, 0x60000000, 'fd77::2', option(2));
  table([
    ['an advertisement', advert('fd77::2'), 'pass'],
    ['an advertisement without options', icmpv6('fd77::2', ndMessage(136, 0, 'fd77::2')), 'pass'],
    ['a solicitation', solicit('fd77::2', 'fd77::1'), 'pass'],
    [
      'a solicitation to its target’s group',
      icmpv6('fd77::2', ndMessage(135, 0, 'fd77::1', option(1)), { to: 'ff02::1:ff00:1' }),
      'pass',
    ],
    [
      'an advertisement to all',
      icmpv6('fd77::2', ndMessage(136, 0, 'fd77::2', option(2)), { to: 'ff02::1' }),
      'multicast',
    ],
    ['whether its own address is free', icmpv6('::', ndMessage(135, 0, 'fd77::2'), { to: 'ff02::1:ff00:2' }), 'pass'],
    ['whether another’s is', icmpv6('::', ndMessage(135, 0, 'fd77::3'), { to: 'ff02::1:ff00:3' }), 'innerNeighbour'],
    ['whether this node’s is', icmpv6('::', ndMessage(135, 0, 'fd77::1'), { to: 'ff02::1:ff00:1' }), 'innerNeighbour'],
    ['for an IPv4 address', icmpv6('::', ndMessage(135, 0, '10.77.0.2'), { to: 'ff02::1:ff00:2' }), 'innerNeighbour'],
    ['who the router is', icmpv6('fd77::2', raw('8500000000000000')), 'pass'],
    ['who the router is, of nobody', icmpv6('::', raw('8500000000000000')), 'pass'],
    ['an advertisement of nobody', icmpv6('::', message), 'innerSource'],
    ['an advertisement for another', advert('fd77::3'), 'innerNeighbour'],
    ['an advertisement for this node', advert('fd77::1'), 'innerNeighbour'],
    ['an advertisement for what nobody declares', advert('fd77::99'), 'innerNeighbour'],
    ['an advertisement for an IPv4 address', advert('10.77.0.2'), 'innerNeighbour'],
    ['a solicitation of another', solicit('fd77::3', 'fd77::1'), 'innerSource'],
    ['an advertisement with another’s MAC', advert('fd77::2', OTHERS), 'innerNeighbour'],
    ['a solicitation with another’s MAC', solicit('fd77::2', 'fd77::1', OTHERS), 'innerNeighbour'],
    [
      'a second option with another’s MAC',
      icmpv6('fd77::2', Buffer.concat([message, raw('0201'), mac(OTHERS)])),
      'innerNeighbour',
    ],
    ['an unknown option', icmpv6('fd77::2', Buffer.concat([message, raw('0e01000000000000')])), 'pass'],
    ['an option of no length', icmpv6('fd77::2', Buffer.concat([message, raw('0e00000000000000')])), 'innerNeighbour'],
    [
      'an option longer than the message',
      icmpv6('fd77::2', Buffer.concat([message, raw('0e02000000000000')])),
      'innerNeighbour',
    ],
    [
      'a MAC of 16 bytes',
      icmpv6('fd77::2', Buffer.concat([ndMessage(136, 0, 'fd77::2'), raw('0202'), mac(THEIRS), Buffer.alloc(8)])),
      'innerNeighbour',
    ],
    ['half an option', icmpv6('fd77::2', Buffer.concat([message, raw('0e010000')])), 'innerNeighbour'],
    [
      'nine options',
      icmpv6('fd77::2', Buffer.concat([message, ...new Array<Buffer>(8).fill(raw('0e01000000000000'))])),
      'innerNeighbour',
    ],
    ['without a target', icmpv6('fd77::2', raw('8800000000000000')), 'innerNeighbour'],
    ['a hop away', icmpv6('fd77::2', message, { hopLimit: 254 }), 'innerNeighbour'],
    ['of another code', icmpv6('fd77::2', Buffer.concat([raw('8801'), message.subarray(2)])), 'innerNeighbour'],
    ['behind hop-by-hop options', behind(message, [options(PAD, 0)]), 'innerNeighbour'],
    ['behind destination options', behind(message, [options(PAD)]), 'innerNeighbour'],
    ['in a whole fragment', behind(message, [fragment(0, false)]), 'innerNeighbour'],
    ['in a first fragment', behind(message, [fragment(0, true)]), 'innerNeighbour'],
    ['in a first fragment of a byte', behind(message.subarray(0, 1), [fragment(0, true)]), 'innerNeighbour'],
    ['a redirect behind options', behind(raw('8900000000000000'), [options(PAD)]), 'innerNeighbour'],
    [
      'of nobody behind options',
      six({
        from: '::',
        extensions: [options(PAD)],
        protocol: 58,
        payload: ndMessage(135, 0, 'fd77::2'),
        hopLimit: 255,
      }),
      'innerSource',
    ],
    ['in IPv4', four({ protocol: 58, payload: message }), 'innerProtocol'],
    ['under two tags', tagged(advert('fd77::3'), [0x8100, 0x8100]), 'innerNeighbour'],
  ]);
});

describe('routers', () => {
  const advertisement = (from: string, owner = THEIRS) =>
    icmpv6(
      from,
      Buffer.concat([Buffer.from('86000000400007080000000000000000', 'hex'), Buffer.from('0101', 'hex'), mac(owner)]),
    );
  const redirect6 = icmpv6(
    LINK_LOCAL,
    Buffer.concat([Buffer.from('8900000000000000', 'hex'), sixteen(LINK_LOCAL), sixteen('2001:db8::1')]),
  );
  const redirect = four({
    protocol: 1,
    payload: Buffer.concat([Buffer.from('05010000', 'hex'), ipv4('10.77.0.2'), Buffer.alloc(28)]),
  });
  const irdp = four({ protocol: 1, payload: Buffer.from('0900000001020708', 'hex') });

  it('nobody is one, unless it is declared', async () => {
    expect(await verdict(advertisement(LINK_LOCAL))).toBe('innerSource');
    expect(await verdict(advertisement('fd77::2'))).toBe('innerRouter');
    expect(await verdict(redirect6)).toBe('innerSource');
    expect(await verdict(redirect)).toBe('innerRouter');
    expect(await verdict(irdp)).toBe('innerRouter');
    expect(await verdict(six({ from: LINK_LOCAL }))).toBe('innerSource');
  });
  it('a declared one', async () => {
    lab.setRoles(PEER, ['router']);
    for (const frame of [advertisement(LINK_LOCAL), advertisement('fd77::2'), redirect6, redirect, irdp]) {
      expect(await verdict(frame)).toBe('pass');
    }
    expect(await verdict(six({ from: LINK_LOCAL }))).toBe('pass');
    expect(await verdict(advert(LINK_LOCAL))).toBe('pass');
    expect(await verdict(six({ from: 'fe80::2' }))).toBe('innerSource');
    expect(await verdict(six({ from: 'fe80:0:0:1:0:ff:fe00:2' }))).toBe('innerSource');
    expect(await verdict(advert('fe80::2'))).toBe('innerNeighbour');
    expect(await verdict(advertisement(LINK_LOCAL, OTHERS))).toBe('innerNeighbour');
    // Its addresses are checked as anybody's.
    expect(await verdict(four({ from: '192.0.2.1' }))).toBe('innerForeign');
    expect(await verdict(advert('fd77::3'))).toBe('innerNeighbour');
  });
});

describe('ICMP errors speak of the packet that they quote', () => {
  const quoting = (type: number, to: string, length = 28) =>
    four({
      protocol: 1,
      payload: Buffer.concat([
        Buffer.from([type, 4, 0, 0, 0, 0, 2, 40]),
        four({ from: '10.77.0.1', to }).subarray(14, 14 + length),
      ]),
    });
  const quoting6 = (type: number, to: string, length = 48) =>
    icmpv6(
      'fd77::2',
      Buffer.concat([Buffer.from([type, 0, 0, 0, 0, 0, 5, 0]), six({ from: 'fd77::1', to }).subarray(14, 14 + length)]),
    );
  table([
    ...[3, 4, 11, 12].flatMap((type): Row[] => [
      [`type ${type}, to the peer`, quoting(type, '10.77.0.2'), 'pass'],
      [`type ${type}, to another`, quoting(type, '10.77.0.3'), 'innerSource'],
      [`type ${type}, to a foreign address`, quoting(type, '192.0.2.3'), 'innerForeign'],
      [`type ${type}, cut short`, quoting(type, '10.77.0.2', 19), 'innerHeader'],
    ]),
    ['an echo answer', four({ protocol: 1, payload: Buffer.alloc(8) }), 'pass'],
    ...[1, 2, 3, 4, 100].flatMap((type): Row[] => [
      [`ICMPv6 type ${type}, to the peer`, quoting6(type, 'fd77::2'), 'pass'],
      [`ICMPv6 type ${type}, to another`, quoting6(type, 'fd77::3'), 'innerSource'],
      [`ICMPv6 type ${type}, to a foreign address`, quoting6(type, '2001:db8::3'), 'innerForeign'],
      [`ICMPv6 type ${type}, cut short`, quoting6(type, 'fd77::2', 39), 'innerHeader'],
    ]),
    ...[0, 43, 44, 60].map(
      (header): Row => [
        `ICMPv6, to the peer by way of extension header ${header}`,
        icmpv6(
          'fd77::2',
          Buffer.concat([
            Buffer.from([1, 4, 0, 0, 0, 0, 0, 0]),
            six({ from: 'fd77::1', to: 'fd77::2', protocol: header, payload: Buffer.alloc(32) }).subarray(14),
          ]),
        ),
        'innerHeader',
      ],
    ),
    ['an ICMPv6 echo', icmpv6('fd77::2', echo), 'pass'],
    [
      'behind options',
      six({
        extensions: [options(PAD)],
        protocol: 58,
        payload: Buffer.concat([Buffer.from([2, 0, 0, 0, 0, 0, 5, 0]), six({ to: 'fd77::3' }).subarray(14)]),
      }),
      'innerSource',
    ],
  ]);
  it('of what lies behind a peer, where foreign sources are let in', async () => {
    lab.setPolicy('allow');
    expect(await verdict(quoting(3, '192.0.2.3'))).toBe('pass');
    expect(await verdict(quoting6(2, '2001:db8::3'))).toBe('pass');
    expect(await verdict(quoting(3, '10.77.0.3'))).toBe('innerSource');
    expect(await verdict(quoting6(2, 'fd77::99'))).toBe('innerSource');
  });
});

it('counts add up by peer and reason', async () => {
  for (let i = 0; i < 3; i++) await verdict(four({ from: '10.77.0.3' }));
  await verdict(four({ from: '192.0.2.1' }));
  expect(lab.refused(PEER)).toEqual({ innerSource: 3, innerForeign: 1 });
  expect(lab.refused(OTHER_PEER)).toEqual({});
});

/** 16 bytes as they stand in an IPv6 header. */
function sixteen(text: string): Uint8Array {
  const tail = /^(.*:)(\d+)\.(\d+)\.(\d+)\.(\d+)$/.exec(text);
  const whole = tail === null ? text : `${tail[1]}${hextet(tail[2], tail[3])}:${hextet(tail[4], tail[5])}`;
  const [head = '', rest] = whole.split('::');
  const left = head === '' ? [] : head.split(':');
  const right = rest === undefined || rest === '' ? [] : rest.split(':');
  const zeros = rest === undefined ? 0 : 8 - left.length - right.length;
  const bytes = Buffer.alloc(16);
  [...left, ...new Array<string>(zeros).fill('0'), ...right].forEach((group, at) => {
    bytes.writeUInt16BE(Number.parseInt(group, 16), at * 2);
  });
  return bytes;
}

function hextet(high = '0', low = '0'): string {
  return (Number(high) * 256 + Number(low)).toString(16);
}
