import { describe, expect, test } from 'vitest';
import type { Endpoint } from '../../../src/reconcile/dataplane.ts';
import { macsOf } from '../../../src/session/codec.ts';
import { CookieSecrets } from '../../../src/session/cookie-secrets.ts';
import { Cookies } from '../../../src/session/cookies.ts';
import { generateKeyPair } from '../../../src/session/dh.ts';
import { Overload } from '../../../src/session/overload.ts';
import { FakeClock } from './support/clock.ts';
import { type Datagram, endpoint, isHandshake } from './support/network.ts';
import { configOf } from './support/node.ts';
import { initiations, type Pair, pair, reachable, responses } from './support/pair.ts';
import { initiationOf, type Party, partyOf } from './support/party.ts';

/** A node with more initiations than it has time for, and those who call it meanwhile. */

const cookieReplies = (log: readonly Datagram[]) => log.filter(({ bytes }) => isHandshake(bytes) && bytes[8] === 3);
const proved = ({ bytes }: Datagram) => macsOf(bytes).mac2.some((byte) => byte !== 0);
const failures = ({ manager }: Pair['a']) => manager.stats().handshakesFailed;
const source = (nth: number) => endpoint(`203.0.${nth >> 8}.${nth & 255}`, 40_000);

const [stranger, called] = [partyOf(9), partyOf(2)];
const flood: readonly Uint8Array[] = Array.from({ length: 210 }, (_, nth) => initiationFrom(stranger, nth));

/** By somebody who knows the cluster's key, or is in one that has none. */
function initiationFrom(from: Party, nth: number): Uint8Array {
  const made = { senderId: BigInt(nth + 1), timestampNs: BigInt(nth + 1), ephemeral: generateKeyPair() };
  return initiationOf(from, called, made).datagram;
}

/** `b` is under load from now on, for a second. */
function overload({ network, b }: Pair): void {
  for (const [nth, bytes] of flood.entries()) network.deliver({ bytes, from: source(nth), to: b.at });
}

describe('a node under load', () => {
  test('answers the first two hundred in a second, then asks for proof, and spends nothing on those without', async () => {
    const nodes = await pair();
    const { clock, network, b } = nodes;
    overload(nodes);
    expect(failures(b)).toMatchObject({ 'unknown-peer': 200, unproven: 10, overload: 0 });
    await clock.advance(10);
    expect(cookieReplies(network.log)).toHaveLength(10);
    expect(cookieReplies(network.log).every(({ bytes }) => bytes.length === 112)).toBe(true);
    expect(cookieReplies(network.log).map(({ to }) => to)).toEqual(
      Array.from({ length: 10 }, (_, nth) => source(200 + nth)),
    );
  });

  test('has no time even for that above a thousand, and recovers a second after the flood', async () => {
    const nodes = await pair();
    const { clock, network, b } = nodes;
    for (let round = 0; round < 5; round++) overload(nodes);
    expect(failures(b)).toMatchObject({ 'unknown-peer': 200, unproven: 800, overload: 50 });
    await clock.advance(999);
    overload(nodes);
    expect(failures(b)).toMatchObject({ 'unknown-peer': 200, overload: 260 });
    await clock.advance(1_001);
    network.deliver({ bytes: initiationFrom(stranger, 1), from: source(1), to: b.at });
    expect(failures(b)).toMatchObject({ 'unknown-peer': 201, overload: 260 });
  });

  test.each(['off', 'preferred'] as const)(
    'lets in who proves its address, a round trip later: %s',
    async (postQuantum) => {
      const nodes = await pair({ postQuantum });
      const { clock, network, a, b } = nodes;
      overload(nodes);
      network.log.length = 0;
      a.sends(b, 'hello');
      await clock.advance(30);
      expect(b.plane.received).toEqual(['hello']);
      const [first, second, ...more] = initiations(network.log);
      expect(more).toEqual([]);
      if (first === undefined || second === undefined) throw new Error('two initiations');
      expect([proved(first), proved(second)]).toEqual([false, true]);
      expect(second.bytes.subarray(0, -16)).toEqual(first.bytes.subarray(0, -16));
      expect(cookieReplies(network.log)).toHaveLength(1);
      expect(responses(network.log)).toHaveLength(1);
      expect(failures(a).cookie).toBe(0);
    },
  );

  test('asks members only', async () => {
    const nodes = await pair();
    const { clock, network, b } = nodes;
    overload(nodes);
    await clock.advance(10);
    network.log.length = 0;
    const foreigner = partyOf(9, [new Uint8Array(32).fill(7)]);
    network.deliver({ bytes: initiationFrom(foreigner, 5), from: source(5), to: b.at });
    network.deliver({ bytes: new Uint8Array(160), from: source(6), to: b.at });
    await clock.advance(10);
    expect(network.log).toEqual([]);
    expect(failures(b)).toMatchObject({ mac1: 1, malformed: 1 });
  });

  test('asks of a version that the cluster takes no more for nothing', async () => {
    const nodes = await pair();
    const { clock, network, a, b } = nodes;
    await b.manager.configure(configOf({ peers: [a], postQuantum: 'required' }));
    for (let round = 0; round < 2; round++) overload(nodes);
    await clock.advance(10);
    expect(network.log).toEqual([]);
    expect(failures(b)).toMatchObject({ version: 420, unproven: 0, 'unknown-peer': 0 });
  });
});

