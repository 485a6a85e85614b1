import { describe, expect, it } from 'vitest';
import { OmniError } from '../../../src/errors.ts';
import { macOf } from '../../../src/manifest/keys.ts';
import type { Fleet, IpAddress, ObjectRef } from '../../../src/manifest/model.ts';
import { desiredState, type NodeKeys } from '../../../src/reconcile/desired.ts';
import { DEFAULT_PRUNE_LIMIT, guard } from '../../../src/reconcile/guards.ts';
import { changesOf, sessionsCutOf } from '../../../src/reconcile/impact/node.ts';
import { impact } from '../../../src/reconcile/impact.ts';
import { namesOf } from '../../../src/reconcile/names.ts';
import { renderPlan } from '../../../src/reconcile/plan.ts';
import { revokedBy } from '../../../src/reconcile/rollout/revocation.ts';
import { cluster, edit, fleetOf, fleetWith, keyOf, nodeOf, peer, vip } from './fleet.ts';
import { Lab } from './lab.ts';

/* robot-2 goes from its 2nd key over to the 22nd, in three commits. */
const [OLD, NEXT] = [keyOf(2), keyOf(22)];
const stage = (keys: { publicKey: typeof OLD; nextPublicKey?: typeof OLD }): Fleet =>
  edit(fleetWith(1, 2, 3), [peer(2, keys)]).fleet;
const before = fleetWith(1, 2, 3);
const overlap = stage({ publicKey: OLD, nextPublicKey: NEXT });
const changed = stage({ publicKey: NEXT, nextPublicKey: OLD });
const after = stage({ publicKey: NEXT });
const steps = [
  ['the second key comes', before, overlap],
  ['the keys change places', overlap, changed],
  ['the old key goes', changed, after],
] as const;
const REF: ReadonlySet<ObjectRef> = new Set(['peer/robot-2']);

function rowsOf(fleet: Fleet, keys: NodeKeys) {
  const state = desiredState(fleet, { ...keys, resolve: (host) => host as IpAddress });
  return { state, rows: [...state.rows.values()].map(({ row }) => row) };
}

describe('during a rotation', () => {
  it('the others hold one row for the peer, and the MACs of both its keys lead to it', () => {
    for (const [fleet, publicKey, nextPublicKey] of [
      [overlap, OLD, NEXT],
      [changed, NEXT, OLD],
    ] as const) {
      const { rows } = rowsOf(fleet, { publicKey: keyOf(1) });
      const base = { interface: 'omni0', publicKey };
      expect(rows).toEqual(
        expect.arrayContaining([
          { kind: 'peer', ...base, nextPublicKey, endpoint: '192.0.2.2:51820' },
          { kind: 'fdb', ...base, mac: macOf(OLD) },
          { kind: 'fdb', ...base, mac: macOf(NEXT) },
          { kind: 'neighbour', interface: 'omni0', address: '10.77.0.2', mac: macOf(publicKey) },
        ]),
      );
      expect(rows.filter((row) => 'publicKey' in row && row.publicKey === nextPublicKey)).toEqual([]);
    }
  });

  it.each<[string, Fleet, NodeKeys, typeof OLD, boolean]>([
    ['before it', before, { publicKey: OLD }, OLD, false],
    ['with a next key that nobody knows', before, { publicKey: OLD, nextPublicKey: NEXT }, OLD, false],
    ['once both are known', overlap, { publicKey: OLD, nextPublicKey: NEXT }, OLD, true],
    ['once they changed places', changed, { publicKey: OLD, nextPublicKey: NEXT }, NEXT, true],
    ['without the key that the others call it by', changed, { publicKey: OLD }, OLD, true],
    ['that is over', after, { publicKey: OLD, nextPublicKey: NEXT }, NEXT, false],
    ['that was finished', after, { publicKey: NEXT }, NEXT, false],
    ['that was finished and then taken back', overlap, { publicKey: NEXT }, NEXT, true],
  ])(
    'the node itself, %s, acts under a key that it holds and takes frames for both',
    (_when, fleet, keys, own, both) => {
      const { state, rows } = rowsOf(fleet, keys);
      expect(state).toMatchObject({ standing: 'active', self: 'robot-2', sessions: { self: own } });
      expect(rows).toContainEqual(expect.objectContaining({ kind: 'link', mac: macOf(own) }));
      const macs = rows.flatMap((row) => (row.kind === 'fdb' && row.publicKey === 'self' ? row.mac : []));
      expect(macs.sort()).toEqual(both ? [macOf(OLD), macOf(NEXT)].sort() : []);
    },
  );

  it('a second key that is revoked is none', () => {
    const revoked = edit(overlap, [cluster({ revokedKeys: [NEXT] })]).fleet;
    const { rows } = rowsOf(revoked, { publicKey: keyOf(1) });
    expect(rows.some((row) => row.kind === 'fdb' && row.mac === macOf(NEXT))).toBe(false);
    expect(rows.find((row) => row.kind === 'peer' && row.publicKey === OLD)).not.toHaveProperty('nextPublicKey');
    expect(rowsOf(revoked, { publicKey: NEXT }).state.standing).toBe('revoked');
  });
});

