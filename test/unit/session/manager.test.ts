import { describe, expect, test } from 'vitest';
import { OmniError } from '../../../src/errors.ts';
import { ControlType } from '../../../src/session/codec.ts';
import { FakeClock } from './support/clock.ts';
import { FakeNetwork, isHandshake } from './support/network.ts';
import { configOf, FakeNode } from './support/node.ts';
import { establishedPair, initiations, pair, reachable, responses, sameSession } from './support/pair.ts';

describe('a fresh pair', () => {
  test.each([
    ['no endpoint', []],
    ['a wrong hint', [{ address: '198.51.100.9' as never, port: 1 }]],
  ])('the first frame is answered at once, though the responder has %s for the initiator', async (_, bHints) => {
    const { clock, a, b } = await pair({ bHints });
    b.plane.onFrame = () => b.sends(a, 'pong'); // before any event can have told the agent where to
    a.sends(b, 'ping');
    await clock.advance(30);
    expect(b.plane.received).toEqual(['ping']);
    expect(a.plane.received).toEqual(['pong']);
    expect(b.plane.unroutable).toBe(0);
  });

  test('queued frames arrive in order; of too many the oldest are lost and counted', async () => {
    const { clock, a, b } = await pair();
    for (let index = 0; index < 100; index++) a.sends(b, `${index}`);
    await clock.advance(200);
    expect(b.plane.received).toEqual(Array.from({ length: 64 }, (_, index) => `${index + 36}`));
    expect(a.manager.stats()).toMatchObject({ framesQueued: 100, framesDropped: 36, framesWaiting: 0 });
  });

  test('counts and events tell of it', async () => {
    const { clock, a, b } = await pair();
    a.sends(b, 'ping');
    await clock.advance(1000);
    expect(a.manager.stats()).toMatchObject({ handshakesCompleted: 1, sessionsActive: 1 });
    expect(b.manager.stats()).toMatchObject({ handshakesCompleted: 1, sessionsActive: 1 });
    expect(a.events).toEqual([{ type: 'established', name: 'node-192.0.2.2', peer: b.key, initiator: true }]);
    expect(b.events).toEqual([{ type: 'established', name: 'node-192.0.2.1', peer: a.key, initiator: false }]);
    expect(await b.manager.status()).toMatchObject([
      { peer: a.key, state: 'established', endpoint: a.at, observed: true },
    ]);
  });
});

test('no key outlives its installation in the agent', async () => {
  const { a, b } = await establishedPair();
  for (const { handedOver } of [a.plane, b.plane]) {
    expect(handedOver).toHaveLength(2);
    for (const key of handedOver) expect(Buffer.from(key)).toEqual(Buffer.alloc(32));
  }
});

