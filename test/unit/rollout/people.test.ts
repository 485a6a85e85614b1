import { describe, expect, it } from 'vitest';
import { OmniError } from '../../../src/errors.ts';
import type { ObjectRef } from '../../../src/manifest/model.ts';
import { requireQuiet, toConfirm, toRetry, toRollBack } from '../../../src/reconcile/rollout/people.ts';
import { cluster, edit, fleetWith, keyOf, negativeOf, peer, vip } from '../reconcile/fleet.ts';
import { Agent, World } from './lab.ts';

const good = fleetWith(1, 2, 3);
const bad = edit(good, [peer(4), vip(4)]).fleet;
const rowOf = (n: number) => `peer/omni0/${keyOf(n)}`;
const broken: World['answer'] = (_probe, world) => (world.has(rowOf(4)) ? 'silence' : undefined);

async function trusting(fleet = good, world = new World()): Promise<{ world: World; agent: Agent }> {
  world.commit('a', fleet);
  const agent = await Agent.start(world);
  await agent.tried('a');
  world.live = [keyOf(2), keyOf(3)];
  await world.clock.advance(100);
  return { world, agent };
}

/** `b` on trial, with silent peers. */
async function inTrial(): Promise<{ world: World; agent: Agent }> {
  const { world, agent } = await trusting();
  world.commit('b', bad);
  world.answer = broken;
  await agent.offer('b');
  await world.clock.advance(1_000);
  expect(agent.rollout.report().trial).toBeDefined();
  return { world, agent };
}

describe('confirm', () => {
  it('ends a trial as passed', async () => {
    const { world, agent } = await inTrial();
    const { id } = toConfirm(agent.rollout.state);
    agent.rollout.ask({ type: 'confirm', id, allowPartition: false });
    expect(await agent.verdict('b')).toMatchObject({ outcome: 'good', message: 'confirmed by hand' });
    await world.clock.advance(100);
    expect(world.record.lastKnownGood?.id).toBe('b');
  });

  it('lets through what a guard refuses, that revision alone, and says what else it needs', async () => {
    const many = fleetWith(...Array.from({ length: 30 }, (_, at) => at + 1));
    const world = new World();
    world.commit('a', many);
    const agent = await Agent.start(world);
    await agent.tried('a');
    world.commit('b', fleetWith(1, 2, 3));
    expect(await agent.tried('b')).toMatchObject({ outcome: 'refused', reason: 'PruneBlocked' });
    expect(world.has(rowOf(20))).toBe(true);
    const { id } = toConfirm(agent.rollout.state);
    agent.rollout.ask({ type: 'confirm', id, allowPartition: false });
    expect(await agent.verdict('b')).toMatchObject({ outcome: 'good' });
    expect(world.has(rowOf(20))).toBe(false);
    world.commit('c', fleetWith(1));
    expect(await agent.tried('c')).toMatchObject({ outcome: 'refused' });
    agent.rollout.ask({ type: 'confirm', id: 'c', allowPartition: false });
    expect(await agent.verdict('c')).toMatchObject({ outcome: 'refused', reason: 'PartitionBlocked' });
    agent.rollout.ask({ type: 'confirm', id: 'c', allowPartition: true });
    expect(await agent.verdict('c')).toMatchObject({ outcome: 'good' });
  });

  it('makes no sense where nothing waits for it', async () => {
    const { agent } = await trusting();
    expect(() => toConfirm(agent.rollout.state)).toThrow(expect.objectContaining({ code: 'nothing-to-confirm' }));
  });
});

