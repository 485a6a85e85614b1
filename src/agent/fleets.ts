import type { Fleet, ObjectRef, Peer, PublicKey } from '../manifest/model.ts';
import type { Offer } from './follower.ts';

/** Fleets by the label of their revision: the newest, and older ones while something still speaks of them. */
export class Fleets {
  readonly #byLabel = new Map<string, Offer>();
  #newest: Offer | undefined;

  get newest(): Offer | undefined {
    return this.#newest;
  }

  at(label: string | undefined): Offer | undefined {
    return label === undefined ? undefined : this.#byLabel.get(label);
  }

  /** `inUse`: labels that status may still name. */
  add(offer: Offer, inUse: readonly (string | undefined)[]): void {
    for (const label of this.#byLabel.keys()) if (!inUse.includes(label)) this.#byLabel.delete(label);
    this.#newest = offer;
    this.#byLabel.set(offer.revision.label, offer);
  }
}

export function selfOf(fleet: Fleet, publicKey: PublicKey): Peer | undefined {
  return fleet.peers.get(fleet.peerByKey.get(publicKey) ?? '');
}

/** The port that this node would listen on; undefined: it is in no cluster of the fleet. */
export function portOf(fleet: Fleet, publicKey: PublicKey): number | undefined {
  return fleet.clusters.get(selfOf(fleet, publicKey)?.clusters[0] ?? '')?.port;
}

/** Peers that share a cluster with this node. */
function* neighboursOf(fleet: Fleet, publicKey: PublicKey): Generator<Peer> {
  for (const cluster of selfOf(fleet, publicKey)?.clusters ?? []) {
    for (const name of fleet.peersOfCluster.get(cluster) ?? []) {
      const peer = fleet.peers.get(name);
      if (peer !== undefined && peer.publicKey !== publicKey) yield peer;
    }
  }
}

/** Host names of their endpoints; IP literals among them. */
export function hostsOf(fleet: Fleet, publicKey: PublicKey): readonly string[] {
  return [...neighboursOf(fleet, publicKey)].flatMap(({ endpoints }) => endpoints.map(({ host }) => host));
}

/** Those of them that one of the hosts is an endpoint of. */
export function peersAt(fleet: Fleet, publicKey: PublicKey, hosts: ReadonlySet<string>): ReadonlySet<ObjectRef> {
  const refs = new Set<ObjectRef>();
  for (const { metadata, endpoints } of neighboursOf(fleet, publicKey)) {
    if (endpoints.some(({ host }) => hosts.has(host))) refs.add(`peer/${metadata.name}`);
  }
  return refs;
}
