import { describe, expect, it } from 'vitest';
import type { RolloutRecord } from '../../../src/reconcile/rollout/record.ts';
import { edit, fleetWith, hint, keyOf, peer, vip } from '../reconcile/fleet.ts';
import { Agent, World } from './lab.ts';

/*
 * Robot-2 is hacked and wants to keep a commit out that takes an address away from it. It decides when it answers.
 */
const good = fleetWith(1, 2, 3);
const after = edit(good, [vip(12, { peer: 'robot-2' }), vip(13, { peer: 'robot-3' })]).fleet;
const HOUR_MS = 3_600_000;

const onTrial = ({ record }: World): boolean => record.trial !== undefined;

async function trusting(fleet = good): Promise<{ world: World; agent: Agent }> {
  const world = new World();
  world.commit('a', fleet);
  const agent = await Agent.start(world);
  expect(await agent.tried('a')).toMatchObject({ outcome: 'good' });
  world.live = [...fleet.peers.values()].map(({ publicKey }) => publicKey).filter((key) => key !== keyOf(1));
  await world.clock.advance(100);
  return { world, agent };
}

/** Robot-2 answers what measures baselines, and nothing else for a while once it saw a trial. */
function answersBaselinesOnly(world: World, silentMs: number): void {
  let quietUntilMs = 0;
  world.answer = ({ id }) => {
    if (!/\/robot-2$/.test(id)) return undefined;
    if (onTrial(world)) quietUntilMs = world.clock.now() + silentMs;
    return world.clock.now() < quietUntilMs ? 'silence' : undefined;
  };
}

describe('a peer that stays silent after the way back as well', () => {
  it('is no evidence: the commit is tried once more without it, and a warning names it', async () => {
    const { world, agent } = await trusting();
    answersBaselinesOnly(world, 40_000);
    world.commit('b', after);
    expect(await agent.tried('b')).toMatchObject({ outcome: 'rolled-back', message: 'peer/robot-2: silence' });
    expect(agent.rollout.report().waiting).toMatchObject({ reason: 'RevisionQuarantined' });
    await world.clock.advance(40_000);
    expect(world.record).toMatchObject({ lastKnownGood: { id: 'b' }, quarantined: [] });
    expect(world.record.retried).toBeUndefined();
    expect(world.has('neighbour/omni0/10.77.0.13')).toBe(true);
    const warning = agent.events.find(({ reason }) => reason === 'ProbeDiscounted');
    expect(warning).toMatchObject({ type: 'Warning' });
    expect(warning?.message).toContain('main@b is tried once more without peer/robot-2: silent under main@a as well');
    expect(world.record.history.at(-1)).toMatchObject({ outcome: 'good' });
    expect(world.record.history.at(-1)?.message).toContain('without peer/robot-2, silent before it as well');
  });

  it('cannot veto where it is the only live one', async () => {
    const hub = fleetWith(1, 2);
    const { world, agent } = await trusting(hub);
    answersBaselinesOnly(world, 40_000);
    world.commit('b', edit(hub, [peer(9), vip(9)]).fleet);
    expect(await agent.tried('b')).toMatchObject({ outcome: 'rolled-back' });
    await world.clock.advance(40_000);
    expect(world.record).toMatchObject({ lastKnownGood: { id: 'b' }, quarantined: [] });
  });

  it('is discounted with its endpoint, and others after it, once for each set', async () => {
    const { world, agent } = await trusting();
    const moved = edit(after, [peer(2, { endpoints: [hint('192.0.2.77')] })]).fleet;
    let silent = /\/robot-2$/;
    world.answer = ({ id }) =>
      silent.test(id) && (onTrial(world) || world.record.quarantined.length > 0) ? 'silence' : undefined;
    world.commit('b', moved);
    expect(await agent.tried('b')).toMatchObject({ outcome: 'rolled-back' });
    silent = /\/robot-[23]$/;
    await world.clock.advance(30_000 + 100);
    expect(world.record.retried).toMatchObject([{ id: 'b', discounted: ['endpoint/robot-2', 'peer/robot-2'] }]);
    await world.clock.advance(60_000 + 10_000);
    expect(agent.reasons().filter((reason) => reason === 'ProbeDiscounted')).toHaveLength(2);
    expect(world.record).toMatchObject({ lastKnownGood: { id: 'b' }, quarantined: [] });
  });

  it('is waited for anew after a restart', async () => {
    const { world, agent } = await trusting();
    answersBaselinesOnly(world, 60_000);
    world.commit('b', after);
    expect(await agent.tried('b')).toMatchObject({ outcome: 'rolled-back' });
    await world.clock.advance(5_000);
    agent.die();
    const next = await Agent.start(world);
    await next.offer('b', { origin: 'cache' });
    await world.clock.advance(40_000);
    expect(world.record).toMatchObject({ lastKnownGood: { id: 'b' }, quarantined: [] });
  });

  it('is left alone once a newer commit comes', async () => {
    const { world, agent } = await trusting();
    answersBaselinesOnly(world, 40_000);
    world.commit('b', after);
    expect(await agent.tried('b')).toMatchObject({ outcome: 'rolled-back' });
    world.commit('c', edit(good, [peer(9)]).fleet);
    expect(await agent.tried('c')).toMatchObject({ outcome: 'good' });
    await world.clock.advance(60_000);
    expect(agent.reasons()).not.toContain('ProbeDiscounted');
    expect(world.record).toMatchObject({ lastKnownGood: { id: 'c' } });
  });
});

