import { createCipheriv, createDecipheriv } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { keyPairOf } from '../../../src/session/dh.ts';
import { encapsulateWith, KEM_KEY_LEN, KEM_TEXT_LEN, kemKeyPairOf } from '../../../src/session/kem.ts';

/** What handshakes are made of, against vectors of Project Wycheproof, and against keys and ciphertexts that are none. */

interface Suite<T> {
  readonly tests: readonly (T & { readonly tcId: number; readonly comment: string; readonly result: string })[];
}
function read<T>(name: string): Suite<T>['tests'] {
  const text = readFileSync(new URL(`../../vectors/wycheproof/${name}.json`, import.meta.url), 'utf8');
  return (JSON.parse(text) as Suite<T>).tests;
}

const unhex = (text: string) => Uint8Array.from(Buffer.from(text, 'hex'));
const hex = (bytes: Uint8Array | undefined) => bytes && Buffer.from(bytes).toString('hex');

describe('X25519', () => {
  const tests = read<{ public: string; private: string; shared: string; zero: boolean }>('x25519');

  test('agreement, and none with a key of low order', () => {
    let refused = 0;
    for (const { tcId, zero, shared, ...keys } of tests) {
      const secret = keyPairOf(unhex(keys.private)).agree(unhex(keys.public));
      if (secret === undefined) refused++;
      expect({ tcId, secret: hex(secret) }).toEqual({ tcId, secret: zero ? undefined : shared });
    }
    expect([tests.length, refused]).toEqual([518, 31]);
  });
});

describe('ChaCha20-Poly1305', () => {
  type Vector = { key: string; iv: string; aad: string; msg: string; ct: string; tag: string };
  const tests = read<Vector>('chacha20-poly1305').filter(({ iv }) => iv.length === 24);

  test('sealed and opened by the library that handshakes use; no forgery is', () => {
    let forged = 0;
    for (const { tcId, key, iv, aad, msg, ct, tag, result } of tests) {
      const decipher = createDecipheriv('chacha20-poly1305', unhex(key), unhex(iv), { authTagLength: 16 });
      decipher.setAAD(unhex(aad), { plaintextLength: ct.length / 2 });
      decipher.setAuthTag(unhex(tag));
      const text = decipher.update(unhex(ct));
      if (result === 'invalid') {
        forged++;
        expect(() => decipher.final(), `test ${tcId}`).toThrow();
        continue;
      }
      decipher.final();
      expect({ tcId, msg: hex(text) }).toEqual({ tcId, msg });
      const cipher = createCipheriv('chacha20-poly1305', unhex(key), unhex(iv), { authTagLength: 16 });
      cipher.setAAD(unhex(aad), { plaintextLength: msg.length / 2 });
      const sealed = Buffer.concat([cipher.update(unhex(msg)), cipher.final()]);
      expect({ tcId, ct: hex(sealed), tag: hex(cipher.getAuthTag()) }).toEqual({ tcId, ct, tag });
    }
    expect([tests.length, forged]).toEqual([293, 60]);
  });
});

describe('ML-KEM-768', () => {
  test('nothing is encapsulated to what is no key (FIPS 203, section 7.2)', () => {
    const { publicKey } = kemKeyPairOf(new Uint8Array(64).fill(3));
    const sealedTo = (key: Uint8Array) => encapsulateWith(key, new Uint8Array(32).fill(4));
    expect(sealedTo(publicKey)).toBeDefined();
    expect(sealedTo(publicKey.subarray(1))).toBeUndefined();
    // Coefficients are twelve bits each and below q = 3,329: the first one is 3,329, the last one 4,095.
    const [first, last] = [Uint8Array.from(publicKey), Uint8Array.from(publicKey)];
    first.set([3_329 & 0xff, ((first[1] ?? 0) & 0xf0) | (3_329 >> 8)], 0);
    last.set([(last[1_150] ?? 0) | 0xf0, 0xff], 1_150);
    expect([sealedTo(first), sealedTo(last)]).toEqual([undefined, undefined]);
  });

  test('a ciphertext of another length is none', () => {
    const pair = kemKeyPairOf(new Uint8Array(64).fill(3));
    expect(() => pair.decapsulate(new Uint8Array(KEM_TEXT_LEN - 1))).toThrow();
  });

  test('what is wiped decapsulates nothing', () => {
    const pair = kemKeyPairOf(new Uint8Array(64).fill(1));
    const made = encapsulateWith(pair.publicKey, new Uint8Array(32).fill(2));
    expect(pair.publicKey).toHaveLength(KEM_KEY_LEN);
    expect(made?.ciphertext).toHaveLength(KEM_TEXT_LEN);
    expect(hex(pair.decapsulate(made?.ciphertext ?? new Uint8Array()))).toBe(hex(made?.secret));
    pair.wipe();
    pair.wipe();
    expect(() => pair.decapsulate(made?.ciphertext ?? new Uint8Array())).toThrow(TypeError);
  });
});
