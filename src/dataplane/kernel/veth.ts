import { OmniError } from '../../errors.ts';
import type { LinkRow } from '../../reconcile/rows.ts';
import type { LinkInfo } from './calls.ts';
import type { Context } from './context.ts';
import { failedWith, stall } from './errors.ts';
import { applySettings, changedSettings, type Setting } from './sysctl.ts';

export const ALIAS_PREFIX = 'omninervous:';
const IFNAMSIZ = 16;
/** Less a NUL and our suffix. */
const MAX_INTERFACE_NAME = IFNAMSIZ - 2;
/** Nobody sees it: frames leave `omni0x` only sealed, or out of the other end. */
const OUTER_MAC = '06:00:00:00:00:01';
const ADDR_GEN_MODE_NONE = 1;

/** The stack's end and ours. */
export interface Pair {
  readonly inner: LinkInfo;
  readonly outer: LinkInfo;
}

export function outerName(interfaceName: string): string {
  return `${interfaceName}x`;
}

/**
 * XDP must see frames as they go on the wire: segmented, checksummed, tagged. These are the names, as `ethtool -k`
 * prints them, of what would be left for later.
 */
const LATE_WORK = /^tx-(checksum-|scatter-gather|gso-|vlan-.*-insert$|.*segmentation$)/;
/** NAPI on the stack's end: without, a native redirect into the pair is dropped; and received segments merge again. */
const INNER_FEATURES: Features = { 'rx-gro': true };
/** A generic program runs after GRO: merged frames would be too large to seal. */
const OUTER_FEATURES: Features = { 'rx-gro': false };

type Features = Readonly<Record<string, boolean>>;

function featuresOf(context: Context, link: LinkInfo): Features {
  return context.calls.read(`interface/${link.name}`, (native) => native.features({ name: link.name }));
}

/** What has to be switched at either end; a feature that this kernel does not know is as it should be. */
function featureChanges(context: Context, pair: Pair): readonly { readonly link: LinkInfo; readonly to: Features }[] {
  const inner = featuresOf(context, pair.inner);
  const late = Object.keys(inner).filter((name) => LATE_WORK.test(name));
  const wanted = { ...INNER_FEATURES, ...Object.fromEntries(late.map((name) => [name, false])) };
  return [
    { link: pair.inner, to: differing(inner, wanted) },
    { link: pair.outer, to: differing(featuresOf(context, pair.outer), OUTER_FEATURES) },
  ].filter(({ to }) => Object.keys(to).length > 0);
}

function differing(found: Features, wanted: Features): Features {
  return Object.fromEntries(Object.entries(wanted).filter(([name, on]) => found[name] === !on));
}

/** No member may give this node a route, a prefix or an address, or say by which way its packets go. */
const UNTRUSTING: readonly Omit<Setting, 'interface'>[] = [
  { family: 'ipv4', name: 'accept_redirects', value: '0' },
  { family: 'ipv4', name: 'send_redirects', value: '0' },
  { family: 'ipv4', name: 'accept_source_route', value: '0' },
  { family: 'ipv6', name: 'accept_ra', value: '0' },
  { family: 'ipv6', name: 'accept_redirects', value: '0' },
  { family: 'ipv6', name: 'autoconf', value: '0' },
  // 0 still takes routing headers of type 2.
  { family: 'ipv6', name: 'accept_source_route', value: '-1' },
];

const OF_INNER: readonly Omit<Setting, 'interface'>[] = [
  /*
   * Strict: a source must be one that this node would answer by way of omni0, which the subnets' routes make true of every
   * VIP. Sources outside the subnets need a route through omni0. The kernel takes the greater of this value and that of
   * `all`: net.ipv4.conf.all.rp_filter=2 is how a host allows asymmetric routes.
   */
  { family: 'ipv4', name: 'rp_filter', value: '1' },
  { family: 'ipv4', name: 'arp_accept', value: '0' },
  // Since 5.19: an advertisement makes an entry where there was none.
  { family: 'ipv6', name: 'accept_untracked_na', value: '0' },
];

/** bpf_fib_lookup refuses to look up for an interface that does not forward. */
const OF_OUTER: readonly Omit<Setting, 'interface'>[] = [
  { family: 'ipv4', name: 'forwarding', value: '1' },
  { family: 'ipv6', name: 'forwarding', value: '1' },
];

function settingsOf(interfaceName: string): readonly Setting[] {
  const outer = outerName(interfaceName);
  return [
    ...[...UNTRUSTING, ...OF_INNER].map((setting) => ({ ...setting, interface: interfaceName })),
    ...[...OF_OUTER, ...UNTRUSTING].map((setting) => ({ ...setting, interface: outer })),
  ];
}

/** Writes the settings of both ends that differ. */
export function settle(context: Context, interfaceName: string): void {
  applySettings(context, settingsOf(interfaceName));
}

export function findLink(context: Context, name: string): LinkInfo | undefined {
  if (name.length > IFNAMSIZ - 1) return undefined;
  return context.calls.read(`interface/${name}`, (native) => native.links({ name }))[0];
}

/** The ends that are there, ours or not. */
export function findPair(context: Context, interfaceName: string): Partial<Pair> {
  const inner = findLink(context, interfaceName);
  const outer = findLink(context, outerName(interfaceName));
  return { ...(inner && { inner }), ...(outer && { outer }) };
}

export function isOurs(link: LinkInfo): boolean {
  return link.kind === 'veth' && link.alias.startsWith(ALIAS_PREFIX);
}

