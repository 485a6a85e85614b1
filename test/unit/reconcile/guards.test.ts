import { describe, expect, it } from 'vitest';
import type { Cidr, Fleet, IpAddress, ObjectRef } from '../../../src/manifest/model.ts';
import type { Side } from '../../../src/reconcile/block.ts';
import { desiredState } from '../../../src/reconcile/desired.ts';
import { DEFAULT_PRUNE_LIMIT, type GuardPolicy, guard, parsePruneLimit } from '../../../src/reconcile/guards.ts';
import { cluster, edit, fleetOf, fleetWith, hint, keyOf, negativeOf, nodeOf, peer, vip } from './fleet.ts';

const strict: GuardPolicy = { pruneLimit: DEFAULT_PRUNE_LIMIT, allowPrune: false, allowPartition: false };

function side(fleet: Fleet, names: Readonly<Record<string, string>> = {}): Side {
  return { fleet, state: desiredState(fleet, nodeOf(1, names)) };
}

function judge(
  before: Fleet | undefined,
  after: Fleet,
  policy: Partial<GuardPolicy> = {},
  addresses: readonly string[] = [],
) {
  return guard(before && side(before), side(after), { ...strict, ...policy }, addresses as readonly IpAddress[]);
}

function numbers(from: number, to: number): number[] {
  return Array.from({ length: to - from + 1 }, (_, at) => from + at);
}

function without(fleet: Fleet, ...gone: readonly number[]): Fleet {
  return edit(
    fleet,
    [],
    gone.flatMap((n): ObjectRef[] => [`peer/robot-${n}`, `vip/vip-${n}`]),
  ).fleet;
}

