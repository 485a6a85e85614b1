import { describe, expect, it } from 'vitest';
import type { Probe } from '../../../src/reconcile/rollout/probe.ts';
import { cluster, edit, fleetWith, keyOf, peer } from '../reconcile/fleet.ts';
import { Agent, World } from './lab.ts';

const good = fleetWith(1, 2, 3);
const rowOf = (n: number) => `peer/omni0/${keyOf(n)}`;
/** Robot-3 gets a key that nobody holds. */
const wrong = edit(good, [peer(3, { publicKey: keyOf(103) })]).fleet;

/** A peer answers by the keys that it holds, and no other. */
const holding =
  (...held: readonly number[]): World['answer'] =>
  (probe: Probe) =>
    probe.kind === 'key' || (probe.kind === 'peer' && probe.name === 'robot-3')
      ? held.some((n) => keyOf(n) === probe.peer)
        ? undefined
        : 'silence'
      : undefined;

async function trusting(): Promise<{ world: World; agent: Agent }> {
  const world = new World();
  world.commit('a', good);
  world.answer = holding(3);
  const agent = await Agent.start(world);
  expect(await agent.tried('a')).toMatchObject({ outcome: 'good' });
  world.live = [keyOf(2), keyOf(3)];
  await world.clock.advance(100);
  world.probed.length = 0;
  return { world, agent };
}

describe('a key that is replaced outright', () => {
  it('by one that its peer does not hold is taken back, and the old key works again', async () => {
    const { world, agent } = await trusting();
    world.commit('b', wrong);
    const verdict = await agent.tried('b');
    expect(verdict).toMatchObject({ outcome: 'rolled-back', reason: 'ProbationFailed' });
    expect(verdict.message).toContain('key/robot-3: silence');
    await world.clock.advance(1_000);
    expect(world.has(rowOf(3))).toBe(true);
    expect(world.has(rowOf(103))).toBe(false);
  });

  it('by one that its peer holds is trusted as soon as it answers by that', async () => {
    const { world, agent } = await trusting();
    world.answer = holding(3);
    world.commit('b', wrong);
    const since = agent.rollout.state.sequence;
    await agent.offer('b');
    await world.clock.advance(5_000);
    expect(agent.rollout.report().trial?.probes).toContainEqual({
      id: 'key/robot-3',
      state: 'failing',
      message: 'silence',
    });
    world.answer = holding(103);
    expect(await agent.verdict('b', since, 1_000)).toMatchObject({ outcome: 'good' });
    expect(world.has(rowOf(103))).toBe(true);
  });

  it('asks nothing of a peer that did not answer by the old key', async () => {
    const { world, agent } = await trusting();
    world.answer = holding();
    world.commit('b', wrong);
    expect(await agent.tried('b')).toMatchObject({ outcome: 'good' });
    world.live = [keyOf(2)];
    world.commit('c', edit(wrong, [peer(3, { publicKey: keyOf(203) })]).fleet);
    world.probed.length = 0;
    expect(await agent.tried('c')).toMatchObject({ outcome: 'good' });
    expect(world.probed).not.toContain('key/robot-3');
  });

  it('asks nothing where the old key is revoked, and brings that one back in no case', async () => {
    const { world, agent } = await trusting();
    const revoking = cluster({ revokedKeys: [keyOf(3)] });
    world.commit('b', edit(wrong, [revoking]).fleet);
    // Sessions end with the rows, but may still be listed when the baseline is chosen.
    expect(await agent.tried('b')).toMatchObject({ outcome: 'good' });
    expect(world.probed).not.toContain('key/robot-3');
    world.commit('c', edit(good, [revoking, peer(3, { publicKey: keyOf(103) }), peer(9)]).fleet);
    world.answer = ({ id }) => (id === 'source' && world.has(rowOf(9)) ? 'silence' : undefined);
    expect(await agent.tried('c')).toMatchObject({ outcome: 'rolled-back' });
    await world.clock.advance(1_000);
    expect(world.has(rowOf(3))).toBe(false);
    expect(world.has(rowOf(103))).toBe(true);
  });

  it('is asked for where two steps of a rotation come at once: the next key was never used', async () => {
    const { world, agent } = await trusting();
    world.commit('b', edit(good, [peer(3, { nextPublicKey: keyOf(103) })]).fleet);
    expect(await agent.tried('b')).toMatchObject({ outcome: 'good' });
    world.commit('c', wrong);
    expect(await agent.tried('c')).toMatchObject({ outcome: 'rolled-back' });
    await world.clock.advance(1_000);
    world.answer = holding(3, 103);
    world.commit('d', edit(wrong, [peer(2, { keepaliveMs: 20_000 })]).fleet);
    expect(await agent.tried('d')).toMatchObject({ outcome: 'good' });
  });

  it('is no matter of a revision that puts the old key back', async () => {
    const { world, agent } = await trusting();
    world.commit('b', wrong);
    await agent.offer('b');
    await world.clock.advance(2_000);
    world.commit('c', edit(good, [peer(9)]).fleet);
    expect(await agent.tried('c')).toMatchObject({ outcome: 'good' });
    expect(world.has(rowOf(3))).toBe(true);
  });
});
