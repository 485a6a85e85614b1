import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { decodeHandshake, INITIATION_LEN, RESPONSE_LEN } from '../../src/session/codec.ts';
import { keyPairOf } from '../../src/session/dh.ts';
import {
  authenticateHandshake,
  createInitiation,
  createResponse,
  localParty,
  openInitiation,
  readInitiation,
  readResponse,
} from '../../src/session/handshake.ts';
import { macBlake2s } from '../../src/session/hash.ts';
import { identityOf } from '../../src/session/identity.ts';
import { Psks } from '../../src/session/psks.ts';
import { Timestamps } from '../../src/session/timestamps.ts';
import { establishedPair } from '../unit/session/support/pair.ts';

const psk = new Uint8Array(32).fill(9);
const [a, b] = [1, 2].map((seed) => {
  const { publicKeyBytes, keyPair } = identityOf(new Uint8Array(32).fill(seed));
  return {
    party: localParty(keyPair, new Psks(publicKeyBytes, [psk]), 'warehouse'),
    remote: { publicKey: publicKeyBytes, staticKey: keyPair.publicKey },
  };
}) as [Party, Party];
interface Party {
  readonly party: ReturnType<typeof localParty>;
  readonly remote: { readonly publicKey: Uint8Array; readonly staticKey: Uint8Array };
}

function must<T>(value: T | undefined): T {
  if (value === undefined) throw new Error('it cannot be made');
  return value;
}

const initiation = must(
  createInitiation(a.party, b.remote, {
    senderId: 77n,
    timestampNs: 1n,
    ephemeral: keyPairOf(new Uint8Array(32).fill(5)),
  }),
);
const call = authenticateHandshake(b.party, initiation.datagram);
if (typeof call === 'string' || call.message.type !== 'initiation') throw new Error('not authentic');
const answered = must(readInitiation(b.party, must(openInitiation(b.party, call.message))));
const response = must(
  createResponse(a.remote, answered.state, {
    psk: call.psk,
    senderId: 88n,
    receiverId: 77n,
    ephemeral: keyPairOf(new Uint8Array(32).fill(6)),
  }),
);

/** As the receiver does it, to the end. */
function accepted(to: Party, datagram: Uint8Array): boolean {
  const authentic = authenticateHandshake(to.party, datagram);
  if (typeof authentic === 'string') return false;
  const { message } = authentic;
  if (message.type === 'response') return readResponse(initiation.psk, initiation.state, message) !== undefined;
  const caller = openInitiation(to.party, message);
  return caller !== undefined && readInitiation(to.party, caller) !== undefined;
}

/** mac1 made right again: the case of a member who means harm. */
function withMac1(to: Party, datagram: Uint8Array): Uint8Array {
  const bytes = Uint8Array.from(datagram);
  bytes.set(macBlake2s(to.party.psks.current.mac1Key, bytes.subarray(0, bytes.length - 32)), bytes.length - 32);
  return bytes;
}

describe('handshake messages', () => {
  test('arbitrary bytes are refused and nothing throws', () => {
    const sized = fc.oneof(
      fc.uint8Array({ maxLength: 400 }),
      fc.uint8Array({ minLength: INITIATION_LEN, maxLength: INITIATION_LEN }),
      fc.uint8Array({ minLength: RESPONSE_LEN, maxLength: RESPONSE_LEN }),
    );
    fc.assert(
      fc.property(sized, (datagram) => {
        expect(accepted(b, datagram)).toBe(false);
      }),
      { numRuns: 20_000 },
    );
  });

  test('bytes with a proper header and mac1 are refused and nothing throws', () => {
    const body = (header: Uint8Array, length: number) =>
      fc.uint8Array({ minLength: length, maxLength: length }).map((rest) => {
        const datagram = Uint8Array.from([...header, ...rest.subarray(header.length)]);
        return withMac1(b, datagram);
      });
    const either = fc.oneof(
      body(initiation.datagram.subarray(0, 24), INITIATION_LEN),
      body(response.datagram.subarray(0, 32), RESPONSE_LEN),
    );
    fc.assert(
      fc.property(either, (datagram) => {
        expect(accepted(b, datagram)).toBe(false);
      }),
      { numRuns: 2_000 },
    );
  });

  test.each([
    ['initiation', initiation.datagram, b],
    ['response', response.datagram, a],
  ] as const)('any change of an authentic %s before mac2 is refused, mac1 made right or not', (_, datagram, to) => {
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
      { numRuns: 4_000 },
    );
  });

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

test('a node under fire answers nothing and keeps its session', async () => {
  const { clock, network, a: node, b: peer } = await establishedPair();
  const sent = network.log.length;
  const before = peer.plane.sessions.size;
  await fc.assert(
    fc.asyncProperty(fc.uint8Array({ minLength: 16, maxLength: 300 }), fc.boolean(), async (bytes, control) => {
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

test('a damaged handshake clock never throws', async () => {
  const text = fc.oneof(
    fc.string(),
    fc.json(),
    fc.json().map((peers) => `{"version":1,"own":"5","peers":${peers}}`),
  );
  await fc.assert(
    fc.asyncProperty(text, async (content) => {
      const kept = { path: 'memory', read: async () => content, write: async () => undefined };
      const { timestamps } = await Timestamps.open(kept);
      const { timestampNs } = await timestamps.next(1_700_000_000_000_000_000n);
      expect(timestampNs).toBeGreaterThanOrEqual(1_700_000_000_000_000_000n);
    }),
    { numRuns: 2_000 },
  );
});
