import { execFileSync } from 'node:child_process';
import { createCipheriv, randomBytes } from 'node:crypto';
import { mkdtempSync, readFileSync, rmdirSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { poly1305 } from '@noble/ciphers/_poly1305.js';
import { blake2s } from '@noble/hashes/blake2.js';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type BpfMap, loadNative } from '../../src/dataplane/kernel/native.ts';
import { OUTER, OVERHEAD } from './frames.ts';

/** The ciphers and the hash inside BPF, by themselves: published vectors, then agreement with other implementations. */

interface Vectors {
  block: { section: string; key: string; nonce: string; counter: number; keystream: string }[];
  encryption: { section: string; key: string; nonce: string; counter: number; plaintext: string; ciphertext: string }[];
  mac: { section: string; key: string; message: string; tag: string }[];
  macKey: { section: string; key: string; nonce: string; macKey: string }[];
  aead: {
    section: string;
    key: string;
    nonce: string;
    aad: string;
    plaintext: string;
    ciphertext: string;
    tag: string;
  }[];
}

const vectors = JSON.parse(readFileSync(new URL('../vectors/rfc8439.json', import.meta.url), 'utf8')) as Vectors;
const native = loadNative();
const PROGRAMS = ['chacha20', 'poly1305', 'blake2s', 'seal', 'open'] as const;
const FORGED = 1;
const hex = (text: string) => Buffer.from(text, 'hex');
let folder: string;
let input: BpfMap;

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'omni-test-primitives-'));
  native.mountBpffs({ path: folder });
  await native.loadObject({
    object: fileURLToPath(new URL('../../build/bpf/omni_selftest.bpf.o', import.meta.url)),
    pinMaps: folder,
    pinPrograms: Object.fromEntries(PROGRAMS.map((name) => [`selftest_${name}`, join(folder, name)])),
    rodata: {},
  });
  input = new native.BpfMap({ pin: join(folder, 'selftest_map') });
});

afterAll(() => {
  input?.close();
  execFileSync('umount', [folder]);
  rmdirSync(folder);
});

function run(program: (typeof PROGRAMS)[number], data: Uint8Array): { retval: number; data: Buffer } {
  return native.testRun({ pin: join(folder, program), data });
}

/** Constants, key, block counter, nonce: RFC 8439, section 2.3. */
function state(key: Uint8Array, counter: number, nonce: Uint8Array): Buffer {
  const count = Buffer.alloc(4);
  count.writeUInt32LE(counter);
  return Buffer.concat([Buffer.from('expand 32-byte k'), key, count, nonce]);
}

function setInput(cipher: Uint8Array, aadLength: number, partial: boolean): void {
  const tail = Buffer.alloc(8);
  tail.writeUInt32LE(aadLength);
  tail.writeUInt32LE(Number(partial), 4);
  input.update({ key: Buffer.alloc(4), value: Buffer.concat([cipher, tail]) });
}

function chacha20(key: Uint8Array, counter: number, nonce: Uint8Array, text: Uint8Array): Buffer {
  const out: Buffer[] = [];
  let next = state(key, counter, nonce);
  for (let at = 0; at < text.length; at += 64) {
    const block = Buffer.alloc(64);
    block.set(text.subarray(at, at + 64));
    const { retval, data } = run('chacha20', Buffer.concat([next, block]));
    expect(retval).toBe(0);
    next = data.subarray(0, 64);
    out.push(data.subarray(64));
  }
  return Buffer.concat(out).subarray(0, text.length);
}

function mac(key: Uint8Array, message: Uint8Array): Buffer {
  const partial = message.length % 16 !== 0;
  const padded = Buffer.alloc(Math.ceil(message.length / 16) * 16);
  padded.set(message);
  if (partial) padded[message.length] = 1;
  setInput(new Uint8Array(64), 0, partial);
  const { retval, data } = run('poly1305', Buffer.concat([key, padded, new Uint8Array(16)]));
  expect(retval).toBe(0);
  return data.subarray(-16);
}

