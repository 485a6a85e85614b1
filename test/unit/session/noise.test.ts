import { readFileSync } from 'node:fs';
import { chacha20poly1305 } from '@noble/ciphers/chacha.js';
import { x25519 } from '@noble/curves/ed25519.js';
import { describe, expect, test } from 'vitest';
import { generateKeyPair, keyPairOf } from '../../../src/session/dh.ts';
import { encapsulate } from '../../../src/session/kem.ts';
import { readCaller, readMessage2, readPayload, writeMessage1, writeMessage2 } from '../../../src/session/noise.ts';
import { ReferenceHandshake } from './support/reference.ts';

interface Vector {
  readonly prologue: string;
  readonly initiatorStatic: string;
  readonly responderStatic: string;
  readonly initiatorEphemeral: string;
  readonly responderEphemeral: string;
  readonly psk: string;
  readonly messages: readonly { readonly payload: string; readonly ciphertext: string }[];
}

const { vectors } = JSON.parse(readFileSync(new URL('../../vectors/noise-ikpsk2.json', import.meta.url), 'utf8')) as {
  readonly vectors: readonly Vector[];
};

const unhex = (text: string) => Uint8Array.from(Buffer.from(text, 'hex'));
const hex = (bytes: Uint8Array | undefined) => Buffer.from(bytes ?? []).toString('hex');
const empty = new Uint8Array(0);

function must<T>(value: T | undefined): T {
  if (value === undefined) throw new Error('the handshake refused');
  return value;
}

/** A whole handshake by the code under test. */
function handshake(vector: Vector, bound = { first: empty, second: empty }) {
  const prologue = unhex(vector.prologue);
  const psk = unhex(vector.psk);
  const initiator = keyPairOf(unhex(vector.initiatorStatic));
  const responder = keyPairOf(unhex(vector.responderStatic));
  const [payload1, payload2] = vector.messages.map(({ payload }) => unhex(payload));
  const one = must(
    writeMessage1({
      prologue,
      local: initiator,
      ephemeral: keyPairOf(unhex(vector.initiatorEphemeral)),
      remoteStatic: responder.publicKey,
      bound: bound.first,
      payload: must(payload1),
    }),
  );
  const caller = must(
    readCaller({ hybrid: false, prologue, local: responder, bound: bound.first, message: one.message }),
  );
  const read = must(readPayload(caller, responder));
  const two = must(
    writeMessage2({
      state: read.state,
      ephemeral: keyPairOf(unhex(vector.responderEphemeral)),
      encapsulate,
      psk,
      bound: bound.second,
      payload: must(payload2),
    }),
  );
  const done = must(readMessage2({ state: one.state, psk, bound: bound.second, message: two.message }));
  return { initiator, one, caller, read, two, done };
}

describe('published vectors', () => {
  test('are all there', () => expect(vectors).toHaveLength(4));

  test.each(vectors)('messages and transport, prologue "$prologue"', (vector) => {
    const { initiator, one, caller, read, two, done } = handshake(vector);
    expect(hex(one.message)).toBe(vector.messages[0]?.ciphertext);
    expect(hex(caller.remoteStatic)).toBe(hex(initiator.publicKey));
    expect(hex(read.payload)).toBe(vector.messages[0]?.payload);
    expect(hex(two.message)).toBe(vector.messages[1]?.ciphertext);
    expect(hex(done.payload)).toBe(vector.messages[1]?.payload);
    expect(done.keys.sendKey).toEqual(two.keys.receiveKey);
    expect(done.keys.receiveKey).toEqual(two.keys.sendKey);
    const transport = [done.keys.sendKey, two.keys.sendKey].map((key, index) =>
      hex(
        chacha20poly1305(Uint8Array.from(key), new Uint8Array(12)).encrypt(
          unhex(must(vector.messages[index + 2]).payload),
        ),
      ),
    );
    expect(transport).toEqual(vector.messages.slice(2).map(({ ciphertext }) => ciphertext));
  });

  test.each(vectors)('the reference implementation agrees with them, prologue "$prologue"', (vector) => {
    const { initiator, responder } = references(vector);
    const payloads = vector.messages.map(({ payload }) => unhex(payload));
    expect(hex(initiator.writeMessage1(must(payloads[0])))).toBe(vector.messages[0]?.ciphertext);
    expect(hex(responder.readMessage1(unhex(must(vector.messages[0]).ciphertext)))).toBe(vector.messages[0]?.payload);
    expect(hex(responder.writeMessage2(must(payloads[1])))).toBe(vector.messages[1]?.ciphertext);
  });
});

function references(vector: Vector) {
  const common = { prologue: unhex(vector.prologue), psk: unhex(vector.psk) };
  const rs = x25519.getPublicKey(unhex(vector.responderStatic));
  return {
    initiator: new ReferenceHandshake({
      ...common,
      initiator: true,
      s: unhex(vector.initiatorStatic),
      e: unhex(vector.initiatorEphemeral),
      rs,
    }),
    responder: new ReferenceHandshake({
      ...common,
      initiator: false,
      s: unhex(vector.responderStatic),
      e: unhex(vector.responderEphemeral),
    }),
  };
}