describe('loss', () => {
  test('a lost initiation is sent again after 250 ms and some jitter', async () => {
    const { clock, network, a, b } = await pair();
    network.weather = () => [];
    a.sends(b, 'ping');
    await clock.advance(249);
    expect(initiations(network.log)).toHaveLength(1);
    network.weather = () => [5];
    await clock.advance(150);
    expect(initiations(network.log)).toHaveLength(2);
    expect(b.plane.received).toEqual(['ping']);
  });

  test('a lost response costs one retry, of which the peer wants a proof', async () => {
    const nodes = await pair();
    const { clock, network, a, b } = nodes;
    let lose = 1;
    network.weather = ({ bytes }) => (isHandshake(bytes) && bytes[8] === 2 && lose-- > 0 ? [] : [5]);
    a.sends(b, 'ping');
    await clock.advance(400);
    expect(initiations(network.log)).toHaveLength(3);
    expect(b.plane.received).toEqual(['ping']);
    expect(sameSession(nodes)).toBe(true);
  });

  test.each([
    [200, 1],
    [400, 2],
    [700, 2],
    [1_500, 6],
    [3_000, 6],
  ])(
    'with a round trip of %i ms there is a session after %i initiations, with and without proof, whatever came late',
    async (rtt, sent) => {
      const nodes = await pair();
      const { clock, network, a, b } = nodes;
      network.weather = () => [rtt / 2];
      a.sends(b, 'ping');
      await clock.advance(2 * rtt + 1_500);
      expect(b.plane.received).toEqual(['ping']);
      expect(sameSession(nodes)).toBe(true);
      await clock.advance(40_000);
      expect(initiations(network.log)).toHaveLength(sent);
      expect(a.manager.stats().handshakesCompleted).toBe(1);
      expect([...a.plane.sessions.keys()]).toHaveLength(1);
      expect([...b.plane.sessions.keys()]).toHaveLength(1);
      expect(a.plane.expected.size).toBe(0);
      network.weather = () => [5];
      expect(await reachable(nodes)).toBe(true);
    },
  );

  test("the responder's frames flow though the confirming keepalive was lost", async () => {
    const { clock, network, a, b } = await pair({ bHints: [] });
    let lose = 2; // keepalive and frame
    network.weather = ({ bytes }) => (!isHandshake(bytes) && lose-- > 0 ? [] : [5]);
    a.sends(b, 'lost');
    await clock.advance(100);
    b.sends(a, 'waits');
    await clock.advance(900);
    expect(a.plane.received).toEqual(['waits']);
    expect(initiations(network.log)).toHaveLength(1);
  });

  test('gives up after 90 s without an answer, drops what waits, and starts anew for new traffic', async () => {
    const { clock, network, a, b } = await pair();
    network.weather = () => [];
    a.sends(b, 'ping');
    await clock.advance(100_000);
    const tries = initiations(network.log).length;
    expect(tries).toBeGreaterThanOrEqual(21);
    expect(tries).toBeLessThanOrEqual(23);
    expect(a.manager.stats()).toMatchObject({ framesDropped: 1, handshakesFailed: { timeout: 1 } });
    expect(a.events).toEqual([{ type: 'unreachable', name: 'node-192.0.2.2', peer: b.key }]);
    await clock.advance(3_600_000);
    expect(initiations(network.log)).toHaveLength(tries);
    expect(clock.pending).toBe(0);
    network.weather = () => [5];
    a.sends(b, 'again');
    await clock.advance(50);
    expect(b.plane.received).toEqual(['again']);
  });

  test('a keepalive goes on asking, but after a vain attempt only once an interval', async () => {
    const { clock, network, a } = await pair({ keepaliveMs: 25_000 });
    network.weather = () => [];
    await clock.advance(100_000);
    network.log.length = 0;
    await clock.advance(250_000);
    const own = initiations(network.log).filter(({ from }) => from.address === a.at.address);
    expect(own.length).toBeGreaterThanOrEqual(7);
    expect(own.length).toBeLessThanOrEqual(11);
  });
});

describe('rekey', () => {
  test('is hit-less under steady traffic both ways', async () => {
    const nodes = await establishedPair();
    const { clock, network, a, b } = nodes;
    const expected: string[] = [];
    for (let index = 0; index < 3000; index++) {
      a.sends(b, `${index}`);
      b.sends(a, `${index}`);
      expected.push(`${index}`);
      await clock.advance(100);
    }
    await clock.advance(100);
    expect(b.plane.received).toEqual(expected);
    expect(a.plane.received).toEqual(expected);
    expect(initiations(network.log).map(({ from }) => from.address)).toEqual([a.at.address, a.at.address]);
    expect(sameSession(nodes)).toBe(true);
    await clock.advance(15_000);
    expect(a.plane.sessions.size).toBe(1);
    expect(b.plane.sessions.size).toBe(1);
  });

  test('loses nothing that was under way, whenever it was sent', async () => {
    const { clock, network, a, b } = await establishedPair();
    network.weather = ({ bytes }) => [isHandshake(bytes) ? 3 : 25];
    await clock.advance(118_900);
    let count = 0;
    while (count < 500) {
      a.sends(b, `${count}`);
      b.sends(a, `${count++}`);
      await clock.advance(2);
    }
    await clock.advance(100);
    expect(initiations(network.log)).toHaveLength(1);
    expect(b.plane.received).toHaveLength(500);
    expect(a.plane.received).toHaveLength(500);
  });

  test('is the job of the initiator, also where only the responder sends', async () => {
    const { clock, network, a, b } = await establishedPair();
    for (let second = 0; second < 300; second++) {
      b.sends(a, `${second}`);
      await clock.advance(1000);
    }
    expect(a.plane.received).toHaveLength(300);
    expect(new Set(initiations(network.log).map(({ from }) => from.address))).toEqual(new Set([a.at.address]));
  });

  test('that nobody answers leaves the old session in use', async () => {
    const { clock, network, a, b } = await establishedPair();
    network.weather = ({ bytes }) => (isHandshake(bytes) ? [] : [5]);
    for (let second = 0; second < 600; second++) {
      a.sends(b, `${second}`);
      b.sends(a, `${second}`);
      await clock.advance(1000);
    }
    expect(b.plane.received).toHaveLength(600);
    expect(a.plane.received).toHaveLength(600);
  });

  test('an idle session ends with its lifetime, is removed, and the next frame makes a new one', async () => {
    const nodes = await establishedPair();
    const { clock, network, a, b } = nodes;
    await clock.advance(3_700_000);
    expect(a.plane.sessions.size + b.plane.sessions.size).toBe(0);
    expect(initiations(network.log)).toHaveLength(0);
    expect(clock.pending).toBe(0);
    b.sends(a, 'later');
    await clock.advance(100);
    expect(a.plane.received).toEqual(['later']);
  });

  test('happens although its event was lost', async () => {
    const { clock, network, a, b } = await establishedPair();
    a.plane.loseEvents = true;
    for (let second = 0; second < 140; second++) {
      a.sends(b, `${second}`);
      await clock.advance(1000);
    }
    expect(initiations(network.log).length).toBeGreaterThanOrEqual(1);
    expect(b.plane.received).toHaveLength(140);
  });
});

