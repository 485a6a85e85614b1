import { describe, expect, it } from 'vitest';
import { OmniError } from '../../../src/errors.ts';
import { canonicalKey, macOf } from '../../../src/manifest/keys.ts';
import type { Cidr, Fleet, IpAddress } from '../../../src/manifest/model.ts';
import { type DesiredState, desiredState, updateDesired } from '../../../src/reconcile/desired.ts';
import type { RowKey } from '../../../src/reconcile/rows.ts';
import { cluster, edit, fleetOf, fleetWith, hint, keyOf, nodeOf, peer, vip } from './fleet.ts';

function keys(fleet: Fleet, n = 1): readonly string[] {
  return [...desiredState(fleet, nodeOf(n)).rows.keys()].sort();
}

function rowAt(fleet: Fleet, key: string, node = nodeOf(1)): unknown {
  return [...desiredState(fleet, node).rows].find(([found]) => found === key)?.[1].row;
}

describe('what a node should hold', () => {
  it('is its link, its addresses, the routes, and for each other peer how to reach it', () => {
    const mac = macOf(keyOf(2));
    expect(keys(fleetWith(1, 2))).toEqual([
      'address/omni0/10.77.0.1',
      `fdb/omni0/${mac}`,
      'link/omni0',
      'neighbour/omni0/10.77.0.2',
      `peer/omni0/${keyOf(2)}`,
      'policy/omni0',
      'route/omni0/10.77.0.0/16',
      'subnet/omni0/10.77.0.0/16',
    ]);
    expect(rowAt(fleetWith(1, 2), 'link/omni0')).toEqual({
      kind: 'link',
      interface: 'omni0',
      cluster: 'warehouse',
      mac: macOf(keyOf(1)),
      mtu: 'auto',
      port: 51820,
      newSessionsPerSecondPerSource: 10,
      arpSuppression: true,
    });
    expect(rowAt(fleetWith(1, 2), 'neighbour/omni0/10.77.0.2')).toMatchObject({ mac });
  });

  it('knows every address of every family', () => {
    const subnets = ['10.77.0.0/16', 'fd77::/64'] as Cidr[];
    const fleet = fleetOf(
      cluster({ subnets }),
      peer(1),
      peer(2),
      vip(1, { name: 'own-6', address: 'fd77::1' as IpAddress }),
      vip(1),
      vip(2, { name: 'other-6', address: 'fd77::2' as IpAddress }),
    );
    expect(keys(fleet)).toEqual(
      expect.arrayContaining([
        'address/omni0/10.77.0.1',
        'address/omni0/fd77::1',
        'neighbour/omni0/fd77::2',
        'route/omni0/fd77::/64',
      ]),
    );
  });

  it('takes the first hint that resolves', () => {
    const endpoints = [hint('robot-2.lan'), hint('2001:db8::2', 4000), hint('192.0.2.2')];
    const fleet = fleetOf(cluster(), peer(1), peer(2, { endpoints }));
    const key = `peer/omni0/${keyOf(2)}`;
    expect(rowAt(fleet, key)).toMatchObject({ endpoint: '[2001:db8::2]:4000' });
    expect(rowAt(fleet, key, nodeOf(1, { 'robot-2.lan': '198.51.100.2' }))).toMatchObject({
      endpoint: '198.51.100.2:51820',
    });
    const silent = fleetOf(cluster(), peer(1), peer(2, { endpoints: [hint('robot-2.lan')] }));
    expect(rowAt(silent, key)).not.toHaveProperty('endpoint');
  });

  it('leaves room for IPv6 headers as soon as a member is reached by IPv6, unless the cluster says how much', () => {
    const six = { endpoints: [hint('192.0.2.2'), hint('2001:db8::2')] };
    const mtuOf = (fleet: Fleet) => (rowAt(fleet, 'link/omni0') as { mtu: unknown }).mtu;
    expect(mtuOf(fleetOf(cluster(), peer(1), peer(2)))).toBe('auto');
    expect(mtuOf(fleetOf(cluster(), peer(1), peer(2, six)))).toBe('auto-ipv6');
    expect(mtuOf(fleetOf(cluster(), peer(1, six), peer(2)))).toBe('auto-ipv6');
    expect(mtuOf(fleetOf(cluster({ mtu: 1300 }), peer(1), peer(2, six)))).toBe(1300);
    const elsewhere = { ...six, clusters: ['office'] };
    expect(mtuOf(fleetOf(cluster(), cluster({ name: 'office' }), peer(1), peer(2, elsewhere)))).toBe('auto');
  });

  it.each([
    ['suspended', fleetOf(cluster(), peer(1), vip(1), peer(2, { suspended: true }), vip(2))],
    ['revoked', fleetOf(cluster({ revokedKeys: [keyOf(2)] }), peer(1), vip(1), peer(2), vip(2))],
    [
      'of another cluster',
      fleetOf(cluster(), cluster({ name: 'office' }), peer(1), vip(1), peer(2, { clusters: ['office'] })),
    ],
  ])('leaves out a peer that is %s, with its sessions', (_why, fleet) => {
    expect(keys(fleet)).toEqual([
      'address/omni0/10.77.0.1',
      'link/omni0',
      'policy/omni0',
      'route/omni0/10.77.0.0/16',
      'subnet/omni0/10.77.0.0/16',
    ]);
    expect([...(desiredState(fleet, nodeOf(1)).sessions?.peers.keys() ?? [])]).toEqual([]);
  });

  it('gives the sessions what they need, without a next key that is revoked', () => {
    const rotating = { nextPublicKey: keyOf(12), keepaliveMs: 25_000 };
    const fleet = fleetOf(cluster(), peer(1), peer(2, rotating));
    expect(desiredState(fleet, nodeOf(1)).sessions).toMatchObject({
      cluster: 'warehouse',
      port: 51820,
      lifetimeMs: 3_600_000,
    });
    expect(desiredState(fleet, nodeOf(1)).sessions?.peers.get(keyOf(2))).toMatchObject({
      name: 'robot-2',
      ...rotating,
    });
    const revoked = fleetOf(cluster({ revokedKeys: [keyOf(12)] }), peer(1), peer(2, rotating));
    expect(desiredState(revoked, nodeOf(1)).sessions?.peers.get(keyOf(2))).not.toHaveProperty('nextPublicKey');
  });

  it.each([
    ['its key', keyOf(2)],
    ['the key that it rotates to', keyOf(12)],
  ])('gives a peer nothing where %s is barred, whatever the fleet says', (_which, key) => {
    const fleet = fleetOf(cluster(), peer(1), vip(1), peer(2, { nextPublicKey: keyOf(12) }), vip(2), peer(3), vip(3));
    const state = desiredState(fleet, { ...nodeOf(1), barred: new Set([canonicalKey(key)]) });
    const { rows, sessions } = desiredState(fleetWith(1, 3), nodeOf(1));
    expect([...state.rows.keys()].sort()).toEqual([...rows.keys()].sort());
    expect([...(state.sessions?.peers.keys() ?? [])]).toEqual([...(sessions?.peers.keys() ?? [])]);
  });

  it('finds itself by the key that it rotates to', () => {
    const fleet = fleetOf(cluster(), peer(1, { nextPublicKey: keyOf(11) }), vip(1), peer(2));
    expect(desiredState(fleet, nodeOf(11))).toMatchObject({ member: true, self: 'robot-1' });
    expect(keys(fleet, 11)).toContain('address/omni0/10.77.0.1');
  });

  it.each([
    ['suspended', true, fleetOf(cluster(), peer(1, { suspended: true }), vip(1), peer(2))],
    ['revoked', false, fleetOf(cluster({ revokedKeys: [keyOf(1)] }), peer(1), vip(1), peer(2))],
    ['absent', false, fleetWith(2)],
    ['absent', false, fleetOf(cluster(), peer(1, { clusters: [] }), peer(2))],
  ])('is nothing for a node that is %s (member: %s)', (standing, member, fleet) => {
    const state = desiredState(fleet, nodeOf(1));
    expect(state).toMatchObject({ standing, member });
    expect(state.rows.size).toBe(0);
    expect(state.sessions).toBeUndefined();
  });

  it('refuses a node in two clusters, and says what to do', () => {
    const fleet = fleetOf(cluster(), cluster({ name: 'office' }), peer(1, { clusters: ['warehouse', 'office'] }));
    const error = caught(() => desiredState(fleet, nodeOf(1)));
    expect(error).toMatchObject({ code: 'several-clusters', class: 'stall', exitCode: 2, object: 'peer/robot-1' });
    expect(error.message).toContain('warehouse, office');
    expect(error.fix).toMatch(/spec\.clusters/);
  });
});

