import fc from 'fast-check';
import { expect, test } from 'vitest';
import type { PostQuantum } from '../../src/manifest/model.ts';
import { FakeClock } from '../unit/session/support/clock.ts';
import { FakeNetwork } from '../unit/session/support/network.ts';
import { configOf, FakeNode } from '../unit/session/support/node.ts';
import { initiations, type Pair, reachable, responses } from '../unit/session/support/pair.ts';

type Act =
  | { readonly type: 'send'; readonly by: 'a' | 'b' }
  | { readonly type: 'wait'; readonly ms: number }
  | { readonly type: 'restart' | 'reboot'; readonly by: 'a' | 'b' }
  /** Whether the other end answers at its address, or at one that is nobody's. */
  | { readonly type: 'call'; readonly by: 'a' | 'b'; readonly astray: boolean }
  /** A commit that reached one of them. */
  | { readonly type: 'adopt'; readonly by: 'a' | 'b'; readonly postQuantum: PostQuantum }
  | { readonly type: 'weather'; readonly loss: number; readonly doubling: number; readonly spreadMs: number };

const side = fc.constantFrom('a' as const, 'b' as const);
const call = fc.record({ type: fc.constant('call' as const), by: side, astray: fc.boolean() });
const adopt = (...modes: readonly PostQuantum[]) =>
  fc.record({ type: fc.constant('adopt' as const), by: side, postQuantum: fc.constantFrom(...modes) });
const act: fc.Arbitrary<Act> = fc.oneof(
  { weight: 1, arbitrary: adopt('off', 'preferred', 'required') },
  { weight: 2, arbitrary: call },
  { weight: 6, arbitrary: fc.record({ type: fc.constant('send' as const), by: side }) },
  {
    weight: 4,
    arbitrary: fc.record({
      type: fc.constant('wait' as const),
      ms: fc.constantFrom(1, 7, 300, 5_000, 40_000, 130_000),
    }),
  },
  { weight: 1, arbitrary: fc.record({ type: fc.constantFrom('restart' as const, 'reboot' as const), by: side }) },
  {
    weight: 2,
    arbitrary: fc.record({
      type: fc.constant('weather' as const),
      loss: fc.double({ min: 0, max: 0.9, noNaN: true }),
      doubling: fc.double({ min: 0, max: 0.5, noNaN: true }),
      spreadMs: fc.constantFrom(0, 20, 2_000),
    }),
  },
);

/** Deterministic noise for the network. */
function noise(seed: number): () => number {
  let state = (seed % 2_147_483_646) + 1;
  return () => {
    state = (state * 48_271) % 2_147_483_647;
    return state / 2_147_483_647;
  };
}

interface World extends Pair {
  readonly stranger: FakeNode;
  readonly sent: { readonly a: string[]; readonly b: string[] };
  readonly calls: Promise<boolean>[];
}

async function build(keepaliveMs: number | undefined, postQuantum: PostQuantum = 'off'): Promise<World> {
  const clock = new FakeClock();
  const network = new FakeNetwork(clock);
  const a = new FakeNode(network, { seed: 1, address: '192.0.2.1' });
  const b = new FakeNode(network, { seed: 2, address: '192.0.2.2' });
  const stranger = new FakeNode(network, { seed: 3, address: '192.0.2.3', psk: new Uint8Array(32).fill(1) });
  const keepalive = { postQuantum, ...(keepaliveMs === undefined ? {} : { keepaliveMs }) };
  await a.start(configOf({ peers: [b, stranger], ...keepalive }));
  await b.start(configOf({ peers: [a, stranger], ...keepalive }));
  await stranger.start(configOf({ peers: [a, b], keepaliveMs: 5_000 }));
  return { clock, network, a, b, stranger, sent: { a: [], b: [] }, calls: [] };
}

async function perform(world: World, act: Act, random: () => number): Promise<void> {
  const { clock, network, sent } = world;
  switch (act.type) {
    case 'send': {
      const text = `${act.by}${sent[act.by].length}`;
      sent[act.by].push(text);
      if (act.by === 'a') world.a.sends(world.b, text);
      else world.b.sends(world.a, text);
      break;
    }
    case 'call': {
      const [node, other] = act.by === 'a' ? [world.a, world.b] : [world.b, world.a];
      const hint = { host: act.astray ? '198.51.100.9' : other.at.address, port: 51820 };
      world.calls.push(node.manager.callAt(other.key, [hint], new AbortController().signal));
      break;
    }
    case 'wait':
      await clock.advance(act.ms);
      break;
    case 'adopt': {
      const node = world[act.by];
      if (node.config === undefined) throw new Error('it is in a cluster');
      node.config = { ...node.config, postQuantum: act.postQuantum };
      await node.manager.configure(node.config);
      break;
    }
    case 'restart':
      await world[act.by].restartAgent();
      break;
    case 'reboot':
      await world[act.by].reboot();
      break;
    case 'weather':
      network.weather = () => {
        if (random() < act.loss) return [];
        const delay = () => 1 + random() * act.spreadMs;
        return random() < act.doubling ? [delay(), delay()] : [delay()];
      };
  }
}