describe('the guard against mass deletion', () => {
  const forty = fleetWith(...numbers(1, 41));

  it('lets a fifth of forty peers go, and not one more', () => {
    expect(judge(forty, without(forty, ...numbers(2, 9)))).toBeUndefined();
    const block = judge(forty, without(forty, ...numbers(2, 10)));
    expect(block).toMatchObject({ code: 'prune-blocked', reason: 'PruneBlocked' });
    expect(block?.message).toBe(
      '9 of the 40 peers that this node talks to would go, and more than 8 wait for a human: peer/robot-2 (fleet.yaml:3), peer/robot-3 (fleet.yaml:4), peer/robot-4 (fleet.yaml:5) and 6 more. Restore them, or set `suspended: true` where a peer is only to be silent; if they are meant to go, run `omni confirm` on this node, or raise --prune-limit',
    );
  });

  it('lets five of a small fleet go, however large a share that is', () => {
    const eight = fleetWith(...numbers(1, 8));
    expect(judge(eight, without(eight, 2, 3, 4, 5, 6))).toBeUndefined();
    expect(judge(eight, without(eight, 2, 3, 4, 5, 6, 7))).toMatchObject({ reason: 'PruneBlocked' });
  });

  it('counts addresses too, but not those that go with their peer', () => {
    const addresses = (owner: number) => numbers(1, 20).map((n) => vip(owner * 20 + n, { peer: `robot-${owner}` }));
    const fleet = fleetOf(cluster(), peer(1), peer(2), peer(3), ...addresses(1), ...addresses(2));
    const some = numbers(41, 49).map((n): ObjectRef => `vip/vip-${n}`);
    expect(judge(fleet, edit(fleet, [], some.slice(1)).fleet)).toBeUndefined();
    expect(judge(fleet, edit(fleet, [], some).fleet)?.message).toContain(
      '9 of the 40 VIPs that this node knows would go, and more than 8 wait',
    );
    const all = numbers(41, 60).map((n): ObjectRef => `vip/vip-${n}`);
    expect(judge(fleet, edit(fleet, [], ['peer/robot-2', ...all]).fleet)).toBeUndefined();
  });

  it('does not count peers whose keys are revoked, nor their addresses, whatever their number', () => {
    const stolen = numbers(2, 31);
    const after = edit(without(forty, ...stolen), [cluster({ revokedKeys: stolen.map(keyOf) })]).fleet;
    expect(judge(forty, after)).toBeUndefined();
    const negatives = edit(without(forty, ...stolen), [cluster({ revokedKeys: stolen.map(keyOf).map(negativeOf) })]);
    expect(judge(forty, negatives.fleet)).toBeUndefined();
    // Eight more go without a word about their keys, and a ninth.
    expect(judge(forty, without(after, ...numbers(32, 39)))).toBeUndefined();
    expect(judge(forty, without(after, ...numbers(32, 40)))?.message).toContain('9 of the 40 peers');
  });

  it('lets go what was suspended before', () => {
    const silenced = edit(
      forty,
      numbers(2, 40).map((n) => peer(n, { suspended: true })),
    ).fleet;
    expect(judge(forty, silenced)).toBeUndefined();
    expect(judge(silenced, without(silenced, ...numbers(2, 40)))).toBeUndefined();
  });

  it('takes no new name for a deletion, and no deletion for a new name', () => {
    const renamed = numbers(2, 41).flatMap((n) => [
      peer(n, { metadata: { name: `amr-${n}`, labels: {} } }),
      vip(n, { name: `amr-${n}`, peer: `amr-${n}` }),
    ]);
    expect(judge(forty, fleetOf(cluster(), peer(1), vip(1), ...renamed))).toBeUndefined();
    // Nine go, and each of nine that stay takes the name of one of them.
    const shifted = numbers(2, 10).map((n) => peer(n, { publicKey: keyOf(n + 9) }));
    const gone = numbers(11, 19).map((n): ObjectRef => `peer/robot-${n}`);
    expect(
      judge(forty, edit(forty, shifted, [...gone, ...numbers(11, 19).map((n): ObjectRef => `vip/vip-${n}`)]).fleet),
    ).toMatchObject({ reason: 'PruneBlocked' });
  });

  it('takes new keys and suspension for what they are: written down', () => {
    const rekeyed = numbers(2, 41).map((n) => peer(n, { publicKey: keyOf(n + 100) }));
    expect(judge(forty, edit(forty, rekeyed).fleet)).toBeUndefined();
    const suspended = numbers(2, 40).map((n) => peer(n, { suspended: true }));
    expect(judge(forty, edit(forty, suspended).fleet)).toBeUndefined();
    const all = numbers(1, 41).map((n) => peer(n, { suspended: true }));
    expect(judge(forty, edit(forty, all).fleet)).toBeUndefined();
  });

  it('counts peers that leave the cluster, and follows a cluster that is renamed', () => {
    const leaving = numbers(2, 10).flatMap((n) => [peer(n, { clusters: [] })]);
    expect(judge(forty, edit(forty, leaving).fleet)).toMatchObject({ reason: 'PruneBlocked' });
    const moved = numbers(1, 41).flatMap((n) => [peer(n, { clusters: ['depot'] }), vip(n, { cluster: 'depot' })]);
    expect(judge(forty, fleetOf(cluster({ name: 'depot' }), ...moved))).toBeUndefined();
  });

  it('keeps to another limit', () => {
    const after = without(forty, 2, 3, 4);
    expect(judge(forty, after, { pruneLimit: parsePruneLimit('2') })?.message).toContain('3 of the 40 peers');
    expect(judge(forty, after, { pruneLimit: parsePruneLimit('3') })).toBeUndefined();
    expect(judge(forty, without(forty, 2), { pruneLimit: parsePruneLimit('0') })).toMatchObject({
      reason: 'PruneBlocked',
    });
    const ten = without(forty, ...numbers(2, 11));
    expect(judge(forty, ten, { pruneLimit: parsePruneLimit('24%') })).toMatchObject({ reason: 'PruneBlocked' });
    expect(judge(forty, ten, { pruneLimit: parsePruneLimit('25%') })).toBeUndefined();
    expect(judge(forty, after, { pruneLimit: parsePruneLimit('1%') })).toBeUndefined();
    expect(judge(forty, without(forty, ...numbers(2, 40)), { pruneLimit: parsePruneLimit('100%') })).toBeUndefined();
  });

  it.each([
    ['no object at all', fleetOf(), 'PruneBlocked'],
    ['this node gone', fleetWith(2, 3), 'NotAMember'],
    ['this key revoked', fleetOf(cluster({ revokedKeys: [keyOf(1)] }), peer(1), peer(2)), 'NotAMember'],
  ])('waits for a human where there is %s', (_what, after, reason) => {
    const three = fleetWith(1, 2, 3);
    expect(judge(three, after)).toMatchObject({ reason });
    expect(judge(undefined, after)).toMatchObject({ reason });
    expect(judge(three, after, { allowPrune: true })).toMatchObject({ reason: 'PartitionBlocked' });
    expect(judge(three, after, { allowPrune: true, allowPartition: true })).toBeUndefined();
    expect(judge(after, after)).toBeUndefined();
  });
});

