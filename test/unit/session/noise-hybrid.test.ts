import { x25519 } from '@noble/curves/ed25519.js';
import { MlKem768 } from 'mlkem';
import { describe, expect, test } from 'vitest';
import { keyPairOf } from '../../../src/session/dh.ts';
import { type Encapsulate, encapsulate, encapsulateWith, kemKeyPairOf } from '../../../src/session/kem.ts';
import { readCaller, readMessage2, readPayload, writeMessage1, writeMessage2 } from '../../../src/session/noise.ts';
import { must } from './support/party.ts';
import { ReferenceHandshake } from './support/reference.ts';
import { hex, unhex } from './support/vectors.ts';

/** IKhfs+psk2: X25519 and ML-KEM-768. The whole datagrams are in vectors.test.ts. */

const fill = (value: number, length = 32) => new Uint8Array(length).fill(value);
const empty = new Uint8Array(0);
const [prologue, psk] = [fill(1, 7), fill(2)];
const [initiator, responder] = [keyPairOf(fill(3)), keyPairOf(fill(4))];
const [callerEphemeral, calledEphemeral] = [keyPairOf(fill(5)), keyPairOf(fill(6))];
const kem = kemKeyPairOf(fill(7, 64));
const bound = { first: unhex('0102030405'), second: unhex('060708') };

function first() {
  return must(
    writeMessage1({
      prologue,
      local: initiator,
      ephemeral: callerEphemeral,
      kem,
      remoteStatic: responder.publicKey,
      bound: bound.first,
      payload: fill(8, 8),
    }),
  );
}

function read(message: Uint8Array, header = bound.first, hybrid = true) {
  const caller = readCaller({ hybrid, prologue, local: responder, bound: header, message });
  const payload = caller && readPayload(caller, responder);
  return caller && payload && { caller, ...payload };
}

function second(encapsulates: Encapsulate = encapsulate, remoteKem?: Uint8Array) {
  const { state } = must(read(first().message));
  return writeMessage2({
    state: remoteKem === undefined ? state : { ...state, remoteKem },
    ephemeral: calledEphemeral,
    encapsulate: encapsulates,
    psk,
    bound: bound.second,
    payload: empty,
  });
}

function answer(message: Uint8Array, header = bound.second, key: Uint8Array = psk) {
  return readMessage2({ state: first().state, psk: key, bound: header, message });
}

describe('an independent implementation', () => {
  test('agrees on every hash and chaining key, in both roles, with bound headers', async () => {
    const common = { hybrid: true, prologue, psk };
    const caller = new ReferenceHandshake({
      ...common,
      initiator: true,
      s: fill(3),
      e: fill(5),
      rs: x25519.getPublicKey(fill(4)),
    });
    const called = new ReferenceHandshake({ ...common, initiator: false, s: fill(4), e: fill(6) });
    const other = new MlKem768();
    const [e1, decapsulationKey] = await other.deriveKeyPair(fill(7, 64));
    for (const side of [caller, called]) side.mixHash('bound', bound.first);

    const one = first();
    expect(hex(one.message)).toBe(hex(caller.writeMessage1(fill(8, 8), e1)));
    expect(one.message).toHaveLength(32 + 1200 + 48 + 8 + 16);
    expect(hex(one.state.symmetric.hash)).toBe(caller.trace.at(-1)?.h);
    expect(hex(one.state.symmetric.chainingKey)).toBe(caller.trace.at(-1)?.ck);
    const opened = must(read(one.message));
    expect(hex(called.readMessage1(one.message))).toBe(hex(opened.payload));
    const atStatic = must(called.trace.find(({ step }) => step === 's'));
    expect([opened.caller.symmetric.hash, opened.caller.symmetric.chainingKey].map(hex)).toEqual([
      atStatic.h,
      atStatic.ck,
    ]);
    expect(hex(must(opened.state.remoteKem))).toBe(hex(must(called.re1)));

    for (const side of [caller, called]) side.mixHash('bound', bound.second);
    const [ciphertext, secret] = await other.encap(must(called.re1), fill(9));
    const two = must(second((key) => encapsulateWith(key, fill(9))));
    expect(hex(two.message)).toBe(hex(called.writeMessage2(empty, { ciphertext, secret })));
    expect(two.message).toHaveLength(32 + 1104 + 16);
    const ours = await other.decap(ciphertext, decapsulationKey);
    caller.readMessage2(two.message, () => ours);
    const done = must(answer(two.message));
    for (const [side, mine] of [
      [caller, done],
      [called, two],
    ] as const) {
      expect(hex(mine.symmetric.hash)).toBe(side.trace.at(-1)?.h);
      expect(hex(mine.symmetric.chainingKey)).toBe(side.trace.at(-1)?.ck);
      expect(hex(mine.keys.sendKey)).toBe(hex(side.split().sendKey));
      expect(hex(mine.keys.receiveKey)).toBe(hex(side.split().receiveKey));
    }
  });

  test('ML-KEM-768 of another author makes and opens the same', async () => {
    const other = new MlKem768();
    for (let round = 0; round < 10; round++) {
      const seed = crypto.getRandomValues(new Uint8Array(64));
      const mine = kemKeyPairOf(seed);
      const [publicKey, privateKey] = await other.deriveKeyPair(seed);
      expect(hex(publicKey)).toBe(hex(mine.publicKey));
      const made = must(encapsulate(publicKey));
      expect(hex(await other.decap(Uint8Array.from(made.ciphertext), privateKey))).toBe(hex(made.secret));
      const [ciphertext, secret] = await other.encap(Uint8Array.from(mine.publicKey));
      expect(hex(mine.decapsulate(ciphertext))).toBe(hex(secret));
      const changed = Uint8Array.from(ciphertext);
      changed[round] = (changed[round] ?? 0) ^ 1;
      expect(hex(mine.decapsulate(changed))).toBe(hex(await other.decap(changed, privateKey)));
    }
  });
});