describe('retry', () => {
  it('tries a quarantined revision again', async () => {
    const { world, agent } = await inTrial();
    expect(await agent.verdict('b')).toMatchObject({ outcome: 'rolled-back' });
    world.answer = () => undefined;
    const since = agent.rollout.state.sequence;
    agent.rollout.ask({ type: 'lift', id: toRetry(agent.rollout.state).id });
    expect(await agent.verdict('b', since)).toMatchObject({ outcome: 'good' });
    await world.clock.advance(100);
    expect(world.record).toMatchObject({ lastKnownGood: { id: 'b' }, quarantined: [] });
    expect(() => toRetry(agent.rollout.state)).toThrow(expect.objectContaining({ code: 'not-quarantined' }));
  });
});

describe('rollback', () => {
  it('fails a trial by hand', async () => {
    const { world, agent } = await inTrial();
    expect(toRollBack(agent.rollout.state)).toMatchObject({ fail: { id: 'b' } });
    agent.rollout.ask({ type: 'fail' });
    expect(await agent.verdict('b')).toMatchObject({ outcome: 'rolled-back', reason: 'RolledBackByHand' });
    expect(world.has(rowOf(4))).toBe(false);
  });

  it('to the good one before is a trial too, quarantines the present one, and outlives a restart', async () => {
    const { world, agent } = await trusting();
    world.commit('b', bad);
    await agent.tried('b');
    await world.clock.advance(100);
    expect(toRollBack(agent.rollout.state)).toEqual({ to: 'a' });
    const since = agent.rollout.state.sequence;
    await agent.goBackTo('a');
    expect(await agent.verdict('a', since)).toMatchObject({ outcome: 'good' });
    await world.clock.advance(100);
    expect(world.has(rowOf(4))).toBe(false);
    expect(world.record).toMatchObject({
      lastKnownGood: { id: 'a' },
      quarantined: [{ revision: { id: 'b' }, reason: 'RolledBackByHand' }],
    });
    expect(world.record.history.at(-1)).toMatchObject({ revision: { id: 'a' }, outcome: 'chosen' });
    agent.die();
    const next = await Agent.start(world);
    expect(await next.tried('b')).toMatchObject({ outcome: 'refused', reason: 'RevisionQuarantined' });
    world.commit('c', edit(bad, [peer(5), vip(5)]).fleet);
    expect(await next.tried('c')).toMatchObject({ outcome: 'good' });
  });

  it('that cuts the node off comes back to the present one, which nobody blames', async () => {
    const { world, agent } = await trusting();
    world.commit('b', bad);
    await agent.tried('b');
    world.answer = (_probe, { has }) => (has.call(world, rowOf(4)) ? undefined : 'silence');
    const since = agent.rollout.state.sequence;
    await agent.goBackTo('a');
    expect(await agent.verdict('a', since)).toMatchObject({ outcome: 'rolled-back' });
    expect(world.record).toMatchObject({ lastKnownGood: { id: 'b' }, quarantined: [{ revision: { id: 'a' } }] });
    expect(agent.rollout.report().waiting).toBeUndefined();
  });

  it('is guarded', async () => {
    const world = new World();
    world.commit('a', fleetWith(1, 2));
    const agent = await Agent.start(world);
    await agent.tried('a');
    world.commit('b', fleetWith(...Array.from({ length: 30 }, (_, at) => at + 1)));
    await agent.tried('b');
    const since = agent.rollout.state.sequence;
    await agent.goBackTo('a');
    expect(await agent.verdict('a', since)).toMatchObject({ outcome: 'refused', reason: 'PruneBlocked' });
  });
});

