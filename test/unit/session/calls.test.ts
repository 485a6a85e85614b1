import { describe, expect, test } from 'vitest';
import type { IpAddress } from '../../../src/manifest/model.ts';
import type { Endpoint } from '../../../src/reconcile/dataplane.ts';
import { endpoint } from './support/network.ts';
import { configOf, FakeNode } from './support/node.ts';
import { establishedPair, initiations, type Pair, pair, reachable, sameSession } from './support/pair.ts';

const NOWHERE = endpoint('198.51.100.9');
const FOREVER = new AbortController().signal;

/** A calls B; what came of it, and when, in milliseconds. */
function call({ a, b, clock }: Pair, hints: readonly (Endpoint | string)[], signal = FOREVER) {
  const result: { answered?: boolean; atMs?: number } = {};
  const startMs = clock.now();
  const parsed = hints.map((hint) =>
    typeof hint === 'string' ? { host: hint, port: 51820 } : { host: hint.address, port: hint.port },
  );
  void a.manager.callAt(b.key, parsed, signal).then((answered) => {
    Object.assign(result, { answered, atMs: clock.now() - startMs });
  });
  return result;
}

/** Everything that a call which comes to nothing must leave as it was. */
function stateOf({ a, b }: Pair) {
  return [a, b].map(({ plane, manager }) => ({
    sessions: [...plane.sessions.keys()],
    sendOn: [...plane.sendOn],
    endpoints: structuredClone([...plane.endpoints]),
    stats: manager.stats(),
  }));
}

describe('a peer with whom there is a session', () => {
  test('answers at another endpoint, and traffic stays where it is', async () => {
    const nodes = await establishedPair();
    const { clock, a, b, network } = nodes;
    const other = b.alsoAt('203.0.113.2');
    const before = stateOf(nodes);
    await clock.advance(1_000);
    network.log.length = 0;
    const result = call(nodes, [other]);
    await clock.advance(100);
    expect(result).toEqual({ answered: true, atMs: 10 });
    expect(initiations(network.log).map(({ to }) => to)).toEqual([other]);
    expect(a.plane.sendOn).toEqual(new Map(before[0]?.sendOn));
    expect(b.plane.sendOn).toEqual(new Map(before[1]?.sendOn));
    expect([...a.plane.endpoints]).toEqual(before[0]?.endpoints);
    expect([...b.plane.endpoints]).toEqual(before[1]?.endpoints);
    expect(await reachable(nodes)).toBe(true);
    // What B holds ready for a session that A let go of does not stay.
    await clock.advance(60_000);
    expect([a.plane.sessions.size, b.plane.sessions.size]).toEqual([1, 1]);
    expect(await reachable(nodes)).toBe(true);
  });

  test('and does not answer at a wrong one: nothing changes, and it is known in seconds', async () => {
    const nodes = await establishedPair();
    const before = stateOf(nodes);
    const result = call(nodes, [NOWHERE]);
    await nodes.clock.advance(2_499);
    expect(result).toEqual({});
    await nodes.clock.advance(1);
    expect(result).toEqual({ answered: false, atMs: 2_500 });
    expect(stateOf(nodes)).toEqual(before);
    expect(initiations(nodes.network.log)).toHaveLength(2);
    expect(await reachable(nodes)).toBe(true);
  });

  test('whose path shows no life is met where it answers, and traffic goes there', async () => {
    const nodes = await establishedPair();
    const { clock, a, b } = nodes;
    b.move('203.0.113.2'); // nobody is told: no frame is sent, so nobody misses an answer
    await clock.advance(30_000);
    const result = call(nodes, [b.at]);
    await clock.advance(1_000);
    expect(result.answered).toBe(true);
    expect(a.plane.endpoints.get(b.key)).toEqual({ endpoint: b.at, observed: true });
    expect(sameSession(nodes)).toBe(true);
    expect(await reachable(nodes)).toBe(true);
  });

  test('is rekeyed in the middle of a call, and both come about', async () => {
    const nodes = await establishedPair({ rekeyAfterMs: 20_000 });
    const { clock, a, b } = nodes;
    const before = a.sendsOn(b);
    await clock.advance(19_400);
    const result = call(nodes, [NOWHERE, b.at]); // the second initiation leaves with the rekey
    await clock.advance(490);
    a.sends(b, 'late');
    await clock.advance(10_000);
    expect(result.answered).toBe(true);
    expect(a.sendsOn(b)).not.toBe(before);
    expect(sameSession(nodes)).toBe(true);
    expect(await reachable(nodes)).toBe(true);
  });
});

