import { describe, expect, test } from 'vitest';
import { Echo } from '../../../src/agent/peers/echo.ts';
import { Mailbox } from '../../../src/agent/peers/mailbox.ts';
import { createProber, type ProberOptions } from '../../../src/agent/probes/prober.ts';
import { OmniError } from '../../../src/errors.ts';
import type { EndpointHint } from '../../../src/manifest/model.ts';
import type { Probe } from '../../../src/reconcile/rollout/probe.ts';
import { type Row, rowKey } from '../../../src/reconcile/rows.ts';
import { INTERFACE, type MemoryNode, memoryPair, session } from '../peers/pair.ts';
import { keyOf } from '../reconcile/fleet.ts';
import { FakeClock } from '../session/support/clock.ts';

const FOREVER = new AbortController().signal;
const hint: EndpointHint = { host: '203.0.113.7', port: 51820 };

function echoOf({ plane }: MemoryNode, clock: FakeClock): Echo {
  const mailbox = new Mailbox({ messages: plane.messages, now: () => clock.now(), log: () => undefined });
  mailbox.start();
  let nonce = 0n;
  return new Echo({ mailbox, nonce: () => ++nonce, setTimer: clock.setTimer.bind(clock) });
}

async function setup(changes: Partial<ProberOptions> = {}, mtus?: readonly [number, number]) {
  const clock = new FakeClock();
  const pair = await memoryPair(mtus === undefined ? {} : { mtus });
  echoOf(pair.b, clock);
  const prober = createProber({
    dataPlane: pair.a.plane,
    echo: echoOf(pair.a, clock),
    interfaceName: () => INTERFACE,
    callAt: async () => true,
    source: { reachable: async () => undefined },
    setTimer: clock.setTimer.bind(clock),
    ...changes,
  });
  const peer: Probe = { kind: 'peer', id: 'peer/b', peer: pair.b.key, name: 'b' };
  const endpoint: Probe = { kind: 'endpoint', id: 'endpoint/b', peer: pair.b.key, name: 'b', hints: [hint] };
  return { ...pair, clock, prober, peer, endpoint, source: { kind: 'source', id: 'source' } as const };
}

/** What a try says after `ms`. */
async function resultIn(ms: number, clock: FakeClock, result: Promise<string | undefined>): Promise<string> {
  const text = result.then(
    (reason) => reason ?? 'passed',
    (error: Error) => `rejected: ${error.message}`,
  );
  await clock.advance(ms);
  return Promise.race([text, new Promise<string>((resolve) => setImmediate(() => resolve('still trying')))]);
}

describe('live peers', () => {
  const livePeers = async ({ prober }: Awaited<ReturnType<typeof setup>>) => prober.livePeers();

  test('are those from whom something came in on the session in use', async () => {
    const world = await setup();
    expect(await livePeers(world)).toEqual([]);
    await world.prober.run(world.peer, FOREVER);
    expect(await livePeers(world)).toEqual([world.b.key]);
  });

  test('are none whose session is over, or new', async () => {
    let nowMs = 0;
    const world = await setup();
    await world.prober.run(world.peer, FOREVER);
    await world.a.plane.sessions.install(session(world.b.key, 3n, 4n));
    expect(await livePeers(world)).toEqual([]);
    await world.a.plane.sessions.remove(3n);
    await world.a.plane.sessions.install({ ...session(world.b.key, 5n, 6n), lifetimeMs: 1_000 });
    const [state] = await world.a.plane.sessions.list([5n]);
    nowMs = (state?.createdMs ?? 0) + 1;
    const sessions = {
      now: () => nowMs,
      list: async () => (state === undefined ? [] : [{ ...state, rxLastMs: nowMs, current: true }]),
    };
    const { prober } = await setup({
      dataPlane: { ...world.a.plane, sessions: { ...world.a.plane.sessions, ...sessions } },
    });
    expect(await prober.livePeers()).toEqual([world.b.key]);
    nowMs += 1_000;
    expect(await prober.livePeers()).toEqual([]);
  });
});

describe('a peer', () => {
  test('passes by a round trip in frames as large as the MTU', async () => {
    const { a, prober, peer, clock } = await setup();
    expect(await resultIn(0, clock, prober.run(peer, FOREVER))).toBe('passed');
    expect((await a.plane.counters()).rxBytes).toBe(1414n);
    expect(clock.pending).toBe(0);
  });

  test('that lets small packets through and large ones not fails, and it says so', async () => {
    const { prober, peer, clock } = await setup({}, [1400, 1300]);
    const result = prober.run(peer, FOREVER);
    expect(await resultIn(2_999, clock, result)).toBe('still trying');
    expect(await resultIn(1, clock, result)).toBe('no answer to packets of 1400 bytes within 3 s');
    expect(clock.pending).toBe(0);
  });

  test('passes when a lost packet is made up for', async () => {
    const { prober, peer, clock, wire } = await setup();
    wire.loss = 1;
    const result = prober.run(peer, FOREVER);
    expect(await resultIn(500, clock, result)).toBe('still trying');
    wire.loss = 0;
    expect(await resultIn(500, clock, result)).toBe('passed');
  });

  test('fails at once where this node has no interface', async () => {
    const { a, prober, peer, clock } = await setup();
    a.plane.host.erase(rowKey({ kind: 'link', interface: INTERFACE } as never));
    expect(await resultIn(0, clock, prober.run(peer, FOREVER))).toBe('this node has no interface to send on');
    const outside = await setup({ interfaceName: () => undefined });
    expect(await outside.prober.run(peer, FOREVER)).toBe('this node has no interface to send on');
  });
});

