import { createCipheriv, randomBytes } from 'node:crypto';
import { poly1305 } from '@noble/ciphers/_poly1305.js';
import { blake2s } from '@noble/hashes/blake2.js';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { OVERHEAD } from './frames.ts';
import { rfc8439, Selftest, sealedPacket } from './selftest.ts';

/** The ciphers and the hash inside BPF, by themselves: published vectors, then agreement with other implementations. */

const vectors = rfc8439();
const hex = (text: string) => Buffer.from(text, 'hex');
let selftest: Selftest;

beforeAll(async () => {
  selftest = await Selftest.load();
});
afterAll(() => selftest?.close());

describe('ChaCha20', () => {
  it.each(vectors.block)('RFC 8439 $section', ({ key, nonce, counter, keystream }) => {
    expect(selftest.chacha20(hex(key), counter, hex(nonce), new Uint8Array(64)).toString('hex')).toBe(keystream);
  });
  it.each(vectors.encryption)('RFC 8439 $section', ({ key, nonce, counter, plaintext, ciphertext }) => {
    expect(selftest.chacha20(hex(key), counter, hex(nonce), hex(plaintext)).toString('hex')).toBe(ciphertext);
  });
  it.each(vectors.macKey)('RFC 8439 $section: the key for Poly1305', ({ key, nonce, macKey }) => {
    expect(selftest.chacha20(hex(key), 0, hex(nonce), new Uint8Array(32)).toString('hex')).toBe(macKey);
  });
  it('agrees with OpenSSL on random blocks', () => {
    for (let i = 0; i < 300; i++) {
      const [key, iv, text] = [randomBytes(32), randomBytes(16), randomBytes(128)];
      iv[3] = 0; // the block counter does not wrap within the text
      const expected = createCipheriv('chacha20', key, iv).update(text);
      expect(selftest.chacha20(key, iv.readUInt32LE(), iv.subarray(4), text)).toEqual(expected);
    }
  });
});

describe('Poly1305', () => {
  it.each(vectors.mac)('RFC 8439 $section', ({ key, message, tag }) => {
    expect(selftest.poly1305(hex(key), hex(message)).toString('hex')).toBe(tag);
  });
  it('agrees with noble on random keys and lengths', () => {
    for (let i = 0; i < 300; i++) {
      const [key, message] = [randomBytes(32), randomBytes(1 + (i % 200))];
      expect(selftest.poly1305(key, message)).toEqual(Buffer.from(poly1305(message, key)));
    }
  });
  it('agrees with noble where limbs and carries are all ones or zeros', () => {
    const edges = ['00000000', 'ffffffff', 'fffffffb', '01000000', 'fcffff0f', 'feffffff'].map(hex);
    const pick = () =>
      Buffer.concat(
        Array.from({ length: 4 }, () => edges[Math.floor(Math.random() * edges.length)] ?? Buffer.alloc(4)),
      );
    for (let i = 0; i < 600; i++) {
      const key = Buffer.concat([pick(), pick()]);
      const message = Buffer.concat(Array.from({ length: 1 + (i % 9) }, pick));
      expect(selftest.poly1305(key, message)).toEqual(Buffer.from(poly1305(message, key)));
    }
  });
});

describe('BLAKE2s', () => {
  const IV = [0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19];

  /** The hash from its compression function, RFC 7693, section 3.3. */
  function hash(message: Uint8Array, digestLength: number, key: Uint8Array): string {
    let chain: Buffer = Buffer.alloc(40);
    for (const [i, word] of IV.entries()) chain.writeUInt32LE(word, 4 * i);
    chain.writeUInt32LE(((IV[0] ?? 0) ^ (0x01010000 | (key.length << 8) | digestLength)) >>> 0);
    const keyBlock = Buffer.alloc(key.length ? 64 : 0);
    keyBlock.set(key);
    const text = Buffer.concat([keyBlock, message]);
    for (let at = 0; at === 0 || at < text.length; at += 64) {
      const block = Buffer.alloc(64);
      block.set(text.subarray(at, at + 64));
      const count = Buffer.alloc(8);
      count.writeUInt32LE(Math.min(64, text.length - at));
      if (at + 64 >= text.length) chain.writeUInt32LE(0xffffffff, 36);
      chain = selftest.blake2s(chain, count, block);
    }
    return chain.subarray(0, digestLength).toString('hex');
  }

  it('RFC 7693 appendix B', () => {
    expect(hash(Buffer.from('abc'), 32, new Uint8Array(0))).toBe(
      '508c5e8c327c14e2e1a72ba34eeb452f37458b209ed63a294d999b4c86675982',
    );
  });
  it('agrees with noble, keyed, at the lengths around block borders', () => {
    for (const length of [0, 1, 63, 64, 65, 80, 127, 128, 129, 200]) {
      const [key, message] = [randomBytes(32), randomBytes(length)];
      expect(hash(message, 16, key)).toBe(Buffer.from(blake2s(message, { key, dkLen: 16 })).toString('hex'));
    }
  });
});

describe('ChaCha20-Poly1305', () => {
  const sealing = (one: { key: string; nonce: string; aad: string }) => ({
    key: hex(one.key),
    nonce: hex(one.nonce),
    aad: hex(one.aad),
  });

  it.each(vectors.aead)('RFC 8439 $section: sealed', (vector) => {
    const { aad, plaintext, ciphertext, tag } = vector;
    expect(selftest.seal(sealing(vector), hex(plaintext))).toEqual(sealedPacket(hex(aad), hex(tag), hex(ciphertext)));
  });
  it.each(vectors.aead)('RFC 8439 $section: opened', (vector) => {
    const { aad, plaintext, ciphertext, tag } = vector;
    const { forged, packet } = selftest.open(sealing(vector), sealedPacket(hex(aad), hex(tag), hex(ciphertext)));
    expect(forged).toBe(false);
    expect(packet.subarray(OVERHEAD).toString('hex')).toBe(plaintext);
  });
  it.each(vectors.aead)('RFC 8439 $section: forged, and left as it came', (vector) => {
    const { aad, ciphertext, tag } = vector;
    const sent = sealedPacket(hex(aad), hex(tag), hex(ciphertext));
    sent.writeUInt8(sent.readUInt8(OVERHEAD + 5) ^ 1, OVERHEAD + 5);
    const { forged, packet } = selftest.open(sealing(vector), sent);
    expect(forged).toBe(true);
    expect(packet).toEqual(sent);
  });
});
