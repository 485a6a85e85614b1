import { expect, test } from 'vitest';
import { encodeMessage } from '../../../src/agent/peers/codec.ts';
import { Echo } from '../../../src/agent/peers/echo.ts';
import { Mailbox } from '../../../src/agent/peers/mailbox.ts';
import { FakeClock } from '../session/support/clock.ts';
import { INTERFACE, type MemoryNode, memoryPair } from './pair.ts';

const FOREVER = new AbortController().signal;

/** The agent's half of a node: what echoes, and the time that it lives in. */
function agentOf({ plane, key }: MemoryNode, clock: FakeClock, nonces: bigint[] = []) {
  const log: unknown[] = [];
  const mailbox = new Mailbox({
    messages: plane.messages,
    now: () => clock.now(),
    log: (level, message) => log.push([level, message]),
  });
  let last = 1_000n;
  const nonce = () => {
    last += 1n;
    nonces.push(last);
    return last;
  };
  const echo = new Echo({ mailbox, nonce, setTimer: clock.setTimer.bind(clock) });
  mailbox.start();
  return { echo, mailbox, log, address: { interface: INTERFACE, peer: key } };
}

async function agents(options: Parameters<typeof memoryPair>[0] = {}) {
  const clock = new FakeClock();
  const pair = await memoryPair(options);
  const nonces: bigint[] = [];
  return { ...pair, clock, nonces, agentA: agentOf(pair.a, clock, nonces), agentB: agentOf(pair.b, clock) };
}

const outcomeOf = (promise: Promise<void>) =>
  promise.then(
    () => 'answered',
    (error: Error) => error.message,
  );

test.each([16, 17, 1400])('%i bytes go there and come back', async (size) => {
  const { agentA, agentB, a, b } = await agents();
  await agentA.echo.echo(agentB.address, size, FOREVER);
  for (const { plane } of [a, b]) {
    expect(await plane.counters()).toMatchObject({ txBytes: BigInt(14 + size), rxBytes: BigInt(14 + size) });
  }
  expect(agentA.mailbox.counts()).toMatchObject({ tx: { 'echo-request': 1 }, rx: { 'echo-reply': 1 } });
  expect(agentB.mailbox.counts()).toMatchObject({ tx: { 'echo-reply': 1 }, rx: { 'echo-request': 1 } });
});

test('a lost request is sent again, a second later', async () => {
  const { agentA, agentB, clock, wire } = await agents();
  wire.loss = 1;
  const outcome = outcomeOf(agentA.echo.echo(agentB.address, 100, FOREVER));
  await clock.advance(999);
  expect(wire.sent).toBe(1);
  wire.loss = 0;
  await clock.advance(1);
  expect(await outcome).toBe('answered');
  expect(clock.pending).toBe(0);
});

test('an answer that does not come is given up with the signal, and its timers with it', async () => {
  const { agentA, agentB, clock, wire } = await agents();
  wire.loss = 1;
  const giveUp = new AbortController();
  const outcome = outcomeOf(agentA.echo.echo(agentB.address, 100, giveUp.signal));
  await clock.advance(10_500);
  giveUp.abort(new Error('enough'));
  expect(await outcome).toBe('enough');
  expect(wire.sent).toBe(11);
  expect(clock.pending).toBe(0);
  await expect(agentA.echo.echo(agentB.address, 100, giveUp.signal)).rejects.toThrow('enough');
});

test('a peer with a smaller MTU cannot answer a frame of ours, and says nothing', async () => {
  const { agentA, agentB, clock } = await agents({ mtus: [1400, 1300] });
  const giveUp = new AbortController();
  const outcome = outcomeOf(agentA.echo.echo(agentB.address, 1400, giveUp.signal));
  await clock.advance(100);
  giveUp.abort(new Error('enough'));
  expect(await outcome).toBe('enough');
  expect(agentB.mailbox.counts()).toMatchObject({ tx: { 'echo-reply': 0 }, rx: { 'echo-request': 1 } });
  expect(agentB.log).toHaveLength(1);
  await agentA.echo.echo(agentB.address, 1300, FOREVER);
});

test.each([
  ['another nonce', { nonceBy: 1n, sizeBy: 0 }],
  ['another size', { nonceBy: 0n, sizeBy: -1 }],
])('a reply with %s is none', async (_, { nonceBy, sizeBy }) => {
  const { a, b, agentA, agentB, clock, nonces, wire } = await agents();
  wire.loss = 1; // B's own, proper reply
  const giveUp = new AbortController();
  const outcome = outcomeOf(agentA.echo.echo(agentB.address, 100, giveUp.signal));
  await clock.advance(1);
  wire.loss = 0;
  const [nonce = 0n] = nonces;
  const reply = (by: bigint, size: number) => {
    const payload = encodeMessage({ type: 'echo-reply', nonce: nonce + by, size });
    return b.plane.messages.send({ interface: INTERFACE, peer: a.key, payload });
  };
  await reply(nonceBy, 100 + sizeBy);
  await clock.advance(1);
  expect(agentA.mailbox.counts().rx['echo-reply']).toBe(1);
  giveUp.abort(new Error('enough'));
  expect(await outcome).toBe('enough');
});

test('a reply by another peer is none', async () => {
  const clock = new FakeClock();
  const { a, b } = await memoryPair();
  const handlers = new Map<string, (from: { interface: string; peer: never }, message: never) => void>();
  const mailbox = { on: (type: string, handle: never) => void handlers.set(type, handle), send: async () => undefined };
  const echo = new Echo({ mailbox, nonce: () => 5n, setTimer: clock.setTimer.bind(clock) });
  let answered = false;
  void echo.echo({ interface: INTERFACE, peer: b.key }, 100, FOREVER).then(() => {
    answered = true;
  });
  const reply = (name: string, peer: string) =>
    handlers.get('echo-reply')?.({ interface: name, peer: peer as never }, { nonce: 5n, size: 100 } as never);
  reply(INTERFACE, a.key);
  reply('omni1', b.key);
  await clock.advance(1);
  expect(answered).toBe(false);
  reply(INTERFACE, b.key);
  await clock.advance(1);
  expect(answered).toBe(true);
});
