/** EtherTypes of a Cluster: frames that the programs let in without looking inside. */

/** `problem` undefined: it is not written as one. */
type Parsed = { readonly ok: true; readonly value: number } | { readonly ok: false; readonly problem?: string };

/** Below are lengths of IEEE 802.3 frames (IEEE Std 802.3, 3.2.6). */
const FIRST = 0x0600;

/**
 * What lies in such a frame would be seen by a host and not by the programs: an IP packet in MPLS, a whole frame in a tunnel,
 * an address in RARP. Hosts that unwrap it are those with the module and an interface for it.
 */
const REFUSED: readonly (readonly [reason: string, types: readonly number[]])[] = [
  ['its frames are looked into anyway', [0x0800, 0x0806, 0x86dd]],
  ['it is a VLAN tag, and tagged frames pass without it', [0x8100, 0x88a8, 0x9100, 0x9200, 0x9300]],
  ['it is used between the nodes themselves', [0x88b5, 0x88b6]],
  ['a host takes its own address from such a frame', [0x8035]],
  // MPLS; AppleTalk (which carries IP); PPPoE; PPP; IEEE 802.1ah; TRILL; NSH
  [
    'a host may take an IP packet out of such a frame',
    [0x8847, 0x8848, 0x809b, 0x8863, 0x8864, 0x880b, 0x88e7, 0x22f3, 0x894f],
  ],
  // transparent Ethernet bridging, raw frame relay; ERSPAN; MACsec; HSR, PRP; B.A.T.M.A.N.; VN-Tag, IEEE 802.1BR; EtherType DSA; Inter-FE; jumbo LLC
  [
    'a host may take another frame out of such a frame',
    [0x6558, 0x6559, 0x88be, 0x22eb, 0x88e5, 0x892f, 0x88fb, 0x4305, 0x8926, 0x893f, 0xdada, 0xed3e, 0x8870],
  ],
];
const reasons: ReadonlyMap<number, string> = new Map(
  REFUSED.flatMap(([reason, types]) => types.map((type) => [type, reason] as const)),
);

/** `0x8892` as a text, of four hexadecimal digits, or as the number that YAML makes of it; of a type that may be listed. */
export function parseEtherType(given: string | number): Parsed {
  if (typeof given === 'string' && !/^0x[0-9a-f]{4}$/i.test(given)) return { ok: false };
  const value = Number(given);
  const problem = value < FIRST ? 'below 0x0600 it is the length of an IEEE 802.3 frame' : reasons.get(value);
  return problem === undefined ? { ok: true, value } : { ok: false, problem };
}

/** As `parseEtherType` reads it. */
export function etherTypeText(value: number): string {
  return `0x${value.toString(16).padStart(4, '0')}`;
}
