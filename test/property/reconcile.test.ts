import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { createMemoryDataPlane } from '../../src/dataplane/memory/plane.ts';
import { canonicalKey, macOf } from '../../src/manifest/keys.ts';
import type {
  Cidr,
  Fleet,
  FleetObject,
  IpAddress,
  MacAddress,
  ObjectRef,
  Peer,
  PublicKey,
} from '../../src/manifest/model.ts';
import {
  type DesiredState,
  desiredState,
  type NodeKeys,
  type NodeView,
  updateDesired,
} from '../../src/reconcile/desired.ts';
import { diff } from '../../src/reconcile/diff.ts';
import { foldEndpoints } from '../../src/reconcile/fold.ts';
import { guard } from '../../src/reconcile/guards.ts';
import { peersCut } from '../../src/reconcile/impact/cuts.ts';
import { changesOf, countSessionsCut, sessionsCutOf } from '../../src/reconcile/impact/node.ts';
import { keysOf } from '../../src/reconcile/impact/nodes.ts';
import { impact } from '../../src/reconcile/impact.ts';
import { LayeredMap } from '../../src/reconcile/layered.ts';
import { namesOf } from '../../src/reconcile/names.ts';
import { plan } from '../../src/reconcile/plan.ts';
import { type DesiredRow, type ObservedRow, type Row, type RowKey, rowKey, sameRow } from '../../src/reconcile/rows.ts';
import { verify } from '../../src/reconcile/verify.ts';
import { cluster, edit, fleetOf, hint, keyOf, nodeOf, peer, vip } from '../unit/reconcile/fleet.ts';

const signal = new AbortController().signal;

// --- rows -----------------------------------------------------------------------

const interfaces = fc.constantFrom('omni0', 'omni1');
const publicKeys = fc.integer({ min: 1, max: 4 }).map(keyOf);
const macs = fc.oneof(
  fc.integer({ min: 1, max: 4 }).map((n) => `02:00:00:00:00:0${n}` as MacAddress),
  publicKeys.map(macOf),
);
const addresses = fc.integer({ min: 1, max: 4 }).map((n) => `10.77.0.${n}` as IpAddress);
const endpoints = fc.constantFrom('192.0.2.1:51820', '[2001:db8::1]:51820');

const rows: fc.Arbitrary<Row> = fc.oneof(
  fc.record({
    kind: fc.constant('link' as const),
    interface: interfaces,
    cluster: fc.constantFrom('warehouse', 'office'),
    mac: macs,
    mtu: fc.constantFrom('auto' as const, 1300),
    port: fc.constantFrom(51820, 51821),
    newSessionsPerSecondPerSource: fc.constantFrom(10, 20),
    arpSuppression: fc.boolean(),
  }),
  fc.record({ kind: fc.constant('address' as const), interface: interfaces, address: addresses }),
  fc.record({
    kind: fc.constant('route' as const),
    interface: interfaces,
    destination: fc.constantFrom('10.77.0.0/16' as Cidr, 'fd77::/64' as Cidr),
  }),
  fc.record(
    { kind: fc.constant('peer' as const), interface: interfaces, publicKey: publicKeys, endpoint: endpoints },
    { requiredKeys: ['kind', 'interface', 'publicKey'] },
  ),
  fc.record({
    kind: fc.constant('fdb' as const),
    interface: interfaces,
    mac: macs,
    publicKey: fc.oneof(publicKeys, fc.constant('self' as const)),
  }),
  fc.record({ kind: fc.constant('neighbour' as const), interface: interfaces, address: addresses, mac: macs }),
);

function link(name: string): Row {
  return {
    kind: 'link',
    interface: name,
    cluster: 'warehouse',
    mac: '02:00:00:00:00:01' as MacAddress,
    mtu: 'auto',
    port: 51820,
    newSessionsPerSecondPerSource: 10,
    arpSuppression: true,
  };
}

