import { describe, expect, test } from 'vitest';
import type { SessionConfig } from '../../../src/reconcile/desired.ts';
import { Version } from '../../../src/session/codec.ts';
import type { Exchange } from '../../../src/session/exchange.ts';
import { mayServeMs } from '../../../src/session/fitness.ts';
import { Tries, wayOf, waysToCall } from '../../../src/session/tries.ts';
import { type Datagram, endpoint, isHandshake, type Weather } from './support/network.ts';
import { configOf, type FakeNode } from './support/node.ts';
import { establishedPair, initiations, type Pair, pair, reachable, sameSession } from './support/pair.ts';
import {
  authenticInitiation,
  authenticResponse,
  exchangeOf,
  must,
  opened,
  type Party,
  partyOf,
} from './support/party.ts';

/** Which version a cluster's handshakes have, and what becomes of sessions when that changes. */

type Mode = SessionConfig['postQuantum'];
const { classic, hybrid } = Version;

const versionsOf = (log: readonly Datagram[]) => initiations(log).map(({ bytes }) => bytes[9]);
const isHybrid = (node: FakeNode, peer: FakeNode) =>
  node.plane.sessions.get(node.plane.sendOn.get(peer.key) ?? 0n)?.hybrid;
const adopt = (node: FakeNode, peer: FakeNode, postQuantum: Mode) => {
  node.config = configOf({ peers: [peer], postQuantum });
  return node.manager.configure(node.config);
};
/** A path, or a peer, that version 2 does not get through to. */
const classicOnly: Weather = ({ bytes }) => (isHandshake(bytes) && bytes[9] === hybrid ? [] : [5]);

async function pairOf(a: Mode, b: Mode): Promise<Pair> {
  const nodes = await pair({ postQuantum: a });
  await adopt(nodes.b, nodes.a, b);
  return nodes;
}

describe('the version of an initiation', () => {
  const modes = ['off', 'preferred', 'required'] as const;
  const calls = modes.flatMap((caller) => modes.map((called) => ({ caller, called })));

  test.each(calls)('$caller calls $called', async ({ caller, called }) => {
    const nodes = await pairOf(caller, called);
    const { clock, network, a, b } = nodes;
    a.sends(b, 'hello');
    await clock.advance(100);
    const first = caller === 'off' ? classic : hybrid;
    expect(versionsOf(network.log)).toEqual([first]);
    if (caller === 'off' && called === 'required') {
      expect(b.plane.sessions.size).toBe(0);
      expect(b.manager.stats().handshakesFailed).toMatchObject({ version: 1, decrypt: 0 });
      expect(network.log).toHaveLength(1);
    } else {
      expect(b.plane.received).toEqual(['hello']);
      expect([isHybrid(a, b), isHybrid(b, a)]).toEqual([first === hybrid, first === hybrid]);
      expect(sameSession(nodes)).toBe(true);
    }
  });

  test('a node that takes hybrid ones only calls one that does not call so, and is answered', async () => {
    const { clock, a, b } = await pairOf('off', 'required');
    a.sends(b, 'refused');
    b.sends(a, 'answered');
    await clock.advance(100);
    expect(a.plane.received).toEqual(['answered']);
    expect(b.plane.received).toEqual(['refused']);
    expect(isHybrid(a, b)).toBe(true);
  });

  test.each(['off', 'preferred', 'required'] as const)('both at once, %s and preferred: one session', async (mode) => {
    const nodes = await pairOf(mode, 'preferred');
    nodes.a.sends(nodes.b, 'from a');
    nodes.b.sends(nodes.a, 'from b');
    await nodes.clock.advance(12_000);
    expect(nodes.b.plane.received).toEqual(['from a']);
    expect(nodes.a.plane.received).toEqual(['from b']);
    expect(sameSession(nodes)).toBe(true);
  });

  test('fits a datagram that any IPv6 path must carry, less its headers', async () => {
    const nodes = await pairOf('required', 'required');
    nodes.a.sends(nodes.b, 'hello');
    await nodes.clock.advance(100);
    const lengths = nodes.network.log.map(({ bytes }) => bytes.length);
    expect(Math.max(...lengths)).toBe(1360);
    expect(1360 + 40 + 8).toBeLessThanOrEqual(1500 - 80);
  });
});