describe('a hold', () => {
  it('keeps new revisions waiting, of which the newest alone is tried once it is lifted, and heals', async () => {
    const { world, agent } = await trusting();
    const held = { type: 'hold', hold: { reason: 'in a mission', since: '2026-01-01T00:00:00Z' } } as const;
    await agent.rollout.command(held);
    world.commit('b', bad);
    expect(await agent.tried('b')).toMatchObject({ outcome: 'waiting', reason: 'Held' });
    world.commit('c', edit(good, [peer(5), vip(5)]).fleet);
    expect(await agent.tried('c')).toMatchObject({
      outcome: 'waiting',
      message: expect.stringContaining('in a mission'),
    });
    agent.plane.host.remove(rowOf(2) as never);
    await world.clock.advance(1_000);
    expect(world.has(rowOf(2))).toBe(true);
    expect(world.has(rowOf(5))).toBe(false);
    await agent.rollout.command({ type: 'release' });
    expect(await agent.verdict('c')).toMatchObject({ outcome: 'good' });
    expect(world.has(rowOf(4))).toBe(false);
  });

  it('ends at its time, and outlives a restart', async () => {
    const { world, agent } = await trusting();
    const until = new Date(world.clock.wall() + 3_600_000).toISOString();
    await agent.rollout.command({ type: 'hold', hold: { reason: 'mission', since: until, until } });
    agent.die();
    const next = await Agent.start(world);
    world.commit('b', bad);
    expect(await next.tried('b')).toMatchObject({ outcome: 'waiting', reason: 'Held' });
    await world.clock.advance(3_500_000);
    expect(world.has(rowOf(4))).toBe(false);
    await world.clock.advance(200_000);
    expect(world.has(rowOf(4))).toBe(true);
    expect(world.record.hold).toBeUndefined();
  });

  it('keeps nobody from going back', async () => {
    const { world, agent } = await trusting();
    world.commit('b', bad);
    await agent.tried('b');
    await agent.rollout.command({ type: 'hold', hold: { reason: 'mission', since: '2026-01-01T00:00:00Z' } });
    const since = agent.rollout.state.sequence;
    await agent.goBackTo('a');
    expect(await agent.verdict('a', since)).toMatchObject({ outcome: 'good' });
  });
});

describe('a gate', () => {
  it('that is closed is asked again when it says so', async () => {
    const { world, agent } = await trusting();
    world.gate = { open: false, reason: 'Busy', message: 'lifting a pallet', recheckMs: 5_000 };
    world.commit('b', bad);
    expect(await agent.tried('b')).toMatchObject({ outcome: 'waiting', reason: 'Busy', message: 'lifting a pallet' });
    await world.clock.advance(60_000);
    expect(agent.reasons().filter((reason) => reason === 'Busy')).toHaveLength(1);
    world.gate = { open: true };
    await world.clock.advance(6_000);
    expect(world.record.lastKnownGood?.id).toBe('b');
  });
});

describe('a suspension', () => {
  it('stops healing, survives a restart, keeps sessions, and heals when it ends', async () => {
    const { world, agent } = await trusting();
    await agent.rollout.command({ type: 'suspend', reason: 'bench test' });
    agent.plane.host.remove(rowOf(2) as never);
    await world.clock.advance(600_000);
    expect(world.has(rowOf(2))).toBe(false);
    agent.die();
    const next = await Agent.start(world);
    await world.clock.advance(600_000);
    expect(world.has(rowOf(2))).toBe(false);
    expect(next.sessions.at(-1)?.peers.size).toBe(2);
    world.commit('b', bad);
    expect(await next.tried('b')).toMatchObject({ outcome: 'waiting', reason: 'Suspended' });
    await next.rollout.command({ type: 'resume' });
    expect(await next.verdict('b')).toMatchObject({ outcome: 'good' });
    expect(world.has(rowOf(2))).toBe(true);
  });

  it('of a system that booted anew programs what is trusted once', async () => {
    const { world, agent } = await trusting();
    await agent.rollout.command({ type: 'suspend', reason: 'bench test' });
    agent.die();
    world.reboot();
    const next = await Agent.start(world);
    await world.clock.advance(10);
    expect(world.has(rowOf(2))).toBe(true);
    next.plane.host.remove(rowOf(2) as never);
    await world.clock.advance(600_000);
    expect(world.has(rowOf(2))).toBe(false);
  });

  it('does not come in the middle of a trial', async () => {
    const { agent } = await inTrial();
    expect(() => requireQuiet(agent.rollout.state)).toThrow(expect.objectContaining({ code: 'on-trial' }));
  });
});

