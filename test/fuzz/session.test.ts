import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { PublicKey } from '../../src/manifest/model.ts';
import {
  COOKIE_REPLY_LEN,
  decodeHandshake,
  HYBRID_INITIATION_LEN,
  HYBRID_RESPONSE_LEN,
  INITIATION_LEN,
  macsOf,
  RESPONSE_LEN,
} from '../../src/session/codec.ts';
import { cookieKey, cookieOf, createCookieReply, readCookieReply } from '../../src/session/cookie.ts';
import { keyPairOf } from '../../src/session/dh.ts';
import { createResponse, readResponse } from '../../src/session/handshake.ts';
import { mac1Key, macBlake2s } from '../../src/session/hash.ts';
import { encapsulate, kemKeyPairOf } from '../../src/session/kem.ts';
import { Timestamps } from '../../src/session/timestamps.ts';
import { endpoint } from '../unit/session/support/network.ts';
import { establishedPair } from '../unit/session/support/pair.ts';
import {
  authentic,
  authenticInitiation,
  initiationOf,
  must,
  opened,
  type Party,
  partyOf,
} from '../unit/session/support/party.ts';

const psk = new Uint8Array(32).fill(9);
const [a, b] = [partyOf(1, [psk]), partyOf(2, [psk])];

/** One handshake of each version, by A with B; the cookie reply that B would have sent instead. */
const handshakes = [undefined, kemKeyPairOf(new Uint8Array(64).fill(3))].map((kem) => {
  const initiation = initiationOf(a, b, {
    senderId: 77n,
    timestampNs: 1n,
    ephemeral: keyPairOf(new Uint8Array(32).fill(5)),
    ...(kem === undefined ? {} : { kem }),
  });
  const call = authenticInitiation(b, initiation.datagram);
  const response = must(
    createResponse(a.remote, must(opened(b, call)).state, {
      psk: call.psk,
      senderId: 88n,
      receiverId: 77n,
      ephemeral: keyPairOf(new Uint8Array(32).fill(6)),
      encapsulate,
    }),
  );
  const reply = createCookieReply(
    { sealing: call.psk.cookieKey, mac1: call.psk.mac1Key },
    { message: call.message, datagram: initiation.datagram },
    cookieOf(new Uint8Array(32).fill(4), endpoint('192.0.2.1')),
    new Uint8Array(24).fill(8),
  );
  return { initiation, response, reply };
});
const datagrams = handshakes.flatMap(({ initiation, response, reply }, index) => [
  [`initiation, version ${index + 1}`, initiation.datagram, b] as const,
  [`response, version ${index + 1}`, response.datagram, a] as const,
  [`cookie reply, version ${index + 1}`, reply, a] as const,
]);

/** As the receiver does it, to the end. */
function accepted(to: Party, datagram: Uint8Array): boolean {
  const message = decodeHandshake(datagram);
  const [classic, hybrid] = handshakes;
  const { initiation } = must(message?.version === 2 ? hybrid : classic);
  if (message?.type === 'cookie') {
    const keys = { sealing: cookieKey(b.remote.publicKey, psk), mac1: mac1Key(b.remote.publicKey, psk) };
    if (message.receiverId !== 77n) return false; // nobody waits there
    return to === a && readCookieReply(keys, initiation.datagram, { message, datagram }) !== undefined;
  }
  const read = authentic(to, datagram);
  if (typeof read === 'string') return false;
  if (read.message.type === 'initiation') return opened(to, { ...read, message: read.message }) !== undefined;
  return to === a && readResponse(initiation.psk, initiation.state, read.message) !== undefined;
}

/** mac1 made right again: the case of a member who means harm. */
function withMac1(to: Party, datagram: Uint8Array): Uint8Array {
  const bytes = Uint8Array.from(datagram);
  const { covered, mac1 } = macsOf(bytes);
  // A cookie reply's is under the key of the node that sends it.
  const key =
    decodeHandshake(datagram)?.type === 'cookie' ? mac1Key(b.remote.publicKey, psk) : to.local.psks.current.mac1Key;
  mac1.set(macBlake2s(key, covered));
  return bytes;
}

