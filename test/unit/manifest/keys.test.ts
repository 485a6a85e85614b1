import { generateKeyPairSync, randomBytes } from 'node:crypto';
import { ed25519 } from '@noble/curves/ed25519.js';
import { blake2s } from '@noble/hashes/blake2.js';
import { expect, test } from 'vitest';
import { OmniError } from '../../../src/errors.ts';
import { pointProblem } from '../../../src/manifest/curve.ts';
import {
  canonicalKey,
  fingerprint,
  holderOf,
  isCurvePoint,
  keyProblem,
  macOf,
  parsePublicKey,
  peerIdOf,
  publicKeyBytes,
} from '../../../src/manifest/keys.ts';
import type { PublicKey } from '../../../src/manifest/model.ts';

/** The key of RFC 8032, section 7.1, test 1. */
const rfc = Buffer.from('d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a', 'hex');
const key = parsePublicKey(rfc.toString('base64'));

function independent(domain: string): Uint8Array {
  return blake2s(Buffer.concat([Buffer.from(domain), rfc]));
}

/** Little-endian y coordinates, RFC 8032, 5.1.2. */
function point(hex: string): Uint8Array {
  return Buffer.from(hex.padEnd(64, '0'), 'hex');
}

const notPoints = {
  'x would have no square root (y = 2)': point('02'),
  'small order: the identity (y = 1)': point('01'),
  'small order: y = -1': Buffer.from(`ec${'ff'.repeat(30)}7f`, 'hex'),
  'small order: y = 0': point('00'),
  'small order 8': Buffer.from('26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05', 'hex'),
  'y not reduced (p + 1)': Buffer.from(`ee${'ff'.repeat(30)}7f`, 'hex'),
  'x = 0 with a sign': Buffer.from(`01${'00'.repeat(30)}80`, 'hex'),
};

test.each(Object.entries(notPoints))('no public key: %s', (_, bytes) => {
  expect(isCurvePoint(bytes)).toBe(false);
  expect(keyProblem(Buffer.from(bytes).toString('base64'))?.what).toBe('point');
});

test('keys that node makes are keys', () => {
  for (let at = 0; at < 20; at++) {
    const x = generateKeyPairSync('ed25519').publicKey.export({ format: 'jwk' }).x ?? '';
    const bytes = Buffer.from(x, 'base64url');
    expect(isCurvePoint(bytes)).toBe(true);
    expect(publicKeyBytes(parsePublicKey(bytes.toString('base64')))).toEqual(bytes);
  }
});

test.each([
  ['', '0 bytes'],
  ['AAAA', '3 bytes'],
  [rfc.toString('base64url'), 'base64url'],
  [rfc.toString('base64').replace('=', ''), 'padding'],
  [`${rfc.toString('base64')}=`, 'padding'],
  [`${rfc.toString('base64')}\n`, 'not base64'],
  [` ${rfc.toString('base64')}`, 'not base64'],
  [rfc.toString('base64').replace(/.=$/, 'p='), 'padding'],
])('parsePublicKey refuses %j: %s', (text, said) => {
  expect(keyProblem(text)?.problem).toContain(said);
  expect(() => parsePublicKey(text)).toThrow(OmniError);
});

test('the error of a text that may be a secret does not repeat it', () => {
  const secret = Buffer.alloc(32, 2).toString('base64');
  expect(keyProblem(secret)).toBeDefined();
  expect(() => parsePublicKey(secret)).toThrow(expect.objectContaining({ code: 'invalid-public-key' }));
  try {
    parsePublicKey(secret);
  } catch (error) {
    expect(JSON.stringify(error) + String(error)).not.toContain(secret.slice(0, 8));
  }
});

test('macOf is six bytes of BLAKE2s-256("omni mac" || key), locally administered and no group', () => {
  const digest = independent('omni mac');
  const octets = macOf(key)
    .split(':')
    .map((octet) => Number.parseInt(octet, 16));
  expect(octets.slice(1)).toEqual([...digest.subarray(1, 6)]);
  expect(octets[0]).toBe(((digest[0] ?? 0) & 0xfc) | 0x02);
  expect(macOf(key)).toMatch(/^[0-9a-f]{2}(:[0-9a-f]{2}){5}$/);
  expect(macOf(key)).toBe('3e:87:82:75:cd:8b');
});