describe('a step of a rotation', () => {
  it.each(steps)('cuts nobody, and counts as no removal: %s', (_what, from, to) => {
    for (const [a, b] of [
      [from, to],
      [to, from],
    ] as const) {
      const found = impact(a, b);
      expect(found).toMatchObject({ sessionsCut: 0, pathLosses: [], refusals: [] });
      expect(found.nodes.flatMap((one) => sessionsCutOf(one, a))).toEqual([]);
      const side = (fleet: Fleet) => ({ fleet, state: desiredState(fleet, nodeOf(1)) });
      expect(revokedBy(side(a), b, { publicKey: keyOf(1) }, 'b')).toEqual([]);
    }
  });

  it('reads as a change of the key', () => {
    const { nodes } = impact(overlap, changed);
    const lines = nodes.map((one) => [one.node, renderPlan(changesOf(one), namesOf(overlap, changed)).split('\n')]);
    const short = (key: string) => `${key.slice(0, 10)}…`;
    const others = [
      `~ peer/omni0/robot-2: publicKey ${short(OLD)} -> ${short(NEXT)}, nextPublicKey ${short(NEXT)} -> ${short(OLD)}`,
      `~ neighbour/omni0/10.77.0.2: mac ${macOf(OLD)} -> ${macOf(NEXT)}`,
    ];
    expect(lines).toEqual([
      ['robot-1', others],
      ['robot-2', [`~ link/omni0: mac ${macOf(OLD)} -> ${macOf(NEXT)}`]],
      ['robot-3', others],
    ]);
  });

  it('of a whole fleet at once trips no guard', () => {
    const numbers = Array.from({ length: 40 }, (_, at) => at + 2);
    const turned = (next: boolean) =>
      fleetOf(
        cluster(),
        peer(1),
        ...numbers.flatMap((n) => {
          const [a, b] = next ? [keyOf(n + 200), keyOf(n)] : [keyOf(n), keyOf(n + 200)];
          return [peer(n, { publicKey: a, nextPublicKey: b }), vip(n)];
        }),
      );
    const side = (fleet: Fleet) => ({ fleet, state: desiredState(fleet, nodeOf(1)) });
    const policy = { pruneLimit: DEFAULT_PRUNE_LIMIT, allowPrune: false, allowPartition: false };
    expect(guard(side(turned(false)), side(turned(true)), policy, [])).toBeUndefined();
  });
});

describe('the reconciler', () => {
  const PROVED = '198.51.100.7:4000';

  async function rotating(options: ConstructorParameters<typeof Lab>[0] = {}) {
    const lab = await new Lab(options).start();
    lab.set(overlap, 'a', 'all');
    await lab.clock.advance(1_000);
    lab.plane.host.put({ ...peerRow(), endpoint: PROVED }, true);
    await lab.clock.advance(1_000);
    lab.attempts.length = 0;
    return lab;
  }
  const peerRow = () => ({ kind: 'peer', interface: 'omni0', publicKey: OLD, nextPublicKey: NEXT }) as const;

  it('carries a change of key out as one change, and reads only the rows that it concerns', async () => {
    const lab = await rotating();
    lab.reads.length = 0;
    lab.set(changed, 'b', REF);
    await lab.clock.advance(1_000);
    expect(lab.attempts.map(({ op, key }) => `${op} ${key}`)).toEqual([
      `update peer/omni0/${NEXT}`,
      'update neighbour/omni0/10.77.0.2',
    ]);
    expect(lab.plane.host.rows.get(`peer/omni0/${NEXT}` as never)).toMatchObject({
      row: { endpoint: PROVED },
      endpointObserved: true,
    });
    expect(lab.reads).not.toContain('all');
    expect(lab.reconciler.status()).toMatchObject({ revision: { applied: 'b' } });
    expect(lab.reconciler.rows().observed.filter(({ row }) => row.kind === 'peer')).toHaveLength(2);
    expect(lab.reasons()).not.toContain('DriftHealed');
  });

  it('tries one that fails again, and cuts nobody meanwhile', async () => {
    const lab = await rotating();
    lab.plane.faults.add({
      when: ({ key }) => key === `peer/omni0/${NEXT}`,
      error: new OmniError('the map is busy', { code: 'busy', class: 'retry' }),
      times: 2,
    });
    lab.set(changed, 'b', REF);
    await lab.clock.advance(5_000);
    const peers = lab.attempts.filter(({ key }) => key.startsWith('peer/'));
    expect(peers.map(({ op, key }) => `${op} ${key}`)).toEqual(Array(3).fill(`update peer/omni0/${NEXT}`));
    expect(lab.rowKeys()).not.toContain(`peer/omni0/${OLD}`);
    expect(lab.plane.host.rows.get(`fdb/omni0/${macOf(OLD)}` as never)).toMatchObject({ row: { publicKey: NEXT } });
    expect(lab.reconciler.failing('all')).toEqual([]);
  });

  it('goes from before it to after it as to another peer', async () => {
    const lab = await new Lab().start();
    lab.set(before, 'a', 'all');
    await lab.clock.advance(1_000);
    lab.attempts.length = 0;
    lab.set(after, 'b', REF);
    await lab.clock.advance(1_000);
    expect(lab.attempts.map(({ op, key }) => `${op} ${key}`)).toEqual(
      expect.arrayContaining([`delete peer/omni0/${OLD}`, `create peer/omni0/${NEXT}`]),
    );
  });

  it('accepts frames for a MAC before the link takes it', async () => {
    const lab = await new Lab({ node: { ...nodeOf(2), nextPublicKey: NEXT } }).start();
    lab.set(before, 'a', 'all');
    await lab.clock.advance(1_000);
    lab.attempts.length = 0;
    lab.set(changed, 'b', REF);
    await lab.clock.advance(1_000);
    expect(lab.attempts.map(({ op, key }) => `${op} ${key}`)).toEqual([
      ...[macOf(OLD), macOf(NEXT)].sort().map((mac) => `create fdb/omni0/${mac}`),
      'update link/omni0',
    ]);
  });
});