describe('refusals', () => {
  test('every bit of message 1 and of what is bound to it counts', () => {
    const { message } = first();
    expect(read(message)).toBeDefined();
    for (let bit = 0; bit < message.length * 8; bit += 53) expect(read(flip(message, bit))).toBeUndefined();
    for (let bit = 0; bit < bound.first.length * 8; bit++) {
      expect(read(message, flip(bound.first, bit))).toBeUndefined();
    }
  });

  test('every bit of message 2, of what is bound to it, and of the psk counts', () => {
    const { message } = must(second());
    expect(answer(message)).toBeDefined();
    for (let bit = 0; bit < message.length * 8; bit += 101) expect(answer(flip(message, bit))).toBeUndefined();
    for (let bit = 0; bit < bound.second.length * 8; bit++) {
      expect(answer(message, flip(bound.second, bit))).toBeUndefined();
    }
    for (let bit = 0; bit < 256; bit += 51) expect(answer(message, bound.second, flip(psk, bit))).toBeUndefined();
  });

  test('truncated messages, and those of the other version', () => {
    const one = first().message;
    const two = must(second()).message;
    for (const length of [0, 31, 32, 48, 1231, 1232, 1280, 1295, one.length - 1]) {
      expect(read(one.subarray(0, length))).toBeUndefined();
    }
    for (const length of [0, 31, 32, 48, 1136, two.length - 1]) expect(answer(two.subarray(0, length))).toBeUndefined();
    expect(read(one, bound.first, false)).toBeUndefined();
    expect(read(Buffer.concat([one.subarray(0, 32), one.subarray(1232)]), bound.first, false)).toBeUndefined();
  });

  test('an encapsulation key that is none', () => {
    expect(second(encapsulate, fill(255, 1184))).toBeUndefined();
    expect(second(encapsulate, fill(0, 1183))).toBeUndefined();
  });

  test('a ciphertext for somebody else', () => {
    const stranger = kemKeyPairOf(fill(99, 64));
    const { message } = must(second(() => encapsulate(stranger.publicKey)));
    expect(answer(message)).toBeUndefined();
  });

  test('a session that both ends know is not known without the KEM’s secret', () => {
    const [one, two] = [1, 2].map((value) => must(second((key) => encapsulateWith(key, fill(value)))));
    expect(hex(must(one).keys.sendKey)).not.toBe(hex(must(two).keys.sendKey));
    expect(hex(must(one).keys.receiveKey)).not.toBe(hex(must(two).keys.receiveKey));
  });
});

test('secrets of Diffie-Hellman and of the KEM are overwritten once they are mixed in', () => {
  const secrets: Uint8Array[] = [];
  const watched = {
    publicKey: calledEphemeral.publicKey,
    agree: (remote: Uint8Array) => {
      const secret = calledEphemeral.agree(remote);
      if (secret !== undefined) secrets.push(secret);
      return secret;
    },
  };
  const made = must(
    writeMessage2({
      state: must(read(first().message)).state,
      ephemeral: watched,
      encapsulate: (publicKey) => {
        const result = encapsulate(publicKey);
        if (result !== undefined) secrets.push(result.secret);
        return result;
      },
      psk,
      bound: bound.second,
      payload: empty,
    }),
  );
  expect(answer(made.message)).toBeDefined();
  expect(secrets).toHaveLength(3);
  expect(secrets.every((secret) => secret.every((byte) => byte === 0))).toBe(true);
});

function flip(bytes: Uint8Array, bit: number): Uint8Array {
  const flipped = Uint8Array.from(bytes);
  flipped[bit >> 3] = (flipped[bit >> 3] ?? 0) ^ (1 << (bit & 7));
  return flipped;
}
