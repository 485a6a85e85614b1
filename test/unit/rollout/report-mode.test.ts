import { describe, expect, it } from 'vitest';
import type { Fleet } from '../../../src/manifest/model.ts';
import { desiredState } from '../../../src/reconcile/desired.ts';
import type { RowKey } from '../../../src/reconcile/rows.ts';
import { cluster, edit, fleetWith, keyOf, nodeOf, peer, vip } from '../reconcile/fleet.ts';
import { Agent, World } from './lab.ts';

/*
 * Where drift is left, a crash in the middle of an apply or of a rollback must not pass for drift.
 */
/** Each step of a trial is one more life to tell, and probes are steps: a short trial has all kinds of them. */
const probation = { confirmWithinMs: 3_000, quarantineForMs: 21_600_000, probes: [] };
const before = edit(fleetWith(1, 2, 3), [cluster({ mode: 'report', probation })]).fleet;
const after = edit(before, [peer(4), vip(4), vip(2, { peer: 'robot-3' })], ['vip/vip-3']).fleet;
const address = 'address/omni0/10.77.0.1' as RowKey;

function rowsOf(fleet: Fleet): readonly string[] {
  return [...desiredState(fleet, nodeOf(1)).rows.keys()].sort();
}

async function settled(): Promise<World> {
  const world = new World();
  world.commit('a', before);
  const agent = await Agent.start(world);
  await agent.tried('a');
  await world.clock.advance(1_000);
  world.live = [keyOf(2), keyOf(3)];
  agent.die();
  return world;
}

/** Kills the agent at the `crashAt`-th step of trying a commit, then starts another one. */
async function killedAt(crashAt: number, answer: World['answer']): Promise<{ world: World; step: string | undefined }> {
  const world = await settled();
  world.answer = answer;
  world.commit('b', after);
  const agent = await Agent.start(world);
  await world.clock.advance(1_000);
  let steps = 0;
  let step: string | undefined;
  world.onStep = (what) => {
    if (++steps !== crashAt) return;
    step = what;
    agent.die();
  };
  await agent.offer('b');
  await world.clock.advance(20_000);
  world.onStep = () => undefined;
  agent.die();
  const next = await Agent.start(world);
  await world.clock.advance(1_000);
  await next.offer('b');
  await world.clock.advance(30_000);
  return { world, step };
}

const cutOff: World['answer'] = (_probe, world) => (world.has(`peer/omni0/${keyOf(4)}`) ? 'cut off' : undefined);

/** How long the lives take depends on what else the machine does; only one that never ends is a fault. */
const TIMEOUT_MS = 120_000;

describe('in a cluster of mode report', { timeout: TIMEOUT_MS }, () => {
  it.each([
    { what: 'good', answer: () => undefined },
    { what: 'bad', answer: cutOff },
  ])('a kill at any step of a $what commit ends on one of the two revisions, never between', async ({ answer }) => {
    for (let at = 1, more = true; more; at++) {
      const { world, step } = await killedAt(at, answer);
      more = step !== undefined;
      const id = world.record.lastKnownGood?.id;
      expect(world.rows(), `killed at step ${at}, ${step}`).toEqual(rowsOf(id === 'a' ? before : after));
    }
  });

  it('a restart leaves what drifted from the revision that is trusted, a reboot sets all of it up', async () => {
    const world = await settled();
    const hands = await Agent.start(world);
    await world.clock.advance(1_000);
    hands.plane.host.remove(address);
    await world.clock.advance(1_000);
    hands.die();
    const restarted = await Agent.start(world);
    await world.clock.advance(1_000);
    expect(restarted.plane.host.rows.has(address)).toBe(false);
    expect(restarted.reasons()).toContain('DriftDetected');
    restarted.die();
    world.reboot();
    const rebooted = await Agent.start(world);
    await world.clock.advance(1_000);
    expect(rebooted.plane.host.rows.has(address)).toBe(true);
  });
});
