import { isIP } from 'node:net';
import type { Fleet, ObjectRef, Peer } from '../manifest/model.ts';
import type { NodeKeys } from '../reconcile/desired.ts';
import { selfOf } from '../reconcile/share.ts';
import type { Revision } from '../source/source.ts';

/** A fleet and the revision that it is of. */
export interface FleetRevision {
  readonly fleet: Fleet;
  readonly revision: Revision;
}

/** Fleets by the label of their revision: the newest, and older ones while something still speaks of them. */
export class Fleets {
  readonly #byLabel = new Map<string, FleetRevision>();
  #newest: FleetRevision | undefined;

  /** The source's. */
  get newest(): FleetRevision | undefined {
    return this.#newest;
  }

  at(label: string | undefined): FleetRevision | undefined {
    return label === undefined ? undefined : this.#byLabel.get(label);
  }

  /** `inUse`: labels that status may still name. */
  add(one: FleetRevision, inUse: readonly (string | undefined)[], newest: boolean): void {
    if (newest) this.#newest = one;
    const kept = [...inUse, this.#newest?.revision.label];
    for (const label of this.#byLabel.keys()) if (!kept.includes(label)) this.#byLabel.delete(label);
    this.#byLabel.set(one.revision.label, one);
  }
}

/** The port that this node would listen on; undefined: it is in no cluster of the fleet. */
export function portOf(fleet: Fleet, node: NodeKeys): number | undefined {
  return fleet.clusters.get(selfOf(fleet, node)?.clusters[0] ?? '')?.port;
}

/** Peers that share a cluster with this node. */
function* neighboursOf(fleet: Fleet, node: NodeKeys): Generator<Peer> {
  const self = selfOf(fleet, node);
  for (const cluster of self?.clusters ?? []) {
    for (const name of fleet.peersOfCluster.get(cluster) ?? []) {
      const peer = fleet.peers.get(name);
      if (peer !== undefined && peer !== self) yield peer;
    }
  }
}

/** Host names of their endpoints, per fleet: looked for once, for a large fleet is thousands of addresses and no name. */
export class HostNames {
  readonly #node: NodeKeys;
  readonly #known = new WeakMap<Fleet, ReadonlySet<string>>();

  constructor(node: NodeKeys) {
    this.#node = node;
  }

  of(fleet: Fleet): ReadonlySet<string> {
    const known = this.#known.get(fleet);
    if (known !== undefined) return known;
    const names = new Set<string>();
    for (const { endpoints } of neighboursOf(fleet, this.#node)) {
      for (const { host } of endpoints) if (isIP(host) === 0) names.add(host);
    }
    this.#known.set(fleet, names);
    return names;
  }
}

/** Those of them that one of the hosts is an endpoint of. */
export function peersAt(fleet: Fleet, node: NodeKeys, hosts: ReadonlySet<string>): ReadonlySet<ObjectRef> {
  const refs = new Set<ObjectRef>();
  for (const { metadata, endpoints } of neighboursOf(fleet, node)) {
    if (endpoints.some(({ host }) => hosts.has(host))) refs.add(`peer/${metadata.name}`);
  }
  return refs;
}
