import type { Fleet, IpAddress, ObjectRef, Peer, PublicKey } from '../../manifest/model.ts';
import { formatIp, parseCidr, parseIp } from '../../manifest/net.ts';
import { nearest } from '../../manifest/suggest.ts';
import type { SessionState } from '../../reconcile/dataplane.ts';
import type { Row, RowKey } from '../../reconcile/rows.ts';
import { objectOf } from '../../reconcile/share.ts';
import type { RowsView } from '../../reconcile/status.ts';

/** What a question can be about. */
export type Subject =
  | { readonly kind: 'object'; readonly ref: ObjectRef }
  | { readonly kind: 'row'; readonly key: RowKey }
  | { readonly kind: 'session'; readonly session: SessionState }
  /** A key that no Peer has, of which something is known all the same. */
  | { readonly kind: 'key'; readonly publicKey: PublicKey };

/** Where to look. */
export interface Known {
  readonly view: RowsView;
  /** The fleet in force, then the newest if it is another one. */
  readonly fleets: readonly Fleet[];
  readonly sessions: readonly SessionState[];
  /** Keys that no rollback lets back in. */
  readonly revoked: readonly PublicKey[];
}

/** Shorter beginnings of a key are names, most likely. `fingerprint` shows ten characters. */
const MIN_KEY_PREFIX = 6;

/** Everything that `query` may mean, the likeliest first; each thing once. */
export function find(query: string, known: Known): readonly Subject[] {
  const finders = [byRef, byRowKey, byMac, byAddress, bySession, byKey, byName];
  const subjects = new Map<string, Subject>();
  for (const finder of finders) for (const subject of finder(query, known)) subjects.set(nameOf(subject), subject);
  return [...subjects.values()];
}

/** As `omni` prints it, and unique. */
export function nameOf(subject: Subject): string {
  switch (subject.kind) {
    case 'object':
      return subject.ref;
    case 'row':
      return subject.key;
    case 'session':
      return `session/${subject.session.localId.toString(16).padStart(16, '0')}`;
    case 'key':
      return `key/${subject.publicKey}`;
  }
}

/** The name that was most likely meant. */
export function suggestion(query: string, { fleets }: Known): string | undefined {
  const refs = function* (): Generator<string> {
    for (const fleet of fleets) {
      for (const name of fleet.peers.keys()) yield query.includes('/') ? `peer/${name}` : name;
      for (const name of fleet.vips.keys()) yield query.includes('/') ? `vip/${name}` : name;
      for (const name of fleet.clusters.keys()) yield query.includes('/') ? `cluster/${name}` : name;
    }
  };
  return nearest(query, refs());
}

type Finder = (query: string, known: Known) => Iterable<Subject>;

function declared(ref: ObjectRef, { fleets }: Known): readonly Subject[] {
  return fleets.some((fleet) => objectOf(fleet, ref) !== undefined) ? [{ kind: 'object', ref }] : [];
}

const byRef: Finder = (query, known) => {
  return /^(peer|vip|cluster)\/[^/]+$/.test(query) ? declared(query as ObjectRef, known) : [];
};

const byName: Finder = (query, known) => {
  const objects = (['peer', 'vip', 'cluster'] as const).flatMap((kind) => declared(`${kind}/${query}`, known));
  return [...objects, ...row(`link/${query}` as RowKey, known)];
};

/** `address/omni0/10.77.0.17`; a peer's also as events print it: `peer/omni0/robot-17`. */
const byRowKey: Finder = (query, known) => {
  const [, link, name] = /^peer\/([^/]+)\/(.+)$/.exec(query) ?? [];
  const peer = name === undefined ? undefined : peerNamed(name, known);
  const named = peer === undefined ? [] : row(`peer/${link}/${peer.publicKey}` as RowKey, known);
  const cidr = parseCidr(query);
  const routes = cidr.ok ? interfaces(known).map((each) => `route/${each}/${cidr.value.network.text}`) : [];
  return [query, ...routes].flatMap((key) => row(key as RowKey, known)).concat(named);
};