/** Names of the stack's ends of pairs that carry our alias. */
export function markedInterfaces(context: Context): string[] {
  const marked = context.calls.read('links', (native) => native.links({})).filter(isOurs);
  const outers = new Set(marked.map((link) => outerName(link.name)));
  return marked.map((link) => link.name).filter((name) => !outers.has(name));
}

function refuseForeign(row: LinkRow, link: LinkInfo): void {
  if (isOurs(link)) return;
  // Created by us, killed before the alias was set: nobody else makes a veth with the MAC of our key.
  if (link.kind === 'veth' && link.alias === '' && (link.mac === row.mac || link.mac === OUTER_MAC)) return;
  throw stall(
    'interface-not-ours',
    `link/${row.interface}`,
    `interface ${link.name} exists and is not ours: its alias does not start with "${ALIAS_PREFIX}"`,
    `remove it (ip link delete ${link.name}), or choose another spec.interface for cluster ${row.cluster}`,
  );
}

function create(context: Context, row: LinkRow, mtu: number): void {
  context.calls.write(`link/${row.interface}`, (native) =>
    native.createVeth({
      name: row.interface,
      peerName: outerName(row.interface),
      mac: row.mac,
      peerMac: OUTER_MAC,
      mtu,
    }),
  );
}

/**
 * Creates or completes the pair; leaves it down if it was, and a MAC that it has to `changeMac`. Throws before touching a
 * foreign interface.
 */
export function ensurePair(context: Context, row: LinkRow, mtu: number): Pair {
  if (row.interface.length > MAX_INTERFACE_NAME) {
    throw stall(
      'interface-name-long',
      `link/${row.interface}`,
      `interface name ${row.interface} is longer than ${MAX_INTERFACE_NAME} characters, and its other end needs one more`,
      `choose a shorter spec.interface for cluster ${row.cluster}`,
    );
  }
  const found = findPair(context, row.interface);
  for (const link of [found.inner, found.outer]) if (link) refuseForeign(row, link);
  if (found.inner?.link !== found.outer?.ifindex || found.outer === undefined) {
    for (const link of [found.inner, found.outer]) if (link) removeLink(context, link);
    create(context, row, mtu);
  }
  const { inner, outer } = findPair(context, row.interface);
  if (inner === undefined || outer === undefined) {
    throw stall(
      'interface-vanished',
      `link/${row.interface}`,
      'the veth pair vanished while it was being set up',
      'try again',
    );
  }
  adjust(context, inner, { mtu, alias: ALIAS_PREFIX + row.cluster });
  adjust(context, outer, { mtu, alias: ALIAS_PREFIX + row.cluster });
  context.calls.write(`link/${row.interface}`, (native) => native.setLink({ ifindex: outer.ifindex, arp: false }));
  for (const { link, to } of featureChanges(context, { inner, outer })) {
    context.calls.write(`interface/${link.name}`, (native) => native.setFeatures({ name: link.name, features: to }));
  }
  settle(context, row.interface);
  return { inner, outer };
}

function adjust(context: Context, link: LinkInfo, wanted: { mtu: number; alias: string }): void {
  const changes = {
    ...(wanted.mtu !== link.mtu && { mtu: wanted.mtu }),
    ...(wanted.alias !== link.alias && { alias: wanted.alias }),
    ...(link.addrGenMode !== ADDR_GEN_MODE_NONE && { addrGenMode: ADDR_GEN_MODE_NONE }),
  };
  if (Object.keys(changes).length === 0) return;
  context.calls.write(`interface/${link.name}`, (native) => native.setLink({ ifindex: link.ifindex, ...changes }));
}

/** Last, when the programs are attached: nothing passes half-made. */
export function bringUp(context: Context, pair: Pair): void {
  for (const link of [pair.outer, pair.inner]) {
    if (link.up) continue;
    context.calls.write(`interface/${link.name}`, (native) => native.setLink({ ifindex: link.ifindex, up: true }));
  }
}

export function removeLink(context: Context, link: LinkInfo): void {
  try {
    context.calls.write(`interface/${link.name}`, (native) => native.deleteLink({ ifindex: link.ifindex }));
  } catch (error) {
    if (!failedWith(error, 'ENODEV')) throw error;
  }
}

/** What keeps the pair from carrying traffic; empty: nothing. */
export function pairFaults(context: Context, pair: Pair): string[] {
  const { inner, outer } = pair;
  return [
    ...featureChanges(context, pair).map(({ link }) => `an offload of ${link.name} was switched`),
    ...[inner, outer].filter((link) => !link.up).map((link) => `${link.name} is down`),
    ...(inner.link === outer.ifindex ? [] : [`${inner.name} and ${outer.name} are not one pair`]),
    ...changedSettings(settingsOf(inner.name)).map(
      ({ family, interface: name, name: setting, value }) =>
        `sysctl net.${family}.conf.${name}.${setting} is not ${value}`,
    ),
  ];
}

/** The stack's end, if there is one and it is ours. */
export function ownLink(context: Context, interfaceName: string): LinkInfo | undefined {
  const link = findLink(context, interfaceName);
  return link !== undefined && isOurs(link) ? link : undefined;
}

/** For rows that need the link: it comes first in every plan, so its absence is a matter of waiting. */
export function requireOwnLink(context: Context, interfaceName: string, object: string): LinkInfo {
  const link = ownLink(context, interfaceName);
  if (link !== undefined) return link;
  throw new OmniError(`interface ${interfaceName} is not there yet`, { code: 'link-absent', class: 'wait', object });
}
