import { describe, expect, it } from 'vitest';
import { OmniError } from '../../../src/errors.ts';
import type { Fleet } from '../../../src/manifest/model.ts';
import type { Probe } from '../../../src/reconcile/rollout/probe.ts';
import { cluster, edit, fleetWith, hint, keyOf, peer, vip } from '../reconcile/fleet.ts';
import { Agent, World } from './lab.ts';

const good = fleetWith(1, 2, 3);
const rowOf = (n: number) => `peer/omni0/${keyOf(n)}`;
/** Adds a robot; with it programmed, `cut` is broken. */
const bad = edit(good, [peer(4), vip(4)]).fleet;
const cut =
  (...ids: string[]) =>
  ({ id }: Probe, world: World) =>
    world.has(rowOf(4)) && ids.includes(id) ? 'silence' : undefined;

/** A node that trusts `fleet`, with sessions to all its peers. */
async function trusting(fleet: Fleet = good, world = new World()): Promise<{ world: World; agent: Agent }> {
  world.commit('a', fleet);
  const agent = await Agent.start(world);
  expect(await agent.tried('a')).toMatchObject({ outcome: 'good' });
  world.live = [keyOf(2), keyOf(3)];
  await world.clock.advance(100);
  expect(world.record.lastKnownGood?.id).toBe('a');
  world.probed.length = 0;
  return { world, agent };
}

function historyOf({ record }: World): readonly string[] {
  return record.history.map(({ revision, outcome }) => `${revision.id} ${outcome}`);
}

describe('a newer commit', () => {
  it('comes before the verdict on an older one, and is judged by what passed before both', async () => {
    const { world, agent } = await trusting();
    world.commit('b', bad);
    world.answer = cut('peer/robot-2', 'peer/robot-3');
    const since = agent.rollout.state.sequence;
    await agent.offer('b');
    await world.clock.advance(1_000);
    expect(agent.rollout.report().trial).toMatchObject({ revision: { id: 'b' } });
    world.commit('c', edit(bad, [vip(5, { peer: 'robot-4' })]).fleet);
    expect(await agent.tried('c')).toMatchObject({ outcome: 'rolled-back', reason: 'ProbationFailed' });
    expect(await agent.verdict('b', since)).toMatchObject({ outcome: 'preempted' });
    expect(world.has(rowOf(4))).toBe(false);
    expect(historyOf(world)).toEqual(['a good', 'b preempted', 'c rolled-back']);
    expect(world.record.quarantined).toMatchObject([{ revision: { id: 'c' }, reason: 'ProbationFailed' }]);
  });

  it('that mends what an older one broke goes through', async () => {
    const { world, agent } = await trusting();
    world.commit('b', bad);
    world.answer = cut('peer/robot-2', 'peer/robot-3');
    await agent.offer('b');
    await world.clock.advance(1_000);
    world.commit('c', edit(bad, [vip(5, { peer: 'robot-3' })], ['peer/robot-4', 'vip/vip-4']).fleet);
    expect(await agent.tried('c')).toMatchObject({ outcome: 'good' });
    expect(world.probed).toEqual(expect.arrayContaining(['peer/robot-2', 'peer/robot-3', 'source']));
    expect(world.record).toMatchObject({ lastKnownGood: { id: 'c' }, quarantined: [] });
  });

  it('that is what was trusted ends the trial of an older one without blame', async () => {
    const { world, agent } = await trusting();
    world.commit('b', bad);
    world.answer = cut('peer/robot-2', 'peer/robot-3');
    await agent.offer('b');
    await world.clock.advance(1_000);
    await agent.offer('a');
    await world.clock.advance(60_000);
    expect(world.has(rowOf(4))).toBe(false);
    expect(historyOf(world)).toEqual(['a good', 'b preempted']);
    expect(world.record).toMatchObject({ lastKnownGood: { id: 'a' }, quarantined: [] });
    expect(world.record.trial).toBeUndefined();
  });

  it('comes before the return from a failed one, too', async () => {
    const { world, agent } = await trusting();
    world.commit('b', bad);
    world.answer = cut('peer/robot-2', 'peer/robot-3');
    const since = agent.rollout.state.sequence;
    await agent.offer('b');
    await world.clock.advance(31_000);
    world.commit('c', edit(good, [peer(5), vip(5)]).fleet);
    expect(await agent.tried('c')).toMatchObject({ outcome: 'good' });
    expect(await agent.verdict('b', since)).toMatchObject({ outcome: 'rolled-back' });
  });
});