describe('both ends at once', () => {
  test('both initiations cross: nothing is lost and one session remains', async () => {
    const nodes = await pair();
    const { clock, network, a, b } = nodes;
    a.sends(b, 'from a');
    b.sends(a, 'from b');
    await clock.advance(1000);
    expect(b.plane.received).toEqual(['from a']);
    expect(a.plane.received).toEqual(['from b']);
    expect(sameSession(nodes)).toBe(true);
    expect(initiations(network.log)).toHaveLength(2);
    await clock.advance(60_000);
    expect(a.plane.sessions.size).toBe(1);
    expect(b.plane.sessions.size).toBe(1);
  });

  // Delays in ms of: A's initiation, B's initiation, A's response, B's response, data either way.
  const orders = [1, 40, 90].flatMap((ai) =>
    [1, 40, 90].flatMap((bi) =>
      [1, 40, 90].flatMap((ar) => [1, 40, 90].flatMap((br) => [1, 60].map((data) => [ai, bi, ar, br, data] as const))),
    ),
  );
  test('in every order of arrival they meet on one session, without loss', { timeout: 60_000 }, async () => {
    for (const [ai, bi, ar, br, data] of orders) {
      const nodes = await pair();
      const { clock, network, a, b } = nodes;
      network.weather = ({ bytes, from }) => {
        const ofA = from.address === a.at.address;
        if (!isHandshake(bytes)) return [data];
        if (bytes[8] === 1) return [ofA ? ai : bi];
        return [ofA ? ar : br];
      };
      a.sends(b, '0');
      b.sends(a, '0');
      const expected = ['0'];
      for (let index = 1; index <= 150; index++) {
        await clock.advance(100);
        a.sends(b, `${index}`);
        b.sends(a, `${index}`);
        expected.push(`${index}`);
      }
      await clock.advance(1000);
      const label = `delays ${[ai, bi, ar, br, data].join(' ')}`;
      expect([...b.plane.received].sort(), label).toEqual([...expected].sort());
      expect([...a.plane.received].sort(), label).toEqual([...expected].sort());
      expect(sameSession(nodes), label).toBe(true);
    }
  });
});