describe('a peer that answers once the way back is gone', () => {
  async function vetoed(): Promise<{ world: World; agent: Agent }> {
    const { world, agent } = await trusting();
    world.answer = ({ id }) => (id === 'peer/robot-2' && onTrial(world) ? 'silence' : undefined);
    world.commit('b', after);
    expect(await agent.tried('b')).toMatchObject({ outcome: 'rolled-back' });
    await world.clock.advance(60_000);
    return { world, agent };
  }

  it('is evidence: the commit stays out until its quarantine lapses, and is tried once more then', async () => {
    const { world, agent } = await vetoed();
    expect(agent.reasons()).not.toContain('ProbeDiscounted');
    const [entry] = world.record.quarantined;
    expect(entry).toMatchObject({ reason: 'ProbationFailed', until: expect.any(String) });
    expect(entry).not.toHaveProperty('recheck');
    expect(agent.rollout.report().waiting?.message).toContain(`tried once more after ${entry?.until}`);
    await world.clock.advance(5 * HOUR_MS);
    expect(world.record.lastKnownGood?.id).toBe('a');
    world.answer = () => undefined;
    await world.clock.advance(HOUR_MS);
    expect(agent.reasons()).toContain('QuarantineLapsed');
    expect(world.record).toMatchObject({ lastKnownGood: { id: 'b' }, quarantined: [] });
  });

  it('keeps the commit out for good where it does so twice; a person may try again', async () => {
    const { world, agent } = await vetoed();
    await world.clock.advance(7 * HOUR_MS);
    expect(agent.reasons().filter((reason) => reason === 'QuarantineLapsed')).toHaveLength(1);
    expect(world.record.quarantined).toMatchObject([{ revision: { id: 'b' }, reason: 'ProbationFailed' }]);
    expect(world.record.quarantined[0]).not.toHaveProperty('until');
    await world.clock.advance(24 * HOUR_MS);
    expect(world.record.lastKnownGood?.id).toBe('a');
    world.answer = () => undefined;
    const since = agent.rollout.state.sequence;
    agent.rollout.ask({ type: 'lift', id: 'b' });
    expect(await agent.verdict('b', since)).toMatchObject({ outcome: 'good' });
  });

  it('does not end its quarantine by a restart before the time, and does after it', async () => {
    const { world, agent } = await vetoed();
    agent.die();
    const next = await Agent.start(world);
    await next.offer('b', { origin: 'cache' });
    await world.clock.advance(1_000);
    expect(world.record.lastKnownGood?.id).toBe('a');
    next.die();
    await world.clock.advance(6 * HOUR_MS);
    world.answer = () => undefined;
    const last = await Agent.start(world);
    await last.offer('b', { origin: 'cache' });
    await world.clock.advance(5_000);
    expect(world.record.lastKnownGood?.id).toBe('b');
  });
});

describe('what keeps a node within reach of people', () => {
  it('is not discounted: a source that is away on both sides ends in a quarantine that lapses', async () => {
    const { world, agent } = await trusting();
    world.answer = ({ id }) =>
      id === 'source' && (onTrial(world) || world.clock.now() < HOUR_MS) ? 'away' : undefined;
    world.commit('b', after);
    expect(await agent.tried('b')).toMatchObject({ outcome: 'rolled-back' });
    await world.clock.advance(2 * HOUR_MS);
    expect(agent.reasons()).not.toContain('ProbeDiscounted');
    world.answer = () => undefined;
    await world.clock.advance(5 * HOUR_MS);
    expect(world.record.lastKnownGood?.id).toBe('b');
  });

  it('is waited for by nobody where a person took the commit back', async () => {
    const { world, agent } = await trusting();
    world.answer = ({ id }) => (id === 'source' && onTrial(world) ? 'away' : undefined);
    world.commit('b', after);
    const since = agent.rollout.state.sequence;
    await agent.offer('b');
    await world.clock.advance(1_000);
    agent.rollout.ask({ type: 'fail' });
    expect(await agent.verdict('b', since)).toMatchObject({ reason: 'RolledBackByHand' });
    world.answer = () => undefined;
    await world.clock.advance(24 * HOUR_MS);
    expect(world.record.lastKnownGood?.id).toBe('a');
    const [entry] = (world.record as RolloutRecord).quarantined;
    expect(entry).not.toHaveProperty('until');
  });
});