test('peerIdOf is the little-endian u64 of BLAKE2s-256("omni peer id" || key)', () => {
  const digest = Buffer.from(independent('omni peer id'));
  expect(peerIdOf(key)).toBe(digest.readBigUInt64LE(0));
  expect(peerIdOf(key)).not.toBe(0n);
});

test('a fingerprint is the beginning of the key as it stands in the manifest', () => {
  expect(rfc.toString('base64').startsWith(fingerprint(key).slice(0, -1))).toBe(true);
  expect(fingerprint(key).length).toBeLessThan(16);
});

test('points are told from other numbers as an independent implementation tells them', () => {
  const agrees = (bytes: Uint8Array) => {
    let problem: string | undefined;
    try {
      problem = ed25519.Point.fromBytes(bytes).isSmallOrder() ? 'small order' : undefined;
    } catch {
      problem = 'no point';
    }
    expect(pointProblem(bytes), Buffer.from(bytes).toString('hex')).toBe(problem);
    return problem;
  };
  const seen = new Set(Array.from({ length: 400 }, () => agrees(randomBytes(32))));
  for (let at = 0; at < 100; at++) agrees(ed25519.getPublicKey(randomBytes(32)));
  // Every multiple of a point of order 8, in every encoding that differs in its sign bit; and what lies around p.
  const eighth = ed25519.Point.fromHex('26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05');
  for (let times = 0n; times < 8n; times++) {
    const bytes = (times === 0n ? ed25519.Point.ZERO : eighth.multiplyUnsafe(times)).toBytes();
    for (const sign of [0, 0x80]) {
      const other = Uint8Array.from(bytes);
      other[31] = ((other[31] ?? 0) & 0x7f) | sign;
      seen.add(agrees(other));
    }
  }
  for (let low = 0; low < 256; low++) {
    for (const top of [0x7f, 0xff]) agrees(Buffer.from([low, ...new Array(30).fill(0xff), top]));
    for (const top of [0x00, 0x80]) agrees(Buffer.from([low, ...new Array(30).fill(0), top]));
  }
  expect(seen).toEqual(new Set(['no point', 'small order', undefined]));
});

test('a key and its negative have one canonical form, and one X25519 key; a change of any other bit has another', () => {
  const negative = Buffer.from(rfc);
  negative[31] = (negative[31] ?? 0) ^ 0x80;
  const other = negative.toString('base64') as PublicKey;
  expect(isCurvePoint(negative)).toBe(true);
  expect(other).not.toBe(key);
  expect(canonicalKey(other)).toBe(canonicalKey(key));
  expect(ed25519.utils.toMontgomery(negative)).toEqual(ed25519.utils.toMontgomery(rfc));
  expect(Buffer.from(canonicalKey(key), 'base64')).toEqual(
    Buffer.from(rfc.map((byte, at) => (at === 31 ? byte & 0x7f : byte))),
  );
  for (let bit = 0; bit < 255; bit++) {
    const bytes = Buffer.from(rfc);
    bytes[bit >> 3] = (bytes[bit >> 3] ?? 0) ^ (1 << (bit & 7));
    expect(canonicalKey(bytes.toString('base64') as PublicKey)).not.toBe(canonicalKey(key));
  }
});

test('a Peer is found by its key and by the negative', () => {
  const negative = Buffer.from(rfc);
  negative[31] = (negative[31] ?? 0) ^ 0x80;
  const fleet = { peerByKey: new Map([[key, 'robot-1']]) };
  expect(holderOf(fleet, key)).toBe('robot-1');
  expect(holderOf(fleet, negative.toString('base64') as PublicKey)).toBe('robot-1');
  expect(holderOf(fleet, canonicalKey(key))).toBe('robot-1');
  expect(holderOf({ peerByKey: new Map() }, key)).toBeUndefined();
});
