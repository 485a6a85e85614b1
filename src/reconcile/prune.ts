import { canonicalKey } from '../manifest/keys.ts';
import type { Fleet, FleetObject, Peer, Vip } from '../manifest/model.ts';
import { type Block, clusterOf, firstOf, located, type Side } from './block.ts';
import type { DesiredState } from './desired.ts';
import type { PruneLimit } from './guards.ts';
import { revokedBy } from './share.ts';

/**
 * Deletions come from a complete, validated set only (a `Fleet` is one: a reader that timed out or found an error
 * returns none), and never from one that has nothing for this node.
 */
export function standingBlock(fleet: Fleet, desired: DesiredState): Block | undefined {
  if (fleet.clusters.size + fleet.peers.size + fleet.vips.size === 0) {
    return pruneBlocked(
      'the fleet holds no object; this node keeps what it has until one that does is committed. To empty a fleet, set `suspended: true` in its peers',
      ', or run `omni confirm --allow-partition` on each node',
    );
  }
  if (desired.member) return undefined;
  return {
    code: 'not-a-member',
    reason: 'NotAMember',
    message:
      desired.standing === 'revoked'
        ? "this node's key is in its cluster's revokedKeys; the others cut it off, and it keeps what it has"
        : "no Peer of the fleet that is in a cluster has this node's public key; it keeps what it has: commit the documents that `omni init` prints",
  };
}

/**
 * Refuses a revision that takes away more than `limit` of the peers that this node talks to, or of the VIPs that it knows
 * (those that go with their peer count once, as the peer). What counts is absence, which a slip, a bad merge or a
 * half-written folder brings about. An object that goes on under another name (a peer's key, a VIP's address) is there,
 * and so is a peer that is suspended or has a new key, since somebody wrote that down; one that was suspended already
 * has nothing more to lose. A peer whose key `revokedKeys` names does not count: nobody writes a key down by a slip.
 */
export function shrinkBlock(before: Side, after: Side, limit: PruneLimit): Block | undefined {
  if (before.fleet === after.fleet) return undefined;
  const peers = gone(peersIn(before), peersIn(after), ({ publicKey, nextPublicKey }) => [publicKey, nextPublicKey]);
  const names = new Set(peers.map(({ metadata }) => metadata.name));
  const vips = gone(vipsIn(before), vipsIn(after), ({ address }) => [address]);
  const { sessions, rowsOf } = before.state;
  const cluster = clusterOf(after) ?? after.fleet.clusters.get(clusterOf(before)?.metadata.name ?? '');
  const revoked = cluster === undefined ? undefined : revokedBy(cluster);
  const talksTo = peers.filter(
    ({ publicKey }) => sessions?.peers.has(publicKey) && !revoked?.has(canonicalKey(publicKey)),
  );
  const isKnown = ({ metadata }: Vip): boolean => (rowsOf.get(`vip/${metadata.name}`)?.length ?? 0) > 0;
  const known = vips.filter((vip) => isKnown(vip) && !names.has(vip.peer));
  const allKnown = () => [...vipsIn(before)].filter(([, vip]) => isKnown(vip)).length;
  return (
    overLimit(talksTo, () => sessions?.peers.size ?? 0, 'peers that this node talks to', limit) ??
    overLimit(known, allKnown, 'VIPs that this node knows', limit)
  );
}

function overLimit(
  gone: readonly FleetObject[],
  count: () => number,
  what: string,
  limit: PruneLimit,
): Block | undefined {
  if (gone.length <= limit.objects) return undefined;
  const total = count();
  const most = Math.floor(Math.max(limit.objects, (total * limit.percent) / 100));
  if (gone.length <= most) return undefined;
  const names = firstOf(gone.map(located));
  return pruneBlocked(
    `${gone.length} of the ${total} ${what} would go, and more than ${most} wait for a human: ${names}. Restore them, or set \`suspended: true\` where a peer is only to be silent`,
    '; if they are meant to go, run `omni confirm` on this node, or raise --prune-limit',
  );
}

function pruneBlocked(cause: string, wayPast: string): Block {
  return { code: 'prune-blocked', reason: 'PruneBlocked', message: `${cause}${wayPast}`, cause };
}

/** What a map of objects by name is needed for here, without making one for each look at ten thousand peers. */
interface Named<T> extends Iterable<readonly [string, T]> {
  has(name: string): boolean;
}

function peersIn(side: Side): Named<Peer> {
  const { fleet } = side;
  const names = fleet.peersOfCluster.get(clusterOf(side)?.metadata.name ?? '') ?? new Set<string>();
  return {
    has: (name) => names.has(name),
    *[Symbol.iterator]() {
      for (const name of names) {
        const peer = fleet.peers.get(name);
        if (peer !== undefined) yield [name, peer];
      }
    },
  };
}

function vipsIn(side: Side): Named<Vip> {
  const { vips } = side.fleet;
  const cluster = clusterOf(side)?.metadata.name;
  return {
    has: (name) => vips.get(name)?.cluster === cluster,
    *[Symbol.iterator]() {
      for (const entry of vips) if (entry[1].cluster === cluster) yield entry;
    },
  };
}

/** Those of `before` whose name is gone, and whose marks no newcomer of `after` has. */
function gone<T>(before: Named<T>, after: Named<T>, marksOf: (object: T) => readonly (string | undefined)[]): T[] {
  const missing: T[] = [];
  for (const [name, object] of before) if (!after.has(name)) missing.push(object);
  if (missing.length === 0) return [];
  const newcomers = new Set<string | undefined>();
  for (const [name, object] of after) if (!before.has(name)) for (const mark of marksOf(object)) newcomers.add(mark);
  newcomers.delete(undefined);
  return missing.filter((object) => !marksOf(object).some((mark) => newcomers.has(mark)));
}
