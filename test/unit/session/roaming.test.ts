import { describe, expect, test } from 'vitest';
import type { Endpoint } from '../../../src/reconcile/dataplane.ts';
import { FakeClock } from './support/clock.ts';
import { endpoint, FakeNetwork, isHandshake } from './support/network.ts';
import { configOf, FakeNode } from './support/node.ts';
import { establishedPair, initiations, type Pair } from './support/pair.ts';
import { seeded } from './support/random.ts';
import { ping } from './support/traffic.ts';

const WIFI = { a: endpoint('10.1.0.1'), b: endpoint('10.1.0.2') };
const CABLE = { a: endpoint('10.2.0.1'), b: endpoint('10.2.0.2') };

/** Both nodes are on two networks, and know all of each other's addresses; the first is in use. */
async function twoNetworks(weather: { wifi: () => readonly number[]; cable: () => readonly number[] }): Promise<Pair> {
  const clock = new FakeClock();
  const network = new FakeNetwork(clock);
  network.weather = ({ to }) => (to.address.startsWith('10.1.') ? weather.wifi() : weather.cable());
  const a = new FakeNode(network, { seed: 1, address: WIFI.a.address });
  const b = new FakeNode(network, { seed: 2, address: WIFI.b.address });
  a.route = (to) => (to.address.startsWith('10.1.') ? WIFI.a : CABLE.a);
  b.route = (to) => (to.address.startsWith('10.1.') ? WIFI.b : CABLE.b);
  a.alsoAt(CABLE.a.address);
  b.alsoAt(CABLE.b.address);
  await a.start(configOf({ peers: [b], hints: new Map([[b, [WIFI.b, CABLE.b]]]) }));
  await b.start(configOf({ peers: [a], hints: new Map([[a, [WIFI.a, CABLE.a]]]) }));
  a.sends(b, 'hello');
  await clock.advance(1_000);
  return { clock, network, a, b };
}

const usedBy = (node: FakeNode, peer: FakeNode): Endpoint | undefined => node.plane.endpoints.get(peer.key)?.endpoint;
const movesOf = (node: FakeNode) => node.events.flatMap((event) => (event.type === 'path-moved' ? [event.move] : []));

const DATA_HEADER = 32;

