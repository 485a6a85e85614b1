import { expect, test } from 'vitest';
import { Peers } from '../../../src/agent/peers/peers.ts';
import { FakeClock } from '../session/support/clock.ts';
import { INTERFACE, type MemoryNode, memoryPair } from './pair.ts';

const REVISION = '450796dd1f2e4b6c8d0a1c3e5f7b9d24f6a8b0c2';

/** An agent's half of a node that follows a repository, or a folder. */
function agentOf({ plane, key }: MemoryNode, clock: FakeClock, kind: 'git' | 'directory') {
  const nudged: number[] = [];
  const source = kind === 'git' ? { nudge: () => void nudged.push(clock.now()) } : {};
  const peers = new Peers({ dataPlane: plane, source, clock, random: () => 0.5, log: () => undefined });
  return { peers, nudged, address: { interface: INTERFACE, peer: key } };
}

/** Two agents that run, and whose session has carried something. */
async function agents(kindOfB: 'git' | 'directory' = 'git') {
  const clock = new FakeClock();
  const pair = await memoryPair();
  const [a, b] = [agentOf(pair.a, clock, 'git'), agentOf(pair.b, clock, kindOfB)];
  a.peers.learned('kept-on-disk');
  for (const { peers } of [a, b]) peers.start();
  await a.peers.echo.echo(b.address, 1400, new AbortController().signal);
  return { clock, a, b };
}

test('what one agent learned makes the other look at its own source', async () => {
  const { clock, a, b } = await agents();
  a.peers.learned(REVISION);
  await clock.advance(100);
  expect(b.nudged).toHaveLength(1);
  expect(a.peers.counts().tx.notice).toBe(1);
  // It finds it there, and tells A, which knows.
  b.peers.learned(REVISION);
  await clock.advance(100);
  expect(a.nudged).toEqual([]);
  expect(a.peers.counts().rx.notice).toBe(1);
});

test('what was on the disk at the start is not told', async () => {
  const { clock, a, b } = await agents();
  a.peers.learned('kept-on-disk');
  await clock.advance(100);
  expect([a.peers.counts().tx.notice, b.nudged]).toEqual([0, []]);
});

test('a node that follows a folder neither tells nor listens, and answers echoes all the same', async () => {
  const { clock, a, b } = await agents('directory');
  b.peers.learned(REVISION);
  a.peers.learned(REVISION);
  await clock.advance(100);
  expect(a.nudged).toEqual([]);
  expect(b.peers.counts()).toMatchObject({ tx: { notice: 0 }, rx: { notice: 1, 'echo-request': 1 } });
});

test('an agent that ended answers nobody', async () => {
  const { clock, a, b } = await agents();
  await b.peers.stop();
  const answer = a.peers.echo.echo(b.address, 100, AbortSignal.timeout(50));
  await expect(answer).rejects.toThrow();
  a.peers.learned(REVISION);
  await clock.advance(100);
  expect(b.nudged).toEqual([]);
  await a.peers.stop();
  expect(clock.pending).toBe(0);
});
