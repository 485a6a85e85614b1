import { holderOf } from '../../manifest/keys.ts';
import type { Fleet, FleetObject, ObjectRef } from '../../manifest/model.ts';
import { objectOf, refOf } from '../share.ts';

/** Objects that differ in what they say; where they stand in which file is no difference. */
export interface ObjectChanges {
  readonly added: readonly ObjectRef[];
  readonly changed: readonly ObjectRef[];
  readonly removed: readonly ObjectRef[];
}

/** The changed objects and those whose rows they decide: VIPs of a changed peer, peers that a cluster newly (un)revokes. */
export function affectedBy(before: Fleet, after: Fleet, objects: ObjectChanges): ReadonlySet<ObjectRef> {
  const affected = new Set<ObjectRef>([...objects.added, ...objects.changed, ...objects.removed]);
  for (const fleet of [before, after]) {
    for (const ref of [...affected]) {
      const object = objectOf(fleet, ref);
      if (object?.kind === 'Cluster') {
        for (const key of object.revokedKeys) {
          const peer = holderOf(fleet, key);
          if (peer !== undefined) affected.add(`peer/${peer}`);
        }
      }
    }
    for (const ref of [...affected]) {
      const object = objectOf(fleet, ref);
      if (object?.kind !== 'Peer') continue;
      for (const cluster of object.clusters) {
        for (const vip of fleet.vipsOfPeer.get(`${cluster}/${object.metadata.name}`) ?? []) affected.add(`vip/${vip}`);
      }
    }
  }
  return affected;
}

export function objectChanges(before: Fleet, after: Fleet): ObjectChanges {
  const added: ObjectRef[] = [];
  const changed: ObjectRef[] = [];
  const removed: ObjectRef[] = [];
  for (const object of objectsIn(after)) {
    const old = objectOf(before, refOf(object));
    if (old === undefined) added.push(refOf(object));
    else if (old !== object && !sameSpec(old, object)) changed.push(refOf(object));
  }
  for (const object of objectsIn(before)) if (objectOf(after, refOf(object)) === undefined) removed.push(refOf(object));
  return { added: added.sort(), changed: changed.sort(), removed: removed.sort() };
}

function* objectsIn(fleet: Fleet): Generator<FleetObject> {
  yield* fleet.clusters.values();
  yield* fleet.peers.values();
  yield* fleet.vips.values();
}

/** Equal but for where it stands in which file. */
function sameSpec(a: FleetObject, b: FleetObject): boolean {
  return sameValue({ ...a, position: undefined }, { ...b, position: undefined });
}

function sameValue(a: unknown, b: unknown): boolean {
  if (typeof a !== 'object' || typeof b !== 'object' || a === null || b === null) return a === b;
  const [left, right] = [Object.entries(a), new Map(Object.entries(b))];
  return left.length === right.size && left.every(([key, value]) => right.has(key) && sameValue(value, right.get(key)));
}
