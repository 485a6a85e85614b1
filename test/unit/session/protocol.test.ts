import { createCipheriv, createDecipheriv } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { macOf, peerIdOf } from '../../../src/manifest/keys.ts';
import type { PublicKey } from '../../../src/manifest/model.ts';
import { keyPairOf } from '../../../src/session/dh.ts';
import { createResponse, prologuesOf, readResponse } from '../../../src/session/handshake.ts';
import { mac1Key } from '../../../src/session/hash.ts';
import { identityOf, x25519PrivateKey } from '../../../src/session/identity.ts';
import { encapsulate } from '../../../src/session/kem.ts';
import { authenticInitiation, authenticResponse, initiationOf, must, opened, partyOf } from './support/party.ts';

/** The vectors of docs/protocol.md: made by an implementation that shares nothing with src/session. */
const vectors = JSON.parse(readFileSync(new URL('../../vectors/protocol.json', import.meta.url), 'utf8')) as {
  readonly cluster: string;
  readonly psk: string;
  readonly prologue: string;
  readonly initiator: NodeVector;
  readonly responder: NodeVector;
  readonly handshake: Readonly<Record<string, string>>;
  readonly data: readonly { by: string; counter: string; plaintext: string; datagram: string }[];
};
interface NodeVector {
  readonly seed: string;
  readonly publicKey: PublicKey;
  readonly ed25519Public: string;
  readonly x25519Private: string;
  readonly x25519Public: string;
  readonly mac: string;
  readonly peerId: string;
  readonly mac1Key: string;
}

const unhex = (text: string | undefined) => Uint8Array.from(Buffer.from(text ?? '', 'hex'));
const hex = (bytes: Uint8Array | undefined) => Buffer.from(bytes ?? []).toString('hex');
const { handshake } = vectors;
const psk = unhex(vectors.psk);

describe.each(['initiator', 'responder'] as const)('%s', (role) => {
  const node = vectors[role];
  const identity = identityOf(unhex(node.seed));

  test('keys', () => {
    expect(identity.publicKey).toBe(node.publicKey);
    expect(hex(identity.publicKeyBytes)).toBe(node.ed25519Public);
    expect(hex(x25519PrivateKey(unhex(node.seed)))).toBe(node.x25519Private);
    expect(hex(identity.keyPair.publicKey)).toBe(node.x25519Public);
    expect(hex(keyPairOf(unhex(node.x25519Private)).publicKey)).toBe(node.x25519Public);
  });

  test('names derived from the key', () => {
    expect(macOf(node.publicKey)).toBe(node.mac);
    expect(peerIdOf(node.publicKey)).toBe(BigInt(node.peerId));
    expect(hex(mac1Key(identity.publicKeyBytes, psk))).toBe(node.mac1Key);
  });
});

test('the handshake, byte for byte', () => {
  const [a, b] = [vectors.initiator, vectors.responder].map((node) =>
    partyOf(unhex(node.seed), [psk], vectors.cluster),
  );
  if (a === undefined || b === undefined) throw new Error('two nodes');
  expect(hex(prologuesOf(vectors.cluster)[1])).toBe(vectors.prologue);
  const initiation = initiationOf(a, b, {
    senderId: BigInt(handshake.initiatorId ?? ''),
    timestampNs: BigInt(handshake.timestampNs ?? ''),
    ephemeral: keyPairOf(unhex(handshake.initiatorEphemeral)),
  });
  expect(hex(initiation.datagram)).toBe(handshake.initiation);
  expect(hex(initiation.state.symmetric.hash)).toBe(handshake.hashAfterInitiation);
  expect(hex(initiation.state.symmetric.chainingKey)).toBe(handshake.chainingKeyAfterInitiation);

  const called = authenticInitiation(b, initiation.datagram);
  expect(called.message.senderId).toBe(BigInt(handshake.initiatorId ?? ''));
  const read = must(opened(b, called));
  expect(hex(read.caller.remoteStatic)).toBe(vectors.initiator.x25519Public);
  expect(read.timestampNs).toBe(BigInt(handshake.timestampNs ?? ''));

  const response = must(
    createResponse(a.remote, read.state, {
      psk: called.psk,
      senderId: BigInt(handshake.responderId ?? ''),
      receiverId: called.message.senderId,
      ephemeral: keyPairOf(unhex(handshake.responderEphemeral)),
      encapsulate,
    }),
  );
  expect(hex(response.datagram)).toBe(handshake.response);
  const answer = authenticResponse(a, response.datagram);
  const keys = readResponse(initiation.psk, initiation.state, answer.message);
  expect(hex(keys?.sendKey)).toBe(handshake.initiatorToResponderKey);
  expect(hex(keys?.receiveKey)).toBe(handshake.responderToInitiatorKey);
  expect(hex(response.keys.sendKey)).toBe(handshake.responderToInitiatorKey);
  expect(hex(response.keys.receiveKey)).toBe(handshake.initiatorToResponderKey);
});

test.each(vectors.data)('data datagram $counter by the $by', ({ by, counter, plaintext, datagram }) => {
  const bytes = Buffer.from(datagram, 'hex');
  const fromInitiator = by === 'initiator';
  const key = unhex(fromInitiator ? handshake.initiatorToResponderKey : handshake.responderToInitiatorKey);
  const header = bytes.subarray(0, 16);
  expect(header.readBigUInt64LE(0)).toBe(BigInt((fromInitiator ? handshake.responderId : handshake.initiatorId) ?? ''));
  expect(header.readBigUInt64LE(8)).toBe(BigInt(counter));
  const nonce = Buffer.concat([Buffer.alloc(4), header.subarray(8)]);
  const text = unhex(plaintext);

  const cipher = createCipheriv('chacha20-poly1305', key, nonce, { authTagLength: 16 });
  cipher.setAAD(header, { plaintextLength: text.length });
  const ciphertext = Buffer.concat([cipher.update(text), cipher.final()]);
  expect(hex(Buffer.concat([header, cipher.getAuthTag(), ciphertext]))).toBe(datagram);

  const decipher = createDecipheriv('chacha20-poly1305', key, nonce, { authTagLength: 16 });
  decipher.setAAD(header, { plaintextLength: text.length });
  decipher.setAuthTag(bytes.subarray(16, 32));
  expect(hex(Buffer.concat([decipher.update(bytes.subarray(32)), decipher.final()]))).toBe(plaintext);
});

test('the excerpt in docs/protocol.md is of these vectors', () => {
  const page = readFileSync(new URL('../../../docs/protocol.md', import.meta.url), 'utf8');
  const [, section = ''] = page.split(/^## \d+\. Vectors$/m);
  const excerpt = JSON.parse(/```json\n([^`]*)```/.exec(section)?.[1] ?? 'null') as Readonly<Record<string, string>>;
  const { initiator, cluster, prologue } = vectors;
  const own = Object.entries(initiator).map(([name, value]) => [`initiator.${name}`, value]);
  expect({ cluster, psk: vectors.psk, prologue, ...Object.fromEntries(own) }).toMatchObject(excerpt);
  expect(Object.keys(excerpt).length).toBeGreaterThan(8);
});