describe('a limit for deletions', () => {
  it.each(['', 'many', '-1', '101%', '1.5', '5 %%', '20 % of them'])('is not %j', (text) => {
    expect(() => parsePruneLimit(text)).toThrow(expect.objectContaining({ code: 'prune-limit-invalid', exitCode: 2 }));
  });
});

describe('the guard against partitions', () => {
  const hub = peer(2, { endpoints: [hint('192.0.2.2')] });
  const mute = (n: number) => peer(n, { endpoints: [] });
  /** Robots that call the hub, robot-2. */
  const star = fleetOf(cluster(), mute(1), vip(1), hub, vip(2), mute(3), vip(3), mute(4), vip(4));

  it.each([
    ['goes', edit(star, [], ['peer/robot-2', 'vip/vip-2']).fleet, 'peer/robot-2 (fleet.yaml:3) is gone'],
    ['is suspended', edit(star, [peer(2, { suspended: true })]).fleet, 'peer/robot-2 (fleet.yaml:3) is suspended'],
    [
      'tells no endpoint any more',
      edit(star, [mute(2)]).fleet,
      "neither peer/robot-2 (fleet.yaml:3) nor this node's own peer/robot-1 (fleet.yaml:2) has an endpoint",
    ],
    [
      'leaves the cluster',
      edit(star, [cluster({ name: 'office' }), peer(2, { clusters: ['office'] })], ['vip/vip-2']).fleet,
      'peer/robot-2 (fleet.yaml:3) is not in cluster/warehouse (fleet.yaml:1)',
    ],
    [
      'keeps the port that the cluster leaves',
      edit(star, [cluster({ port: 4000 })]).fleet,
      'cluster/warehouse (fleet.yaml:1) moves to port 4000, and no endpoint of peer/robot-2 (fleet.yaml:3) leaves 51820',
    ],
  ])('speaks up where the only peer that can be found %s', (_how, after, cause) => {
    const block = judge(star, after);
    expect(block).toMatchObject({ code: 'partition-blocked', reason: 'PartitionBlocked' });
    expect(block?.message).toContain(`no way to the only peer that it talks to: ${cause}. `);
    expect(block?.message).toContain('`omni confirm --allow-partition`');
    expect(judge(star, after, { allowPartition: true })).toBeUndefined();
  });

  it('is silent while one way is left', () => {
    const two = edit(star, [peer(3)]).fleet;
    expect(judge(two, edit(two, [], ['peer/robot-2', 'vip/vip-2']).fleet)).toBeUndefined();
    expect(judge(star, edit(star, [mute(2), peer(1)]).fleet)).toBeUndefined();
    const moved = [cluster({ port: 4000 }), peer(2, { endpoints: [hint('192.0.2.2', 4000)] })];
    expect(judge(star, edit(star, moved).fleet)).toBeUndefined();
    expect(judge(star, edit(star, [cluster({ interface: 'omni7', mtu: 1300 })]).fleet)).toBeUndefined();
  });

  it('is silent where this node is suspended, and where nothing could be reached before', () => {
    expect(judge(star, edit(star, [peer(1, { suspended: true })]).fleet)).toBeUndefined();
    const alone = fleetOf(cluster(), mute(1), vip(1), mute(3));
    expect(judge(alone, fleetOf(cluster(), mute(1), vip(1)))).toBeUndefined();
  });

  it('cuts off a key that is named as revoked, be it the only way', () => {
    const revoking = cluster({ revokedKeys: [keyOf(2)] });
    expect(judge(star, edit(star, [revoking], ['peer/robot-2', 'vip/vip-2']).fleet)).toBeUndefined();
  });

  it('still minds a peer that is lost beside those that are revoked', () => {
    const hubs = edit(star, [peer(4), vip(4)]).fleet;
    const revoking = cluster({ revokedKeys: [keyOf(2)] });
    const after = edit(hubs, [revoking, peer(4, { endpoints: [] })], ['peer/robot-2', 'vip/vip-2']).fleet;
    const block = judge(hubs, after);
    expect(block).toMatchObject({ reason: 'PartitionBlocked' });
    expect(block?.message).toContain('no way to the only peer that it talks to');
  });

  it('gives up the way to the source that leads through a peer whose key is revoked', () => {
    const served = edit(fleetWith(1, 2, 3), [vip(9, { peer: 'robot-2' })]).fleet;
    const after = edit(
      served,
      [cluster({ revokedKeys: [keyOf(2)] })],
      ['peer/robot-2', 'vip/vip-2', 'vip/vip-9'],
    ).fleet;
    expect(judge(served, after, {}, ['10.77.0.9'])).toBeUndefined();
    const deleted = edit(served, [], ['peer/robot-2', 'vip/vip-2', 'vip/vip-9']).fleet;
    expect(judge(served, deleted, {}, ['10.77.0.9'])).toMatchObject({ reason: 'PartitionBlocked' });
  });
});

