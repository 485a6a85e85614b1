import { describe, expect, test } from 'vitest';
import { CookieSecrets } from '../../../src/session/cookie-secrets.ts';
import { SessionIds } from '../../../src/session/ids.ts';
import { type Datagram, isHandshake } from './support/network.ts';
import { establishedPair, initiations, pair, reachable, responses } from './support/pair.ts';

/** This machine goes on from a snapshot: whatever it knew, another one may know as well. */

describe('a machine that goes on from a snapshot', () => {
  test('ends its sessions at once and has new ones a moment later, under traffic', async () => {
    const nodes = await establishedPair();
    const { clock, a, b } = nodes;
    const [before] = a.plane.sessions.keys();
    const row = a.plane.sessions.get(before ?? 0n);
    a.plane.emit({ type: 'new-generation' });
    await clock.advance(2);
    expect(a.plane.sessions.has(before ?? 0n)).toBe(false);
    await clock.advance(50);
    expect(await reachable(nodes)).toBe(true);
    const [after] = a.plane.sessions.values();
    expect(after?.localId).not.toBe(before);
    expect([after?.sendKey, after?.receiveKey]).not.toContainEqual(row?.sendKey);
    expect(a.events.slice(1)).toEqual([
      { type: 'new-generation', ended: 1 },
      { type: 'established', name: 'node-192.0.2.2', peer: b.key, initiator: true },
    ]);
  });

  test('begins no handshake where there was no session', async () => {
    const { clock, network, a } = await pair();
    a.plane.emit({ type: 'new-generation' });
    await clock.advance(10_000);
    expect(network.log).toEqual([]);
    expect(a.events).toEqual([{ type: 'new-generation', ended: 0 }]);
  });

  test('installs nothing of a handshake that was under way', async () => {
    const nodes = await pair();
    const { clock, network, a, b } = nodes;
    let held: Datagram | undefined;
    network.weather = (datagram) => {
      if (isHandshake(datagram.bytes) && datagram.bytes[8] === 2 && held === undefined) {
        held = datagram;
        return [];
      }
      return [5];
    };
    a.sends(b, 'first');
    await clock.advance(20);
    if (held === undefined) throw new Error('b answered');
    const [first] = initiations(network.log);
    a.plane.emit({ type: 'new-generation' });
    await clock.advance(2);
    const installs = a.plane.calls.install;
    network.deliver(held);
    await clock.advance(0);
    expect(a.plane.calls.install).toBe(installs);
    await clock.advance(1_000);
    expect(b.plane.received).toEqual(['first']); // it waited for the new session
    expect(initiations(network.log).at(-1)?.bytes).not.toEqual(first?.bytes);
    expect(a.plane.expected.size).toBe(0);
  });

  test('does not let a session be confirmed that it answered before', async () => {
    const nodes = await pair();
    const { clock, network, a, b } = nodes;
    network.weather = ({ bytes }) => (isHandshake(bytes) ? [5] : []); // no confirmation arrives
    a.sends(b, 'lost');
    await clock.advance(50);
    expect([...b.plane.sessions.values()].map(({ unconfirmed }) => unconfirmed)).toEqual([true]);
    b.plane.emit({ type: 'new-generation' });
    await clock.advance(2);
    expect(b.plane.sessions.size).toBe(0);
    network.weather = () => [5];
    for (let second = 0; second < 25; second++) {
      a.sends(b, `${second}`); // on the session that is gone, until nothing comes back for 15 s
      await clock.advance(1_000);
    }
    expect(await reachable(nodes)).toBe(true);
  });

  test('takes no cookie of before, and gives out no id that a copy of it would', async () => {
    const { clock, a } = await establishedPair();
    const [secret] = a.plane.cookieSecrets.at(-1) ?? [];
    const copy = Uint8Array.from(secret ?? []);
    a.plane.emit({ type: 'new-generation' });
    await clock.advance(2);
    const secrets = a.plane.cookieSecrets.at(-1);
    expect(secrets).toHaveLength(1);
    expect(secrets?.[0]).not.toEqual(copy);
  });

  test('answers whoever calls right after it', async () => {
    const nodes = await establishedPair();
    const { clock, network, a, b } = nodes;
    b.plane.emit({ type: 'new-generation' });
    network.log.length = 0;
    await clock.advance(100);
    expect(initiations(network.log)).toMatchObject([{ from: b.at }]);
    expect(responses(network.log)).toMatchObject([{ from: a.at }]);
    expect(await reachable(nodes)).toBe(true);
  });
});

test('renewed ids and cookie secrets share nothing with those of before', () => {
  const free = () => false;
  const [one, other] = [new SessionIds(new Uint8Array(32).fill(1)), new SessionIds(new Uint8Array(32).fill(1))];
  expect(one.next(free)).toBe(other.next(free)); // copies
  one.renew();
  expect(one.next(free)).not.toBe(other.next(free));

  const told: (readonly Uint8Array[])[] = [];
  const secrets = new CookieSecrets({ setTimer: () => () => undefined, changed: (each) => told.push(each) });
  const before = secrets.take();
  const copy = Uint8Array.from(before);
  secrets.renew();
  expect([...before]).toEqual(new Array(32).fill(0));
  expect(told).toEqual([secrets.accepted]);
  expect(secrets.accepted).toHaveLength(1);
  expect(secrets.take()).not.toEqual(copy);
});