describe('an update', () => {
  const before = fleetWith(1, 2, 3);
  const state = desiredState(before, nodeOf(1));

  it('names the rows that changed, and nothing else', () => {
    const { fleet, changed } = edit(before, [peer(4), vip(4)]);
    const update = updateDesired(state, fleet, changed, nodeOf(1));
    expect([...update.touched].sort()).toEqual([
      `fdb/omni0/${macOf(keyOf(4))}`,
      'neighbour/omni0/10.77.0.4',
      `peer/omni0/${keyOf(4)}`,
    ]);
  });

  it('touches nothing for a new label or a moved line', () => {
    const moved = peer(2, {
      metadata: { name: 'robot-2', labels: { site: 'munich' } },
      position: { file: 'x', line: 9, column: 1 },
    });
    const { fleet, changed } = edit(before, [moved]);
    const update = updateDesired(state, fleet, changed, nodeOf(1));
    expect(update.touched.size).toBe(0);
    expect(
      update.state.rows.get([...state.rows.keys()].find((key) => key.startsWith('peer/')) ?? missing())?.origin.position
        .line,
    ).toBe(9);
  });

  it("follows a new key into the rows of the peer's addresses", () => {
    const { fleet, changed } = edit(before, [peer(2, { publicKey: keyOf(22) })]);
    const update = updateDesired(state, fleet, changed, nodeOf(1));
    expect(update.touched).toContain('neighbour/omni0/10.77.0.2');
    expect([...(update.state.sessions?.peers.keys() ?? [])].sort()).toEqual([keyOf(22), keyOf(3)].sort());
  });

  it('measures the link anew with the first IPv6 endpoint, and after the last', () => {
    const six = (n: number) => peer(n, { endpoints: [hint(`2001:db8::${n}`)] });
    const first = edit(before, [six(2)]);
    const one = updateDesired(state, first.fleet, first.changed, nodeOf(1));
    expect([...one.touched].sort()).toEqual(['link/omni0', `peer/omni0/${keyOf(2)}`]);
    const second = edit(first.fleet, [six(3)]);
    const two = updateDesired(one.state, second.fleet, second.changed, nodeOf(1));
    expect([...two.touched]).toEqual([`peer/omni0/${keyOf(3)}`]);
    const back = edit(second.fleet, [peer(2)], ['peer/robot-3', 'vip/vip-3']);
    const none = updateDesired(two.state, back.fleet, back.changed, nodeOf(1));
    expect(none.touched).toContain('link/omni0');
    expect(none.state.rows.get('link/omni0' as RowKey)?.row).toMatchObject({ mtu: 'auto' });
  });

  it('lets an address pass from one VIP to another', () => {
    const renamed = vip(2, { name: 'forklift' });
    const { fleet, changed } = edit(before, [renamed], ['vip/vip-2']);
    const update = updateDesired(state, fleet, changed, nodeOf(1));
    expect(update.touched.size).toBe(0);
    const origins = [...update.state.rows.values()].map(({ origin }) => origin.object);
    expect(origins).toContain('vip/forklift');
    expect(origins).not.toContain('vip/vip-2');
  });

  it('follows keys that are barred since, and those that are no more', () => {
    const barring = (...numbers: readonly number[]) => ({
      ...nodeOf(1),
      barred: new Set(numbers.map((n) => canonicalKey(keyOf(n)))),
    });
    const first = updateDesired(state, before, new Set(), barring(2));
    expect(sorted(first.state)).toEqual(sorted(desiredState(before, barring(2))));
    expect([...first.touched].sort()).toEqual([
      `fdb/omni0/${macOf(keyOf(2))}`,
      'neighbour/omni0/10.77.0.2',
      `peer/omni0/${keyOf(2)}`,
    ]);
    expect([...first.objects]).toEqual(['peer/robot-2', 'vip/vip-2']);
    const second = updateDesired(first.state, before, new Set(), barring(3));
    expect(sorted(second.state)).toEqual(sorted(desiredState(before, barring(3))));
    expect(second.touched.size).toBe(6);
    expect(updateDesired(second.state, before, new Set(), barring(3)).touched.size).toBe(0);
    const last = updateDesired(second.state, before, new Set(), nodeOf(1));
    expect(sorted(last.state)).toEqual(sorted(state));
  });

  it('does work for the change only', () => {
    const { fleet, changed } = edit(before, [peer(2, { endpoints: [] })]);
    const update = updateDesired(state, fleet, changed, nodeOf(1));
    expect([...update.objects]).toEqual(['peer/robot-2', 'vip/vip-2']);
  });
});

function sorted({ rows, sessions }: DesiredState): unknown {
  return [rows, sessions?.peers ?? []].map((entries) => [...entries].sort(([a], [b]) => (a < b ? -1 : 1)));
}

function caught(run: () => unknown): OmniError {
  try {
    run();
  } catch (error) {
    if (error instanceof OmniError) return error;
    throw error;
  }
  throw new Error('nothing was thrown');
}

function missing(): never {
  throw new Error('no such row');
}
