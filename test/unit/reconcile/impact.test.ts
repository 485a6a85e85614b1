import { describe, expect, it } from 'vitest';
import { macOf } from '../../../src/manifest/keys.ts';
import { impact, namesOf } from '../../../src/reconcile/impact.ts';
import { renderPlan } from '../../../src/reconcile/plan.ts';
import { cluster, edit, fleetOf, fleetWith, hint, keyOf, peer, vip } from './fleet.ts';

const before = fleetWith(1, 2, 3);

function lines(after: typeof before, node: string): string[] {
  const [one] = impact(before, after, node).nodes;
  return renderPlan(one?.changes ?? [], namesOf(before, after))
    .split('\n')
    .filter(Boolean);
}

describe('what a commit does, before it is merged', () => {
  it('is nothing for equal fleets', () => {
    expect(impact(before, fleetWith(1, 2, 3))).toEqual({ objects: { added: [], changed: [], removed: [] }, nodes: [] });
  });

  it('tells each node of a robot that comes', () => {
    const { fleet } = edit(before, [peer(4), vip(4)]);
    const found = impact(before, fleet);
    expect(found.objects).toEqual({ added: ['peer/robot-4', 'vip/vip-4'], changed: [], removed: [] });
    expect(found.nodes.map(({ node, changes }) => [node, changes.length])).toEqual([
      ['robot-1', 3],
      ['robot-2', 3],
      ['robot-3', 3],
      ['robot-4', 12],
    ]);
    expect(lines(fleet, 'robot-1')).toEqual([
      '+ peer/omni0/robot-4 at 192.0.2.4:51820',
      `+ fdb/omni0/${macOf(keyOf(4))} -> robot-4`,
      `+ neighbour/omni0/10.77.0.4 -> ${macOf(keyOf(4))}`,
    ]);
  });

  it('names the sessions that a removal cuts, and leaves the removed node what it has', () => {
    const { fleet } = edit(before, [], ['peer/robot-3', 'vip/vip-3']);
    const found = impact(before, fleet);
    expect(found.nodes.map(({ node, sessionsCut }) => [node, sessionsCut])).toEqual([
      ['robot-1', ['robot-3']],
      ['robot-2', ['robot-3']],
      ['robot-3', []],
    ]);
    const [gone] = impact(before, fleet, 'robot-3').nodes;
    expect(gone).toMatchObject({ changes: [], note: expect.stringContaining('keeps what it has') });
  });

  it('counts a new key as a cut', () => {
    const { fleet } = edit(before, [peer(3, { publicKey: keyOf(33) })]);
    expect(impact(before, fleet, 'robot-1').nodes[0]?.sessionsCut).toEqual(['robot-3']);
    expect(impact(before, fleet, 'robot-3').nodes[0]).toMatchObject({
      sessionsCut: ['robot-1', 'robot-2'],
      changes: [{ op: 'replace', key: 'link/omni0', fields: ['mac'] }],
    });
  });

  it('cuts a key that the cluster revokes', () => {
    const { fleet } = edit(before, [cluster({ revokedKeys: [keyOf(2)] })]);
    expect(impact(before, fleet, 'robot-1').nodes[0]?.sessionsCut).toEqual(['robot-2']);
    expect(impact(before, fleet, 'robot-2').nodes[0]?.note).toContain('no longer a member');
  });

  it('shows a host name as it is written, without asking DNS', () => {
    const { fleet } = edit(before, [peer(2, { endpoints: [hint('robot-2.lan')] })]);
    expect(lines(fleet, 'robot-1')).toEqual(['~ peer/omni0/robot-2: endpoint 192.0.2.2:51820 -> robot-2.lan:51820']);
  });

  it('cuts everything where an interface is renamed', () => {
    const { fleet } = edit(before, [cluster({ interface: 'omni7' })]);
    expect(impact(before, fleet, 'robot-1').nodes[0]?.sessionsCut).toEqual(['robot-2', 'robot-3']);
  });

  it('touches one link row per node for a cluster setting', () => {
    const { fleet } = edit(before, [cluster({ mtu: 1300 })]);
    expect(impact(before, fleet).nodes.map(({ changes }) => changes.map(({ key }) => key))).toEqual([
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
    expect(impact(before, fleet, 'robot-1').nodes[0]).toMatchObject({
      changes: [],
      note: expect.stringContaining('2 clusters'),
    });
  });

  it('refuses a node that nobody knows', () => {
    expect(() => impact(before, fleetOf(cluster()), 'robot-9')).toThrow(
      expect.objectContaining({ code: 'unknown-node', exitCode: 2 }),
    );
  });
});
