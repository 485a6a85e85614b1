import { OmniError } from '../../errors.ts';
import type { Fleet, IpAddress, Peer } from '../../manifest/model.ts';
import type { NodeKeys, Standing } from '../desired.ts';
import { type Share, shareOf } from '../share.ts';

/** Where a node stands in a fleet: its share, or why it has none. */
export type Place = Share | Exclude<Standing, 'active'>;

/** A node in two fleets: the Peer of one name, or, where it was renamed, of one key. */
export interface NodeChange {
  /** Its Peer's name in the later fleet; for one that is gone, in the earlier. */
  readonly node: string;
  readonly was: Peer | undefined;
  readonly is: Peer | undefined;
  readonly from: Place;
  readonly to: Place;
  /** The fleet asks of this node what this version cannot do. */
  readonly problem?: OmniError;
}

/** Every node of two fleets, by name. */
export function nodeChanges(before: Fleet, after: Fleet): NodeChange[] {
  const found: NodeChange[] = [];
  const continued = new Set<Peer>();
  for (const is of after.peers.values()) {
    const was = predecessor(before, after, is);
    if (was !== undefined) continued.add(was);
    found.push(nodeChange(before, after, was, is));
  }
  for (const was of before.peers.values())
    if (!continued.has(was)) found.push(nodeChange(before, after, was, undefined));
  return found.sort((a, b) => (a.node < b.node ? -1 : 1));
}

function predecessor(before: Fleet, after: Fleet, is: Peer): Peer | undefined {
  const namesake = before.peers.get(is.metadata.name);
  if (namesake !== undefined) return namesake;
  const name = before.peerByKey.get(is.publicKey);
  return name === undefined || after.peers.has(name) ? undefined : before.peers.get(name);
}

/** The name that a peer of the earlier fleet has in the later one. */
export function successor(after: Fleet, { metadata, publicKey, nextPublicKey }: Peer): string | undefined {
  if (after.peers.has(metadata.name)) return metadata.name;
  return after.peerByKey.get(publicKey) ?? (nextPublicKey && after.peerByKey.get(nextPublicKey));
}

function nodeChange(before: Fleet, after: Fleet, was: Peer | undefined, is: Peer | undefined): NodeChange {
  const node = (is ?? was)?.metadata.name ?? '';
  const [from, to] = [placeOf(before, was), placeOf(after, is)];
  const problem = to instanceof OmniError ? to : from instanceof OmniError ? from : undefined;
  return {
    node,
    was,
    is,
    from: from instanceof OmniError ? 'absent' : from,
    to: to instanceof OmniError ? 'absent' : to,
    ...(problem && { problem }),
  };
}

/** Of a node whose keys are those that its Peer names. */
export function keysOf({ publicKey, nextPublicKey }: Peer): NodeKeys {
  return { publicKey, nextPublicKey };
}

/** No DNS: an endpoint's host name stands for its address. */
const resolve = (host: string): IpAddress => host as IpAddress;

function placeOf(fleet: Fleet, peer: Peer | undefined): Place | OmniError {
  if (peer === undefined) return 'absent';
  try {
    return shareOf(fleet, { ...keysOf(peer), resolve });
  } catch (error) {
    if (error instanceof OmniError) return error;
    throw error;
  }
}