describe('replay', () => {
  test('a recorded initiation draws no answer, also from a responder that restarted', async () => {
    const { clock, network, a, b } = await pair();
    a.sends(b, 'ping');
    await clock.advance(20_000); // the time stamp is on disk by now
    const [recorded] = initiations(network.log);
    if (recorded === undefined) throw new Error('no initiation was sent');
    const answers = responses(network.log).length;
    network.deliver(recorded);
    await clock.advance(100);
    expect(b.manager.stats().handshakesFailed.replayed).toBe(1);
    await b.restartAgent();
    network.deliver(recorded);
    await clock.advance(100);
    expect(b.manager.stats().handshakesFailed.replayed).toBe(1);
    expect(responses(network.log)).toHaveLength(answers);
  });

  test.each([true, false])('a doubled response does nothing; a packet filter is there: %s', async (filters) => {
    const nodes = await pair();
    const { clock, network, a, b } = nodes;
    a.filters = filters;
    network.weather = ({ bytes }) => (isHandshake(bytes) && bytes[8] === 2 ? [5, 6, 300] : [5]);
    a.sends(b, 'ping');
    await clock.advance(1000);
    expect(a.plane.calls.install).toBe(1);
    expect([a.unexpected, a.manager.stats().handshakesFailed['unexpected-response']]).toEqual(
      filters ? [2, 0] : [0, 2],
    );
    expect(await reachable(nodes)).toBe(true);
  });

  test('a node whose clock stands in the past still gets through after a reboot', async () => {
    const nodes = await establishedPair();
    const { clock, a, b } = nodes;
    clock.wallOffsetMs = 0; // 1970; for b it makes no difference
    await a.reboot();
    a.sends(b, 'from the past');
    await clock.advance(100);
    expect(b.plane.received).toEqual(['from the past']);
  });
});

describe('restart', () => {
  test('of an agent under traffic loses nothing and writes nothing', async () => {
    const { clock, network, a, b } = await establishedPair();
    await clock.advance(20_000);
    const writes = () => [a, b].map(({ plane }) => [plane.calls.install, plane.calls.setEndpoint, plane.calls.remove]);
    const before = writes();
    const expected: string[] = [];
    const traffic = async (from: number, to: number) => {
      for (let index = from; index < to; index++) {
        a.sends(b, `${index}`);
        b.sends(a, `${index}`);
        expected.push(`${index}`);
        await clock.advance(20);
      }
    };
    await traffic(0, 100);
    await a.killAgent();
    await traffic(100, 200);
    await a.restartAgent();
    await traffic(200, 300);
    await b.restartAgent();
    await traffic(300, 400);
    expect(b.plane.received).toEqual(expected);
    expect(a.plane.received).toEqual(expected);
    expect(writes()).toEqual(before);
    expect(network.log.some(({ bytes }) => isHandshake(bytes))).toBe(false);
  });

  test('an agent that was dead at rekey time rekeys when it is back', async () => {
    const nodes = await establishedPair();
    const { clock, network, a, b } = nodes;
    await a.killAgent();
    for (let second = 0; second < 200; second++) {
      a.sends(b, `${second}`);
      await clock.advance(1000);
    }
    expect(initiations(network.log)).toHaveLength(0);
    await a.restartAgent();
    await clock.advance(1000);
    expect(initiations(network.log)).toHaveLength(1);
    expect(sameSession(nodes)).toBe(true);
    expect(b.plane.received).toHaveLength(200);
  });

  test('a peer that lost its sessions is noticed by its silence', async () => {
    const { clock, network, a, b } = await establishedPair({ bHints: [] });
    await b.reboot();
    network.log.length = 0;
    let seconds = 0;
    while (b.plane.received.length === 0 && seconds < 60) {
      a.sends(b, `${seconds++}`);
      await clock.advance(1000);
    }
    expect(seconds).toBeGreaterThan(10);
    expect(seconds).toBeLessThan(30);
  });

  test('a node with a keepalive is back on its own', async () => {
    const nodes = await establishedPair({ keepaliveMs: 25_000 });
    await nodes.b.reboot();
    await nodes.clock.advance(6000);
    expect(await reachable(nodes)).toBe(true);
  });

  test('sessions of peers that are no longer in the fleet end with the first revision', async () => {
    const { a, b } = await establishedPair();
    await a.killAgent();
    a.config = configOf({ peers: [] });
    await a.restartAgent();
    expect(a.plane.sessions.size).toBe(0);
    expect(b.plane.sessions.size).toBe(1);
  });
});