/** All rows of a peer that has two keys. */
const rotating: fc.Arbitrary<readonly Row[]> = fc
  .record({ name: interfaces, keys: fc.shuffledSubarray([1, 2, 3, 4].map(keyOf), { minLength: 2, maxLength: 2 }) })
  .map(({ name, keys: [publicKey = keyOf(1), nextPublicKey = keyOf(2)] }) => [
    { kind: 'peer', interface: name, publicKey, nextPublicKey, endpoint: '192.0.2.1:51820' },
    { kind: 'fdb', interface: name, mac: macOf(publicKey), publicKey },
    { kind: 'fdb', interface: name, mac: macOf(nextPublicKey), publicKey },
  ]);

/** A set that a data plane can hold: nothing without its link, and no peer that has another one's key. */
const rowSets = fc
  .tuple(fc.array(rows, { maxLength: 24 }), fc.array(rotating, { maxLength: 2 }))
  .map(([one, several]) => {
    const some = [...one, ...several.flat()];
    const set = new Map(some.map((row) => [rowKey(row), row]));
    for (const row of [...set.values()]) {
      if (row.kind === 'peer' && row.nextPublicKey !== undefined)
        set.delete(rowKey({ kind: 'peer', interface: row.interface, publicKey: row.nextPublicKey }));
      if (!set.has(rowKey(link(row.interface)))) set.set(rowKey(link(row.interface)), link(row.interface));
    }
    return set;
  });

const origin = { object: 'cluster/warehouse', position: { file: 'fleet.yaml', line: 1, column: 1 } } as const;
const desiredSets = rowSets.map(
  (set) => new Map([...set].map(([key, row]): [RowKey, DesiredRow] => [key, { row, origin }])),
);
const observedSets = fc.tuple(rowSets, fc.func(fc.boolean())).map(([set, proved]) => {
  return new Map(
    [...set].map(([key, row]): [RowKey, ObservedRow] => {
      const endpointObserved = row.kind === 'peer' && row.endpoint !== undefined && proved(key);
      return [key, { row, ...(endpointObserved && { endpointObserved }) }];
    }),
  );
});

describe('diff and plan', () => {
  it('find nothing between a set and itself', () => {
    fc.assert(
      fc.property(desiredSets, (desired) => {
        expect(diff(desired, new Map([...desired].map(([key, { row }]) => [key, { row }])))).toEqual([]);
      }),
    );
  });

  it('do not depend on the order of rows', () => {
    fc.assert(
      fc.property(desiredSets, observedSets, (desired, observed) => {
        const turned = plan(diff(new Map([...desired].reverse()), new Map([...observed].reverse())));
        expect(turned).toEqual(plan(diff(desired, observed)));
      }),
    );
  });

  it('look only at the keys that they are given', () => {
    fc.assert(
      fc.property(desiredSets, observedSets, fc.func(fc.boolean()), (desired, observed, chosen) => {
        const keys = new Set([...desired.keys(), ...observed.keys()].filter((key) => chosen(key)));
        const whole = plan(diff(desired, observed));
        expect(
          plan(diff(desired, observed, keys))
            .map(({ key }) => key)
            .sort(),
        ).toEqual(
          whole
            .filter(({ key }) => keys.has(key))
            .map(({ key }) => key)
            .sort(),
        );
      }),
    );
  });

  it('turn anything into what is desired, in at most three rounds, and then find nothing', async () => {
    await fc.assert(
      fc.asyncProperty(desiredSets, observedSets, async (desired, start) => {
        const plane = createMemoryDataPlane({ now: () => 0 });
        for (const [key, { row, endpointObserved }] of start) {
          if (row.kind === 'link') plane.host.put(row);
          else plane.host.rows.set(key, { row, ...(endpointObserved && { endpointObserved }) });
        }
        for (let round = 0; round < 3; round++) {
          const observed = await plane.observe(signal);
          for (const change of plan(diff(foldEndpoints(desired, observed), observed)))
            await plane.apply(change, signal);
        }
        const reached = await plane.observe(signal);
        expect(verify(desired, reached, new Set([...desired.keys(), ...start.keys()]))).toEqual([]);
        expect([...reached.keys()].sort()).toEqual([...desired.keys()].sort());
        const { writes } = plane;
        for (const change of diff(foldEndpoints(desired, reached), reached)) await plane.apply(change, signal);
        expect(plane.writes).toBe(writes);
      }),
    );
  });

  it('never touch an endpoint that a handshake proved, while its peer is desired', () => {
    fc.assert(
      fc.property(desiredSets, observedSets, (desired, observed) => {
        for (const change of diff(foldEndpoints(desired, observed), observed)) {
          if (change.op !== 'update') continue;
          const proved = observed.get(rowKey(change.from))?.endpointObserved === true;
          expect(proved && change.fields.includes('endpoint')).toBe(false);
        }
      }),
    );
  });
});