describe('handshake messages', () => {
  test('arbitrary bytes are refused and nothing throws', () => {
    const lengths = [INITIATION_LEN, RESPONSE_LEN, COOKIE_REPLY_LEN, HYBRID_INITIATION_LEN, HYBRID_RESPONSE_LEN];
    const sized = fc.oneof(
      fc.uint8Array({ maxLength: 400 }),
      ...lengths.map((length) => fc.uint8Array({ minLength: length, maxLength: length })),
    );
    fc.assert(
      fc.property(sized, (datagram) => {
        expect(accepted(a, datagram)).toBe(false);
        expect(accepted(b, datagram)).toBe(false);
      }),
      { numRuns: 20_000 },
    );
  });

  test.each(datagrams)('a proper header and mac1, then noise, is refused and nothing throws: %s', (_, datagram, to) => {
    const header = datagram[8] === 2 ? 32 : 24;
    const noise = fc.uint8Array({ minLength: datagram.length - header, maxLength: datagram.length - header });
    fc.assert(
      fc.property(noise, (rest) => {
        expect(accepted(to, withMac1(to, Buffer.concat([datagram.subarray(0, header), rest])))).toBe(false);
      }),
      { numRuns: 1_000 },
    );
  });

  test.each(datagrams)('any change before mac2 is refused, mac1 made right or not: %s', (_, datagram, to) => {
    expect(accepted(to, datagram)).toBe(true);
    const change = fc.record({
      index: fc.nat(datagram.length - 17),
      bits: fc.integer({ min: 1, max: 255 }),
      repaired: fc.boolean(),
    });
    fc.assert(
      fc.property(change, ({ index, bits, repaired }) => {
        const changed = Uint8Array.from(datagram);
        changed[index] = (changed[index] ?? 0) ^ bits;
        const inMac1 = index >= datagram.length - 32;
        expect(accepted(to, repaired && !inMac1 ? withMac1(to, changed) : changed)).toBe(false);
      }),
      { numRuns: 2_000 },
    );
  });

  test.each(datagrams)(
    'one of the other version is refused, at its length and with mac1 made right: %s',
    (_, datagram, to) => {
      const hybrid = datagram[9] === 2;
      const changed = Uint8Array.from(datagram);
      changed[9] = hybrid ? 1 : 2;
      expect(accepted(to, withMac1(to, changed))).toBe(false);
      const other = must(datagrams.find(([, each]) => each[8] === datagram[8] && each[9] !== datagram[9]));
      const resized = new Uint8Array(other[1].length);
      resized.set(datagram.subarray(0, Math.min(resized.length, datagram.length)));
      resized[9] = hybrid ? 1 : 2;
      expect(accepted(to, withMac1(to, resized))).toBe(false);
    },
  );

  test('decoding is a function of the bytes alone', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), fc.nat(8), (datagram, offset) => {
        const shifted = Buffer.concat([Buffer.alloc(offset), datagram]).subarray(offset);
        expect(decodeHandshake(shifted)).toEqual(decodeHandshake(datagram));
      }),
      { numRuns: 5_000 },
    );
  });
});

test('a node under fire by strangers answers nothing and keeps its session', async () => {
  const { clock, network, a: node, b: peer } = await establishedPair();
  const sent = network.log.length;
  const before = peer.plane.sessions.size;
  await fc.assert(
    fc.asyncProperty(fc.uint8Array({ minLength: 16, maxLength: 1400 }), fc.boolean(), async (bytes, control) => {
      const datagram = Uint8Array.from(bytes);
      if (control) datagram.fill(0, 0, 8);
      network.deliver({ bytes: datagram, from: node.at, to: peer.at });
    }),
    { numRuns: 5_000 },
  );
  await clock.advance(100);
  expect(network.log).toHaveLength(sent);
  expect(peer.plane.sessions.size).toBe(before);
  node.sends(peer, 'still here');
  await clock.advance(10);
  expect(peer.plane.received).toEqual(['still here']);
});

test('a node under fire by a member sends cookies and nothing else, and keeps its session', async () => {
  const { clock, network, a: node, b: peer } = await establishedPair({ postQuantum: 'preferred' });
  peer.filters = false;
  const key = mac1Key(peer.identity.publicKeyBytes, new Uint8Array(32));
  const shapes = fc.constantFrom([1, 1, 160], [1, 2, 1360], [2, 1, 112], [2, 2, 1216], [3, 1, 112], [3, 2, 112]);
  const before = peer.plane.sessions.size;
  let arrived = 0;
  await fc.assert(
    fc.asyncProperty(
      shapes,
      fc.infiniteStream(fc.nat(255)),
      fc.nat(200),
      async ([type, version, length], noise, pause) => {
        const bytes = Uint8Array.from({ length: length ?? 0 }, () => noise.next().value ?? 0);
        bytes.fill(0, 0, 16);
        bytes.set([type ?? 0, version ?? 0], 8);
        const macs = macsOf(bytes);
        macs.mac1.set(macBlake2s(key, macs.covered));
        if ((noise.next().value ?? 0) % 2 === 0) macs.mac2.fill(0);
        if (pause === 0) await clock.advance(1);
        network.deliver({ bytes, from: endpoint(`198.51.100.${pause}`, 1 + arrived++), to: peer.at });
      },
    ),
    { numRuns: 3_000 },
  );
  await clock.advance(100);
  const replies = network.log.filter(({ from }) => from === peer.at);
  expect(replies.length).toBeGreaterThan(500);
  expect(replies.every(({ bytes }) => bytes[8] === 3 && bytes.length === COOKIE_REPLY_LEN)).toBe(true);
  expect(peer.plane.sessions.size).toBe(before);
  const { handshakesFailed } = peer.manager.stats();
  expect(Object.values(handshakesFailed).reduce((sum, count) => sum + count, 0)).toBe(arrived);
  node.sends(peer, 'still here');
  await clock.advance(10);
  expect(peer.plane.received).toEqual(['still here']);
});

test('a damaged handshake clock never throws', async () => {
  const text = fc.oneof(
    fc.string(),
    fc.json(),
    fc.json().map((peers) => `{"version":1,"own":"5","peers":${peers}}`),
    fc.json().map((others) => `{"version":1,"own":"5","peers":{"a":"1"},"self":"key","others":${others}}`),
  );
  await fc.assert(
    fc.asyncProperty(text, async (content) => {
      const kept = { path: 'memory', read: async () => content, write: async () => undefined };
      const { timestamps } = await Timestamps.open(kept, ['key' as PublicKey]);
      const { timestampNs } = await timestamps.next(1_700_000_000_000_000_000n);
      expect(timestampNs).toBeGreaterThanOrEqual(1_700_000_000_000_000_000n);
    }),
    { numRuns: 2_000 },
  );
});