describe('strangers', () => {
  test.each([
    ['another psk', { bPsk: new Uint8Array(32).fill(9) }, 'mac1'],
    ['another cluster', { bCluster: 'office' }, 'decrypt'],
  ] as const)('%s draws no answer: at most a cookie, where mac1 is right', async (_, options, reason) => {
    const { clock, network, a, b } = await pair(options);
    a.sends(b, 'ping');
    await clock.advance(60_000);
    const answers = network.log.filter(({ from }) => from.address === b.at.address);
    expect(answers.filter(({ bytes }) => reason === 'mac1' || bytes[8] !== ControlType.cookie)).toEqual([]);
    expect(b.plane.sessions.size).toBe(0);
    expect(b.manager.stats().handshakesFailed[reason]).toBeGreaterThan(0);
  });

  test('a key that is no peer draws no answer', async () => {
    const { clock, network, a, b } = await pair();
    await b.manager.configure(configOf({ peers: [] }));
    a.sends(b, 'ping');
    await clock.advance(1100);
    expect(responses(network.log)).toHaveLength(0);
    expect(b.manager.stats().handshakesFailed['unknown-peer']).toBe(3); // at 0, 250 and 750 ms, and jitter
  });

  test('a peer that learns of us 700 ms after our first call has a session within 1.2 s', async () => {
    const nodes = await pair();
    const { clock, network, a, b } = nodes;
    await b.manager.configure(configOf({ peers: [] }));
    a.sends(b, 'ping');
    await clock.advance(700);
    expect(responses(network.log)).toHaveLength(0);
    await b.manager.configure(configOf({ peers: [a] }));
    await clock.advance(1200);
    expect(b.plane.received).toEqual(['ping']);
    expect(sameSession(nodes)).toBe(true);
  });

  test('junk, truncated and changed messages draw no answer and keep no state', async () => {
    const { clock, network, a, b } = await pair();
    network.weather = () => [];
    a.sends(b, 'ping');
    await clock.advance(10);
    const [initiation] = initiations(network.log);
    if (initiation === undefined) throw new Error('no initiation was sent');
    const before = network.log.length;
    for (let length = 0; length <= 200; length++) {
      network.deliver({ ...initiation, bytes: new Uint8Array(Math.max(16, length)) });
      if (length >= 16) network.deliver({ ...initiation, bytes: initiation.bytes.subarray(0, Math.min(length, 159)) });
    }
    for (let index = 8; index < 144; index++) {
      const bytes = Uint8Array.from(initiation.bytes);
      bytes[index] = (bytes[index] ?? 0) ^ 1;
      network.deliver({ ...initiation, bytes });
    }
    await clock.advance(100);
    expect(network.log).toHaveLength(before);
    expect(b.plane.sessions.size).toBe(0);
    network.deliver(initiation); // the real one is still welcome
    await clock.advance(10);
    expect(responses(network.log)).toHaveLength(1);
  });
});

describe('keepalives', () => {
  test('a peer that only listens shows that it lives, so that no handshake is needed', async () => {
    const { clock, network, a, b } = await establishedPair();
    for (let second = 0; second < 100; second++) {
      a.sends(b, `${second}`);
      await clock.advance(1000);
    }
    expect(initiations(network.log)).toHaveLength(0);
    const fromB = network.log.filter(({ from }) => from.address === b.at.address);
    expect(fromB.length).toBeGreaterThanOrEqual(7);
    expect(fromB.length).toBeLessThanOrEqual(12);
  });

  test('nothing is said on an idle session', async () => {
    const { clock, network } = await establishedPair();
    await clock.advance(20_000);
    network.log.length = 0;
    await clock.advance(600_000);
    expect(network.log).toHaveLength(0);
  });

  test('a persistent one establishes a session by itself and keeps the path open', async () => {
    const nodes = await pair({ keepaliveMs: 25_000 });
    const { clock, network } = nodes;
    await clock.advance(1000);
    expect(sameSession(nodes)).toBe(true);
    for (let minute = 0; minute < 10; minute++) {
      network.log.length = 0;
      await clock.advance(60_000);
      for (const node of [nodes.a, nodes.b]) {
        const sent = network.log.filter(({ from }) => from.address === node.at.address);
        expect(sent.length).toBeGreaterThanOrEqual(2);
        expect(sent.length).toBeLessThanOrEqual(8);
      }
    }
  });
});

