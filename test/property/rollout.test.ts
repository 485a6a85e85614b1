import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { OmniError } from '../../src/errors.ts';
import { canonicalKey } from '../../src/manifest/keys.ts';
import type { Fleet, FleetObject, ObjectRef } from '../../src/manifest/model.ts';
import { desiredState } from '../../src/reconcile/desired.ts';
import type { RolloutState } from '../../src/reconcile/rollout/model.ts';
import { requireQuiet } from '../../src/reconcile/rollout/people.ts';
import { type Row, type RowKey, rowKey } from '../../src/reconcile/rows.ts';
import { cluster, edit, fleetWith, hint, keyOf, nodeOf, peer, vip } from '../unit/reconcile/fleet.ts';
import { Agent, World } from '../unit/rollout/lab.ts';

/*
 * A fleet of a dozen robots, of which the first is this node; commits, silence, faults, full disks, crashes, people.
 */
const first = fleetWith(1, 2, 3, 4, 5, 6);
const number = fc.integer({ min: 2, max: 12 });
const object: fc.Arbitrary<FleetObject> = fc.oneof(
  number.map((n) => peer(n)),
  fc
    .tuple(number, fc.integer({ min: 1, max: 250 }))
    .map(([n, end]) => peer(n, { endpoints: [hint(`192.0.2.${end}`)] })),
  number.map((n) => peer(n, { publicKey: keyOf(n + 100) })),
  fc.tuple(fc.integer({ min: 1, max: 12 }), number).map(([n, owner]) => vip(n, { peer: `robot-${owner}` })),
  fc.constantFrom(1300, 1400).map((mtu) => cluster({ mtu })),
  number.map((n) => cluster({ revokedKeys: [keyOf(n)] })),
);
const commit = fc.record({
  type: fc.constant('commit' as const),
  put: fc.array(object, { maxLength: 3 }),
  remove: fc.array(number, { maxLength: 2 }),
});
/** Peers that are deleted with a word about their keys, beside others that only go: many of those and a guard refuses. */
const theft = fc.record({
  type: fc.constant('theft' as const),
  stolen: fc.uniqueArray(number, { minLength: 1, maxLength: 4 }),
  gone: fc.oneof(fc.constant([]), fc.constant([2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12])),
});
const happening = fc.oneof(
  { weight: 4, arbitrary: commit },
  { weight: 2, arbitrary: theft },
  {
    weight: 3,
    arbitrary: fc.record({ type: fc.constant('wait' as const), ms: fc.constantFrom(0, 1, 20, 700, 40_000) }),
  },
  {
    weight: 2,
    arbitrary: fc.record({ type: fc.constant('silence' as const), who: fc.uniqueArray(number, { maxLength: 6 }) }),
  },
  { weight: 1, arbitrary: fc.constant({ type: 'cut' as const }) },
  {
    weight: 2,
    arbitrary: fc.constantFrom('kill', 'end', 'power cut').map((how) => ({ type: 'restart' as const, how })),
  },
  { weight: 1, arbitrary: fc.record({ type: fc.constant('fault' as const), times: fc.integer({ min: 1, max: 4 }) }) },
  { weight: 1, arbitrary: fc.boolean().map((full) => ({ type: 'disk' as const, full })) },
  {
    weight: 1,
    arbitrary: fc
      .constantFrom('hold', 'release', 'fail', 'lift', 'back', 'confirm', 'suspend', 'resume')
      .map((what) => ({ type: 'person' as const, what })),
  },
);
type Happening = typeof happening extends fc.Arbitrary<infer T> ? T : never;

/** A route of somebody else, as the kernel would hold it beside ours. */
const foreign: Row = { kind: 'route', interface: 'eth9', destination: '10.99.0.0/16' as never };

class Story {
  readonly world = new World();
  fleet: Fleet = first;
  commits = 0;
  silent: ReadonlySet<string> = new Set();
  /** While the newest commit is in force nothing answers. */
  cut = false;
  /** Rows may be late: the data plane was busy, or a person stopped the node. */
  hindered = false;
  agent!: Agent;