describe('a peer that roams', () => {
  test('is not taken for back at its old place by a look at the data plane that began before it moved', async () => {
    const { clock, a, b } = await establishedPair();
    const endpointOf = a.plane.endpoint.bind(a.plane);
    a.plane.endpoint = async (peer) => {
      const found = await endpointOf(peer);
      await new Promise<void>((resolve) => clock.setTimer(300, resolve));
      return found;
    };
    await clock.advance(121_000);
    a.sends(b, 'rekey'); // looks where b is
    b.roam('203.0.113.5');
    b.sends(a, 'here');
    await clock.advance(400);
    a.plane.endpoint = endpointOf;
    const [status] = await a.manager.status();
    expect(status?.endpoint).toEqual(b.at);
    expect(status?.paths.filter(({ active }) => active).map(({ endpoint: at }) => at)).toEqual([b.at]);
  });

  test('is followed within a round trip, and nothing but what was under way is lost', async () => {
    const nodes = await establishedPair();
    const { a, b } = nodes;
    const lost = await ping(nodes, { forMs: 3_000, meanwhile: (atMs) => atMs === 1_000 && a.roam('203.0.113.5') });
    expect(usedBy(b, a)?.address).toBe('203.0.113.5');
    expect(lost.requests.length).toBeLessThanOrEqual(4);
    expect(lost.longestMs).toBeLessThan(60);
    expect(movesOf(b)).toMatchObject([
      { from: { address: '192.0.2.1' }, to: { address: '203.0.113.5' }, why: 'peer-moved' },
    ]);
    expect(initiations(nodes.network.log)).toHaveLength(0);
  });

  test('is followed without noticing it itself, as behind a NAT that gave it another address', async () => {
    const nodes = await establishedPair();
    const { a, b } = nodes;
    for (const address of ['203.0.113.5', '203.0.113.6', '203.0.113.5']) {
      const lost = await ping(nodes, { forMs: 1_000, meanwhile: (atMs) => atMs === 500 && a.move(address) });
      expect(usedBy(b, a)?.address).toBe(address);
      expect(lost.longestMs).toBeLessThan(60);
    }
  });

  test('is followed although it says nothing, for its keepalive does', async () => {
    const nodes = await establishedPair();
    const { clock, a, b } = nodes;
    await clock.advance(300_000);
    a.roam('203.0.113.5');
    await clock.advance(50);
    expect(usedBy(b, a)?.address).toBe('203.0.113.5');
    b.sends(a, 'found you');
    await clock.advance(10);
    expect(a.plane.received).toContain('found you');
  });

  test.each([1, 2])('is followed though its first %i datagrams get lost', async (count) => {
    const nodes = await establishedPair();
    const { clock, network, a, b } = nodes;
    let lose = count;
    a.sends(b, 'in use');
    await clock.advance(6_000);
    network.weather = ({ from }) => (from.address === '203.0.113.5' && lose-- > 0 ? [] : [5]);
    a.roam('203.0.113.5');
    await clock.advance(2_000);
    expect(usedBy(b, a)?.address).toBe('203.0.113.5');
  });

  test('of an older build is found by its next handshake, which it is asked for at once', async () => {
    const nodes = await establishedPair();
    const { clock, a, b } = nodes;
    b.plane.olderBuild = true; // B stays where it is; A moves
    a.sends(b, 'in use');
    await clock.advance(6_000);
    a.roam('203.0.113.5');
    await clock.advance(7_000);
    expect(usedBy(b, a)?.address).toBe('203.0.113.5');
    expect(initiations(nodes.network.log).map(({ from }) => from.address)).toEqual(['203.0.113.5']);
  });

  test('and its peer, both at once, find each other where the manifest names the new addresses', async () => {
    const hints = ['192.0.2.1', '203.0.113.1'].map((address) => endpoint(address));
    const nodes = await establishedPair({ aHints: [endpoint('192.0.2.2'), endpoint('203.0.113.2')], bHints: hints });
    const { a, b } = nodes;
    await ping(nodes, { forMs: 5_000 });
    const roam = (atMs: number): void => {
      if (atMs !== 1_000) return;
      a.roam('203.0.113.1');
      b.roam('203.0.113.2');
    };
    const lost = await ping(nodes, { forMs: 5_000, meanwhile: roam });
    expect(usedBy(b, a)?.address).toBe('203.0.113.1');
    expect(usedBy(a, b)?.address).toBe('203.0.113.2');
    expect(lost.longestMs).toBeLessThan(2_000);
  });

  test('is where it was seen after the restart of an agent', async () => {
    const nodes = await establishedPair();
    const { clock, a, b } = nodes;
    await ping(nodes, { forMs: 1_000, meanwhile: (atMs) => atMs === 500 && a.roam('203.0.113.5') });
    await b.restartAgent();
    await clock.advance(100);
    const lost = await ping(nodes, { forMs: 1_000 });
    expect(lost.requests).toEqual([]);
    const [status] = await b.manager.status();
    expect(status).toMatchObject({ endpoint: { address: '203.0.113.5' }, observed: true });
    expect(status?.paths.find(({ active }) => active)?.endpoint.address).toBe('203.0.113.5');
  });
});