describe('endpoints', () => {
  test("tries the manifest's hints in turn", async () => {
    const wrong = { address: '198.51.100.1' as never, port: 7 };
    const nodes = await pair();
    const { clock, network, a, b } = nodes;
    await a.manager.configure(configOf({ peers: [b], hints: new Map([[b, [wrong, b.at]]]) }));
    a.sends(b, 'ping');
    await clock.advance(6000);
    expect(initiations(network.log).map(({ to }) => to.address)).toEqual(['198.51.100.1', b.at.address]);
    expect(b.plane.received).toEqual(['ping']);
    network.log.length = 0;
    await clock.advance(3_700_000);
    a.sends(b, 'again');
    await clock.advance(100);
    expect(initiations(network.log)[0]?.to).toEqual(b.at); // what was proved comes first now
  });

  test('a name is resolved when it is needed; without any endpoint the peer must call', async () => {
    const { clock, network, a, b } = await pair();
    await a.manager.configure(
      configOf({ peers: [b], hints: new Map([[b, [{ address: 'b.lan' as never, port: 51820 }]]]) }),
    );
    a.sends(b, 'ping');
    await clock.advance(1100);
    expect(initiations(network.log)).toHaveLength(0);
    expect(a.manager.stats().handshakesFailed['no-endpoint']).toBe(3); // at 0, 250 and 750 ms, and jitter
    a.names.set('b.lan', [b.at.address]);
    await clock.advance(700);
    expect(b.plane.received).toEqual(['ping']);
  });

  test('an initiation alone does not move the endpoint of a living session; its confirmation does', async () => {
    const { clock, network, a, b } = await establishedPair();
    const old = a.at;
    network.weather = ({ bytes }) => (isHandshake(bytes) && bytes[8] === 1 ? [5] : []); // no response gets through
    a.move('203.0.113.5');
    await a.restartAgent();
    a.plane.sendOn.clear();
    a.sends(b, 'moved');
    await clock.advance(100);
    expect(responses(network.log).at(-1)?.to.address).toBe('203.0.113.5');
    expect(b.plane.endpoints.get(a.key)?.endpoint).toEqual(old);
    network.weather = () => [5];
    await clock.advance(6000);
    expect(b.plane.endpoints.get(a.key)?.endpoint.address).toBe('203.0.113.5');
    expect(b.plane.received).toEqual(['moved']);
  });
});

test('retries push nobody back: of 240 silent peers each is called once before any is called twice', async () => {
  const clock = new FakeClock();
  const network = new FakeNetwork(clock);
  network.weather = () => [];
  const nodes = Array.from(
    { length: 241 },
    (_, index) => new FakeNode(network, { seed: index + 1, address: `192.0.2.${index + 1}` }),
  );
  const [node, ...peers] = nodes;
  await node?.start(configOf({ peers, keepaliveMs: 25_000 }));
  await clock.advance(445); // 64 at once, 176 more at 400 a second
  const called = initiations(network.log).map(({ to }) => to.address);
  expect(new Set(called.slice(0, 240)).size).toBe(240);
});

test('a stopped manager leaves sessions alone, sends nothing and holds no timer, whatever it was doing', async () => {
  for (const afterMs of [0, 1, 3, 6, 8, 11, 14, 30, 600]) {
    const { clock, network, a, b } = await pair({ keepaliveMs: 25_000 });
    a.sends(b, 'ping');
    await clock.advance(afterMs);
    await Promise.all([a.manager.stop(), b.manager.stop()]);
    const sessions = a.plane.sessions.size + b.plane.sessions.size;
    await clock.advance(50); // what the network and the data plane still had under way
    network.log.length = 0;
    await clock.advance(3_600_000);
    expect(network.log).toHaveLength(0);
    expect(clock.pending).toBe(0);
    expect(a.plane.sessions.size + b.plane.sessions.size).toBe(sessions);
  }
});