describe('a peer with whom there is no session', () => {
  test('gets one by answering', async () => {
    const nodes = await pair({ aHints: [], bHints: [] });
    const result = call(nodes, [nodes.b.at]);
    await nodes.clock.advance(1_000);
    expect(result.answered).toBe(true);
    expect(sameSession(nodes)).toBe(true);
    expect(await reachable(nodes)).toBe(true);
  });

  test('is asked at each endpoint in turn, names among them, and lost datagrams are made up for', async () => {
    const nodes = await pair({ aHints: [] });
    const { a, b, network, clock } = nodes;
    a.names.set('b.lan', [b.at.address]);
    a.names.set('v6.lan', ['fd00::1' as IpAddress]); // this transport has IPv4 only
    let lost = 0;
    network.weather = ({ to }) => (to.address === b.at.address && lost++ === 0 ? [] : [5]);
    const result = call(nodes, [NOWHERE, 'unknown.lan', 'v6.lan', 'b.lan']);
    await clock.advance(2_000);
    expect(result).toEqual({ answered: true, atMs: 1_510 });
    const places = initiations(network.log).map(({ to }) => to.address);
    expect(places).toEqual([NOWHERE.address, b.at.address, NOWHERE.address, b.at.address]);
  });

  test('gets one only by proving who it is', async () => {
    const nodes = await pair({ bPsk: new Uint8Array(32).fill(9) });
    const result = call(nodes, [nodes.b.at]);
    await nodes.clock.advance(5_000);
    expect(result.answered).toBe(false);
    expect(nodes.a.plane.sessions.size).toBe(0);
  });

  test('and nowhere to call it is not called', async () => {
    const nodes = await pair();
    const result = call(nodes, ['unknown.lan']);
    await nodes.clock.advance(1);
    expect(result).toEqual({ answered: false, atMs: 0 });
  });
});

describe('calls', () => {
  test('to a stranger come to nothing', async () => {
    const { a, clock, network } = await pair();
    const stranger = new FakeNode(network, { seed: 3, address: '192.0.2.3' });
    expect(await a.manager.callAt(stranger.key, [{ host: '192.0.2.3', port: 51820 }], FOREVER)).toBe(false);
    await clock.advance(1_000);
    expect(network.log).toEqual([]);
  });

  test('to one peer go one after another, no more than two initiations a second', async () => {
    const nodes = await establishedPair();
    const results = Array.from({ length: 5 }, () => call(nodes, [nodes.b.at]));
    await nodes.clock.advance(3_900);
    const sent = initiations(nodes.network.log).map(({ bytes }) => Buffer.from(bytes.subarray(0, -16)).toString('hex'));
    expect(new Set(sent).size).toBe(4); // one of them a second time, with proof
    await nodes.clock.advance(1_000);
    expect(results.map(({ answered }) => answered)).toEqual([true, true, true, true, true]);
  });

  test('end when their caller gives up, and an answer that comes later changes nothing', async () => {
    const nodes = await pair({ aHints: [] });
    const { clock, network, a } = nodes;
    network.weather = () => [50];
    const giveUp = new AbortController();
    const result = call(nodes, [nodes.b.at], giveUp.signal);
    await clock.advance(60);
    giveUp.abort();
    await clock.advance(1_000);
    expect(result).toEqual({ answered: false, atMs: 60 });
    expect(a.plane.sessions.size).toBe(0);
    expect(a.unexpected).toBe(1);
    expect(call(nodes, [nodes.b.at], giveUp.signal)).toEqual({});
    const sent = initiations(network.log).length;
    await clock.advance(1_000);
    expect(initiations(network.log)).toHaveLength(sent);
  });

  test('end with their peer, and with the manager', async () => {
    const nodes = await pair();
    const { a, clock, network } = nodes;
    const first = call(nodes, [NOWHERE]);
    await clock.advance(100);
    await a.manager.configure(configOf({ peers: [] }));
    await clock.advance(1);
    expect(first).toEqual({ answered: false, atMs: 100 });
    await a.manager.configure(configOf({ peers: [nodes.b] }));
    const second = call(nodes, [NOWHERE]);
    await clock.advance(100);
    const sent = initiations(network.log).length;
    await a.manager.stop();
    await clock.advance(5_000);
    expect(second).toEqual({ answered: false, atMs: 100 });
    expect(initiations(network.log)).toHaveLength(sent);
    expect(clock.pending).toBe(0);
  });
});