function peerNamed(name: string, { fleets }: Known): Peer | undefined {
  return fleets.map((fleet) => fleet.peers.get(name)).find((peer) => peer !== undefined);
}

function row(key: RowKey, { view }: Known): readonly Subject[] {
  return view.target?.state.rows.has(key) || view.observed.has(key) ? [{ kind: 'row', key }] : [];
}

/** Names of the links that are there or are to be. */
function interfaces({ view }: Known): readonly string[] {
  const keys = [...view.observed.keys(), ...(view.target?.state.rows.keys() ?? [])];
  return [...new Set(keys.filter((key) => key.startsWith('link/')).map((key) => key.slice('link/'.length)))];
}

const byMac: Finder = (query, known) => {
  if (!/^([0-9a-f]{1,2}[:-]){5}[0-9a-f]{1,2}$/i.test(query)) return [];
  const mac = query
    .split(/[:-]/)
    .map((part) => part.toLowerCase().padStart(2, '0'))
    .join(':');
  return rowsWhere(known, (each) => 'mac' in each && each.mac === mac);
};

const byAddress: Finder = (query, known) => {
  const ip = parseIp(query);
  if (!ip.ok) return [];
  const address = formatIp(ip.value);
  const vips = known.fleets.flatMap((fleet) => [...fleet.vips.values()].filter((vip) => vip.address === address));
  if (vips.length > 0) return vips.map(({ metadata }): Subject => ({ kind: 'object', ref: `vip/${metadata.name}` }));
  return rowsWhere(known, (each) => holds(each, address));
};

/** The row's own address, or where its datagrams go. */
function holds(each: Row, address: IpAddress): boolean {
  if ('address' in each) return each.address === address;
  if (each.kind !== 'peer' || each.endpoint === undefined) return false;
  return each.endpoint.replace(/:\d+$/, '').replace(/^\[(.*)\]$/, '$1') === address;
}

function rowsWhere({ view }: Known, wanted: (each: Row) => boolean): readonly Subject[] {
  const keys = new Set<RowKey>();
  for (const rows of [view.target?.state.rows, view.observed]) {
    for (const [key, found] of rows ?? []) if (wanted(found.row)) keys.add(key);
  }
  return [...keys].map((key) => ({ kind: 'row', key }));
}

/** Ours or theirs, decimal or hexadecimal: logs of both kinds are about. */
const bySession: Finder = (query, { sessions }) => {
  const [, digits = ''] = /^(?:session\/)?(?:0x)?([0-9a-f]{1,20})$/i.exec(query) ?? [];
  if (digits === '') return [];
  const ids = new Set<bigint>([BigInt(`0x${digits}`)]);
  if (/^\d+$/.test(digits) && !query.includes('0x')) ids.add(BigInt(digits));
  return sessions
    .filter(({ localId, remoteId }) => ids.has(localId) || ids.has(remoteId))
    .map((session): Subject => ({ kind: 'session', session }));
};

const byKey: Finder = (query, known) => {
  const prefix = query.replace(/^key\//, '').replace(/…$/, '');
  if (prefix.length < MIN_KEY_PREFIX || !/^[A-Za-z0-9+/]+=?$/.test(prefix)) return [];
  const { fleets, view, sessions, revoked } = known;
  const subjects = new Map<PublicKey, Subject>();
  const add = (publicKey: PublicKey, subject: Subject = { kind: 'key', publicKey }): void => {
    if (publicKey.startsWith(prefix) && !subjects.has(publicKey)) subjects.set(publicKey, subject);
  };
  for (const { peerByKey } of fleets)
    for (const [key, name] of peerByKey) add(key, { kind: 'object', ref: `peer/${name}` });
  for (const { row: each } of view.observed.values()) if (each.kind === 'peer') add(each.publicKey);
  for (const { peer } of sessions) add(peer);
  for (const { clusters } of fleets)
    for (const { revokedKeys } of clusters.values()) for (const key of revokedKeys) add(key);
  for (const key of revoked) add(key);
  return subjects.values();
};
