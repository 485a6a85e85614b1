import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { decodeSecret, encodeSecret, trimmed } from '../../../src/session/base64.ts';
import { generateKeyPair } from '../../../src/session/dh.ts';
import { encapsulate, generateKemKeyPair } from '../../../src/session/kem.ts';
import { readCaller, readMessage2, readPayload, writeMessage1, writeMessage2 } from '../../../src/session/noise.ts';
import { mixKey, wipe } from '../../../src/session/symmetric.ts';

const ascii = (text: string) => Uint8Array.from(Buffer.from(text, 'latin1'));
const text = (bytes: Uint8Array) => Buffer.from(bytes).toString('latin1');

describe('base64 from bytes to bytes', () => {
  test('is what Buffer makes of any bytes, and leads back to them', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 100 }), (secret) => {
        const encoded = encodeSecret(secret);
        expect(text(encoded)).toBe(Buffer.from(secret).toString('base64'));
        expect(decodeSecret(encoded)).toEqual(secret);
      }),
    );
  });

  test('takes of any text the canonical ones alone', () => {
    const nearly = fc.uint8Array({ maxLength: 12 }).chain((bytes) => {
      const canonical = Buffer.from(bytes).toString('base64');
      return fc.tuple(
        fc.constant(canonical),
        fc.nat(canonical.length),
        fc.constantFrom('A', 'B', '=', '/', '-', ' ', '\n', '\u00e9'),
      );
    });
    fc.assert(
      fc.property(nearly, ([canonical, at, character]) => {
        for (const changed of [
          canonical.slice(0, at) + character + canonical.slice(at + 1),
          canonical.slice(0, at) + character + canonical.slice(at),
          canonical.slice(0, at) + canonical.slice(at + 1),
        ]) {
          const bytes = Buffer.from(changed, 'base64');
          const expected = bytes.toString('base64') === changed ? Uint8Array.from(bytes) : undefined;
          expect(decodeSecret(ascii(changed))).toEqual(expected);
        }
      }),
      { numRuns: 2_000 },
    );
  });

  test.each([
    ['', ''],
    [' \t\r\n', ''],
    ['\n a b\n', 'a b'],
  ])('white space around %j goes', (given, rest) => {
    expect(text(trimmed(ascii(given)))).toBe(rest);
  });
});

describe('what a handshake knew', () => {
  const [initiator, responder] = [generateKeyPair(), generateKeyPair()];
  const NOTHING = new Uint8Array(0);
  const psk = new Uint8Array(32).fill(7);

  function firstHalf(hybrid: boolean) {
    const ephemeral = generateKeyPair();
    const kem = hybrid ? { kem: generateKemKeyPair() } : {};
    const common = { prologue: NOTHING, bound: NOTHING };
    const one = writeMessage1({
      ...common,
      ...kem,
      local: initiator,
      ephemeral,
      remoteStatic: responder.publicKey,
      payload: ascii('12345678'),
    });
    const caller = one && readCaller({ ...common, hybrid, local: responder, message: one.message });
    const read = caller && readPayload(caller, responder);
    if (one === undefined || caller === undefined || read === undefined) throw new Error('keys of full order');
    return { one, caller, read };
  }

  test.each([false, true])(
    'is there until its owner wipes it, also after a message that failed; hybrid: %s',
    (hybrid) => {
      const { one, caller, read } = firstHalf(hybrid);
      const two = writeMessage2({
        state: read.state,
        ephemeral: generateKeyPair(),
        encapsulate,
        psk,
        bound: NOTHING,
        payload: NOTHING,
      });
      if (two === undefined) throw new Error('keys of full order');
      const answer = { state: one.state, psk, bound: NOTHING, message: two.message };
      expect(readMessage2({ ...answer, psk: new Uint8Array(32) })).toBeUndefined();
      const end = readMessage2(answer);
      expect(end?.keys.receiveKey).toEqual(two.keys.sendKey);
      for (const { symmetric } of [one.state, caller, read.state]) {
        expect(symmetric.chainingKey.some((byte) => byte !== 0)).toBe(true);
        wipe(symmetric);
        for (const secret of [symmetric.chainingKey, symmetric.key])
          expect(secret?.every((byte) => byte === 0)).toBe(true);
      }
      expect(readMessage2(answer)).toBeUndefined();
    },
  );

  test('is overwritten by the step that uses it up', () => {
    const { one } = firstHalf(false);
    const { symmetric } = one.state;
    const after = mixKey(symmetric, psk);
    expect([symmetric.chainingKey, symmetric.key].map((secret) => secret?.some((byte) => byte !== 0))).toEqual([
      false,
      false,
    ]);
    expect(after.chainingKey.some((byte) => byte !== 0)).toBe(true);
  });
});