describe('preferred, with a peer or a path that does not take it', () => {
  test('the third try is of version 1: a second without a session at most', async () => {
    const { clock, network, a, b } = await pairOf('preferred', 'off');
    network.weather = classicOnly;
    a.sends(b, 'hello');
    await clock.advance(1_200);
    expect(versionsOf(network.log)).toEqual([hybrid, hybrid, classic]);
    expect(b.plane.received).toEqual(['hello']);
    expect(isHybrid(a, b)).toBe(false);
  });

  test('a round trip of 400 ms, or one lost datagram, costs no protection', async () => {
    for (const weather of [() => [200], lossOf(1)]) {
      const { clock, network, a, b } = await pairOf('preferred', 'preferred');
      network.weather = weather;
      a.sends(b, 'hello');
      await clock.advance(3_000);
      expect(b.plane.received).toEqual(['hello']);
      expect(isHybrid(a, b)).toBe(true);
    }
  });

  test('a rekey does not pay again, ten minutes later version 2 is tried, and once it gets through it stays', async () => {
    const nodes = await pairOf('preferred', 'preferred');
    const { network, a, b } = nodes;
    network.weather = classicOnly;
    const sent = await steadily(nodes, 10);
    network.log.length = 0;
    sent.push(...(await steadily(nodes, 300)));
    expect(versionsOf(network.log)).toEqual([classic, classic]);
    network.log.length = 0;
    sent.push(...(await steadily(nodes, 500)));
    expect(versionsOf(network.log)).toContain(hybrid);
    expect(isHybrid(a, b)).toBe(false);
    network.weather = () => [5];
    sent.push(...(await steadily(nodes, 900)));
    expect(isHybrid(a, b)).toBe(true);
    network.log.length = 0;
    sent.push(...(await steadily(nodes, 300)));
    expect(new Set(versionsOf(network.log))).toEqual(new Set([hybrid]));
    expect(b.plane.received).toEqual(sent);
    expect(a.plane.received).toEqual(sent);
  });

  test('that calls by version 2 is called so from then on', async () => {
    const nodes = await pairOf('preferred', 'preferred');
    const { clock, network, a, b } = nodes;
    network.weather = classicOnly;
    a.sends(b, 'hello');
    await clock.advance(2_000);
    expect(isHybrid(a, b)).toBe(false);
    network.weather = () => [5];
    await b.reboot();
    b.sends(a, 'I am new');
    await clock.advance(1_000);
    expect(isHybrid(a, b)).toBe(true);
    await a.manager.configure(undefined);
    await a.manager.configure(a.config);
    network.log.length = 0;
    a.sends(b, 'again');
    await clock.advance(6_000);
    expect(versionsOf(network.log)[0]).toBe(hybrid);
  });

  test('a call at an endpoint tries both', async () => {
    const { clock, network, a, b } = await pairOf('preferred', 'off');
    network.weather = classicOnly;
    const answered = a.manager.callAt(b.key, [{ host: b.at.address, port: b.at.port }], new AbortController().signal);
    await clock.advance(5_000);
    expect(await answered).toBe(true);
    expect(versionsOf(network.log).slice(0, 2)).toEqual([hybrid, classic]);
  });
});