describe('a commit that breaks something', () => {
  it('is taken back by its deadline, quarantined, and not tried again; the next one is', async () => {
    const { world, agent } = await trusting();
    const rows = world.rows();
    world.commit('b', bad);
    world.answer = cut('source');
    const began = world.clock.now();
    const verdict = await agent.tried('b');
    expect(verdict).toMatchObject({ outcome: 'rolled-back', reason: 'ProbationFailed' });
    expect(verdict.message).toContain('source: silence');
    expect(world.clock.now() - began).toBeLessThan(35_000);
    expect(world.rows()).toEqual(rows);
    expect(agent.rollout.report()).toMatchObject({
      lastKnownGood: { id: 'a' },
      waiting: { revision: { id: 'b' }, reason: 'RevisionQuarantined' },
      quarantined: [{ revision: { id: 'b' }, reason: 'ProbationFailed' }],
      history: [{ revision: { id: 'b' }, outcome: 'rolled-back' }, { revision: { id: 'a' } }],
    });
    expect(agent.reasons()).toEqual(expect.arrayContaining(['Probation', 'ProbationFailed', 'RolledBack']));
    expect(await agent.tried('b')).toMatchObject({ outcome: 'refused', reason: 'RevisionQuarantined' });
    expect(world.rows()).toEqual(rows);
    world.commit('c', edit(good, [peer(5), vip(5)]).fleet);
    expect(await agent.tried('c')).toMatchObject({ outcome: 'good' });
    expect(agent.rollout.report().waiting).toBeUndefined();
  });

  it('is confirmed as soon as all passes, whatever failed meanwhile', async () => {
    const { world, agent } = await trusting();
    world.commit('b', bad);
    world.answer = cut('peer/robot-2', 'source');
    const since = agent.rollout.state.sequence;
    await agent.offer('b');
    await world.clock.advance(9_000);
    expect(agent.rollout.report().trial?.probes).toEqual(
      expect.arrayContaining([
        { id: 'source', state: 'failing', message: 'silence' },
        { id: 'peer/robot-3', state: 'passed' },
      ]),
    );
    world.answer = () => undefined;
    expect(await agent.verdict('b', since, 1_000)).toMatchObject({ outcome: 'good' });
  });

  it('has the time that its own cluster gives', async () => {
    const { world, agent } = await trusting();
    const quick = cluster({ probation: { confirmWithinMs: 2_000, quarantineForMs: 21_600_000, probes: [] } });
    world.commit('b', edit(bad, [quick]).fleet);
    world.answer = cut('source');
    expect(await agent.tried('b', 4_000)).toMatchObject({ outcome: 'rolled-back' });
  });

  it('whose rows cannot be programmed is taken back, although everything answers', async () => {
    const { world, agent } = await trusting();
    world.commit('b', bad);
    const refuses = new OmniError('no', { code: 'not-permitted', class: 'stall' });
    agent.plane.faults.add({ when: ({ key }) => key === rowOf(4), error: refuses });
    const verdict = await agent.tried('b');
    expect(verdict).toMatchObject({ outcome: 'rolled-back', reason: 'NotApplied' });
    expect(verdict.message).toContain(rowOf(4));
  });

  it('is not blamed for a row that failed before, or for one that waits for a route', async () => {
    const world = new World();
    const before = await trusting(good, world);
    const refuses = new OmniError('no', { code: 'not-permitted', class: 'stall' });
    before.agent.plane.faults.add({ when: ({ key }) => key === 'route/omni0/10.77.0.0/16', error: refuses });
    before.agent.plane.host.remove('route/omni0/10.77.0.0/16' as never);
    const unroutable = new OmniError('no route', { code: 'no-route-to-endpoint', class: 'wait' });
    before.agent.plane.faults.add({ when: ({ key }) => key === rowOf(4), error: unroutable });
    world.commit('b', bad);
    expect(await before.agent.tried('b')).toMatchObject({ outcome: 'good' });
    expect(world.record.lastKnownGood?.id).toBe('b');
  });
});