describe('configuration', () => {
  test('a removed peer is cut: its sessions end and its calls are not answered', async () => {
    const { clock, network, a, b } = await establishedPair();
    await b.manager.configure(configOf({ peers: [] }));
    expect(b.plane.sessions.size).toBe(0);
    expect(b.manager.stats().sessionsActive).toBe(0);
    for (let second = 0; second < 60; second++) {
      a.sends(b, `${second}`);
      await clock.advance(1000);
    }
    expect(b.plane.received).toEqual([]);
    expect(responses(network.log)).toHaveLength(0);
  });

  test('a revision that changes other peers leaves a session alone', async () => {
    const nodes = await establishedPair();
    const installs = nodes.a.plane.calls.install;
    await nodes.a.manager.configure(configOf({ peers: [nodes.b], rekeyAfterMs: 60_000 }));
    expect(await reachable(nodes)).toBe(true);
    expect(nodes.a.plane.calls.install).toBe(installs);
  });

  test('a keepalive that is switched on makes a session', async () => {
    const nodes = await pair();
    await nodes.a.manager.configure(configOf({ peers: [nodes.b], keepaliveMs: 20_000 }));
    await nodes.clock.advance(100);
    expect(sameSession(nodes)).toBe(true);
  });

  test('another cluster ends all sessions of the former', async () => {
    const { a, b } = await establishedPair();
    await a.manager.configure(configOf({ peers: [b], cluster: 'office' }));
    expect(a.plane.sessions.size).toBe(0);
  });

  test('leaving every cluster closes the port and ends all sessions', async () => {
    const { clock, a, b, network } = await establishedPair();
    await a.manager.configure(undefined);
    expect(a.plane.sessions.size).toBe(0);
    b.plane.forgetPeer(a.key);
    b.sends(a, 'ping');
    await clock.advance(1000);
    expect(responses(network.log)).toHaveLength(0);
  });
});

describe('an uncooperative data plane', () => {
  test('a session that it forgot is replaced when a frame asks', async () => {
    const nodes = await establishedPair();
    const { clock, a, b } = nodes;
    await clock.advance(10_000);
    a.plane.sessions.clear();
    a.sends(b, 'ping');
    await clock.advance(1000);
    expect(b.plane.received).toEqual(['ping']);
    expect(sameSession(nodes)).toBe(true);
  });

  test('a refused installation is reported, and tried again', async () => {
    const { clock, a, b } = await pair();
    a.plane.refuseInstall = new OmniError('no row', { code: 'peer-absent', class: 'wait' });
    a.sends(b, 'ping');
    await clock.advance(1000);
    expect(a.manager.stats().handshakesFailed.install).toBe(1);
    expect(a.events).toMatchObject([{ type: 'error', error: { code: 'peer-absent' } }]);
    a.plane.refuseInstall = undefined;
    await clock.advance(6000);
    expect(b.plane.received).toEqual(['ping']);
  });

  test('lost confirmations are made up for by looking', async () => {
    const { clock, a, b } = await pair({ bHints: [] });
    b.plane.loseEvents = true;
    a.sends(b, 'ping');
    await clock.advance(15_000);
    expect(b.manager.stats()).toMatchObject({ handshakesCompleted: 1, sessionsActive: 1 });
  });

  test('what concerns another interface, or a peer unknown to it, is left alone', async () => {
    const { clock, network, a, b } = await pair();
    const frame = {
      type: 'frame-without-session',
      destination: '02:00:00:00:00:01' as never,
      frame: new Uint8Array(60),
    } as const;
    a.plane.emit({ ...frame, interface: 'omni9', peer: b.key });
    a.plane.emit({ ...frame, interface: 'omni0', peer: a.key });
    a.plane.emit({ type: 'confirmed', interface: 'omni0', localId: 5n, peer: b.key });
    a.plane.emit({ type: 'rekey-due', interface: 'omni0', localId: 5n, peer: b.key });
    await clock.advance(1000);
    expect(network.log).toHaveLength(0);
    expect(a.manager.stats()).toMatchObject({ framesQueued: 0, framesDropped: 1 });
  });

  test('a frame whose event comes late is sent on the session that came meanwhile', async () => {
    const { clock, a, b } = await pair();
    a.plane.eventDelayMs = 1;
    a.sends(b, 'first');
    a.plane.eventDelayMs = 500;
    a.sends(b, 'second');
    await clock.advance(700);
    expect(b.plane.received).toEqual(['first', 'second']);
  });
});
