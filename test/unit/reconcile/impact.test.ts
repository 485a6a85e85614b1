import { describe, expect, it } from 'vitest';
import { macOf } from '../../../src/manifest/keys.ts';
import type { Cidr, Fleet, IpAddress } from '../../../src/manifest/model.ts';
import { changesOf, countSessionsCut, type NodeImpact, sessionsCutOf } from '../../../src/reconcile/impact/node.ts';
import { checkNode, type Impact, impact } from '../../../src/reconcile/impact.ts';
import { namesOf } from '../../../src/reconcile/names.ts';
import { renderPlan } from '../../../src/reconcile/plan.ts';
import { cluster, edit, fleetOf, fleetWith, hint, keyOf, negativeOf, peer, vip } from './fleet.ts';

const before = fleetWith(1, 2, 3);

function nodeOf(after: Fleet, node: string): NodeImpact | undefined {
  return impact(before, after, (name) => name === node).nodes[0];
}

function lines(after: Fleet, node: string): string[] {
  const one = nodeOf(after, node);
  return renderPlan(one === undefined ? [] : changesOf(one), namesOf(before, after))
    .split('\n')
    .filter(Boolean);
}

function cutOf(found: Impact): readonly (readonly [string, readonly string[]])[] {
  return found.nodes.map((one) => {
    const names = [...sessionsCutOf(one, before)].sort();
    expect(countSessionsCut(one)).toBe(names.length);
    return [one.node, names] as const;
  });
}