  /** Keys that the newest commit names, and that are in force all the same. */
  revokedInForce(): readonly string[] {
    const keys = [...this.fleet.clusters.values()].flatMap(({ revokedKeys }) => revokedKeys);
    return keys.filter((key) => this.world.has(`peer/omni0/${key}`));
  }

  async begin(): Promise<void> {
    this.world.commit('r0', first);
    this.world.answer = ({ id }) => (this.cut || this.silent.has(id) ? 'silence' : undefined);
    await this.#start();
    this.world.live = [2, 3, 4, 5, 6].map(keyOf);
  }

  async tell(event: Happening): Promise<void> {
    const { world, agent } = this;
    switch (event.type) {
      case 'commit':
        await this.#commit(event.put, event.remove);
        break;
      case 'theft':
        await this.#commit([cluster({ revokedKeys: event.stolen.map(keyOf) })], [...event.stolen, ...event.gone]);
        break;
      case 'wait':
        await world.clock.advance(event.ms);
        break;
      case 'silence':
        this.silent = new Set(event.who.map((n) => `peer/robot-${n}`));
        break;
      case 'cut':
        this.cut = !this.cut;
        break;
      case 'restart':
        if (event.how === 'end' && world.diskProblem === undefined) await agent.end();
        else agent.die();
        if (event.how === 'power cut') world.reboot();
        await this.#start();
        break;
      case 'fault': {
        this.hindered = true;
        const error = new OmniError('busy', { code: 'map-busy', class: 'retry' });
        agent.plane.faults.add({ when: ({ key }) => key.startsWith('peer/'), error, times: event.times });
        break;
      }
      case 'disk':
        world.diskProblem = event.full
          ? new OmniError('the disk is full', { code: 'state-not-saved', class: 'retry' })
          : undefined;
        break;
      case 'person':
        await this.#person(event.what);
    }
  }

  async #start(): Promise<void> {
    this.agent = await Agent.start(this.world);
    await this.agent.offer(`r${this.commits}`, { origin: 'cache' });
  }

  async #commit(put: readonly FleetObject[], remove: readonly number[]): Promise<void> {
    const refs = remove.flatMap((n): ObjectRef[] => [`peer/robot-${n}`, `vip/vip-${n}`]);
    this.fleet = edit(this.fleet, put, refs).fleet;
    this.commits += 1;
    this.world.commit(`r${this.commits}`, this.fleet);
    await this.agent.offer(`r${this.commits}`);
  }

  async #person(what: string): Promise<void> {
    const { rollout } = this.agent;
    const hold = { reason: 'mission', since: '2026-01-01T00:00:00.000Z' };
    if (what === 'hold') await rollout.command({ type: 'hold', hold }).catch(() => undefined);
    if (what === 'release') await rollout.command({ type: 'release' }).catch(() => undefined);
    if (what === 'fail') rollout.ask({ type: 'fail' });
    if (what === 'confirm') {
      rollout.ask({ type: 'confirm', id: `r${this.commits}`, allowPartition: true });
    }
    if (what === 'back' && rollout.state.record.suspension === undefined) {
      await this.agent.goBackTo(`r${Math.max(0, this.commits - 1)}`);
    }
    if (what === 'suspend' && isQuiet(rollout.state)) {
      this.hindered = true;
      await rollout.command({ type: 'suspend', reason: 'test' }).catch(() => undefined);
    }
    if (what === 'resume') await rollout.command({ type: 'resume' }).catch(() => undefined);
    if (what === 'lift') rollout.ask({ type: 'lift', id: `r${this.commits}` });
  }
}

function isQuiet(state: RolloutState): boolean {
  try {
    requireQuiet(state);
    return true;
  } catch {
    return false;
  }
}

