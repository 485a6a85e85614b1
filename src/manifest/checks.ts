import { type Parameters, type Rule, statement } from './diagnostic.ts';
import { formatEndpoint } from './endpoint.ts';
import { type FleetIndex, pairKey, type SubjectKind } from './fleet-index.ts';
import { type Item, inOrder, type KeyField, keysOf, refOf } from './item.ts';
import { fingerprint } from './keys.ts';
import type { Cluster, Diagnostic, Kind, ObjectRef, Position, PublicKey } from './model.ts';
import { contains, type Ip, type Network, network, overlaps, parseIp, reservedUse } from './net.ts';
import { nearest } from './suggest.ts';

/** Comparisons that suggestions may cost in one run: a fleet without its Clusters dangles ten thousand times. */
const SUGGESTION_BUDGET = 500_000;

/** `declared` is true for invalid declarations too; `item` is the first valid one in the order of files. */
export interface Target {
  readonly declared: boolean;
  readonly item?: Item;
}

function firstValid(items: ReadonlySet<Item>): Target {
  if (items.size === 0) return { declared: false };
  const [item] = inOrder([...items].filter((each) => each.object !== undefined));
  return item === undefined ? { declared: true } : { declared: true, item };
}

/** What a run of checks works with; the index does not change during it. */
export class CheckRun {
  readonly index: FleetIndex;
  readonly #targets = new Map<ObjectRef, Target>();
  #budget = SUGGESTION_BUDGET;

  constructor(index: FleetIndex) {
    this.index = index;
  }

  find(kind: Kind, name: string): Target {
    const ref = refOf(kind, name);
    const known = this.#targets.get(ref);
    if (known !== undefined) return known;
    const target = firstValid(this.index.byRef.get(ref));
    this.#targets.set(ref, target);
    return target;
  }

  /** Names of one kind, as long as the budget lasts. */
  *#candidates(kind: Kind): Generator<string> {
    for (const name of this.index.names(kind)) {
      if (this.#budget-- <= 0) return;
      yield name;
    }
  }