describe('what a commit does, before it is merged', () => {
  it('is nothing for equal fleets', () => {
    expect(impact(before, fleetWith(1, 2, 3))).toEqual({
      objects: { added: [], changed: [], removed: [] },
      nodes: [],
      sessionsCut: 0,
      pathLosses: [],
      refusals: [],
      addresses: [],
      keys: [],
    });
  });

  it('tells each node of a robot that comes', () => {
    const { fleet } = edit(before, [peer(4), vip(4)]);
    const found = impact(before, fleet);
    expect(found.objects).toEqual({ added: ['peer/robot-4', 'vip/vip-4'], changed: [], removed: [] });
    expect(found.nodes.map((one) => [one.node, changesOf(one).length])).toEqual([
      ['robot-1', 3],
      ['robot-2', 3],
      ['robot-3', 3],
      ['robot-4', 14],
    ]);
    expect(lines(fleet, 'robot-1')).toEqual([
      '+ peer/omni0/robot-4 at 192.0.2.4:51820',
      `+ fdb/omni0/${macOf(keyOf(4))} -> robot-4`,
      `+ neighbour/omni0/10.77.0.4 -> ${macOf(keyOf(4))}`,
    ]);
    expect(found.addresses).toEqual([{ cluster: 'warehouse', address: '10.77.0.4', to: 'robot-4' }]);
    expect(found).toMatchObject({ sessionsCut: 0, pathLosses: [], refusals: [] });
  });

  it('names the sessions that a removal cuts, and leaves the removed node what it has', () => {
    const { fleet } = edit(before, [], ['peer/robot-3', 'vip/vip-3']);
    const found = impact(before, fleet);
    expect(cutOf(found)).toEqual([
      ['robot-1', ['robot-3']],
      ['robot-2', ['robot-3']],
      ['robot-3', []],
    ]);
    expect(found.sessionsCut).toBe(2);
    expect(found.pathLosses).toEqual([{ nodes: ['robot-1', 'robot-2'], peers: ['robot-3'], isolated: false }]);
    expect(found.nodes[2]).toMatchObject({ own: [], note: expect.stringContaining('keeps what it has') });
  });

  it('counts the sessions of the nodes that are chosen, at either end', () => {
    const { fleet } = edit(before, [], ['peer/robot-3', 'vip/vip-3']);
    const cut = (...names: readonly string[]) => impact(before, fleet, (name) => names.includes(name)).sessionsCut;
    expect([cut('robot-1'), cut('robot-3'), cut('robot-1', 'robot-3'), cut()]).toEqual([1, 2, 2, 0]);
  });

  it('counts a new key as a cut', () => {
    const { fleet } = edit(before, [peer(3, { publicKey: keyOf(33) })]);
    const found = impact(before, fleet);
    expect(cutOf(found)).toEqual([
      ['robot-1', ['robot-3']],
      ['robot-2', ['robot-3']],
      ['robot-3', []],
    ]);
    expect(found.sessionsCut).toBe(2);
    expect(found.nodes[2]).toMatchObject({ own: [{ op: 'update', key: 'link/omni0', fields: ['mac'] }] });
    expect(found.keys).toMatchObject([{ peer: 'robot-3', change: 'replaced', confirmWithinMs: 30_000 }]);
    const leaked = edit(before, [cluster({ revokedKeys: [negativeOf(keyOf(3))] }), peer(3, { publicKey: keyOf(33) })]);
    const [replaced, revoked] = impact(before, leaked.fleet).keys;
    expect(replaced).not.toHaveProperty('confirmWithinMs');
    expect(revoked).toMatchObject({ peer: 'robot-3', change: 'revoked' });
    expect(found.pathLosses).toEqual([]);
  });

  it('calls a key by what becomes of it', () => {
    const rotating = edit(before, [peer(2, { nextPublicKey: keyOf(22) })]).fleet;
    const promoted = edit(before, [peer(2, { publicKey: keyOf(22), nextPublicKey: keyOf(2) })]).fleet;
    const done = edit(before, [peer(2, { publicKey: keyOf(22) })]).fleet;
    const revoked = edit(before, [cluster({ revokedKeys: [keyOf(3)] })], ['peer/robot-3', 'vip/vip-3']).fleet;
    const changes = (from: Fleet, to: Fleet) => impact(from, to).keys.map(({ peer, change }) => `${peer} ${change}`);
    expect(changes(before, rotating)).toEqual(['robot-2 announced']);
    expect(changes(rotating, before)).toEqual(['robot-2 withdrawn']);
    expect(changes(rotating, promoted)).toEqual(['robot-2 promoted']);
    expect(changes(promoted, rotating)).toEqual(['robot-2 promoted']);
    expect(changes(promoted, done)).toEqual(['robot-2 withdrawn']);
    expect(changes(before, promoted)).toEqual(['robot-2 promoted']);
    expect(changes(rotating, done)).toEqual(['robot-2 promoted']);
    expect(changes(before, done)).toEqual(['robot-2 replaced']);
    expect(changes(before, revoked)).toEqual(['robot-3 revoked']);
    expect(changes(revoked, before)).toEqual(['robot-3 readmitted']);
  });

  it('cuts a key that the cluster revokes', () => {
    const { fleet } = edit(before, [cluster({ revokedKeys: [keyOf(2)] })]);
    expect(cutOf(impact(before, fleet))).toEqual([
      ['robot-1', ['robot-2']],
      ['robot-2', []],
      ['robot-3', ['robot-2']],
    ]);
    expect(nodeOf(fleet, 'robot-2')?.note).toContain('no longer a member');
  });

  it('shows a host name as it is written, without asking DNS', () => {
    const { fleet } = edit(before, [peer(2, { endpoints: [hint('robot-2.lan')] })]);
    expect(lines(fleet, 'robot-1')).toEqual(['~ peer/omni0/robot-2: endpoint 192.0.2.2:51820 -> robot-2.lan:51820']);
  });

  it('cuts everything where an interface is renamed', () => {
    const { fleet } = edit(before, [cluster({ interface: 'omni7' })]);
    const found = impact(before, fleet);
    expect(cutOf(found)[0]).toEqual(['robot-1', ['robot-2', 'robot-3']]);
    expect(found.sessionsCut).toBe(3);
    expect(found.pathLosses).toEqual([]);
  });

  it('touches one link row per node for a cluster setting', () => {
    const { fleet } = edit(before, [cluster({ mtu: 1300 })]);
    expect(impact(before, fleet).nodes.map((one) => changesOf(one).map(({ key }) => key))).toEqual([
      ['link/omni0'],
      ['link/omni0'],
      ['link/omni0'],
    ]);
  });

  it('is silent about order of labels and places in files', () => {
    const { fleet } = edit(before, [peer(2, { position: { file: 'elsewhere.yaml', line: 7, column: 3 } })]);
    expect(impact(before, fleet).objects.changed).toEqual([]);
  });

  it('says what a node refuses to do', () => {
    const { fleet } = edit(before, [cluster({ name: 'office' }), peer(1, { clusters: ['warehouse', 'office'] })]);
    expect(nodeOf(fleet, 'robot-1')).toMatchObject({ own: [], note: expect.stringContaining('2 clusters') });
  });

  it('follows a node through a new name: nothing to do, nothing lost', () => {
    const renamed = peer(2, { metadata: { name: 'forklift', labels: {} } });
    const { fleet } = edit(before, [renamed, vip(2, { peer: 'forklift' })], ['peer/robot-2']);
    const found = impact(before, fleet);
    expect(found.nodes).toMatchObject([{ node: 'forklift', renamedFrom: 'robot-2', own: [] }]);
    expect(found).toMatchObject({ sessionsCut: 0, pathLosses: [], addresses: [], keys: [], refusals: [] });
    expect(impact(before, fleet, (name) => name === 'robot-2').nodes).toHaveLength(1);
  });

  it('refuses a node that nobody knows', () => {
    expect(() => checkNode('robot-9', before, fleetOf(cluster()))).toThrow(
      expect.objectContaining({ code: 'unknown-node', exitCode: 2 }),
    );
  });
});