// --- desired state ----------------------------------------------------------------

const numbers = fc.integer({ min: 1, max: 6 });
const objects: fc.Arbitrary<FleetObject> = fc.oneof(
  fc
    .record({
      publicKey: fc.tuple(numbers, fc.constantFrom(0, 100)).map(([n, turn]) => ({ n, publicKey: keyOf(n + turn) })),
      suspended: fc.boolean(),
      rotating: fc.boolean(),
      endpoints: fc.array(fc.constantFrom(hint('192.0.2.1'), hint('robot.lan'), hint('2001:db8::1')), { maxLength: 2 }),
      clusters: fc.constantFrom(['warehouse'], ['warehouse'], ['office'], []),
    })
    .map(({ publicKey: { n, publicKey }, rotating, ...rest }) =>
      peer(n, {
        ...rest,
        publicKey,
        ...(rotating && { nextPublicKey: publicKey === keyOf(n) ? keyOf(n + 100) : keyOf(n) }),
      }),
    ),
  fc
    .record({ n: numbers, owner: numbers, cluster: fc.constantFrom('warehouse', 'warehouse', 'office') })
    .map(({ n, owner, cluster: name }) => vip(n, { peer: `robot-${owner}`, cluster: name })),
  fc
    .record({
      port: fc.constantFrom(51820, 51821),
      interface: fc.constantFrom('omni0', 'omni0', 'omni7'),
      revokedKeys: fc.subarray([keyOf(2), keyOf(3), keyOf(104)]),
    })
    .map((overrides) => cluster(overrides)),
);
const edits = fc.record({
  put: fc.array(objects, { maxLength: 3 }),
  remove: fc.array(fc.tuple(fc.constantFrom('peer/robot-', 'vip/vip-'), numbers), { maxLength: 2 }),
});

/** References resolve in every fleet that a reader lets through. */
function withoutDangling(fleet: Fleet): { readonly fleet: Fleet; readonly removed: readonly ObjectRef[] } {
  const removed = [...fleet.vips.values()]
    .filter((one) => !fleet.peers.get(one.peer)?.clusters.includes(one.cluster))
    .map((one): ObjectRef => `vip/${one.metadata.name}`);
  return { fleet: edit(fleet, [], removed).fleet, removed };
}

function plainState(state: DesiredState): unknown {
  const sorted = <K, V>(map: ReadonlyMap<K, V>) => [...map].sort(([a], [b]) => (String(a) < String(b) ? -1 : 1));
  return {
    ...state,
    rows: sorted(state.rows),
    rowsOf: sorted(state.rowsOf).map(([ref, keys]) => [ref, [...keys].sort()]),
    ...(state.sessions && { sessions: { ...state.sessions, peers: sorted(state.sessions.peers) } }),
  };
}

/** Undefined: as before. */
const barredKeys = fc.option(
  fc
    .array(fc.tuple(numbers, fc.constantFrom(0, 100)), { maxLength: 3 })
    .map((some) => new Set(some.map(([n, turn]) => canonicalKey(keyOf(n + turn))))),
  { nil: undefined },
);