describe('migration by commit', () => {
  const orders = ['a first', 'b first'] as const;

  test.each(orders)('off, preferred, required: no frame is lost, %s', async (order) => {
    const nodes = await establishedPair();
    const { network, a, b } = nodes;
    a.plane.received.length = 0;
    const [first, second] = order === 'a first' ? [a, b] : [b, a];
    const sent = await steadily(nodes, 20);
    for (const mode of ['preferred', 'required'] as const) {
      for (const node of [first, second]) {
        await adopt(node, node === a ? b : a, mode);
        sent.push(...(await steadily(nodes, 37)));
      }
    }
    expect([isHybrid(a, b), isHybrid(b, a)]).toEqual([true, true]);
    network.log.length = 0;
    sent.push(...(await steadily(nodes, 200)));
    expect(new Set(versionsOf(network.log))).toEqual(new Set([hybrid]));
    expect(a.plane.received).toEqual(sent);
    expect(b.plane.received).toEqual(sent);
    expect([...a.plane.sessions.values()].every((session) => session.hybrid)).toBe(true);
  });

  test.each(orders)('a node that lags by two steps loses nothing either: %s', async (order) => {
    const nodes = await establishedPair();
    const { a, b } = nodes;
    a.plane.received.length = 0;
    const [first, second] = order === 'a first' ? [a, b] : [b, a];
    const sent = await steadily(nodes, 20);
    await adopt(first, second, 'preferred');
    await adopt(first, second, 'required');
    sent.push(...(await steadily(nodes, 300)));
    await adopt(second, first, 'required');
    sent.push(...(await steadily(nodes, 150)));
    expect(a.plane.received).toEqual(sent);
    expect(b.plane.received).toEqual(sent);
    expect([isHybrid(a, b), isHybrid(b, a)]).toEqual([true, true]);
  });

  test('back again, and the sessions that are there go on', async () => {
    const nodes = await establishedPair({ postQuantum: 'required' });
    const { network, a, b } = nodes;
    a.plane.received.length = 0;
    await adopt(a, b, 'off');
    await adopt(b, a, 'off');
    const sent = await steadily(nodes, 100);
    expect(versionsOf(network.log)).toEqual([]);
    expect(isHybrid(a, b)).toBe(true);
    sent.push(...(await steadily(nodes, 60)));
    expect(isHybrid(a, b)).toBe(false);
    expect(a.plane.received).toEqual(sent);
  });
});

describe('when the cluster takes hybrid sessions only', () => {
  test('others are renewed at once, by whoever adopts it first, and are gone within seconds', async () => {
    for (const which of ['a', 'b'] as const) {
      const nodes = await establishedPair();
      const node = nodes[which];
      const peer = which === 'a' ? nodes.b : nodes.a;
      await adopt(node, peer, 'required');
      await nodes.clock.advance(6_000); // a handshake message went out a second ago: the pause between two
      expect([isHybrid(node, peer), isHybrid(peer, node)]).toEqual([true, true]);
      expect(versionsOf(nodes.network.log)).toEqual([hybrid]);
      await nodes.clock.advance(2_000);
      expect([...node.plane.sessions.values()].map((session) => session.hybrid)).toEqual([true]);
      expect(await reachable(nodes)).toBe(true);
    }
  });

  test('one whose peer does not follow serves for 90 s, and no longer', async () => {
    const nodes = await establishedPair();
    const { clock, network, a, b } = nodes;
    network.weather = classicOnly;
    await adopt(a, b, 'required');
    await clock.advance(80_000);
    expect(await reachable(nodes)).toBe(true);
    await clock.advance(11_000);
    expect(a.plane.sessions.size).toBe(0);
    expect(await reachable(nodes)).toBe(false);
    expect(new Set(versionsOf(network.log.filter(({ from }) => from === a.at)))).toEqual(new Set([hybrid]));
  });

  test('also those that an earlier process left', async () => {
    const nodes = await establishedPair();
    const { clock, a, b } = nodes;
    a.config = configOf({ peers: [b], postQuantum: 'required' });
    await a.restartAgent();
    await clock.advance(1_000);
    expect([isHybrid(a, b), isHybrid(b, a)]).toEqual([true, true]);
    await clock.advance(1_500);
    expect([...a.plane.sessions.values()].map((session) => session.hybrid)).toEqual([true]);
    expect(await reachable(nodes)).toBe(true);
  });

  test('and hybrid ones that an earlier process left stay', async () => {
    const nodes = await establishedPair({ postQuantum: 'preferred' });
    const { clock, network, a, b } = nodes;
    a.config = configOf({ peers: [b], postQuantum: 'required' });
    await a.restartAgent();
    await clock.advance(30_000);
    expect(initiations(network.log)).toHaveLength(0);
    expect(isHybrid(a, b)).toBe(true);
  });

  test('an answer to a call of version 1 that was under way comes too late', async () => {
    const { clock, network, a, b } = await pairOf('off', 'off');
    network.weather = () => [100];
    a.sends(b, 'hello');
    await clock.advance(50);
    expect(versionsOf(network.log)).toEqual([classic]);
    await adopt(a, b, 'required');
    await clock.advance(190);
    expect(a.plane.sessions.size).toBe(0);
    network.weather = () => [5];
    await clock.advance(6_000);
    expect(isHybrid(a, b)).toBe(true);
  });

  test('a call of version 1 that came just before is not answered', () => {
    const [from, to] = [partyOf(1), partyOf(2)];
    const answer = (before: (called: Exchange) => void) => {
      const called = exchangeOf(to, from, 'off');
      const { datagram } = must(
        exchangeOf(from, to, 'off').initiate({ sequence: 1, timestampNs: 1n, tries: 0, welcomeMs: 5_000 }),
      );
      const handshake = authenticInitiation(to, datagram);
      const { localId } = must(
        called.readInitiation(handshake, must(opened(to, handshake)).caller, endpoint('192.0.2.1')),
      );
      before(called);
      return called.complete(localId);
    };
    expect(answer(() => undefined)).toHaveProperty('response');
    expect(answer((called) => called.configure({ postQuantum: 'required', remotes: [from.remote] }))).toBe('unusable');
    expect(answer((called) => called.configure({ postQuantum: 'off', remotes: [to.remote] }))).toBe('unusable');
  });
});