describe('an endpoint', () => {
  test('is called at its hints', async () => {
    const calls: unknown[] = [];
    const callAt: ProberOptions['callAt'] = async (peer, hints) => calls.push([peer, hints]) > 0;
    const { prober, endpoint, b } = await setup({ callAt });
    expect(await prober.run(endpoint, FOREVER)).toBeUndefined();
    expect(calls).toEqual([[b.key, [hint]]]);
    expect(await prober.run({ ...endpoint, hints: [] } as Probe, FOREVER)).toBe('it has no endpoint');
    expect(calls).toHaveLength(1);
  });

  test('that does not answer is named', async () => {
    const { prober, endpoint } = await setup({ callAt: async () => false });
    expect(await prober.run(endpoint, FOREVER)).toBe('no answer to handshakes at 203.0.113.7:51820');
  });

  test('is given up after five seconds', async () => {
    const callAt: ProberOptions['callAt'] = (_peer, _hints, signal) =>
      new Promise((resolve) => signal.addEventListener('abort', () => resolve(false)));
    const { prober, endpoint, clock } = await setup({ callAt });
    const result = prober.run(endpoint, FOREVER);
    expect(await resultIn(4_999, clock, result)).toBe('still trying');
    expect(await resultIn(1, clock, result)).toBe('no answer to handshakes at 203.0.113.7:51820 within 5 s');
  });
});

describe('a key that is new', () => {
  /** B answers by its old key before the revision; afterwards its row here has another one. */
  async function replaced(changes: Partial<ProberOptions> = {}) {
    const calls: unknown[] = [];
    const callAt: ProberOptions['callAt'] = async (peer, hints) => calls.push([peer, hints]) < 0;
    const world = await setup({ callAt, ...changes });
    const before: Probe = { kind: 'peer', id: 'key/b', peer: world.b.key, name: 'b' };
    expect(await world.prober.run(before, FOREVER)).toBeUndefined();
    const row: Row = { kind: 'peer', interface: INTERFACE, publicKey: keyOf(3) };
    await world.a.plane.apply({ op: 'create', key: rowKey(row), to: row }, FOREVER);
    const after: Probe = { kind: 'key', id: 'key/b', peer: keyOf(3), name: 'b', hints: [hint] };
    return { ...world, calls, after };
  }

  test('is asked for at the endpoints of the manifest and where its peer was last', async () => {
    const { prober, after, calls, b } = await replaced();
    const last = { host: b.endpoint.address, port: b.endpoint.port };
    expect(await prober.run(after, FOREVER)).toBe(
      'no answer by its new key to handshakes at 203.0.113.7:51820, 192.0.2.2:51820',
    );
    expect(calls).toEqual([[keyOf(3), [hint, last]]]);
    expect(await prober.run({ ...after, hints: [] } as Probe, FOREVER)).toContain('at 192.0.2.2:51820');
  });

  test('passes once it is answered by, and once its peer called with it', async () => {
    const called = await replaced({ callAt: async () => true });
    expect(await called.prober.run(called.after, FOREVER)).toBeUndefined();
    const { prober, after, a, b, clock } = await replaced();
    await clock.advance(1);
    await a.plane.sessions.install({ ...session(keyOf(3), 5n, 6n) });
    expect(await prober.run(after, FOREVER)).toContain('no answer by its new key');
    await b.plane.sessions.install({ ...session(a.key, 6n, 5n) });
    await b.plane.sessions.keepalive(a.key);
    expect(await prober.run(after, FOREVER)).toBeUndefined();
  });

  test('of a peer that is nowhere is missed', async () => {
    const { prober } = await setup();
    const after: Probe = { kind: 'key', id: 'key/c', peer: keyOf(3), name: 'c', hints: [] };
    expect(await prober.run(after, FOREVER)).toBe('it has a new key, no endpoint, and did not call with that key');
  });
});

describe('the source', () => {
  test('passes where it answers, and else says why not', async () => {
    const { prober, source } = await setup();
    expect(await prober.run(source, FOREVER)).toBeUndefined();
    const away = new OmniError('git.example.org refuses the connection', {
      code: 'source-unreachable',
      class: 'retry',
    });
    const { prober: other } = await setup({ source: { reachable: () => Promise.reject(away) } });
    expect(await other.run(source, FOREVER)).toBe('git.example.org refuses the connection');
  });

  test('has five seconds, whether it minds its signal or not', async () => {
    const { prober, source, clock } = await setup({ source: { reachable: () => new Promise(() => undefined) } });
    const result = prober.run(source, FOREVER);
    expect(await resultIn(4_999, clock, result)).toBe('still trying');
    expect(await resultIn(1, clock, result)).toBe('no answer within 5 s');
  });
});

test('a try that nobody waits for any more ends with that reason', async () => {
  const stop = new AbortController();
  const { prober, peer, clock, wire } = await setup();
  wire.loss = 1;
  const result = prober.run(peer, stop.signal);
  expect(await resultIn(100, clock, result)).toBe('still trying');
  stop.abort(new Error('the agent ends'));
  expect(await resultIn(0, clock, result)).toBe('rejected: the agent ends');
  expect(clock.pending).toBe(0);
  await expect(prober.run(peer, stop.signal)).rejects.toThrow('the agent ends');
});