describe('a flood in a peer’s name', () => {
  test('brings the peer a cookie, and keeps it out for a round trip', async () => {
    const nodes = await pair();
    const { clock, network, a, b } = nodes;
    for (const bytes of flood) network.deliver({ bytes, from: a.at, to: b.at });
    expect(failures(b)).toMatchObject({ 'unknown-peer': 1, unproven: 209, overload: 0 });
    network.log.length = 0;
    a.sends(b, 'hello');
    await clock.advance(30);
    expect(b.plane.received).toEqual(['hello']);
    expect(initiations(network.log).map(proved)).toEqual([false, true]);
  });
});

describe('a cookie', () => {
  test('is sent along for two minutes, to the place that it came from, and to no other', async () => {
    const nodes = await pair();
    const { clock, network, a, b } = nodes;
    overload(nodes);
    a.sends(b, 'hello');
    await clock.advance(100);
    network.log.length = 0;
    await b.reboot();
    await clock.advance(60_000);
    a.sends(b, 'again');
    await clock.advance(20_000);
    const again = initiations(network.log).filter(({ from }) => from === a.at);
    expect(again.length).toBeGreaterThan(0);
    expect(again.every(proved)).toBe(true);
    await clock.advance(60_000);
    network.log.length = 0;
    await b.reboot();
    a.sends(b, 'once more');
    await clock.advance(20_000);
    expect(initiations(network.log).some(proved)).toBe(false);

    const cookies = new Cookies();
    const cookie = new Uint8Array(16).fill(1);
    const bare = flood[0] ?? new Uint8Array();
    cookies.keep('here', cookie, 0);
    expect(cookies.prove('here', bare, 119_999)).not.toBe(bare);
    expect(cookies.prove('there', bare, 1)).toBe(bare);
    expect(cookies.prove('here', bare, 120_000)).toBe(bare);
    for (let nth = 0; nth < 100; nth++) cookies.keep(`place ${nth}`, cookie, 0);
    const held = Array.from({ length: 100 }, (_, nth) => cookies.prove(`place ${nth}`, bare, 1) !== bare);
    expect(held.filter(Boolean)).toHaveLength(8);
    expect(held.at(-1)).toBe(true);
  });

  test('of an address is of no use at another', async () => {
    const nodes = await pair();
    const { clock, network, a, b } = nodes;
    overload(nodes);
    a.sends(b, 'hello');
    await clock.advance(100);
    const good = initiations(network.log).find(proved);
    if (good === undefined) throw new Error('a proof');
    overload(nodes);
    const before = failures(b);
    const from: Endpoint = endpoint('192.0.2.200');
    network.deliver({ ...good, from });
    expect(failures(b)).toMatchObject({ unproven: before.unproven + 1, replayed: before.replayed });
    network.deliver(good);
    expect(failures(b)).toMatchObject({ unproven: before.unproven + 1, replayed: before.replayed + 1 });
  });

  test.each([
    ['its id', 20],
    ['its nonce', 30],
    ['the cookie', 50],
    ['its tag', 70],
    ['its mac1', 85],
  ])('a reply with another bit is none: %s', async (_, at) => {
    const nodes = await pair();
    const { clock, network, a, b } = nodes;
    a.filters = false;
    overload(nodes);
    a.sends(b, 'hello');
    await clock.advance(8);
    const reply = cookieReplies(network.log).find(({ to }) => to === a.at);
    if (reply === undefined) throw new Error('a cookie reply');
    const bytes = Uint8Array.from(reply.bytes);
    bytes[at] = (bytes[at] ?? 0) ^ 1;
    network.log.length = 0;
    network.deliver({ ...reply, bytes });
    await clock.advance(1);
    expect(initiations(network.log)).toEqual([]);
    expect(failures(a).cookie + failures(a)['unexpected-response']).toBe(1);
    await clock.advance(20);
    expect(b.plane.received).toEqual(['hello']);
  });

  test('a second reply to the same initiation sends nothing, and one that nobody waits for is not looked at', async () => {
    const nodes = await pair();
    const { clock, network, a, b } = nodes;
    overload(nodes);
    network.weather = (datagram) => (cookieReplies([datagram]).length > 0 ? [5, 6, 300] : [5]);
    a.sends(b, 'hello');
    await clock.advance(1_000);
    expect(b.plane.received).toEqual(['hello']);
    expect(initiations(network.log).filter(({ from }) => from === a.at)).toHaveLength(2);
    expect([failures(a).cookie, a.unexpected]).toEqual([1, 1]);
  });

  test('of several initiations that it asks for proof, one leaves again: its load grows no further', async () => {
    const nodes = await pair();
    const { clock, network, a, b } = nodes;
    overload(nodes);
    network.weather = (datagram) => (cookieReplies([datagram]).length > 0 ? [400] : [5]);
    a.sends(b, 'hello');
    await clock.advance(404);
    const sent = initiations(network.log).filter(({ from }) => from === a.at);
    expect(sent.map(proved)).toEqual([false, false]);
    network.weather = ({ to }) => (to === b.at ? [5] : [700]);
    await clock.advance(340);
    expect(initiations(network.log).filter(proved)).toHaveLength(1);
    await clock.advance(2_000);
    expect(b.plane.received).toEqual(['hello']);
    expect(failures(a).cookie).toBe(0);
  });

  test('an agent that restarts makes cookies of new secrets', async () => {
    const nodes = await pair();
    const { clock, a, b } = nodes;
    await b.restartAgent();
    overload(nodes);
    a.sends(b, 'hello');
    await clock.advance(50);
    expect(b.plane.received).toEqual(['hello']);
    expect(b.plane.cookieSecrets).toHaveLength(2);
    expect(b.plane.cookieSecrets[0]).not.toEqual(b.plane.cookieSecrets[1]);
    expect(await reachable(nodes)).toBe(true);
  });
});

