import { describe, expect, it } from 'vitest';
import { OmniError } from '../../../src/errors.ts';
import { desiredState } from '../../../src/reconcile/desired.ts';
import { edit, fleetWith, keyOf, nodeOf, peer, vip } from '../reconcile/fleet.ts';
import { Agent, World } from './lab.ts';

const good = fleetWith(1, 2, 3);
const newer = edit(good, [peer(4), vip(4)]).fleet;
const rows = [...desiredState(good, nodeOf(1)).rows.keys()].sort();

/** A world in which an agent has trusted `good`, and is dead now. */
async function trusted(): Promise<World> {
  const world = new World();
  world.commit('a', good);
  const agent = await Agent.start(world);
  await agent.tried('a');
  await world.clock.advance(100);
  agent.die();
  return world;
}

describe('a start', () => {
  it('puts in force what is trusted, with no network, no source and nothing programmed', async () => {
    const world = await trusted();
    world.reboot();
    world.cached = undefined;
    world.answer = () => 'no network';
    world.probed.length = 0;
    const agent = await Agent.start(world);
    await world.clock.advance(10);
    expect(world.rows()).toEqual(rows);
    expect(world.probed).toEqual([]);
    expect(agent.rollout.report()).toMatchObject({ lastKnownGood: { id: 'a' } });
    expect(agent.sessions.at(-1)?.peers.size).toBe(2);
  });

  it('of an agent that ended while nothing was new writes nothing, in the kernel or on disk', async () => {
    const world = await trusted();
    const steps: string[] = [];
    world.onStep = (what) => steps.push(what);
    const agent = await Agent.start(world);
    await world.clock.advance(60_000);
    expect(steps).toEqual(['observe']);
    expect(agent.plane.writes).toBe(0);
  });

  it('falls back to the source’s cache where the kept files are damaged, and keeps them again', async () => {
    const world = await trusted();
    world.damaged.add('a');
    world.disk.kept.clear();
    const agent = await Agent.start(world);
    await world.clock.advance(10);
    expect(world.rows()).toEqual(rows);
    expect(agent.reasons()).toEqual(expect.arrayContaining(['KeptRevisionDamaged', 'BootedFromCache']));
    expect(agent.reconciler.target?.revision).toBe('main@a');
    await agent.tried('a');
    world.commit('b', newer);
    await agent.tried('b');
    await world.clock.advance(10);
    expect([...world.disk.kept.keys()]).toContain('b');
  });

  it('takes the newest of the cache where both are gone, and says so', async () => {
    const world = await trusted();
    world.damaged.add('a');
    world.fleets.delete('a');
    world.commit('b', newer);
    const agent = await Agent.start(world);
    expect(agent.reasons()).toContain('LastKnownGoodLost');
    const since = agent.rollout.state.sequence;
    await agent.offer('b', { origin: 'cache' });
    expect(await agent.verdict('b', since)).toMatchObject({ outcome: 'good' });
    expect(world.probed.filter((id) => id === 'source')).toHaveLength(1); // by the first agent
  });
});

describe('a trial that did not end', () => {
  async function inTrial(): Promise<{ world: World; agent: Agent }> {
    const world = await trusted();
    world.live = [keyOf(2)];
    world.commit('b', newer);
    world.answer = (_probe, { has }) => (has.call(world, `peer/omni0/${keyOf(4)}`) ? 'silence' : undefined);
    const agent = await Agent.start(world);
    await agent.offer('b');
    await world.clock.advance(2_000);
    expect(world.record.trial).toMatchObject({ revision: { id: 'b' }, baseline: expect.arrayContaining(['source']) });
    return { world, agent };
  }

  it('counts as failed where the agent was killed', async () => {
    const { world, agent } = await inTrial();
    agent.die();
    const next = await Agent.start(world);
    await world.clock.advance(10);
    expect(world.rows()).toEqual(rows);
    expect(next.reasons()).toContain('Interrupted');
    expect(world.record).toMatchObject({
      lastKnownGood: { id: 'a' },
      quarantined: [{ revision: { id: 'b' }, reason: 'Interrupted' }],
      history: [{ outcome: 'good' }, { revision: { id: 'b' }, outcome: 'rolled-back' }],
    });
    expect(world.record.trial).toBeUndefined();
    expect(next.rollout.rollbacks()).toMatchObject({ Interrupted: 1 });
    expect(await next.tried('b')).toMatchObject({ outcome: 'refused', reason: 'RevisionQuarantined' });
  });

  it('goes on only once that is on disk, so that a crash from then on has interrupted it', async () => {
    const { world, agent } = await inTrial();
    await agent.end();
    world.diskProblem = new OmniError('no space', { code: 'state-not-saved', class: 'retry' });
    const next = await Agent.start(world);
    await world.clock.advance(10);
    expect(world.rows()).toEqual(rows);
    expect(next.rollout.report().trial).toBeUndefined();
    expect(next.rollout.report().quarantined).toEqual([]);
    world.diskProblem = undefined;
    world.answer = () => undefined;
    expect(await next.tried('b')).toMatchObject({ outcome: 'good' });
  });

  it('goes on where the agent ended in order, against the same baseline, with its whole time', async () => {
    const { world, agent } = await inTrial();
    await world.clock.advance(20_000);
    await agent.end();
    expect(world.record.trial).toMatchObject({ stopped: true });
    world.live = [];
    const next = await Agent.start(world);
    const { writes } = next.plane;
    await world.clock.advance(15_000);
    expect(next.rollout.report().trial).toMatchObject({ revision: { id: 'b' } });
    expect(next.plane.writes).toBe(writes);
    expect(world.has(`peer/omni0/${keyOf(4)}`)).toBe(true);
    expect(world.record.trial).not.toHaveProperty('stopped');
    expect(await next.verdict('b')).toMatchObject({
      outcome: 'rolled-back',
      message: expect.stringContaining('peer/robot-2'),
    });
    expect(world.rows()).toEqual(rows);
  });

  it('counts as failed where the agent ended in order and the system went down after it', async () => {
    const { world, agent } = await inTrial();
    await agent.end();
    world.reboot();
    const next = await Agent.start(world);
    await world.clock.advance(10);
    expect(world.rows()).toEqual(rows);
    expect(next.reasons()).toContain('Interrupted');
  });

  it('is begun anew where its files are gone', async () => {
    const { world, agent } = await inTrial();
    await agent.end();
    world.cached = undefined;
    const fleet = world.fleets.get('b');
    world.fleets.delete('b');
    const next = await Agent.start(world);
    await world.clock.advance(10);
    expect(world.rows()).toEqual(rows);
    expect(world.record).toMatchObject({ quarantined: [] });
    expect(world.record.trial).toBeUndefined();
    if (fleet !== undefined) world.commit('b', fleet);
    world.answer = () => undefined;
    expect(await next.tried('b')).toMatchObject({ outcome: 'good' });
  });
});