describe('a revoked key', () => {
  const without3 = edit(bad, [], ['peer/robot-3', 'vip/vip-3']).fleet;

  it('of a Peer that a bad revision deleted stays out when it is taken back, over restarts, until a newer one has it again', async () => {
    const { world, agent } = await trusting();
    world.commit('b', without3);
    world.answer = broken;
    expect(await agent.tried('b')).toMatchObject({ outcome: 'rolled-back' });
    expect(world.has(rowOf(2))).toBe(true);
    expect(world.has(rowOf(3))).toBe(false);
    expect(agent.sessions.at(-1)?.peers.has(keyOf(3))).toBe(false);
    expect(world.record.revoked).toEqual([{ publicKey: keyOf(3), name: 'robot-3', revision: 'main@b' }]);
    agent.die();
    world.reboot();
    const next = await Agent.start(world);
    await world.clock.advance(10);
    expect(world.has(rowOf(2))).toBe(true);
    expect(world.has(rowOf(3))).toBe(false);
    world.answer = () => undefined;
    world.commit('c', edit(good, [peer(5), vip(5)]).fleet);
    expect(await next.tried('c')).toMatchObject({ outcome: 'good' });
    expect(world.has(rowOf(3))).toBe(true);
    await world.clock.advance(100);
    expect(world.record.revoked).toEqual([]);
  });

  it('stays out where the agent was killed in the trial that deleted it', async () => {
    const { world, agent } = await trusting();
    world.commit('b', without3);
    world.answer = broken;
    await agent.offer('b');
    await world.clock.advance(1_000);
    agent.die();
    await Agent.start(world);
    await world.clock.advance(10);
    expect(world.has(rowOf(2))).toBe(true);
    expect(world.has(rowOf(3))).toBe(false);
  });

  it('stays out when a person goes back to before it was deleted', async () => {
    const { world, agent } = await trusting();
    world.commit('b', edit(good, [peer(5), vip(5)], ['peer/robot-3', 'vip/vip-3']).fleet);
    expect(await agent.tried('b')).toMatchObject({ outcome: 'good' });
    const since = agent.rollout.state.sequence;
    await agent.goBackTo('a');
    expect(await agent.verdict('a', since)).toMatchObject({ outcome: 'good' });
    await world.clock.advance(100);
    expect(world.has(rowOf(3))).toBe(false);
    expect(world.record.revoked).toMatchObject([{ name: 'robot-3' }]);
    agent.die();
    await Agent.start(world);
    await world.clock.advance(10);
    expect(world.has(rowOf(3))).toBe(false);
  });

  it('that is only replaced is an ordinary change', async () => {
    const { world, agent } = await trusting();
    world.commit('b', edit(bad, [peer(3, { publicKey: keyOf(9) })]).fleet);
    world.answer = broken;
    expect(await agent.tried('b')).toMatchObject({ outcome: 'rolled-back' });
    expect(world.record.revoked).toEqual([]);
    expect(world.has(rowOf(3))).toBe(true);
  });

  it('is cut at once while its revision waits, and plain deletions wait', async () => {
    const { world, agent } = await trusting();
    await agent.rollout.command({ type: 'hold', hold: { reason: 'mission', since: '2026-01-01T00:00:00Z' } });
    const revoking = edit(good, [cluster({ revokedKeys: [keyOf(3)] }), peer(5), vip(5)], ['vip/vip-2']).fleet;
    world.commit('b', revoking);
    expect(await agent.tried('b')).toMatchObject({ outcome: 'waiting', reason: 'Held' });
    await world.clock.advance(10);
    expect(world.has(rowOf(3))).toBe(false);
    expect(world.has('neighbour/omni0/10.77.0.2')).toBe(true);
    expect(agent.reasons()).toContain('PeerRevoked');
    agent.die();
    const next = await Agent.start(world);
    await world.clock.advance(10);
    expect(world.has(rowOf(3))).toBe(false);
    await next.rollout.command({ type: 'release' });
    expect(await next.tried('b')).toMatchObject({ outcome: 'good' });
    expect(world.has(rowOf(3))).toBe(false);
    expect(world.has('neighbour/omni0/10.77.0.2')).toBe(false);
  });

  const thirty = fleetWith(...Array.from({ length: 30 }, (_, at) => at + 1));

  it('is cut although a guard refuses the revision, and the rest is not', async () => {
    const { world, agent } = await trusting(thirty);
    world.commit('b', edit(fleetWith(1, 2), [cluster({ revokedKeys: [keyOf(3)] })]).fleet);
    expect(await agent.tried('b')).toMatchObject({ outcome: 'refused', reason: 'PruneBlocked' });
    await world.clock.advance(10);
    expect(world.has(rowOf(3))).toBe(false);
    expect(world.has(rowOf(4))).toBe(true);
    expect(world.record.revoked).toEqual([{ publicKey: keyOf(3), name: 'robot-3', revision: 'main@b' }]);
    // The agent that comes after a kill boots the trusted revision without the key, before it hears of the newer one.
    agent.die();
    await Agent.start(world);
    await world.clock.advance(10);
    expect(world.has(rowOf(3))).toBe(false);
  });

  it('counts in no guard: a third of a fleet is cut in one commit, and nothing is left to try', async () => {
    const { world, agent } = await trusting(thirty);
    const stolen = Array.from({ length: 10 }, (_, at) => at + 21);
    const gone = stolen.flatMap((n): ObjectRef[] => [`peer/robot-${n}`, `vip/vip-${n}`]);
    world.commit('b', edit(thirty, [cluster({ revokedKeys: stolen.map(keyOf) })], gone).fleet);
    expect(await agent.tried('b')).toMatchObject({ outcome: 'good' });
    for (const n of stolen) expect(world.has(rowOf(n))).toBe(false);
    expect(world.has(rowOf(20))).toBe(true);
  });

  it('is cut where the revision is quarantined', async () => {
    const { world, agent } = await trusting();
    world.commit('b', bad);
    world.answer = broken;
    await agent.tried('b');
    agent.die();
    // A new version's reader, say, sees more in the same commit than the one that quarantined it.
    world.commit('b', edit(bad, [cluster({ revokedKeys: [keyOf(3)] })], ['peer/robot-3', 'vip/vip-3']).fleet);
    const next = await Agent.start(world);
    expect(await next.tried('b')).toMatchObject({ outcome: 'refused', reason: 'RevisionQuarantined' });
    await world.clock.advance(10);
    expect(world.has(rowOf(3))).toBe(false);
  });

  it('is cut with the trial of an older revision, whose end does not let it in', async () => {
    const { world, agent } = await trusting(thirty);
    world.live = [keyOf(2), keyOf(3)];
    const since = agent.rollout.state.sequence;
    world.commit('b', edit(thirty, [peer(40), vip(40)]).fleet);
    world.answer = ({ id }) => (id === 'source' && world.has(rowOf(40)) ? 'silence' : undefined);
    await agent.offer('b');
    await world.clock.advance(1_000);
    expect(agent.rollout.report().trial).toMatchObject({ revision: { id: 'b' } });
    world.commit('c', edit(fleetWith(1, 2), [cluster({ revokedKeys: [keyOf(3)] })]).fleet);
    await agent.offer('c');
    await world.clock.advance(10);
    expect(world.has(rowOf(3))).toBe(false);
    // What comes after it and is refused too says nothing of the key.
    world.commit('d', fleetWith(1, 2));
    await agent.offer('d');
    world.answer = () => undefined;
    expect(await agent.verdict('b', since)).toMatchObject({ outcome: 'good' });
    await world.clock.advance(1_000);
    expect(world.has(rowOf(40))).toBe(true);
    expect(world.has(rowOf(3))).toBe(false);
    expect(world.record).toMatchObject({ lastKnownGood: { id: 'b' }, revoked: [{ name: 'robot-3' }] });
  });

  it('is let in where what is in force is the newest again', async () => {
    const { world, agent } = await trusting(thirty);
    world.commit('b', edit(fleetWith(1, 2), [cluster({ revokedKeys: [keyOf(3)] })]).fleet);
    expect(await agent.tried('b')).toMatchObject({ outcome: 'refused' });
    await world.clock.advance(10);
    expect(world.has(rowOf(3))).toBe(false);
    world.commit('a', thirty);
    await agent.offer('a');
    await world.clock.advance(100);
    expect(world.has(rowOf(3))).toBe(true);
    expect(world.record.revoked).toEqual([]);
  });

  it('is cut where its negative is named', async () => {
    const { world, agent } = await trusting();
    await agent.rollout.command({ type: 'hold', hold: { reason: 'mission', since: '2026-01-01T00:00:00Z' } });
    world.commit('b', edit(good, [cluster({ revokedKeys: [negativeOf(keyOf(3))] })]).fleet);
    expect(await agent.tried('b')).toMatchObject({ outcome: 'waiting' });
    await world.clock.advance(10);
    expect(world.has(rowOf(3))).toBe(false);
    expect(world.has(rowOf(2))).toBe(true);
  });

  it('leaves a node alone where all of its peers are named', async () => {
    const { world, agent } = await trusting();
    const alone = edit(
      good,
      [cluster({ revokedKeys: [keyOf(2), keyOf(3)] })],
      ['peer/robot-2', 'vip/vip-2', 'peer/robot-3', 'vip/vip-3'],
    ).fleet;
    world.commit('b', alone);
    expect(await agent.tried('b')).toMatchObject({ outcome: 'good' });
    expect(world.rows().filter((key) => key.startsWith('peer/'))).toEqual([]);
  });
});