/** Undefined: as before. */
const heldKeys = fc.option(
  fc.constantFrom<NodeKeys>(
    { publicKey: keyOf(1), nextPublicKey: undefined },
    { publicKey: keyOf(1), nextPublicKey: keyOf(101) },
    { publicKey: keyOf(101), nextPublicKey: undefined },
  ),
  { nil: undefined },
);

/** Of all peers that a state speaks of. */
function keysIn({ rows, sessions }: DesiredState): PublicKey[] {
  const named = [...rows.values()].flatMap(({ row }) =>
    'publicKey' in row && row.publicKey !== 'self' ? row.publicKey : [],
  );
  const intents = [...(sessions?.peers.values() ?? [])].flatMap(({ publicKey, nextPublicKey }) => [
    publicKey,
    nextPublicKey ?? publicKey,
  ]);
  return [...named, ...intents];
}

describe('desired state', () => {
  it('updated step by step equals the one made from scratch, and names every row that changed', () => {
    fc.assert(
      fc.property(fc.array(fc.tuple(edits, barredKeys, heldKeys), { maxLength: 12 }), (steps) => {
        let node: NodeView = nodeOf(1, { 'robot.lan': '198.51.100.1' });
        let fleet = fleetOf(
          cluster(),
          cluster({ name: 'office', interface: 'omni1' }),
          peer(1),
          vip(1),
          peer(2),
          vip(2),
        );
        let state = desiredState(fleet, node);
        for (const [{ put, remove }, barred, held] of steps) {
          node = { ...node, ...held, ...(barred && { barred }) };
          const edited = edit(
            fleet,
            put,
            remove.map(([kind, n]): ObjectRef => `${kind}${n}` as ObjectRef),
          );
          const checked = withoutDangling(edited.fleet);
          const update = updateDesired(state, checked.fleet, new Set([...edited.changed, ...checked.removed]), node);
          const scratch = desiredState(checked.fleet, node);
          expect(plainState(update.state)).toEqual(plainState(scratch));
          expect(keysIn(update.state).filter((key) => node.barred?.has(canonicalKey(key)))).toEqual([]);
          for (const key of new Set([...state.rows.keys(), ...scratch.rows.keys()])) {
            expect([key, update.touched.has(key)]).toEqual([
              key,
              !sameRow(state.rows.get(key)?.row, scratch.rows.get(key)?.row),
            ]);
          }
          fleet = checked.fleet;
          state = update.state;
        }
      }),
      { numRuns: 300 },
    );
  });

  it('differs by what `impact` announced, sessions included', () => {
    fc.assert(
      fc.property(edits, edits, (first, second) => {
        const before = edited(base, first);
        const after = edited(before, second);
        const found = impact(before, after);
        const cuts = new Set<string>();
        for (const [name, peer] of after.peers) {
          const was = before.peers.get(name) ?? peer;
          const from = desiredState(before, { ...keysOf(was), resolve: verbatim });
          const to = desiredState(after, { ...keysOf(peer), resolve: verbatim });
          const one = found.nodes.find(({ node }) => node === name);
          const expected = to.member ? plan(diff(to.rows, from.rows)) : [];
          expect([name, one === undefined ? [] : changesOf(one)]).toEqual([name, expected]);
          const talksTo = () => from.sessions?.peers.keys() ?? [];
          const cut = peersCut(expected, talksTo, namesOf(before));
          expect([name, one === undefined ? [] : [...sessionsCutOf(one, before)].sort()]).toEqual([name, cut]);
          expect(one === undefined ? 0 : countSessionsCut(one)).toBe(cut.length);
          for (const other of cut) if (before.peers.has(name)) cuts.add([name, other].sort().join());
        }
        expect(found.sessionsCut).toBe(cuts.size);
        const chosen = impact(before, after, (name) => name === 'robot-2').sessionsCut;
        expect(chosen).toBe([...cuts].filter((pair) => pair.split(',').includes('robot-2')).length);
      }),
      { numRuns: 300 },
    );
  });

  it('has the ways that `impact` does not call lost', () => {
    fc.assert(
      fc.property(edits, edits, (first, second) => {
        const before = edited(base, first);
        const after = edited(before, second);
        const lost = new Set<string>();
        for (const { nodes, peers } of impact(before, after).pathLosses) {
          for (const node of nodes) for (const peer of peers) if (peer !== node) lost.add(`${node} ${peer}`);
        }
        const expected = new Set<string>();
        for (const name of after.peers.keys()) {
          const [was, is] = [meets(before, name), meets(after, name, before)];
          for (const peer of (is && was) ?? []) if (!is?.has(peer)) expected.add(`${name} ${peer}`);
        }
        expect([...lost].sort()).toEqual([...expected].sort());
      }),
      { numRuns: 300 },
    );
  });

  it('is never refused where nothing changed', () => {
    fc.assert(
      fc.property(edits, fc.subarray(['10.77.0.2', '192.0.2.1', '2001:db8::1'] as IpAddress[]), (first, addresses) => {
        const fleet = edited(base, first);
        const copy = edit(fleet, []).fleet;
        for (const peer of fleet.peers.values()) {
          const [before, after] = [fleet, copy].map((fleet) => ({
            fleet,
            state: desiredState(fleet, { ...keysOf(peer), resolve: verbatim }),
          }));
          if (after === undefined) throw new Error('no copy');
          expect(guard(before, after, STRICT, addresses)).toBeUndefined();
        }
      }),
      { numRuns: 200 },
    );
  });
});

