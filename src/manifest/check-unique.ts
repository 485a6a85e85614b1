import { type CheckRun, found } from './check-run.ts';
import { formatEndpoint } from './endpoint.ts';
import { type Item, inOrder, type KeyField, keysOf } from './item.ts';
import { canonicalKey, fingerprint, fingerprintBeside } from './keys.ts';
import type { CanonicalKey, Diagnostic, Position, PublicKey } from './model.ts';

interface KeyUse {
  readonly item: Item;
  readonly field: KeyField;
  readonly key: PublicKey;
}

function usesOf(items: Iterable<Item>, wanted: (key: PublicKey) => boolean): KeyUse[] {
  return inOrder(items).flatMap((item) =>
    item.peer === undefined
      ? []
      : keysOf(item.peer)
          .filter(([, key]) => wanted(key))
          .map(([field, key]) => ({ item, field, key })),
  );
}

function placeOf({ item, field }: KeyUse): Position {
  return item.at(`/spec/${field}`);
}

/** The first declaration, and the later ones of other objects: those of the same name are `name-duplicate`. */
function split<T extends { readonly item: Item }>(uses: readonly T[]): { first?: T; others: readonly T[] } {
  const [first, ...rest] = uses;
  if (first === undefined) return { others: [] };
  return { first, others: rest.filter((use) => use.item.ref !== first.item.ref) };
}

/** A key, which is the same as its negative, belongs to one peer. */
export function checkKey({ index }: CheckRun, key: string): Diagnostic[] {
  const items = index.users.get(key as CanonicalKey);
  if (items.size < 2) return [];
  const { first, others } = split(usesOf(items, (each) => canonicalKey(each) === key));
  if (first === undefined) return [];
  const { field, item } = first;
  return others.map((use) => {
    const parameters = { key: fingerprintBeside(use.key, first.key), field, other: item.ref };
    return found('key-duplicate', parameters, placeOf(use), placeOf(first));
  });
}

/** The usual case, ten thousand times over. */
function hasOneKey(items: ReadonlySet<Item>): boolean {
  for (const { peer } of items) return items.size === 1 && peer?.nextPublicKey === undefined;
  return true;
}

/** What keys lead to differs where the keys do. */
export function checkDerived({ index }: CheckRun, derived: string): Diagnostic[] {
  const items = index.derived.get(derived);
  if (hasOneKey(items)) return [];
  const [first, ...rest] = usesOf(items, (key) => index.derivedOf(key).includes(derived));
  if (first === undefined) return [];
  const { field } = first;
  return rest
    .filter((use) => use.key !== first.key)
    .map((use) => {
      const parameters = { key: fingerprint(use.key), what: derived, field, other: first.item.ref };
      return found('mac-collision', parameters, placeOf(use), placeOf(first));
    });
}

/** An address is held once in a cluster. */
export function checkAddress({ index }: CheckRun, key: string): Diagnostic[] {
  const items = index.addresses.get(key);
  if (items.size < 2) return [];
  const { first, others } = split(inOrder(items).map((item) => ({ item })));
  if (first === undefined) return [];
  const address = first.item.vip?.address ?? '';
  const related = first.item.at('/spec/address');
  return others.map(({ item }) =>
    found('vip-duplicate', { address, other: first.item.ref }, item.at('/spec/address'), related),
  );
}

/** An endpoint is given for one active peer; otherwise a warning. */
export function checkEndpoint({ index }: CheckRun, endpoint: string): Diagnostic[] {
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

/** No member of a cluster uses a key that the cluster revoked. */
export function checkRevocation({ index }: CheckRun, key: string): Diagnostic[] {
  const uses = usesOf(index.users.get(key as CanonicalKey), (each) => canonicalKey(each) === key);
  return inOrder(index.revokers.get(key as CanonicalKey)).flatMap((item) => {
    const cluster = item.name;
    const at = item.cluster?.revokedKeys.findIndex((each) => canonicalKey(each) === key) ?? -1;
    const revoked = item.cluster?.revokedKeys[at];
    if (revoked === undefined) return [];
    const related = item.at(`/spec/revokedKeys/${at}`);
    return uses
      .filter((use) => use.item.peer?.clusters.includes(cluster))
      .map((use) => found('key-revoked', { key: fingerprintBeside(use.key, revoked), cluster }, placeOf(use), related));
  });
}
