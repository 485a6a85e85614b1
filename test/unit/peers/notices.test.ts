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

test('notices that keep coming of what the source does not have ask it at a bounded rate', async () => {
  const { agent, clock, from } = alone();
  for (let at = 0; at < 600; at++) {
    agent.hear(from, 'nowhere');
    await clock.advance(100);
  }
  expect(agent.nudges).toBeGreaterThan(5);
  expect(agent.nudges).toBeLessThanOrEqual(16);
});

test('a peer that makes revisions up cannot make us ask more often', async () => {
  const { agent, clock, told, from } = alone();
  for (let at = 0; at < 600; at++) {
    agent.hear(from, `made-up-${at}`);
    await clock.advance(100);
  }
  expect(agent.nudges).toBeLessThanOrEqual(16);
  expect(told).toEqual([]); // nor tell others of what we have not seen
});

test('after the end nothing is told and nobody is asked', async () => {
  const { agent, clock, told, from } = alone();
  agent.notices.learned('new');
  agent.notices.stop();
  await clock.advance(1_000);
  agent.hear(from, 'other');
  expect([told, agent.nudges, clock.pending]).toEqual([[], 0, 0]);
});