describe('an independent implementation', () => {
  test('agrees on every hash and chaining key, in both roles, with bound headers', () => {
    const [vector] = vectors;
    const bound = { first: unhex('00112233'), second: unhex('445566778899') };
    const ours = handshake(must(vector), bound);
    const { initiator, responder } = references(must(vector));
    for (const side of [initiator, responder]) side.mixHash('bound 1', bound.first);
    const first = initiator.writeMessage1(unhex(must(must(vector).messages[0]).payload));
    const afterFirst = must(initiator.trace.at(-1));
    expect(hex(ours.one.message)).toBe(hex(first));
    expect(hex(ours.one.state.symmetric.hash)).toBe(afterFirst.h);
    expect(hex(ours.one.state.symmetric.chainingKey)).toBe(afterFirst.ck);
    responder.readMessage1(ours.one.message);
    const atStatic = must(responder.trace.find(({ step }) => step === 's'));
    expect(hex(ours.caller.symmetric.hash)).toBe(atStatic.h);
    expect(hex(ours.caller.symmetric.chainingKey)).toBe(atStatic.ck);
    expect(hex(ours.read.state.symmetric.hash)).toBe(responder.trace.at(-1)?.h);
    for (const side of [initiator, responder]) side.mixHash('bound 2', bound.second);
    const second = responder.writeMessage2(unhex(must(must(vector).messages[1]).payload));
    expect(hex(ours.two.message)).toBe(hex(second));
    initiator.readMessage2(ours.two.message);
    for (const [side, mine] of [[initiator, ours.done] as const, [responder, ours.two] as const]) {
      expect(hex(mine.symmetric.hash)).toBe(side.trace.at(-1)?.h);
      expect(hex(mine.symmetric.chainingKey)).toBe(side.trace.at(-1)?.ck);
      expect(hex(mine.keys.sendKey)).toBe(hex(side.split().sendKey));
      expect(hex(mine.keys.receiveKey)).toBe(hex(side.split().receiveKey));
    }
  });
});

describe('refusals', () => {
  const vector = must(vectors[3]);
  const responder = keyPairOf(unhex(vector.responderStatic));
  const prologue = unhex(vector.prologue);

  test('every bit of message 1 and of what is bound to it counts', () => {
    const bound = unhex('0102030405');
    const { one } = handshake(vector, { first: bound, second: empty });
    const reads = (message: Uint8Array, header: Uint8Array) => {
      const caller = readCaller({ hybrid: false, prologue, local: responder, bound: header, message });
      return caller && readPayload(caller, responder);
    };
    expect(reads(one.message, bound)).toBeDefined();
    for (let bit = 0; bit < one.message.length * 8; bit += 7)
      expect(reads(flip(one.message, bit), bound)).toBeUndefined();
    for (let bit = 0; bit < bound.length * 8; bit++) expect(reads(one.message, flip(bound, bit))).toBeUndefined();
  });

  test('every bit of message 2, of what is bound to it, and of the psk counts', () => {
    const bound = unhex('0102030405');
    const psk = unhex(vector.psk);
    const { one, two } = handshake(vector, { first: empty, second: bound });
    const reads = (message: Uint8Array, header: Uint8Array, key: Uint8Array) =>
      readMessage2({ state: one.state, psk: key, bound: header, message });
    expect(reads(two.message, bound, psk)).toBeDefined();
    for (let bit = 0; bit < two.message.length * 8; bit += 5) {
      expect(reads(flip(two.message, bit), bound, psk)).toBeUndefined();
    }
    for (let bit = 0; bit < bound.length * 8; bit++) expect(reads(two.message, flip(bound, bit), psk)).toBeUndefined();
    for (let bit = 0; bit < 256; bit += 11) expect(reads(two.message, bound, flip(psk, bit))).toBeUndefined();
  });

  test('truncated messages', () => {
    const { one, two } = handshake(vector);
    for (let length = 0; length < 96; length++) {
      const message = one.message.subarray(0, length);
      expect(readCaller({ hybrid: false, prologue, local: responder, bound: empty, message })).toBeUndefined();
    }
    for (let length = 0; length < 48; length++) {
      const message = two.message.subarray(0, length);
      expect(readMessage2({ state: one.state, psk: unhex(vector.psk), bound: empty, message })).toBeUndefined();
    }
  });

  test('points of low order, as ephemeral and as static key', () => {
    // Wycheproof's list of X25519 public keys whose shared secret is zero (RFC 7748, section 6.1).
    const lowOrder = [
      '0000000000000000000000000000000000000000000000000000000000000000',
      '0100000000000000000000000000000000000000000000000000000000000000',
      'e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800',
      '5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157',
      'ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f',
      'edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f',
      'eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f',
    ].map(unhex);
    for (const point of lowOrder) {
      expect(responder.agree(point)).toBeUndefined();
      const message = Buffer.concat([point, new Uint8Array(72)]);
      expect(readCaller({ hybrid: false, prologue, local: responder, bound: empty, message })).toBeUndefined();
      const local = generateKeyPair();
      const ephemeral = generateKeyPair();
      expect(
        writeMessage1({ prologue, local, ephemeral, remoteStatic: point, bound: empty, payload: empty }),
      ).toBeUndefined();
    }
  });
});

test('X25519 by OpenSSL is X25519 by noble', () => {
  for (let round = 0; round < 20; round++) {
    const mine = generateKeyPair();
    const privateKey = x25519.utils.randomSecretKey();
    const imported = keyPairOf(privateKey);
    expect(hex(imported.publicKey)).toBe(hex(x25519.getPublicKey(privateKey)));
    expect(hex(imported.agree(mine.publicKey))).toBe(hex(x25519.getSharedSecret(privateKey, mine.publicKey)));
    expect(hex(mine.agree(imported.publicKey))).toBe(hex(imported.agree(mine.publicKey)));
  }
});

function flip(bytes: Uint8Array, bit: number): Uint8Array {
  const flipped = Uint8Array.from(bytes);
  flipped[bit >> 3] = (flipped[bit >> 3] ?? 0) ^ (1 << (bit & 7));
  return flipped;
}