describe('what a commit breaks, before it is merged', () => {
  const mute = (n: number) => peer(n, { endpoints: [] });
  const star = fleetOf(cluster(), peer(1), vip(1), peer(2), vip(2), mute(3), vip(3), mute(4), vip(4));

  it('finds pairs that can meet no more: neither has an endpoint', () => {
    const { pathLosses, sessionsCut } = impact(star, edit(star, [mute(2)]).fleet);
    expect(pathLosses).toEqual([
      { nodes: ['robot-2'], peers: ['robot-3', 'robot-4'], isolated: false },
      { nodes: ['robot-3', 'robot-4'], peers: ['robot-2'], isolated: false },
    ]);
    expect(sessionsCut).toBe(0);
  });

  it('finds nodes that are cut off, and that they would refuse it', () => {
    const { pathLosses, refusals } = impact(star, edit(star, [mute(2)], ['peer/robot-1', 'vip/vip-1']).fleet);
    expect(pathLosses).toEqual([
      { nodes: ['robot-2'], peers: ['robot-1', 'robot-3', 'robot-4'], isolated: true },
      { nodes: ['robot-3', 'robot-4'], peers: ['robot-1', 'robot-2'], isolated: true },
    ]);
    expect(refusals.map(({ reason, node, nodes }) => [reason, node, nodes])).toEqual([
      ['PartitionBlocked', 'robot-2', ['robot-2']],
      ['PartitionBlocked', 'robot-3', ['robot-3', 'robot-4']],
    ]);
    expect(refusals[1]?.message).toContain('peer/robot-1 (fleet.yaml:2) is gone');
  });

  it('takes endpoints that keep the port that a cluster leaves for lost', () => {
    const { pathLosses } = impact(star, edit(star, [cluster({ port: 4000 })]).fleet);
    expect(pathLosses.map(({ nodes, isolated }) => [nodes, isolated])).toEqual([
      [['robot-1', 'robot-2'], true],
      [['robot-3', 'robot-4'], true],
    ]);
  });

  it('says who would not delete that much', () => {
    const many = fleetWith(...Array.from({ length: 20 }, (_, at) => at + 1));
    const few = fleetWith(...Array.from({ length: 10 }, (_, at) => at + 1));
    const { refusals } = impact(many, few);
    expect(refusals).toMatchObject([{ reason: 'PruneBlocked', node: 'robot-1' }]);
    expect(refusals[0]?.nodes).toHaveLength(10);
    expect(refusals[0]?.message).toContain('10 of the 19 peers');
    expect(impact(many, fleetOf()).refusals).toMatchObject([{ reason: 'PruneBlocked', nodes: { length: 20 } }]);
  });

  it('follows addresses to other peers', () => {
    const moved = edit(before, [vip(2, { peer: 'robot-3' }), vip(9, { peer: 'robot-1' })], ['vip/vip-3']).fleet;
    expect(impact(before, moved).addresses).toEqual([
      { cluster: 'warehouse', address: '10.77.0.2', from: 'robot-2', to: 'robot-3' },
      { cluster: 'warehouse', address: '10.77.0.3', from: 'robot-3' },
      { cluster: 'warehouse', address: '10.77.0.9', to: 'robot-1' },
    ]);
    expect(lines(moved, 'robot-3')).toEqual([
      '+ address/omni0/10.77.0.2',
      `+ neighbour/omni0/10.77.0.9 -> ${macOf(keyOf(1))}`,
      `- neighbour/omni0/10.77.0.2 -> ${macOf(keyOf(2))}`,
      '- address/omni0/10.77.0.3',
    ]);
  });

  it('knows a node that goes from one cluster to another', () => {
    const office = cluster({ name: 'office', interface: 'omni1', subnets: ['10.78.0.0/16' as Cidr] });
    const both = edit(before, [office, peer(8, { clusters: ['office'] })]).fleet;
    const address = '10.78.0.3' as IpAddress;
    const moved = edit(both, [peer(3, { clusters: ['office'] }), vip(3, { cluster: 'office', address })]).fleet;
    const found = impact(both, moved);
    expect(found.pathLosses).toEqual([
      { nodes: ['robot-1', 'robot-2'], peers: ['robot-3'], isolated: false },
      { nodes: ['robot-3'], peers: ['robot-1', 'robot-2'], isolated: false },
    ]);
    expect(found.sessionsCut).toBe(2);
    expect(found.nodes.map((one) => one.node)).toEqual(['robot-1', 'robot-2', 'robot-3', 'robot-8']);
  });
});