const STRICT = { pruneLimit: { objects: 0, percent: 0 }, allowPrune: false, allowPartition: false };
const base = fleetOf(
  cluster(),
  cluster({ name: 'office', interface: 'omni1' }),
  ...[1, 2, 3].flatMap((n) => [peer(n), vip(n)]),
);
const verbatim = (host: string) => host as IpAddress;

function edited(fleet: Fleet, { put, remove }: { put: FleetObject[]; remove: [string, number][] }): Fleet {
  const refs = remove.map(([kind, n]): ObjectRef => `${kind}${n}` as ObjectRef);
  return withoutDangling(edit(fleet, put, refs).fleet).fleet;
}

/** Peers that a node talks to of which, or of itself, a manifest tells where to find it; undefined: it carries nothing. */
function meets(fleet: Fleet, name: string, earlier?: Fleet): Set<string> | undefined {
  const self = fleet.peers.get(name);
  const { sessions } = self === undefined ? {} : desiredState(fleet, { ...keysOf(self), resolve: verbatim });
  if (self === undefined || sessions === undefined) return undefined;
  const home = earlier?.peers.get(name)?.clusters[0];
  const left = home === sessions.cluster ? earlier?.clusters.get(home)?.port : undefined;
  const isFound = ({ endpoints }: Pick<Peer, 'endpoints'>) =>
    endpoints.some(({ port }) => left === undefined || left === sessions.port || port !== left);
  const found = [...sessions.peers.values()].filter((peer) => isFound(peer) || isFound(self));
  return new Set(found.map((peer) => peer.name));
}

it('a layered map is a map', () => {
  const changes = fc.array(fc.tuple(fc.integer({ min: 0, max: 150 }), fc.option(fc.integer(), { nil: undefined })), {
    maxLength: 200,
  });
  fc.assert(
    fc.property(fc.array(changes, { maxLength: 12 }), (versions) => {
      const model = new Map<number, number>();
      let layered = LayeredMap.of<number, number>(new Map());
      for (const version of versions) {
        const before = layered;
        const snapshot = [...before].sort();
        layered = layered.with(new Map(version));
        for (const [key, value] of new Map(version)) {
          if (value === undefined) model.delete(key);
          else model.set(key, value);
        }
        expect(layered.size).toBe(model.size);
        expect([...layered].sort()).toEqual([...model].sort());
        expect([...before].sort()).toEqual(snapshot);
        for (let key = 0; key <= 150; key++)
          expect([layered.has(key), layered.get(key)]).toEqual([model.has(key), model.get(key)]);
      }
    }),
    { numRuns: 30 },
  );
});