describe('the baseline', () => {
  it('holds nothing that did not answer before', async () => {
    const { world, agent } = await trusting();
    world.answer = ({ id }) => (id === 'peer/robot-2' ? 'silence' : undefined);
    world.commit('b', bad);
    expect(await agent.tried('b')).toMatchObject({ outcome: 'good' });
    expect(world.record.history.at(-1)?.message).not.toContain('robot-2');
  });

  it('lets half of the peers be silent that the commit does not touch, and none that it does', async () => {
    const { world, agent } = await trusting();
    world.commit('b', bad);
    world.answer = cut('peer/robot-2');
    expect(await agent.tried('b')).toMatchObject({ outcome: 'good' });
    world.answer = ({ id }) => (id === 'peer/robot-3' && world.has(rowOf(5)) ? 'silence' : undefined);
    world.commit('c', edit(bad, [peer(5), vip(6, { peer: 'robot-3' })]).fleet);
    const verdict = await agent.tried('c');
    expect(verdict).toMatchObject({ outcome: 'rolled-back' });
    expect(verdict.message).toContain('peer/robot-3');
  });

  it('asks a peer that changes its key by the old one before, by the new one after, and holds it to that', async () => {
    const keysOf = (n: number, next: number) => ({ publicKey: keyOf(n), nextPublicKey: keyOf(next) });
    const overlap = edit(good, [peer(2, keysOf(2, 22))]).fleet;
    const { world, agent } = await trusting(overlap);
    world.answer = (probe) => {
      if (probe.id !== 'peer/robot-2' || probe.kind !== 'peer') return undefined;
      return probe.peer === keyOf(world.has(rowOf(22)) ? 22 : 2) ? undefined : 'no answer';
    };
    world.commit('b', edit(good, [peer(2, keysOf(22, 2))]).fleet);
    expect(await agent.tried('b')).toMatchObject({ outcome: 'good' });
    expect(world.record.history.at(-1)?.message).toContain('peer/robot-2');
    expect(world.rows()).not.toContain(rowOf(2));

    world.live = [keyOf(22), keyOf(3)];
    world.answer = ({ id }) => (id === 'peer/robot-2' && world.has(rowOf(2)) ? 'silence' : undefined);
    world.commit('c', overlap);
    const verdict = await agent.tried('c');
    expect(verdict).toMatchObject({ outcome: 'rolled-back' });
    expect(world.has(rowOf(22))).toBe(true);
    expect(world.record.revoked).toEqual([]);
  });

  it('tries new endpoints of a peer that is live at the old ones', async () => {
    const { world, agent } = await trusting();
    world.commit('b', edit(good, [peer(2, { endpoints: [hint('192.0.2.2', 1)] })]).fleet);
    world.answer = ({ id }) => (id === 'endpoint/robot-2' ? 'no answer to handshakes' : undefined);
    const verdict = await agent.tried('b');
    expect(verdict).toMatchObject({ outcome: 'rolled-back' });
    expect(verdict.message).toContain('endpoint/robot-2: no answer to handshakes');
    expect(world.probed).not.toContain('endpoint/robot-3');
  });

  it('holds the probes that the new cluster declares', async () => {
    const { world, agent } = await trusting();
    const probe = { name: 'dock', kind: 'tcp', host: '10.77.0.9', port: 22, timeoutMs: 1_000 } as const;
    const watched = cluster({ probation: { confirmWithinMs: 5_000, quarantineForMs: 21_600_000, probes: [probe] } });
    world.commit('b', edit(bad, [watched]).fleet);
    world.answer = cut('declared/dock');
    expect(await agent.tried('b')).toMatchObject({ outcome: 'rolled-back' });
  });

  it('is a sample of a large fleet: what the commit touches, and others', async () => {
    const many = fleetWith(...Array.from({ length: 60 }, (_, at) => at + 1));
    const { world, agent } = await trusting(many);
    world.live = Array.from({ length: 59 }, (_, at) => keyOf(at + 2));
    world.commit('b', edit(many, [vip(61, { peer: 'robot-60' })]).fleet);
    expect(await agent.tried('b')).toMatchObject({ outcome: 'good' });
    const peers = new Set(world.probed.filter((id) => id.startsWith('peer/')));
    expect(peers.size).toBe(16);
    expect(peers).toContain('peer/robot-60');
  });

  it('is written down before the first write', async () => {
    const { world, agent } = await trusting();
    const steps: string[] = [];
    world.onStep = (what) => steps.push(what);
    world.commit('b', bad);
    await agent.tried('b');
    const first = steps.findIndex((step) => step.startsWith('create'));
    expect(steps.indexOf('save')).toBeGreaterThan(steps.lastIndexOf('live peers'));
    expect(steps.indexOf('save')).toBeLessThan(first);
  });
});