describe('whatever happens to a node and its revisions', () => {
  it('it ends on what its record trusts, row for row, and what is not ours is never touched', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(happening, { maxLength: 16 }), async (events) => {
        const story = new Story();
        const { world } = story;
        await story.begin();
        world.foreign.add(rowKey(foreign));
        world.machine?.host.rows.set(rowKey(foreign), { row: foreign });
        for (const event of events) {
          await story.tell(event);
          await world.clock.advance(20);
          if (!story.hindered) expect(story.revokedInForce()).toEqual([]);
        }
        world.diskProblem = undefined;
        await story.agent.rollout.command({ type: 'resume' });
        for (let waited = 0; waited < 8; waited += 1) await world.clock.advance(60_000);

        expect(story.revokedInForce()).toEqual([]);
        const { record } = world;
        const fleet = world.fleets.get(record.lastKnownGood?.id ?? '');
        expect(record.trial).toBeUndefined();
        const barred = new Set(record.revoked.map(({ publicKey }) => canonicalKey(publicKey)));
        const desired = fleet ? desiredState(fleet, { ...nodeOf(1), barred }).rows : new Map<RowKey, never>();
        expect(world.rows()).toEqual([...desired.keys()].sort());
        for (const key of world.foreign) expect(world.has(key)).toBe(true);
        if (fleet !== undefined) expect(world.disk.kept.has(record.lastKnownGood?.id ?? '')).toBe(true);
        const { state } = story.agent.rollout;
        expect(state.inForce?.id).toBe(record.lastKnownGood?.id);
        for (const { revision } of record.quarantined) expect(revision.id).not.toBe(record.lastKnownGood?.id);
      }),
      { numRuns: 300 },
    );
  }, 120_000);
});

/**
 * What a peer does once it is asked by a node that tries a commit. `dead`: it answers what measures the baseline, and
 * nothing before the commit is trusted. `veto`: it answers as long as the commit is not in force.
 */
const behaviours = fc.constantFrom('honest', 'honest', 'dead', 'veto');

describe('whatever peers answer, and when', () => {
  it('only one that answers under what is trusted, and not under the commit, can keep the commit out', async () => {
    const peers = [2, 3, 4, 5, 6];
    await fc.assert(
      fc.asyncProperty(
        fc.array(behaviours, { minLength: peers.length, maxLength: peers.length }),
        fc.uniqueArray(fc.constantFrom(...peers), { minLength: 1, maxLength: 3 }),
        fc.boolean(),
        async (how, touched, restarts) => {
          const world = new World();
          world.commit('a', first);
          let agent = await Agent.start(world);
          await agent.tried('a');
          world.live = peers.map(keyOf);
          await world.clock.advance(100);
          world.answer = ({ id }) => {
            const behaviour = how[peers.indexOf(Number(id.slice('peer/robot-'.length)))] ?? 'honest';
            const { candidate, trial } = agent.rollout.state;
            if (behaviour === 'honest' || candidate?.stage.at === 'measuring') return undefined;
            return behaviour === 'dead' || trial !== undefined ? 'silence' : undefined;
          };
          const vips = touched.map((n) => vip(n + 20, { peer: `robot-${n}` }));
          world.commit('b', edit(first, vips).fleet);
          await agent.tried('b');
          if (restarts) {
            agent.die();
            agent = await Agent.start(world);
            await agent.offer('b', { origin: 'cache' });
          }
          await world.clock.advance(8 * 3_600_000);
          const { record } = world;
          if (!how.includes('veto')) expect(record.lastKnownGood?.id).toBe('b');
          if (record.lastKnownGood?.id === 'b') return;
          expect(record.quarantined).toMatchObject([{ revision: { id: 'b' }, reason: 'ProbationFailed' }]);
          const named = how.flatMap((behaviour, at) => (behaviour === 'veto' ? [`peer/robot-${peers[at]}`] : []));
          expect(named.some((id) => record.quarantined[0]?.message.includes(id))).toBe(true);
          // Nothing of it is in force, and what was trusted is there whole.
          expect(world.rows()).toEqual([...desiredState(first, nodeOf(1)).rows.keys()].sort());
        },
      ),
      { numRuns: 60 },
    );
  }, 120_000);
});