describe('somebody on the way', () => {
  /** Sends what A sends to B again from `address`, sooner than A's own arrives. */
  function copyFrom({ network, b }: Pair, address: string, everyNth = 1): void {
    let count = 0;
    const { send } = network;
    network.send = (bytes, from, to) => {
      if (to.address === b.at.address && !isHandshake(bytes) && from.address !== address && count++ % everyNth === 0) {
        network.clock.setTimer(1, () =>
          network.deliver({ bytes: Uint8Array.from(bytes), from: endpoint(address), to }),
        );
      }
      send.call(network, bytes, from, to);
    };
  }

  test('who copies datagrams from elsewhere makes a node ask there, and moves nothing', async () => {
    const nodes = await establishedPair();
    const { network, a, b } = nodes;
    copyFrom(nodes, '198.51.100.66');
    const lost = await ping(nodes, { forMs: 10_000 });
    expect(lost.requests).toEqual([]);
    expect(usedBy(b, a)).toEqual(a.at);
    expect(movesOf(b)).toEqual([]);
    const asked = network.log.filter(({ to }) => to.address === '198.51.100.66');
    expect(asked.length).toBeGreaterThan(0);
    expect(asked.length).toBeLessThan(40); // some challenges a second, whatever it copies
  });

  test('who copies them from a thousand places fills no memory', async () => {
    const nodes = await establishedPair();
    let place = 0;
    const { network, a, b } = nodes;
    const { send } = network;
    network.send = (bytes, from, to) => {
      if (to.address === b.at.address && !isHandshake(bytes) && from.address === a.at.address) {
        const stranger = endpoint(`198.51.${100 + (place >> 8)}.${place++ & 255}`);
        network.clock.setTimer(1, () => network.deliver({ bytes: Uint8Array.from(bytes), from: stranger, to }));
      }
      send.call(network, bytes, from, to);
    };
    await ping(nodes, { forMs: 10_000 });
    const [status] = await b.manager.status();
    expect(status?.paths.length).toBeLessThanOrEqual(8);
    expect(usedBy(b, a)).toEqual(a.at);
    await nodes.clock.advance(5_000);
    expect((await b.manager.status())[0]?.paths).toHaveLength(1); // only seen, not answered: forgotten
  });

  test('who repeats old datagrams is not even asked', async () => {
    const nodes = await establishedPair();
    const { clock, network, a, b } = nodes;
    await ping(nodes, { forMs: 500 });
    const recorded = network.log.filter(({ to }) => to.address === b.at.address);
    network.log.length = 0;
    for (const each of recorded) network.deliver({ ...each, from: endpoint('198.51.100.66') });
    await clock.advance(1_000);
    expect(network.log.filter(({ to }) => to.address === '198.51.100.66')).toEqual([]);
    expect(usedBy(b, a)).toEqual(a.at);
  });
});

describe('two networks', () => {
  const restless = seeded(7);

  test('a path that dies is left in under two seconds', async () => {
    let dead = false;
    const nodes = await twoNetworks({ wifi: () => (dead ? [] : [5]), cable: () => [5] });
    await ping(nodes, { forMs: 10_000 });
    expect(usedBy(nodes.a, nodes.b)).toEqual(WIFI.b);
    const dies = (atMs: number): void => {
      dead = atMs >= 1_000;
    };
    const lost = await ping(nodes, { forMs: 5_000, meanwhile: dies });
    expect(usedBy(nodes.a, nodes.b)).toEqual(CABLE.b);
    expect(usedBy(nodes.b, nodes.a)).toEqual(CABLE.a);
    expect(lost.longestMs).toBeLessThan(2_000);
    expect(movesOf(nodes.a)).toMatchObject([{ from: WIFI.b, to: CABLE.b, why: 'silent' }]);
    expect(movesOf(nodes.b)).toMatchObject([{ from: WIFI.a, to: CABLE.a, why: 'peer-moved' }]);
  });

  test('it is left in time again and again, whichever dies, also after restarts', async () => {
    let dead = '';
    const weather = (name: string) => (): readonly number[] => (dead === name ? [] : [5]);
    const nodes = await twoNetworks({ wifi: weather('wifi'), cable: weather('cable') });
    await ping(nodes, { forMs: 10_000 });
    for (let turn = 0; turn < 6; turn++) {
      if (turn % 3 === 2) await nodes.a.restartAgent();
      await ping(nodes, { forMs: 30_000, everyMs: 50 });
      const inUse = usedBy(nodes.a, nodes.b)?.address.startsWith('10.1.') ? 'wifi' : 'cable';
      const dies = (atMs: number): void => {
        dead = atMs >= 1_000 ? inUse : '';
      };
      const lost = await ping(nodes, { forMs: 4_000, meanwhile: dies });
      expect(lost.longestMs).toBeLessThan(2_000);
    }
  });

  test('where both die and come back, so does traffic', async () => {
    let dead = false;
    const nodes = await twoNetworks({ wifi: () => (dead ? [] : [5]), cable: () => (dead ? [] : [5]) });
    await ping(nodes, { forMs: 5_000 });
    dead = true;
    await ping(nodes, { forMs: 60_000, everyMs: 100 });
    dead = false;
    await ping(nodes, { forMs: 10_000, everyMs: 100 });
    expect((await ping(nodes, { forMs: 1_000 })).requests).toEqual([]);
  });

  test('a clearly faster path is taken after three rounds, and kept', async () => {
    const nodes = await twoNetworks({ wifi: () => [20], cable: () => [2] });
    await ping(nodes, { forMs: 300_000, everyMs: 100 });
    expect(movesOf(nodes.a)).toMatchObject([{ to: CABLE.b, why: 'faster' }]);
    expect(usedBy(nodes.b, nodes.a)).toEqual(CABLE.a);
    expect(movesOf(nodes.b)).toHaveLength(1);
  });

  test.each([
    ['a little faster', () => [10], () => [8]],
    ['as fast and restless', () => [5 + restless() * 10], () => [5 + restless() * 10]],
  ])('one that is %s is not worth a move', async (_, wifi, cable) => {
    const nodes = await twoNetworks({ wifi, cable });
    await ping(nodes, { forMs: 600_000, everyMs: 200 });
    expect(movesOf(nodes.a)).toEqual([]);
    expect(movesOf(nodes.b)).toEqual([]);
  });

  test.each([50, 500, 1_000])(
    'with a fifth of everything lost, traffic every %i ms stays where it is',
    async (everyMs) => {
      const random = seeded(everyMs);
      let fair = true;
      const lossy = (): readonly number[] => (!fair && random() < 0.2 ? [] : [5]);
      const nodes = await twoNetworks({ wifi: lossy, cable: lossy });
      fair = false;
      await ping(nodes, { forMs: 600_000, everyMs });
      expect(movesOf(nodes.a)).toEqual([]);
      expect(movesOf(nodes.b)).toEqual([]);
    },
  );

  test('a path that carries no full frames is not chosen', async () => {
    let dead = false;
    const clock = { small: true };
    const nodes = await twoNetworks({ wifi: () => (dead ? [] : [5]), cable: () => [5] });
    const { weather } = nodes.network;
    nodes.network.weather = (datagram) =>
      clock.small && datagram.to.address.startsWith('10.2.') && datagram.bytes.length > 1_200 + DATA_HEADER
        ? []
        : weather(datagram);
    await ping(nodes, { forMs: 5_000 });
    dead = true;
    await ping(nodes, { forMs: 5_000 });
    expect(usedBy(nodes.a, nodes.b)).toEqual(WIFI.b);
    clock.small = false;
    await ping(nodes, { forMs: 20_000 });
    expect(usedBy(nodes.a, nodes.b)).toEqual(CABLE.b);
  });
});