describe('the guard of the way to the source', () => {
  const fleet = fleetWith(1, 2, 3);
  const wider = cluster({ subnets: ['10.77.0.0/16' as Cidr, '203.0.113.0/24' as Cidr] });

  it('refuses a subnet that swallows the source', () => {
    const after = edit(fleet, [wider]).fleet;
    const block = judge(fleet, after, {}, ['203.0.113.7']);
    expect(block).toMatchObject({ code: 'partition-blocked', reason: 'PartitionBlocked' });
    expect(block?.message).toContain(
      "the source's address 203.0.113.7 lies inside the subnets of cluster/warehouse (fleet.yaml:1), and packets to it would go there, where no VIP has it.",
    );
    expect(judge(undefined, after, {}, ['203.0.113.7'])).toMatchObject({ reason: 'PartitionBlocked' });
    expect(judge(fleet, after, {}, ['198.51.100.1', '203.0.113.7'])).toMatchObject({ reason: 'PartitionBlocked' });
    expect(judge(fleet, after, {}, ['198.51.100.1', '2001:db8::1'])).toBeUndefined();
    expect(judge(fleet, after, { allowPartition: true }, ['203.0.113.7'])).toBeUndefined();
    expect(judge(after, after, {}, ['203.0.113.7'])).toBeUndefined();
  });

  it('leaves to the probes what a peer in reach serves, and what this node serves itself', () => {
    const served = (holder: number) =>
      edit(fleet, [wider, vip(9, { address: '203.0.113.7' as IpAddress, peer: `robot-${holder}` })]).fleet;
    expect(judge(fleet, served(2), {}, ['203.0.113.7'])).toBeUndefined();
    expect(judge(fleet, served(1), {}, ['203.0.113.7'])).toBeUndefined();
    const suspended = edit(served(2), [peer(2, { suspended: true })]).fleet;
    expect(judge(fleet, suspended, {}, ['203.0.113.7'])?.message).toContain(
      'vip/vip-9 (fleet.yaml:1) is of peer/robot-2 (fleet.yaml:3), which this node cannot reach',
    );
  });

  it('does not count on a peer whose name resolves into the cluster', () => {
    const mute = edit(fleet, [peer(1, { endpoints: [] })]).fleet;
    const after = edit(mute, [
      wider,
      peer(2, { endpoints: [hint('git.lan')] }),
      vip(9, { address: '203.0.113.7' as IpAddress, peer: 'robot-2' }),
    ]).fleet;
    const behind = (address: string) =>
      guard(side(mute), side(after, { 'git.lan': address }), strict, ['203.0.113.7' as IpAddress]);
    expect(behind('192.0.2.9')).toBeUndefined();
    expect(behind('203.0.113.9')).toMatchObject({ reason: 'PartitionBlocked' });
    const alone = edit(after, [], ['peer/robot-3', 'vip/vip-3']).fleet;
    const block = guard(side(mute), side(alone, { 'git.lan': '203.0.113.9' }), strict, []);
    expect(block?.message).toContain(
      'the endpoint of peer/robot-2 (fleet.yaml:3) resolves to an address inside the subnets of cluster/warehouse',
    );
  });

  it('keeps a way through the cluster while there is no other', () => {
    const after = without(fleet, 2);
    const block = judge(fleet, after, {}, ['10.77.0.2']);
    expect(block?.message).toBe(
      'this node reaches its source at 10.77.0.2 through the cluster, and would not any more: no VIP has it. Keep the way until the source is reached otherwise; if it is meant, run `omni confirm --allow-partition` on this node',
    );
    expect(judge(fleet, after, {}, ['10.77.0.2', '198.51.100.1'])).toBeUndefined();
    expect(judge(fleet, after, {}, ['10.77.0.2', '10.77.0.3'])).toBeUndefined();
    const suspended = edit(fleet, [peer(1, { suspended: true })]).fleet;
    expect(judge(fleet, suspended, {}, ['10.77.0.2'])?.message).toContain('the cluster leads there no more');
  });
});
