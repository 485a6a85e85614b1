import { describe, expect, it } from 'vitest';
import { EventLog } from '../../../src/agent/events.ts';
import { RefusedFrames, refusedByPeer } from '../../../src/agent/refused-frames.ts';
import type { PublicKey } from '../../../src/manifest/model.ts';
import type { Refusal } from '../../../src/reconcile/dataplane.ts';
import { ManualClock } from '../source/lab.ts';

const [PEER, OTHER] = ['mallory' as PublicKey, 'charlie' as PublicKey];
const refusal = (peer: PublicKey, reason: string, count: bigint, name = 'omni0'): Refusal => ({
  interface: name,
  peer,
  reason,
  count,
});

function watching(first: readonly Refusal[]) {
  const clock = new ManualClock();
  const events = new EventLog(() => clock.now());
  const state: { refusals: readonly Refusal[]; error?: Error } = { refusals: first };
  const logged: string[] = [];
  const watch = new RefusedFrames({
    read: async () => {
      if (state.error !== undefined) throw state.error;
      return state.refusals;
    },
    nameOf: (peer) => `robot-${peer}`,
    events,
    log: (level, message) => logged.push(`${level} ${message}`),
    after: (delayMs, run) => clock.after(delayMs, run),
    now: () => clock.now(),
  });
  /** Lets so much time pass, and each look end. */
  const pass = async (ms: number) => {
    await settled();
    for (let spent = 0; spent < ms; spent += 5_000) {
      clock.advance(5_000);
      await settled();
    }
  };
  const told = () =>
    events.after(0).map(({ type, reason, object, message }) => `${type} ${reason} ${object} ${message}`);
  return { watch, state, pass, told, logged };
}

async function settled(): Promise<void> {
  for (let turn = 0; turn < 10; turn += 1) await Promise.resolve();
}

const word = (peer: string, counts: string) =>
  `Warning FramesRefused peer/robot-${peer} frames of this peer were dropped: ${counts}`;

describe('dropped frames of peers', () => {
  it('are told as they grow, once a minute and peer, and none is left out', async () => {
    const { watch, state, pass, told } = watching([]);
    watch.start();
    await pass(5_000);
    expect(told()).toEqual([]);
    state.refusals = [refusal(PEER, 'inner-source', 12n), refusal(PEER, 'multicast', 1n)];
    await pass(5_000);
    expect(told()).toEqual([word('mallory', 'inner-source 12, multicast 1')]);
    state.refusals = [refusal(PEER, 'inner-source', 20n), refusal(PEER, 'multicast', 1n)];
    await pass(50_000);
    expect(told()).toHaveLength(1);
    state.refusals = [...state.refusals, refusal(OTHER, 'inner-tags', 3n)];
    await pass(5_000);
    expect(told().slice(1)).toEqual([word('charlie', 'inner-tags 3')]);
    await pass(10_000);
    expect(told().slice(2)).toEqual([word('mallory', 'inner-source 8')]);
    await pass(300_000);
    expect(told()).toHaveLength(3);
    watch.stop();
  });

  it('from before the agent ran are no news, and what comes on top of them is', async () => {
    const { watch, state, pass, told } = watching([refusal(PEER, 'inner-source', 1_000n)]);
    watch.start();
    await pass(10_000);
    expect(told()).toEqual([]);
    state.refusals = [refusal(PEER, 'inner-source', 1_001n)];
    await pass(5_000);
    expect(told()).toEqual([word('mallory', 'inner-source 1')]);
    watch.stop();
  });

  it('count anew where the peer was made anew', async () => {
    const { watch, state, pass, told } = watching([refusal(PEER, 'inner-source', 1_000n)]);
    watch.start();
    await pass(5_000);
    state.refusals = [refusal(PEER, 'inner-source', 4n)];
    await pass(5_000);
    expect(told()).toEqual([word('mallory', 'inner-source 4')]);
    watch.stop();
  });

  it('that cannot be read are looked at again', async () => {
    const { watch, state, pass, told, logged } = watching([]);
    watch.start();
    await pass(5_000);
    state.error = new Error('EPERM');
    await pass(5_000);
    expect(logged).toEqual(['warn cannot read which frames of peers were dropped']);
    delete state.error;
    state.refusals = [refusal(PEER, 'inner-dhcp', 1n)];
    await pass(5_000);
    expect(told()).toEqual([word('mallory', 'inner-dhcp 1')]);
    watch.stop();
    state.refusals = [refusal(OTHER, 'inner-dhcp', 1n)];
    await pass(10_000);
    expect(told()).toHaveLength(1);
  });

  it('are added up over interfaces', () => {
    const refusals = [
      refusal(PEER, 'inner-source', 1n),
      refusal(PEER, 'inner-source', 2n, 'omni1'),
      refusal(PEER, 'inner-tags', 4n),
      refusal(OTHER, 'inner-tags', 8n),
    ];
    expect(refusedByPeer(refusals)).toEqual(
      new Map([
        [PEER, { 'inner-source': 3n, 'inner-tags': 4n }],
        [OTHER, { 'inner-tags': 8n }],
      ]),
    );
  });
});