/** Every frame at most once, and nothing that was not sent. */
function checkDelivery({ a, b, sent }: World): void {
  expect(new Set(b.plane.received).size).toBe(b.plane.received.length);
  expect(new Set(a.plane.received).size).toBe(a.plane.received.length);
  expect(b.plane.received.filter((text) => !sent.a.includes(text) && !text.startsWith('a-'))).toEqual([]);
  expect(a.plane.received.filter((text) => !sent.b.includes(text) && !text.startsWith('b-'))).toEqual([]);
}

function checkStranger({ network, a, b, stranger }: World): void {
  const toStranger = ({ to }: { to: { address: string } }) => to.address === stranger.at.address;
  expect(responses(network.log).filter(toStranger)).toEqual([]);
  expect(stranger.plane.sessions.size).toBe(0);
  for (const node of [a, b]) {
    expect([...node.plane.sessions.values()].filter(({ peer }) => peer === stranger.key)).toEqual([]);
  }
}

test('whatever happens on the way, two peers end with sessions that work both ways', { timeout: 120_000 }, async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(act, { minLength: 1, maxLength: 40 }),
      fc.integer({ min: 1, max: 1_000_000 }),
      fc.option(fc.constantFrom(10_000, 25_000), { nil: undefined }),
      async (acts, seed, keepaliveMs) => {
        const world = await build(keepaliveMs);
        const random = noise(seed);
        for (const each of acts) await perform(world, each, random);
        checkDelivery(world);
        world.network.weather = () => [5];
        await world.clock.advance(5_000); // what is under way arrives or not
        // Traffic both ways for as long as silence, retries and a crossing may take together.
        for (let second = 0; second < 60; second++) {
          world.a.sends(world.b, `a-${second}`);
          world.b.sends(world.a, `b-${second}`);
          await world.clock.advance(1_000);
        }
        expect(await reachable(world)).toBe(true);
        expect(world.a.plane.received).toEqual([...new Set(world.a.plane.received)]);
        checkStranger(world);
        expect(await Promise.all(world.calls)).toHaveLength(acts.filter(({ type }) => type === 'call').length);
        // No storm: an idle minute brings no handshakes between the two.
        await world.clock.advance(20_000);
        world.network.log.length = 0;
        await world.clock.advance(60_000);
        const between = initiations(world.network.log).filter(({ from, to }) =>
          [from, to].every(({ address }) => address !== world.stranger.at.address),
        );
        expect(between.length).toBeLessThanOrEqual(keepaliveMs === undefined ? 0 : 2);
        for (const node of [world.a, world.b]) expect(node.plane.sessions.size).toBeLessThanOrEqual(2);
        expect(world.a.events.concat(world.b.events).filter((event) => event.type === 'error')).toEqual([]);
      },
    ),
    { numRuns: 40 },
  );
});

test.each([
  ['off', 'preferred'],
  ['preferred', 'required'],
] as const)(
  'without loss, nothing is ever lost, restarts, rekeys and commits from %s to %s included',
  { timeout: 120_000 },
  async (...modes) => {
    const calm: fc.Arbitrary<Act> = fc.oneof(
      { weight: 1, arbitrary: adopt(...modes) },
      { weight: 2, arbitrary: call },
      { weight: 6, arbitrary: fc.record({ type: fc.constant('send' as const), by: side }) },
      {
        weight: 4,
        arbitrary: fc.record({ type: fc.constant('wait' as const), ms: fc.constantFrom(1, 7, 300, 5_000, 70_000) }),
      },
      { weight: 1, arbitrary: fc.record({ type: fc.constant('restart' as const), by: side }) },
    );
    await fc.assert(
      fc.asyncProperty(
        fc.array(calm, { minLength: 1, maxLength: 60 }),
        fc.integer({ min: 1, max: 50 }),
        async (acts, delay) => {
          const world = await build(undefined, modes[0]);
          world.network.weather = () => [delay];
          // A session first: what waits in an agent's queue dies with that agent.
          world.a.sends(world.b, 'a-first');
          await world.clock.advance(1_000);
          for (const each of acts) await perform(world, each, Math.random);
          await world.clock.advance(1_000);
          expect(world.b.plane.received).toEqual(['a-first', ...world.sent.a]);
          expect(world.a.plane.received).toEqual(world.sent.b);
        },
      ),
      { numRuns: 60 },
    );
  },
);