describe('secrets', () => {
  test('are handed to the data plane at the start, rotate while cookies are valid, and need no timer in peace', async () => {
    const nodes = await pair();
    const { clock, b } = nodes;
    await clock.advance(1_000_000);
    expect(clock.pending).toBe(0);
    expect(b.plane.cookieSecrets.map((each) => each.length)).toEqual([1]);
    overload(nodes);
    await clock.advance(119_999);
    expect(b.plane.cookieSecrets).toHaveLength(1);
    await clock.advance(2);
    await clock.advance(1_000_000);
    expect(b.plane.cookieSecrets.map((each) => each.length)).toEqual([1, 2, 2]);
    const [first, second, third] = b.plane.cookieSecrets;
    expect(second?.[1]).toEqual(first?.[0]);
    expect(third?.[1]).toEqual(second?.[0]);
    expect(third?.[0]).not.toEqual(second?.[0]);
    expect(clock.pending).toBe(0);
  });

  test('a cookie is good for two minutes at least and four at most, and secrets that go are wiped', async () => {
    const clock = new FakeClock();
    const told: (readonly Uint8Array[])[] = [];
    const secrets = new CookieSecrets({ setTimer: clock.setTimer.bind(clock), changed: (each) => told.push(each) });
    const first = secrets.take();
    await clock.advance(119_000);
    expect(secrets.take()).toBe(first);
    await clock.advance(119_000);
    expect(secrets.accepted[0]).not.toBe(first);
    expect(secrets.accepted[1]).toBe(first);
    expect(first.some((byte) => byte !== 0)).toBe(true);
    await clock.advance(3_000);
    expect(secrets.accepted).not.toContain(first);
    expect(first.every((byte) => byte === 0)).toBe(true);
    expect(told).toHaveLength(2);
    secrets.stop();
    expect(secrets.accepted.flatMap((each) => [...each]).every((byte) => byte === 0)).toBe(true);
    expect(clock.pending).toBe(0);
  });
});

describe('the load', () => {
  const count = (list: readonly string[]) => [
    list.filter((each) => each === 'answer').length,
    list.filter((each) => each === 'cookie').length,
    list.filter((each) => each === 'drop').length,
  ];

  test('is that of the current second, and sticks for one', () => {
    const overload = new Overload();
    const verdicts = (many: number, nowMs: number) =>
      Array.from({ length: many }, (_, nth) => overload.arrive(source(nth).address, nowMs));
    expect(count(verdicts(200, 0))).toEqual([200, 0, 0]);
    expect(count(verdicts(199, 1_000))).toEqual([199, 0, 0]);
    expect([source(300), source(301)].map(({ address }) => overload.arrive(address, 1_999))).toEqual([
      'answer',
      'cookie',
    ]);
    expect(count(verdicts(1, 2_998))).toEqual([0, 1, 0]);
    expect(count(verdicts(1, 2_999))).toEqual([1, 0, 0]);
    expect(count(verdicts(1_200, 9_000))).toEqual([200, 800, 200]);
  });

  test.each([
    ['192.0.2.7', '192.0.2.7', '192.0.2.8'],
    ['2001:db8:1:1::7', '2001:db8:1:1:9::8', '2001:db8:1:2::7'],
  ])(
    'asks the second of a source in a second for proof, whoever sent the first: %s, %s, not %s',
    (first, second, other) => {
      const overload = new Overload();
      const arrive = (address: string, nowMs: number) => overload.arrive(address, nowMs);
      expect([arrive(first, 0), arrive(second, 1), arrive(first, 2), arrive(other, 3)]).toEqual([
        'answer',
        'cookie',
        'cookie',
        'answer',
      ]);
      expect(arrive(second, 1_000)).toBe('answer');
      // A flood in one name is no load for others.
      const flood = Array.from({ length: 1_200 }, () => arrive(first, 5_000));
      expect(count(flood)).toEqual([1, 999, 200]);
      expect(arrive(other, 5_001)).toBe('answer');
    },
  );
});
