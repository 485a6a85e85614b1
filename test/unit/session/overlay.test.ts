import { describe, expect, test } from 'vitest';
import type { IpAddress } from '../../../src/manifest/model.ts';
import { endpoint } from './support/network.ts';
import type { FakeNode } from './support/node.ts';
import { establishedPair, initiations, pair, responses } from './support/pair.ts';

/** The cluster's own addresses are nobody's endpoint, whoever names them. They are 10.77.0.0/16. */

const INSIDE = '10.77.0.1' as IpAddress;
const usedBy = (node: FakeNode, peer: FakeNode) => node.plane.endpoints.get(peer.key)?.endpoint;

describe('an address inside the cluster', () => {
  test('that a name resolves to is not tried', async () => {
    const outside = '192.0.2.2' as IpAddress;
    const nodes = await pair({ aHints: [endpoint('robot.example')] });
    const { clock, network, a, b } = nodes;
    a.names.set('robot.example', [INSIDE]);
    a.sends(b, 'lost');
    await clock.advance(2_000);
    expect(network.log).toEqual([]);
    a.names.set('robot.example', [INSIDE, outside]);
    a.manager.addressesChanged(new Set(['robot.example']));
    a.sends(b, 'hello');
    await clock.advance(5_000);
    expect(b.plane.received).toContain('hello');
    expect(new Set(network.log.filter(({ from }) => from === a.at).map(({ to }) => to.address))).toEqual(
      new Set([outside]),
    );
  });

  test('that a handshake comes from draws no answer, and moves nothing', async () => {
    const { clock, network, a, b } = await pair();
    network.weather = ({ to }) => (to.address === b.at.address ? [] : [5]);
    a.sends(b, 'hello');
    await clock.advance(10);
    const [initiation] = initiations(network.log);
    if (initiation === undefined) throw new Error('no initiation was sent');
    network.deliver({ ...initiation, from: endpoint(INSIDE) });
    await clock.advance(20);
    expect(b.manager.stats().handshakesFailed['overlay-source']).toBe(1);
    expect(responses(network.log)).toEqual([]);
    expect([b.plane.sessions.size, usedBy(b, a)]).toEqual([0, undefined]);
    network.weather = () => [5];
    network.deliver(initiation); // the same from outside was not spent by it
    await clock.advance(20);
    expect(responses(network.log)).toHaveLength(1);
  });

  test('that authentic data comes from is not asked, and is not gone to', async () => {
    const { clock, network, a, b } = await establishedPair();
    a.route = () => endpoint(INSIDE);
    for (let i = 0; i < 3; i++) {
      a.sends(b, `from inside ${i}`);
      await clock.advance(1_000);
    }
    expect(b.plane.received).toHaveLength(3);
    expect(usedBy(b, a)?.address).toBe('192.0.2.1');
    expect(network.log.filter(({ to }) => to.address === INSIDE)).toEqual([]);
  });

  test('that a question comes from gets no answer there', async () => {
    const { clock, network, a, b } = await establishedPair();
    a.route = () => endpoint(INSIDE);
    await a.plane.sendOnPath(b.key, { remote: b.at }, { kind: 'challenge', nonce: 7n, size: 100 });
    await clock.advance(100);
    expect(network.log.filter(({ to }) => to === b.at)).toHaveLength(1);
    expect(network.log.filter(({ from }) => from === b.at)).toEqual([]);
  });

  test('that an earlier agent sent to is left at once, by a handshake', async () => {
    const nodes = await establishedPair();
    const { clock, network, a, b } = nodes;
    await a.plane.setEndpoint(b.key, endpoint(INSIDE));
    await a.restartAgent();
    network.log.length = 0;
    await clock.advance(1_000);
    a.sends(b, 'anybody there?');
    await clock.advance(1_000);
    expect(usedBy(a, b)?.address).toBe('192.0.2.2');
    expect(initiations(network.log).some(({ to }) => to.address === INSIDE)).toBe(false);
  });
});