test('a keepalive finds a peer again that version 2 does not get through to, though a whole attempt was in vain', async () => {
  const nodes = await pair({ postQuantum: 'preferred', keepaliveMs: 25_000 });
  const { clock, network, a, b } = nodes;
  network.weather = () => [];
  await clock.advance(200_000);
  network.weather = classicOnly;
  await clock.advance(60_000);
  expect(isHybrid(a, b)).toBe(false);
});

test('a recorded call by version 2 does not show that the peer still speaks it', () => {
  const [from, to] = [partyOf(1), partyOf(2)];
  const [caller, called] = [exchangeOf(from, to, 'off'), exchangeOf(to, from, 'preferred')];
  const by = (exchange: Exchange, tries: number) =>
    must(exchange.initiate({ sequence: tries, timestampNs: 1n, tries, welcomeMs: 5_000 })).datagram;
  const accept = (exchange: Exchange, party: Party, datagram: Uint8Array) => {
    const handshake = authenticInitiation(party, datagram);
    return must(exchange.readInitiation(handshake, must(opened(party, handshake)).caller, endpoint('192.0.2.1')))
      .localId;
  };
  const recorded = by(exchangeOf(from, to, 'required'), 0);
  const completed = caller.complete(accept(caller, from, by(called, 2)));
  const response = typeof completed === 'string' ? undefined : completed.response;
  called.readResponse(authenticResponse(to, must(response)), endpoint('192.0.2.1'));
  expect(by(called, 0)[9]).toBe(classic);

  const localId = accept(called, to, recorded);
  called.release(localId); // its time stamp is not fresh
  expect(by(called, 0)[9]).toBe(classic);
  called.complete(accept(called, to, recorded));
  expect(by(called, 0)[9]).toBe(hybrid);
});