describe('a peer seen on a path that carries no full frames', () => {
  test('is answered on the old one, as long as that lives', async () => {
    const nodes = await twoNetworks({ wifi: () => [5], cable: () => [5] });
    const { network, a, b } = nodes;
    const { weather } = network;
    network.weather = (datagram) =>
      datagram.to.address.startsWith('10.2.') && datagram.bytes.length > 1_200 + DATA_HEADER ? [] : weather(datagram);
    await ping(nodes, { forMs: 3_000 });
    b.route = (to) => (to.address.startsWith('10.1.') ? WIFI.b : CABLE.b);
    a.route = () => CABLE.a; // A's route goes by cable from here on, whatever B does
    await ping(nodes, { forMs: 10_000, everyMs: 50 });
    expect(movesOf(b).map(({ why }) => why)).toEqual(['peer-moved', 'too-small']);
    expect(usedBy(b, a)).toEqual(WIFI.a);
  });
});

describe('the first handshake', () => {
  test.each([1, 3])('with %i dead endpoints before a good one costs a fraction of a second', async (dead) => {
    const nodes = await establishedPair();
    const { clock, network, a, b } = nodes;
    await a.reboot();
    const wrong = Array.from({ length: dead }, (_, index) => endpoint(`198.51.100.${index + 1}`));
    await a.manager.configure(configOf({ peers: [b], hints: new Map([[b, [...wrong, b.at]]]) }));
    network.log.length = 0;
    b.plane.received.length = 0;
    a.sends(b, 'hello');
    await clock.advance(250 * dead + 20);
    expect(b.plane.received).toEqual(['hello']);
    expect(initiations(network.log).map(({ to }) => to.address)).toEqual([
      ...wrong.map(({ address }) => address),
      b.at.address,
    ]);
  });

  test('takes the answer of a slow endpoint that was asked first', async () => {
    const nodes = await establishedPair();
    const { clock, network, a, b } = nodes;
    await a.reboot();
    network.weather = () => [150];
    await a.manager.configure(configOf({ peers: [b], hints: new Map([[b, [b.at, endpoint('198.51.100.1')]]]) }));
    a.sends(b, 'hello');
    await clock.advance(500);
    expect(b.plane.received).toContain('hello');
    expect(usedBy(a, b)).toEqual(b.at);
  });
});
