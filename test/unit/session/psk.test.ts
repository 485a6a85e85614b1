import { describe, expect, test } from 'vitest';
import { openInitiation } from '../../../src/session/handshake.ts';
import { mac1Key } from '../../../src/session/hash.ts';
import { Psks } from '../../../src/session/psks.ts';
import { endpoint } from './support/network.ts';
import { establishedPair, initiations, type Pair, pair, reachable, responses, sameSession } from './support/pair.ts';
import { authenticInitiation, exchangeOf, must, partyOf } from './support/party.ts';

/** The cluster's key, and how it is changed while nodes learn of it at different times. */

const OLD = new Uint8Array(32).fill(1);
const NEW = new Uint8Array(32).fill(2);
/** What a node accepts before, between and after the three commits of a change; it calls under the first. */
const STEPS = [[OLD], [OLD, NEW], [NEW, OLD], [NEW]] as const;
const neighbours = STEPS.flatMap((_, a) => STEPS.flatMap((__, b) => (Math.abs(a - b) <= 1 ? [{ a, b }] : [])));

const hold = (node: Pair['a'], step: number) => node.manager.setPsks(STEPS[step] ?? []);

describe('a change of the key in three steps', () => {
  test.each(neighbours)('a node at step $a calls one at step $b, and is called by it', async (steps) => {
    for (const caller of ['a', 'b'] as const) {
      const nodes = await pair();
      const [from, to] = caller === 'a' ? [nodes.a, nodes.b] : [nodes.b, nodes.a];
      hold(nodes.a, steps.a);
      hold(nodes.b, steps.b);
      from.sends(to, 'hello');
      await nodes.clock.advance(200);
      expect(to.plane.received).toEqual(['hello']);
      expect(initiations(nodes.network.log)).toHaveLength(1);
      expect(sameSession(nodes)).toBe(true);
    }
  });

  test.each(['a first', 'b first'])('loses no frame, whoever pulls first: %s', async (order) => {
    const nodes = await establishedPair({ rekeyAfterMs: 10_000 });
    const { clock, network, a, b } = nodes;
    hold(a, 0);
    hold(b, 0);
    await clock.advance(30_000); // the sessions that were begun without a key are gone
    const sent: string[] = [];
    const traffic = async (seconds: number) => {
      for (let tick = 0; tick < seconds * 10; tick++) {
        const text = `frame ${sent.length}`;
        sent.push(text);
        a.sends(b, text);
        b.sends(a, text);
        await clock.advance(100);
      }
    };
    a.plane.received.length = 0;
    b.plane.received.length = 0;
    await traffic(15);
    const [first, second] = order === 'a first' ? [a, b] : [b, a];
    for (const step of [1, 2, 3]) {
      network.log.length = 0;
      hold(first, step);
      await traffic(25);
      hold(second, step);
      await traffic(25);
      expect(responses(network.log).length).toBeGreaterThanOrEqual(3);
    }
    expect(b.plane.received).toEqual(sent);
    expect(a.plane.received).toEqual(sent);
    for (const { manager } of [a, b])
      expect(manager.stats().handshakesFailed).toMatchObject({ mac1: 0, decrypt: 0, timeout: 0 });
    expect(await reachable(nodes)).toBe(true);
  });

  test('in one step: the session goes on, handshakes fail until both have the key, then traffic does not stop', async () => {
    const nodes = await establishedPair();
    const { clock, a, b } = nodes;
    hold(a, 0);
    hold(b, 0);
    hold(a, 3);
    await clock.advance(130_000);
    expect(await reachable(nodes)).toBe(true);
    await clock.advance(30_000);
    expect(b.manager.stats().handshakesFailed.mac1).toBeGreaterThan(0);
    expect(await reachable(nodes)).toBe(true);
    hold(b, 3);
    const installed = b.plane.calls.install;
    await clock.advance(20_000);
    expect(await reachable(nodes)).toBe(true);
    expect(b.plane.calls.install).toBeGreaterThan(installed);
  });

  test('a key that was given up lets nobody in', async () => {
    const nodes = await pair();
    const { clock, a, b } = nodes;
    hold(a, 0);
    hold(b, 3);
    a.sends(b, 'hello');
    await clock.advance(60_000);
    expect(b.plane.sessions.size).toBe(0);
    expect(responses(nodes.network.log)).toHaveLength(0);
  });
});

describe('a key that goes while a handshake is under way', () => {
  test('the initiator takes no answer under it, and calls again under the new one', async () => {
    const nodes = await pair();
    const { clock, network, a, b } = nodes;
    hold(a, 1);
    hold(b, 2);
    a.sends(b, 'hello');
    await clock.advance(2); // the call is on its way, under OLD
    expect(initiations(network.log)).toHaveLength(1);
    hold(a, 3);
    await clock.advance(200);
    expect(a.plane.sessions.size).toBe(0);
    expect(a.manager.stats().handshakesFailed.mac1).toBe(1);
    await clock.advance(600);
    expect(b.plane.received).toEqual(['hello']);
  });

  test('the responder answers under no key that it gave up meanwhile', () => {
    const [a, b] = [partyOf(1, [OLD, NEW]), partyOf(2, [OLD, NEW])];
    const answer = (before: () => void) => {
      const [caller, called] = [exchangeOf(a, b, 'off'), exchangeOf(b, a, 'off')];
      const { datagram } = must(caller.initiate({ sequence: 1, timestampNs: 1n, tries: 0, welcomeMs: 5_000 }));
      const handshake = authenticInitiation(b, datagram);
      const opened = must(openInitiation(b.prologues, handshake));
      const read = called.readInitiation(handshake, opened, endpoint('192.0.2.1'));
      before();
      return called.complete(must(read).localId);
    };
    expect(answer(() => b.local.psks.replace([NEW, OLD]))).toHaveProperty('response');
    expect(answer(() => b.local.psks.replace([NEW]))).toBe('unusable');
  });
});

describe('what is held of keys', () => {
  const publicKey = new Uint8Array(32).fill(7);

  test('copies, which are wiped when a key goes', () => {
    const given = Uint8Array.from(OLD);
    const psks = new Psks(publicKey, [given]);
    given.fill(0);
    const { current } = psks;
    expect(current.bytes).toEqual(OLD);
    expect(current.mac1Key).toEqual(mac1Key(publicKey, OLD));
    psks.replace([NEW]);
    expect(current.gone).toBe(true);
    expect([...current.bytes, ...current.mac1Key].every((byte) => byte === 0)).toBe(true);
    expect(psks.current.bytes).toEqual(NEW);
  });

  test('a key that changes its place is the same one', () => {
    const psks = new Psks(publicKey, [OLD, NEW]);
    const [old, next] = psks.accepted;
    psks.replace([NEW, OLD]);
    expect(psks.accepted).toEqual([next, old]);
    expect(psks.current).toBe(next);
    expect([old?.gone, next?.gone]).toEqual([false, false]);
  });

  test.each([[[]], [[OLD, NEW, OLD]], [[OLD.subarray(1)]]])(
    'other than one or two of 32 bytes change nothing',
    (keys) => {
      const psks = new Psks(publicKey, [OLD]);
      const { current } = psks;
      expect(() => psks.replace(keys)).toThrow(RangeError);
      expect(psks.accepted).toEqual([current]);
      expect(current.gone).toBe(false);
    },
  );
});