describe('a full disk', () => {
  const full = new OmniError('the disk is full', { code: 'state-not-saved', class: 'retry' });

  it('keeps a revision from being tried, says why, and tries it once there is room', async () => {
    const { world, agent } = await trusting();
    const rows = world.rows();
    world.diskProblem = full;
    world.commit('b', bad);
    expect(await agent.tried('b')).toMatchObject({
      outcome: 'waiting',
      reason: 'StateNotSaved',
      message: 'the disk is full',
    });
    await world.clock.advance(60_000);
    expect(world.rows()).toEqual(rows);
    expect(world.record.lastKnownGood?.id).toBe('a');
    world.diskProblem = undefined;
    await world.clock.advance(10_000);
    expect(world.has(rowOf(4))).toBe(true);
    expect(world.record.lastKnownGood?.id).toBe('b');
    expect(agent.reasons()).toContain('StateSaved');
  });

  it('takes nothing back that was given, and the verdict reaches it later', async () => {
    const { world, agent } = await inTrial();
    world.diskProblem = full;
    expect(await agent.verdict('b')).toMatchObject({ outcome: 'rolled-back' });
    expect(world.has(rowOf(4))).toBe(false);
    expect(world.record.trial).toBeDefined();
    world.diskProblem = undefined;
    await world.clock.advance(61_000);
    expect(world.record.trial).toBeUndefined();
    expect(world.record.quarantined).toMatchObject([{ revision: { id: 'b' }, reason: 'ProbationFailed' }]);
  });

  it('refuses a hold that would not outlive a crash', async () => {
    const { world, agent } = await trusting();
    world.diskProblem = full;
    const hold = { reason: 'mission', since: '2026-01-01T00:00:00Z' };
    await expect(agent.rollout.command({ type: 'hold', hold })).rejects.toThrow('the disk is full');
  });
});
