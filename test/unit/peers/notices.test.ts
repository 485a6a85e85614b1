import { describe, expect, test } from 'vitest';
import type { Message } from '../../../src/agent/peers/codec.ts';
import type { PeerAddress } from '../../../src/agent/peers/mailbox.ts';
import { Notices } from '../../../src/agent/peers/notices.ts';
import type { PublicKey } from '../../../src/manifest/model.ts';
import { FakeClock } from '../session/support/clock.ts';

type Notice = Message & { type: 'notice' };

/** Mulberry32: the same numbers every time. */
function randomFrom(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** An agent as far as notices go: a mailbox, and a source that answers a nudge with `newest`. */
class FakeAgent {
  readonly name: PublicKey;
  readonly notices: Notices;
  readonly sent: PublicKey[] = [];
  received = 0;
  nudges = 0;
  atMs = Number.POSITIVE_INFINITY;
  #handle: (from: PeerAddress, message: Notice) => void = () => undefined;

  constructor(
    index: number,
    world: {
      readonly clock: FakeClock;
      readonly random: () => number;
      readonly live: () => readonly PeerAddress[];
      readonly deliver: (to: PublicKey, from: PublicKey, revision: string) => void;
      /** How the source answers a nudge. */
      readonly fetch?: (agent: FakeAgent) => void;
    },
  ) {
    this.name = `node-${index}` as PublicKey;
    this.notices = new Notices({
      mailbox: {
        on: (_type, handle) => {
          this.#handle = handle as (from: PeerAddress, message: Notice) => void;
        },
        send: async ({ peer }, message) => {
          this.sent.push(peer);
          if (message.type === 'notice') world.deliver(peer, this.name, message.revision);
        },
      },
      livePeers: async () => world.live(),
      nudge: () => {
        this.nudges++;
        world.fetch?.(this);
      },
      random: world.random,
      clock: world.clock,
      report: (error) => {
        throw error;
      },
    });
    this.notices.start();
  }

  hear(from: PublicKey, revision: string): void {
    this.received++;
    this.#handle({ interface: 'omni0', peer: from }, { type: 'notice', revision });
  }
}

/** A fleet in which node 0 learns of a revision; `linksOf`: whom a node has sessions with. */
async function spread(options: {
  readonly nodes: number;
  readonly links?: number;
  readonly loss?: number;
}): Promise<{ readonly agents: readonly FakeAgent[]; readonly startMs: number }> {
  const { nodes, links = nodes - 1, loss = 0 } = options;
  const clock = new FakeClock();
  const random = randomFrom(nodes + links);
  const startMs = clock.now();
  const agents: FakeAgent[] = [];
  const byName = new Map<PublicKey, FakeAgent>();
  const neighbours = Array.from({ length: nodes }, (_, index) => {
    if (links === nodes - 1) return Array.from({ length: nodes }, (__, other) => other).filter((it) => it !== index);
    return Array.from({ length: links }, () => Math.floor(random() * nodes));
  });
  for (let index = 0; index < nodes; index++) {
    const live = () =>
      (neighbours[index] ?? []).map((other) => ({ interface: 'omni0', peer: `node-${other}` as PublicKey }));
    const agent = new FakeAgent(index, {
      clock,
      random,
      live,
      deliver: (to, from, revision) => {
        if (random() >= loss) byName.get(to)?.hear(from, revision);
      },
      // A source asks its origin a little later, and the answer takes its time.
      fetch: (self) => {
        clock.setTimer(200 + 800 * random(), () => {
          self.atMs = Math.min(self.atMs, clock.now());
          self.notices.learned('revision-2');
        });
      },
    });
    agents.push(agent);
    byName.set(agent.name, agent);
  }
  const [first] = agents;
  if (first !== undefined) first.atMs = startMs;
  first?.notices.learned('revision-2');
  await clock.advance(10_000);
  return { agents, startMs };
}

describe('a revision that one node of a fleet learns of', () => {
  test('is with a thousand nodes in four seconds, at twelve notices a node and one look at the source', async () => {
    const { agents, startMs } = await spread({ nodes: 1_000 });
    const lastMs = Math.max(...agents.map(({ atMs }) => atMs));
    expect(lastMs - startMs).toBeLessThan(4_000);
    expect(agents.filter(({ sent }) => sent.length !== 12)).toEqual([]);
    expect(Math.max(...agents.map(({ received }) => received))).toBeLessThan(36);
    expect(agents.slice(1).filter(({ nudges }) => nudges !== 1)).toEqual([]);
    for (const { sent, name } of agents) expect([new Set(sent).size, sent.includes(name)]).toEqual([12, false]);
  });

  test('finds its way where nodes know few others, and messages get lost', async () => {
    const { agents, startMs } = await spread({ nodes: 500, links: 10, loss: 0.1 });
    const told = agents.filter(({ atMs }) => atMs - startMs < 8_000);
    expect(told.length).toBeGreaterThanOrEqual(495);
    expect(Math.max(...agents.map(({ sent }) => sent.length))).toBeLessThanOrEqual(6);
  });
});

/** One agent with `peers` live peers, and the time that it lives in. */
function alone(peers = 3) {
  const clock = new FakeClock();
  const live = Array.from({ length: peers }, (_, at) => ({ interface: 'omni0', peer: `peer-${at}` as PublicKey }));
  const told: string[] = [];
  const agent = new FakeAgent(0, {
    clock,
    random: randomFrom(1),
    live: () => live,
    deliver: (_to, _from, revision) => told.push(revision),
  });
  return { agent, clock, told, from: 'peer-0' as PublicKey };
}

test('what came from the disk at the start is no news', async () => {
  const { agent, clock, told } = alone();
  agent.notices.stop();
  agent.notices.learned('kept');
  agent.notices.start();
  agent.notices.learned('kept');
  await clock.advance(1_000);
  expect(told).toEqual([]);
  agent.notices.learned('new');
  await clock.advance(1_000);
  expect(told).toEqual(['new', 'new', 'new']);
});

test('a revision is told once, and a series of commits by its last', async () => {
  const { agent, clock, told } = alone(1);
  for (let commit = 0; commit < 20; commit++) {
    agent.notices.learned(`commit-${commit}`);
    agent.notices.learned(`commit-${commit}`);
    await clock.advance(100);
  }
  expect(told).toEqual(['commit-0', 'commit-1', 'commit-2', 'commit-3', 'commit-19']);
  agent.notices.learned('commit-7');
  await clock.advance(10_000);
  expect(told).toHaveLength(5);
});

test('a notice of what we have, or had, asks nobody', async () => {
  const { agent, from } = alone();
  agent.notices.learned('one');
  agent.notices.learned('two');
  for (const revision of ['one', 'two', 'one']) agent.hear(from, revision);
  expect(agent.nudges).toBe(0);
});

test('a peer that keeps naming what the source does not have is ignored for a growing time', async () => {
  const { agent, clock, from } = alone();
  const asked: number[] = [];
  for (let second = 0; second < 3 * 3_600; second++) {
    const before = agent.nudges;
    agent.hear(from, 'nowhere');
    if (agent.nudges > before) asked.push(second);
    await clock.advance(1_000);
  }
  // 15 s for the source to answer, then 1, 2, 4, … 60 minutes.
  expect(asked.slice(0, 4)).toEqual([0, 75, 210, 465]);
  expect(asked.length).toBeLessThanOrEqual(9);
});

test('peers that make revisions up cannot make us ask more often than once a minute, however many they are', async () => {
  for (const liars of [1, 40]) {
    const { agent, clock, told } = alone();
    for (let at = 0; at < 6_000; at++) {
      agent.hear(`peer-${at % liars}` as PublicKey, `made-up-${at}`);
      await clock.advance(100);
    }
    expect(agent.nudges).toBeGreaterThan(0);
    expect(agent.nudges).toBeLessThanOrEqual(14); // in ten minutes
    expect(told).toEqual([]); // nor tell others of what we have not seen
  }
});

test('what the source turns out to have costs nothing, however often it comes, and clears who spoke of it', async () => {
  const { agent, clock, from } = alone();
  agent.hear(from, 'not-there-yet');
  await clock.advance(15_000);
  agent.hear(from, 'commit-0');
  expect(agent.nudges).toBe(1); // it is ignored
  await clock.advance(60_000);
  for (let commit = 0; commit < 100; commit++) {
    agent.hear(from, `commit-${commit}`);
    expect(agent.nudges).toBe(2 + commit);
    agent.notices.learned(`commit-${commit}`);
    await clock.advance(1_000);
  }
  agent.hear(from, 'not-there-yet-either');
  await clock.advance(15_000);
  agent.hear(from, 'x');
  await clock.advance(60_000); // a minute again, not two: it was right in between
  agent.hear(from, 'y');
  expect(agent.nudges).toBe(103);
});

test('a peer that is behind is not ignored: the source had something newer', async () => {
  const { agent, clock, from } = alone();
  agent.hear(from, 'commit-1');
  agent.notices.learned('commit-2');
  await clock.advance(15_000);
  agent.hear(from, 'commit-3');
  expect(agent.nudges).toBe(2);
});

test('a mirror that lags is asked again when another peer names the revision some seconds later', async () => {
  const { agent, clock } = alone();
  const hear = (peer: string): void => agent.hear(peer as PublicKey, 'commit-1');
  hear('peer-0');
  hear('peer-1');
  await clock.advance(5_000);
  hear('peer-0');
  expect(agent.nudges).toBe(1);
  hear('peer-2');
  expect(agent.nudges).toBe(2);
});

test('after the end nothing is told and nobody is asked', async () => {
  const { agent, clock, told, from } = alone();
  agent.notices.learned('new');
  agent.notices.stop();
  await clock.advance(1_000);
  agent.hear(from, 'other');
  expect([told, agent.nudges, clock.pending]).toEqual([[], 0, 0]);
});