describe('a commit that changes nothing here', () => {
  it('is trusted at once, without a trial', async () => {
    const { world, agent } = await trusting();
    const { writes } = agent.plane;
    world.commit('b', edit(good, [cluster({ name: 'elsewhere' })]).fleet);
    expect(await agent.tried('b')).toMatchObject({ outcome: 'good' });
    await world.clock.advance(100);
    expect(world.record).toMatchObject({ lastKnownGood: { id: 'b' } });
    expect([...world.disk.kept.keys()]).toEqual(['a', 'b']);
    expect(world.probed).toEqual([]);
    expect(agent.plane.writes).toBe(writes);
    expect(agent.reconciler.status().revision.applied).toBe('main@b');
  });
});

describe('a first install', () => {
  it('that fails leaves nothing programmed', async () => {
    const world = new World();
    world.answer = (_probe, { machine }) => ((machine?.host.rows.size ?? 0) > 0 ? 'cut off' : undefined);
    world.commit('a', good);
    const agent = await Agent.start(world);
    expect(await agent.tried('a')).toMatchObject({ outcome: 'rolled-back', message: 'source: cut off' });
    expect(world.rows()).toEqual([]);
    expect(world.record.lastKnownGood).toBeUndefined();
    expect(agent.sessions.at(-1)).toBeUndefined();
  });

  it('waits for a link that has no network yet, rather than give up', async () => {
    const world = new World();
    world.commit('a', good);
    const agent = await Agent.start(world);
    const error = new OmniError('no underlay', { code: 'underlay-unknown', class: 'wait' });
    const heal = agent.plane.faults.add({ when: ({ key }) => key === 'link/omni0', error });
    const since = agent.rollout.state.sequence;
    await agent.offer('a');
    await world.clock.advance(300_000);
    expect(agent.rollout.report().trial).toBeDefined();
    heal();
    expect(await agent.verdict('a', since)).toMatchObject({ outcome: 'good' });
  });

  it('trusts at once what an agent without a record had in force', async () => {
    const world = new World();
    world.commit('a', good);
    const old = await Agent.start(world);
    await old.tried('a');
    old.die();
    world.disk = new World().disk;
    const agent = await Agent.start(world);
    await agent.offer('a', { origin: 'cache' });
    expect(agent.rollout.report().lastKnownGood).toMatchObject({ id: 'a' });
    await world.clock.advance(1_000);
    expect(agent.plane.writes).toBe(0);
    expect(world.record.lastKnownGood?.id).toBe('a');
    expect([...world.disk.kept.keys()]).toEqual(['a']);
  });
});
