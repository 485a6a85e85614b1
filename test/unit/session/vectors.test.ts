import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { decodeHandshake, macsOf } from '../../../src/session/codec.ts';
import {
  cookieKey,
  cookieOf,
  createCookieReply,
  mac2Of,
  provesAddress,
  readCookieReply,
  withMac2,
} from '../../../src/session/cookie.ts';
import { keyPairOf } from '../../../src/session/dh.ts';
import { createResponse, prologuesOf, readResponse } from '../../../src/session/handshake.ts';
import { encapsulateWith, kemKeyPairOf } from '../../../src/session/kem.ts';
import { endpoint } from './support/network.ts';
import { authenticInitiation, authenticResponse, initiationOf, must, opened, partyOf } from './support/party.ts';
import { classic, cookieVectors, hex, hybridVectors, unhex } from './support/vectors.ts';

/** `npx vitest run --update --project unit test/unit/session/vectors.test.ts` writes the files anew. */
const fileOf = (name: string) => new URL(`../../vectors/${name}.json`, import.meta.url).pathname;
const textOf = (vectors: object) => `${JSON.stringify(vectors, undefined, 2)}\n`;
const [initiator, responder] = [classic.initiator, classic.responder].map((node) =>
  partyOf(unhex(node.seed), [unhex(classic.psk)], classic.cluster),
) as [ReturnType<typeof partyOf>, ReturnType<typeof partyOf>];

describe('version 2', () => {
  test('the vectors are those of an independent implementation', async () => {
    await expect(textOf(await hybridVectors())).toMatchFileSnapshot(fileOf('hybrid'));
  });

  test('the handshake, byte for byte', () => {
    const vectors = JSON.parse(readFileSync(fileOf('hybrid'), 'utf8')) as Awaited<ReturnType<typeof hybridVectors>>;
    const { handshake } = classic;
    const kem = kemKeyPairOf(unhex(vectors.kemSeed));
    expect(hex(prologuesOf(classic.cluster)[2])).toBe(vectors.prologue);
    const initiation = initiationOf(initiator, responder, {
      senderId: BigInt(handshake.initiatorId),
      timestampNs: BigInt(handshake.timestampNs),
      ephemeral: keyPairOf(unhex(handshake.initiatorEphemeral)),
      kem,
    });
    expect(hex(initiation.datagram)).toBe(vectors.initiation);
    expect(hex(initiation.state.symmetric.hash)).toBe(vectors.hashAfterInitiation);
    expect(hex(initiation.state.symmetric.chainingKey)).toBe(vectors.chainingKeyAfterInitiation);

    const call = authenticInitiation(responder, initiation.datagram);
    const read = must(opened(responder, call));
    expect(read.timestampNs).toBe(BigInt(handshake.timestampNs));
    expect(hex(must(read.state.remoteKem))).toBe(hex(kem.publicKey));
    const response = must(
      createResponse(initiator.remote, read.state, {
        psk: call.psk,
        senderId: BigInt(handshake.responderId),
        receiverId: call.message.senderId,
        ephemeral: keyPairOf(unhex(handshake.responderEphemeral)),
        encapsulate: (publicKey) => encapsulateWith(publicKey, unhex(vectors.kemMessage)),
      }),
    );
    expect(hex(response.datagram)).toBe(vectors.response);
    const answer = authenticResponse(initiator, unhex(vectors.response));
    const keys = must(readResponse(initiation.psk, initiation.state, answer.message));
    expect([keys.sendKey, keys.receiveKey].map(hex)).toEqual([
      vectors.initiatorToResponderKey,
      vectors.responderToInitiatorKey,
    ]);
    expect([response.keys.receiveKey, response.keys.sendKey].map(hex)).toEqual([
      vectors.initiatorToResponderKey,
      vectors.responderToInitiatorKey,
    ]);
  });
});

describe('cookies', () => {
  const { cookieKey: sealing, cases } = JSON.parse(readFileSync(fileOf('cookie'), 'utf8')) as Awaited<
    ReturnType<typeof cookieVectors>
  >;
  const hybrid = JSON.parse(readFileSync(fileOf('hybrid'), 'utf8')) as { readonly initiation: string };
  const keys = { sealing: unhex(sealing), mac1: unhex(classic.responder.mac1Key) };

  test('the vectors are those of an independent implementation', async () => {
    await expect(textOf(await cookieVectors())).toMatchFileSnapshot(fileOf('cookie'));
    expect(hex(cookieKey(responder.remote.publicKey, unhex(classic.psk)))).toBe(sealing);
  });

  test.each(cases)('version $version, from $address:$port', ({ version, address, port, ...vector }) => {
    const from = endpoint(address, port);
    const secret = unhex(vector.secret);
    const datagram = unhex(version === 1 ? classic.handshake.initiation : hybrid.initiation);
    const { covered, mac1 } = macsOf(datagram);
    expect([covered, mac1].map(hex)).toEqual([vector.covered, vector.mac1]);
    const cookie = cookieOf(secret, from);
    expect(hex(cookie)).toBe(vector.cookie);
    expect(hex(mac2Of(cookie, datagram))).toBe(vector.mac2);

    const proved = withMac2(datagram, cookie);
    expect(hex(proved)).toBe(hex(datagram.subarray(0, -16)) + vector.mac2);
    const other = new Uint8Array(32).fill(9);
    expect(provesAddress([other, secret], proved, from)).toBe(true);
    expect(provesAddress([other], proved, from)).toBe(false);
    expect(provesAddress([secret], proved, endpoint(address, port - 1))).toBe(false);
    expect(provesAddress([secret], proved, endpoint('192.0.2.77', port))).toBe(false);
    expect(provesAddress([secret], datagram, from)).toBe(false);

    const message = must(decodeHandshake(datagram));
    if (message.type !== 'initiation') throw new Error('an initiation');
    const reply = createCookieReply(keys, { message, datagram }, cookie, unhex(vector.nonce));
    expect(hex(reply)).toBe(vector.reply);
    const read = must(decodeHandshake(reply));
    if (read.type !== 'cookie') throw new Error('a cookie reply');
    expect(read.receiverId).toBe(BigInt(classic.handshake.initiatorId));
    expect(hex(must(readCookieReply(keys, datagram, { message: read, datagram: reply })))).toBe(vector.cookie);
  });
});