describe('secrets', () => {
  test('decapsulation keys are wiped when the answer came, when it came too late, and when nobody answers', async () => {
    const nodes = await pairOf('required', 'required');
    const { clock, network, a, b } = nodes;
    a.sends(b, 'hello');
    await clock.advance(1_000);
    expect(a.kemKeys).toEqual({ made: 1, held: 0 });
    network.weather = () => [];
    await b.reboot();
    a.sends(b, 'into the void');
    await clock.advance(200_000);
    expect(a.kemKeys.made).toBeGreaterThan(10);
    expect(a.kemKeys.held).toBe(0);
    a.sends(b, 'once more');
    await clock.advance(100);
    expect(a.kemKeys.held).toBe(1);
    await a.manager.configure(configOf({ peers: [], postQuantum: 'required' }));
    expect(a.kemKeys.held).toBe(0);
  });
});

describe('choosing', () => {
  const ways = (mode: Mode, next = false, answered?: Version) =>
    waysToCall(mode, next, answered).map(({ version, key }) => `${version} ${key}`);

  test('what ways there are, in which order', () => {
    expect(ways('off')).toEqual(['1 current']);
    expect(ways('required')).toEqual(['2 current']);
    expect(ways('preferred')).toEqual(['2 current', '1 current']);
    expect(ways('preferred', false, classic)).toEqual(['1 current', '2 current']);
    expect(ways('required', true, classic)).toEqual(['2 current', '2 next']);
    expect(ways('preferred', true)).toEqual(['2 current', '2 next', '1 current', '1 next']);
  });

  test('each second retry is of the other version; keys take turns from the first retry on', () => {
    const first = (mode: Mode, next: boolean, count: number) =>
      Array.from({ length: count }, (_, tries) => {
        const { version, key } = wayOf(waysToCall(mode, next, undefined), tries);
        return `${version}${key === 'next' ? 'n' : ''}`;
      }).join(' ');
    expect(first('preferred', false, 7)).toBe('2 2 1 2 1 2 1');
    expect(first('required', true, 4)).toBe('2 2n 2 2n');
    expect(first('preferred', true, 8)).toBe('2 2n 1 1n 2 2n 1 1n');
    expect(first('off', false, 3)).toBe('1 1 1');
  });

  test('that a peer speaks an older version is believed for ten minutes, however often it shows', () => {
    const tries = new Tries();
    const peer = { mode: 'preferred', hasNextKey: false } as const;
    for (let nowMs = 0; nowMs < 600_000; nowMs += 100_000) {
      tries.answered(classic, nowMs);
      expect(tries.attempt(peer, 0, nowMs).version).toBe(classic);
    }
    expect(tries.attempt(peer, 0, 600_000).version).toBe(hybrid);
  });

  test('how long a session may serve', () => {
    const [own, other] = [new Uint8Array(32).fill(1), new Uint8Array(32).fill(2)];
    const forever = Number.POSITIVE_INFINITY;
    const serves = (made: { hybrid: boolean; remoteKey: Uint8Array | undefined }, mode: Mode, keyDropped = false) =>
      mayServeMs(made, { mode, keys: [own], keyDropped });
    expect(serves({ hybrid: false, remoteKey: own }, 'preferred')).toBe(forever);
    expect(serves({ hybrid: false, remoteKey: own }, 'required')).toBe(90_000);
    expect(serves({ hybrid: true, remoteKey: own }, 'required')).toBe(forever);
    expect(serves({ hybrid: true, remoteKey: other }, 'off')).toBe(15_000);
    expect(serves({ hybrid: true, remoteKey: undefined }, 'off')).toBe(forever);
    expect(serves({ hybrid: true, remoteKey: undefined }, 'off', true)).toBe(15_000);
  });
});

/** Loses the first so many datagrams of handshakes. */
function lossOf(count: number): Weather {
  let left = count;
  return ({ bytes }) => (isHandshake(bytes) && left-- > 0 ? [] : [5]);
}

/** A frame each way every 100 ms for so long; what was sent each way. */
async function steadily({ clock, a, b }: Pair, seconds: number): Promise<string[]> {
  const sent: string[] = [];
  for (let tick = 0; tick < seconds * 10; tick++) {
    const text = `frame at ${clock.now()}`;
    sent.push(text);
    a.sends(b, text);
    b.sends(a, text);
    await clock.advance(100);
  }
  return sent;
}
