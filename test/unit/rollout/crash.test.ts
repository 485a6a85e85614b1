import { describe, expect, it } from 'vitest';
import type { Fleet } from '../../../src/manifest/model.ts';
import { desiredState } from '../../../src/reconcile/desired.ts';
import { cluster, edit, fleetWith, keyOf, nodeOf, peer, vip } from '../reconcile/fleet.ts';
import { Agent, World } from './lab.ts';

/** Each step of a trial is one more life to tell, and probes are steps: a short trial has all kinds of them. */
const probation = { confirmWithinMs: 3_000, quarantineForMs: 21_600_000, probes: [] };
const before = edit(fleetWith(1, 2, 3), [cluster({ probation })]).fleet;
const after = edit(before, [peer(4), vip(4)], ['vip/vip-3']).fleet;

function rowsOf(fleet: Fleet): readonly string[] {
  return [...desiredState(fleet, nodeOf(1)).rows.keys()].sort();
}

/** Lives of one node: `story` until the `crashAt`-th step, then `kill -9` or a power cut, then a life to the end. */
async function live(
  crashAt: number,
  crash: 'kill' | 'power cut',
  first: boolean,
  answer: World['answer'],
): Promise<{ world: World; steps: readonly string[]; crashed: boolean }> {
  const world = new World();
  world.answer = answer;
  if (!first) {
    world.commit('a', before);
    const settled = await Agent.start(world);
    await settled.tried('a');
    await world.clock.advance(1_000);
    world.live = [keyOf(2), keyOf(3)];
    settled.die();
  }
  world.commit('b', after);
  const agent = await Agent.start(world);
  await world.clock.advance(1_000);
  const steps: string[] = [];
  let crashed = false;
  world.onStep = (what) => {
    steps.push(what);
    if (steps.length !== crashAt) return;
    crashed = true;
    agent.die();
  };
  await agent.offer('b');
  await world.clock.advance(20_000);
  world.onStep = () => undefined;
  if (!crashed) agent.die();
  if (crash === 'power cut') world.reboot();

  const next = await Agent.start(world);
  await world.clock.advance(1_000);
  await next.offer('b');
  await world.clock.advance(30_000);
  return { world, steps, crashed };
}

const cutOff: World['answer'] = (_probe, world) => (world.has(`peer/omni0/${keyOf(4)}`) ? 'cut off' : undefined);

/** How long the lives take depends on what else the machine does; only one that never ends is a fault. */
const TIMEOUT_MS = 120_000;

describe.each(['kill', 'power cut'] as const)('a %s at every step of an apply', { timeout: TIMEOUT_MS }, (crash) => {
  it.each([
    { what: 'of a good commit', answer: () => undefined, ends: ['a', 'b'] },
    { what: 'of a commit that cuts the node off', answer: cutOff, ends: ['a'] },
  ])('$what ends on the new revision or on the last known good one, never between', async ({ answer, ends }) => {
    const outcomes = new Set<string>();
    for (let at = 1, crashed = true; crashed; at += 1) {
      const run = await live(at, crash, false, answer);
      crashed = run.crashed;
      const { record } = run.world;
      const id = record.lastKnownGood?.id;
      const where = `at step ${at}, ${run.steps[at - 1]}`;
      expect(['a', 'b'], where).toContain(id);
      expect(run.world.rows(), where).toEqual(rowsOf(id === 'a' ? before : after));
      expect(record.trial, where).toBeUndefined();
      expect([...run.world.disk.kept.keys()], where).toContain(id);
      if (id === 'a') expect(record.quarantined, where).toMatchObject([{ revision: { id: 'b' } }]);
      outcomes.add(id ?? '');
      if (!crashed) expect(at).toBeGreaterThan(12);
    }
    expect([...outcomes].sort()).toEqual(ends);
  });

  it('of a first install ends on it', async () => {
    for (let at = 1, crashed = true; crashed; at += 1) {
      const run = await live(at, crash, true, () => undefined);
      crashed = run.crashed;
      expect(run.world.rows(), `at step ${at}, ${run.steps[at - 1]}`).toEqual(rowsOf(after));
      expect(run.world.record.lastKnownGood?.id).toBe('b');
    }
  });
});