describe('ChaCha20', () => {
  it.each(vectors.block)('RFC 8439 $section', ({ key, nonce, counter, keystream }) => {
    expect(chacha20(hex(key), counter, hex(nonce), new Uint8Array(64)).toString('hex')).toBe(keystream);
  });
  it.each(vectors.encryption)('RFC 8439 $section', ({ key, nonce, counter, plaintext, ciphertext }) => {
    expect(chacha20(hex(key), counter, hex(nonce), hex(plaintext)).toString('hex')).toBe(ciphertext);
  });
  it.each(vectors.macKey)('RFC 8439 $section: the key for Poly1305', ({ key, nonce, macKey }) => {
    expect(chacha20(hex(key), 0, hex(nonce), new Uint8Array(32)).toString('hex')).toBe(macKey);
  });
  it('agrees with OpenSSL on random blocks', () => {
    for (let i = 0; i < 300; i++) {
      const [key, iv, text] = [randomBytes(32), randomBytes(16), randomBytes(128)];
      iv[3] = 0; // the block counter does not wrap within the text
      const expected = createCipheriv('chacha20', key, iv).update(text);
      expect(chacha20(key, iv.readUInt32LE(), iv.subarray(4), text)).toEqual(expected);
    }
  });
});

describe('Poly1305', () => {
  it.each(vectors.mac)('RFC 8439 $section', ({ key, message, tag }) => {
    expect(mac(hex(key), hex(message)).toString('hex')).toBe(tag);
  });
  it('agrees with noble on random keys and lengths', () => {
    for (let i = 0; i < 300; i++) {
      const [key, message] = [randomBytes(32), randomBytes(1 + (i % 200))];
      expect(mac(key, message)).toEqual(Buffer.from(poly1305(message, key)));
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
      expect(mac(key, message)).toEqual(Buffer.from(poly1305(message, key)));
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
      const { retval, data } = run('blake2s', Buffer.concat([chain, count, block]));
      expect(retval).toBe(0);
      chain = data.subarray(0, 40);
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
  /** A packet of the shape that lib/aead.h works on. */
  function packet(aad: Uint8Array, tag: Uint8Array, text: Uint8Array): Buffer {
    const padded = Buffer.alloc(16);
    padded.set(aad);
    return Buffer.concat([Buffer.alloc(OUTER, 0xee), padded, tag, text]);
  }

  it.each(vectors.aead)('RFC 8439 $section: sealed', ({ key, nonce, aad, plaintext, ciphertext, tag }) => {
    setInput(state(hex(key), 0, hex(nonce)), hex(aad).length, false);
    const { retval, data } = run('seal', packet(hex(aad), new Uint8Array(16), hex(plaintext)));
    expect(retval).toBe(0);
    expect(data).toEqual(packet(hex(aad), hex(tag), hex(ciphertext)));
  });
  it.each(vectors.aead)('RFC 8439 $section: opened', ({ key, nonce, aad, plaintext, ciphertext, tag }) => {
    setInput(state(hex(key), 0, hex(nonce)), hex(aad).length, false);
    const { retval, data } = run('open', packet(hex(aad), hex(tag), hex(ciphertext)));
    expect(retval).toBe(0);
    expect(data.subarray(OVERHEAD).toString('hex')).toBe(plaintext);
  });
  it.each(vectors.aead)('RFC 8439 $section: forged, and left as it came', ({ key, nonce, aad, ciphertext, tag }) => {
    setInput(state(hex(key), 0, hex(nonce)), hex(aad).length, false);
    const forged = packet(hex(aad), hex(tag), hex(ciphertext));
    forged.writeUInt8(forged.readUInt8(OVERHEAD + 5) ^ 1, OVERHEAD + 5);
    const { retval, data } = run('open', forged);
    expect(retval).toBe(FORGED);
    expect(data).toEqual(forged);
  });
});
