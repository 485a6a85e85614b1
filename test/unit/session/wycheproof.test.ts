import { createCipheriv, createDecipheriv } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { keyPairOf } from '../../../src/session/dh.ts';
import { encapsulateWith, KEM_KEY_LEN, KEM_TEXT_LEN, kemKeyPairOf } from '../../../src/session/kem.ts';

/** What handshakes are made of, against the vectors of Project Wycheproof, ill-formed ones above all. */

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
    expect([tests.length, forged]).toEqual([316, 60]);
  });
});

describe('ML-KEM-768', () => {
  const decapsulations = read<{ seed: string; ek: string; c: string; K: string }>('mlkem768-decapsulate');
  const encapsulations = read<{ m: string; ek: string; c: string; K: string }>('mlkem768-encapsulate');

  test.each(decapsulations)('key generation and decapsulation: test $tcId', ({ seed, ek, c, K, result }) => {
    const wellFormed = unhex(seed).length === 64 && unhex(c).length === KEM_TEXT_LEN;
    expect(wellFormed).toBe(result === 'valid');
    if (!wellFormed) {
      expect(() => kemKeyPairOf(unhex(seed)).decapsulate(unhex(c))).toThrow();
      return;
    }
    const pair = kemKeyPairOf(unhex(seed));
    expect(hex(pair.publicKey)).toBe(ek);
    expect(hex(pair.decapsulate(unhex(c)))).toBe(K);
  });

  test.each(encapsulations)('encapsulation, and none to what is no key: test $tcId', ({ m, ek, c, K, result }) => {
    const made = encapsulateWith(unhex(ek), unhex(m));
    expect(made && { c: hex(made.ciphertext), K: hex(made.secret) }).toEqual(result === 'valid' ? { c, K } : undefined);
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