  suggestion(kind: Kind, name: string): string {
    const near = nearest(name, this.#candidates(kind));
    return near === undefined ? `Add the ${kind}, or correct the name.` : `Did you mean ${refOf(kind, near)}?`;
  }
}

function found<R extends Rule>(rule: R, parameters: Parameters<R>, position: Position, related?: Position): Diagnostic {
  const diagnostic = { ...statement(rule, parameters), position };
  return related === undefined ? diagnostic : { ...diagnostic, related };
}

const networks = new WeakMap<readonly string[], readonly Network[]>();

/** Parsed once per Cluster document: a moved one keeps its list. */
function networksOf(cluster: Cluster): readonly Network[] {
  const known = networks.get(cluster.subnets);
  if (known !== undefined) return known;
  const made = cluster.subnets.map(network);
  networks.set(cluster.subnets, made);
  return made;
}

// --- one object against those that it names ----------------------------------------------------------------------

function checkName({ index }: CheckRun, ref: string): Diagnostic[] {
  const [first, ...rest] = inOrder(index.byRef.get(ref as ObjectRef));
  const path = '/metadata/name';
  return rest.map((item) => found('name-duplicate', { object: item.ref }, item.at(path), first?.at(path)));
}

function checkPeer(run: CheckRun, name: string): Diagnostic[] {
  return [...run.index.byRef.get(refOf('Peer', name))].flatMap((item) =>
    (item.peer?.clusters ?? []).flatMap((cluster, at) => {
      const { declared, item: target } = run.find('Cluster', cluster);
      if (declared) return target === undefined ? [] : endpointsInside(item, target);
      const suggestion = run.suggestion('Cluster', cluster);
      return [found('cluster-unknown', { cluster, suggestion }, item.at(`/spec/clusters/${at}`))];
    }),
  );
}

function endpointsInside(peer: Item, target: Item): Diagnostic[] {
  const { cluster } = target;
  return (peer.peer?.endpoints ?? []).flatMap((endpoint, at) => {
    const ip = parseIp(endpoint.host);
    if (cluster === undefined || !ip.ok) return [];
    const subnet = networksOf(cluster).findIndex((each) => contains(each, ip.value));
    if (subnet === -1) return [];
    const parameters = {
      endpoint: formatEndpoint(endpoint),
      subnet: cluster.subnets[subnet] ?? '',
      cluster: cluster.metadata.name,
    };
    return [
      found(
        'endpoint-inside-subnet',
        parameters,
        peer.at(`/spec/endpoints/${at}`),
        target.at(`/spec/subnets/${subnet}`),
      ),
    ];
  });
}

function checkVip(run: CheckRun, name: string): Diagnostic[] {
  return [...run.index.byRef.get(refOf('VIP', name))].flatMap((item) => {
    const { vip } = item;
    if (vip === undefined) return [];
    const diagnostics: Diagnostic[] = [];
    const cluster = run.find('Cluster', vip.cluster);
    const peer = run.find('Peer', vip.peer);
    if (!cluster.declared) {
      const suggestion = run.suggestion('Cluster', vip.cluster);
      diagnostics.push(found('cluster-unknown', { cluster: vip.cluster, suggestion }, item.at('/spec/cluster')));
    }
    if (!peer.declared) {
      const suggestion = run.suggestion('Peer', vip.peer);
      diagnostics.push(found('peer-unknown', { peer: vip.peer, suggestion }, item.at('/spec/peer')));
    }
    const holder = peer.item?.peer;
    if (cluster.declared && holder !== undefined && !holder.clusters.includes(vip.cluster)) {
      const related = peer.item?.at('/spec/clusters');
      diagnostics.push(
        found('peer-not-member', { peer: vip.peer, cluster: vip.cluster }, item.at('/spec/peer'), related),
      );
    }
    if (cluster.item !== undefined) diagnostics.push(...checkAddressIn(item, cluster.item, vip.address));
    return diagnostics;
  });
}

function checkAddressIn(item: Item, target: Item, address: string): Diagnostic[] {
  const { cluster } = target;
  const ip = parseIp(address);
  if (cluster === undefined || !ip.ok) return [];
  const at = item.at('/spec/address');
  const subnet = networksOf(cluster).find((each) => contains(each, ip.value));
  if (subnet !== undefined) return checkReserved(subnet, ip.value, address, at);
  const parameters = { address, cluster: cluster.metadata.name, subnets: cluster.subnets.join(', ') };
  return [found('vip-outside-subnets', parameters, at, target.at('/spec/subnets'))];
}

function checkReserved(subnet: Network, ip: Ip, address: string, at: Position): Diagnostic[] {
  const what = reservedUse(subnet, ip);
  return what === undefined ? [] : [found('vip-reserved-address', { address, what, subnet: subnet.text }, at)];
}

// --- values that must be unique ----------------------------------------------------------------------------------

interface KeyUse {
  readonly item: Item;
  readonly field: KeyField;
  readonly key: PublicKey;
  readonly at: Position;
}

function usesOf(items: Iterable<Item>, wanted: (key: PublicKey) => boolean): KeyUse[] {
  return inOrder(items).flatMap((item) =>
    item.peer === undefined
      ? []
      : keysOf(item.peer)
          .filter(([, key]) => wanted(key))
          .map(([field, key]) => ({ item, field, key, at: item.at(`/spec/${field}`) })),
  );
}

/** The first declaration, and the later ones of other objects: those of the same name are `name-duplicate`. */
function split<T extends { readonly item: Item }>(uses: readonly T[]): { first?: T; others: readonly T[] } {
  const [first, ...rest] = uses;
  if (first === undefined) return { others: [] };
  return { first, others: rest.filter((use) => use.item.ref !== first.item.ref) };
}

function checkKey({ index }: CheckRun, key: string): Diagnostic[] {
  const { first, others } = split(usesOf(index.users.get(key as PublicKey), (each) => each === key));
  if (first === undefined) return [];
  const parameters = { key: fingerprint(first.key), field: first.field, other: first.item.ref };
  return others.map((use) => found('key-duplicate', parameters, use.at, first.at));
}

/** The usual case, ten thousand times over. */
function hasOneKey(items: ReadonlySet<Item>): boolean {
  for (const { peer } of items) return items.size === 1 && peer?.nextPublicKey === undefined;
  return true;
}

function checkDerived({ index }: CheckRun, derived: string): Diagnostic[] {
  const items = index.derived.get(derived);
  if (hasOneKey(items)) return [];
  const [first, ...rest] = usesOf(items, (key) => index.derivedOf(key).includes(derived));
  if (first === undefined) return [];
  const { field } = first;
  return rest
    .filter((use) => use.key !== first.key)
    .map((use) => {
      const parameters = { key: fingerprint(use.key), what: derived, field, other: first.item.ref };
      return found('mac-collision', parameters, use.at, first.at);
    });
}

function checkAddress({ index }: CheckRun, key: string): Diagnostic[] {
  const { first, others } = split(inOrder(index.addresses.get(key)).map((item) => ({ item })));
  if (first === undefined) return [];
  const address = first.item.vip?.address ?? '';
  const related = first.item.at('/spec/address');
  return others.map(({ item }) =>
    found('vip-duplicate', { address, other: first.item.ref }, item.at('/spec/address'), related),
  );
}

function checkEndpoint({ index }: CheckRun, endpoint: string): Diagnostic[] {
  const items = index.endpoints.get(endpoint);
  if (items.size < 2) return [];
  const uses = inOrder(items).flatMap((item) => {
    const at = item.peer?.endpoints.findIndex((each) => formatEndpoint(each) === endpoint) ?? -1;
    // Somebody who is suspended may have left the endpoint to a successor.
    return item.peer?.suspended === false ? [{ item, at: item.at(`/spec/endpoints/${at}`) }] : [];
  });
  const { first, others } = split(uses);
  if (first === undefined) return [];
  const parameters = { endpoint, other: first.item.ref };
  return others.map((use) => found('endpoint-duplicate', parameters, use.at, first.at));
}

function checkRevocation({ index }: CheckRun, key: string): Diagnostic[] {
  const uses = usesOf(index.users.get(key as PublicKey), (each) => each === key);
  return inOrder(index.revokers.get(key as PublicKey)).flatMap((item) => {
    const cluster = item.name;
    const related = item.at(`/spec/revokedKeys/${item.cluster?.revokedKeys.indexOf(key as PublicKey)}`);
    return uses
      .filter((use) => use.item.peer?.clusters.includes(cluster))
      .map((use) => found('key-revoked', { key: fingerprint(use.key), cluster }, use.at, related));
  });
}

// --- clusters that share a node ----------------------------------------------------------------------------------

function checkPair(run: CheckRun, pair: string): Diagnostic[] {
  const [a = '', b = ''] = pair.split(' ');
  const shared = run.index.pairs.get(pairKey(a, b));
  const items = [run.find('Cluster', a).item, run.find('Cluster', b).item];
  const [first, second] = inOrder(items.filter((item) => item !== undefined));
  if (shared.size === 0 || first?.cluster === undefined || second?.cluster === undefined) return [];
  return sharedConflicts(first, first.cluster, second, second.cluster, shared);
}

function leastRef(items: Iterable<Item>): string {
  let least: string | undefined;
  for (const { ref } of items) if (least === undefined || ref < least) least = ref;
  return least ?? '';
}

function sharedConflicts(first: Item, one: Cluster, second: Item, two: Cluster, shared: Iterable<Item>): Diagnostic[] {
  const diagnostics: Diagnostic[] = [];
  const common = () => ({ cluster: second.name, other: first.name, peer: leastRef(shared) });
  networksOf(two).forEach((subnet, at) => {
    const before = networksOf(one).findIndex((each) => overlaps(each, subnet));
    if (before === -1) return;
    const parameters = { ...common(), subnet: subnet.text, otherSubnet: one.subnets[before] ?? '' };
    const related = first.at(`/spec/subnets/${before}`);
    diagnostics.push(found('clusters-share-subnet', parameters, second.at(`/spec/subnets/${at}`), related));
  });
  const [name, otherName] = [two.interface, one.interface];
  if (name === otherName || `${name}x` === otherName || name === `${otherName}x`) {
    const parameters = { ...common(), interface: name, otherInterface: otherName };
    const path = '/spec/interface';
    diagnostics.push(found('clusters-share-interface', parameters, second.at(path), first.at(path)));
  }
  if (one.port === two.port) {
    const parameters = { ...common(), port: one.port };
    diagnostics.push(found('clusters-share-port', parameters, second.at('/spec/port'), first.at('/spec/port')));
  }
  return diagnostics;
}

/** The checks beyond a single document: each looks at one subject, and says all that is wrong with it. */
export const checks: { readonly [S in SubjectKind]: (run: CheckRun, key: string) => Diagnostic[] } = {
  name: checkName,
  peer: checkPeer,
  vip: checkVip,
  key: checkKey,
  derived: checkDerived,
  address: checkAddress,
  endpoint: checkEndpoint,
  pair: checkPair,
  revocation: checkRevocation,
};
