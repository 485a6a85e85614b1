import { blake2s } from '@noble/hashes/blake2.js';
import { hmac } from '@noble/hashes/hmac.js';
import { describe, expect, test } from 'vitest';
import {
  COOKIE_REPLY_LEN,
  cookieHeader,
  decodeHandshake,
  HYBRID_INITIATION_LEN,
  HYBRID_RESPONSE_LEN,
  INITIATION_LEN,
  initiationHeader,
  macsOf,
  RESPONSE_LEN,
  responseHeader,
  Version,
  withoutMacs,
} from '../../../src/session/codec.ts';
import {
  blake2s as blake2sOf,
  equalBytes,
  hkdf2,
  hkdf3,
  hmacBlake2s,
  mac1Key,
  macBlake2s,
} from '../../../src/session/hash.ts';
import { SessionIds } from '../../../src/session/ids.ts';

const key = new Uint8Array(32).fill(3);
const noise1 = Uint8Array.from({ length: 104 }, (_, index) => index);
const noise2 = Uint8Array.from({ length: 48 }, (_, index) => 200 - index);
const { classic, hybrid } = Version;
const initiation = encode(initiationHeader(classic, 0x0102030405060708n), noise1);
const response = encode(responseHeader(classic, 0x1112131415161718n, 0x0102030405060708n), noise2);
const hybridInitiation = encode(initiationHeader(hybrid, 0x0102030405060708n), new Uint8Array(1304).fill(5));
const hybridResponse = encode(responseHeader(hybrid, 9n, 0x0102030405060708n), new Uint8Array(1152).fill(6));
const cookieReply = encode(cookieHeader(classic, 0x0102030405060708n), new Uint8Array(56).fill(7));

function encode(header: Uint8Array, body: Uint8Array): Uint8Array {
  const datagram = withoutMacs(header, body);
  const { covered, mac1 } = macsOf(datagram);
  mac1.set(macBlake2s(key, covered));
  return datagram;
}

describe('layout', () => {
  test('of an initiation', () => {
    expect(initiation).toHaveLength(INITIATION_LEN);
    expect(Buffer.from(initiation.subarray(0, 24)).toString('hex')).toBe(
      '0000000000000000' + '01' + '01' + '000000000000' + '0807060504030201',
    );
    expect(initiation.subarray(24, 128)).toEqual(Buffer.from(noise1));
    expect(Buffer.from(initiation.subarray(128, 144))).toEqual(
      Buffer.from(blake2s(initiation.subarray(0, 128), { key, dkLen: 16 })),
    );
    expect(initiation.subarray(144)).toEqual(Buffer.alloc(16));
  });

  test('of a response', () => {
    expect(response).toHaveLength(RESPONSE_LEN);
    expect(Buffer.from(response.subarray(0, 32)).toString('hex')).toBe(
      '0000000000000000' + '02' + '01' + '000000000000' + '1817161514131211' + '0807060504030201',
    );
    expect(response.subarray(32, 80)).toEqual(Buffer.from(noise2));
    expect(response.subarray(96)).toEqual(Buffer.alloc(16));
  });

  test('is read back', () => {
    expect(decodeHandshake(initiation)).toMatchObject({ type: 'initiation', senderId: 0x0102030405060708n });
    expect(decodeHandshake(response)).toMatchObject({
      type: 'response',
      senderId: 0x1112131415161718n,
      receiverId: 0x0102030405060708n,
    });
    const { covered, mac1 } = macsOf(response);
    expect(equalBytes(mac1, macBlake2s(key, covered))).toBe(true);
  });

  test('of hybrid messages: mac1 covers what it covers in a classic one, and stands at the end', () => {
    for (const [datagram, length, covers] of [
      [hybridInitiation, HYBRID_INITIATION_LEN, 128],
      [hybridResponse, HYBRID_RESPONSE_LEN, 80],
      [cookieReply, COOKIE_REPLY_LEN, 80],
    ] as const) {
      expect(datagram).toHaveLength(length);
      const { covered, mac1, mac2 } = macsOf(datagram);
      expect(covered).toEqual(datagram.subarray(0, covers));
      expect(mac1).toEqual(datagram.subarray(length - 32, length - 16));
      expect(mac2).toEqual(datagram.subarray(length - 16));
      expect(Buffer.from(mac1)).toEqual(Buffer.from(blake2s(datagram.subarray(0, covers), { key, dkLen: 16 })));
    }
    expect([HYBRID_INITIATION_LEN, HYBRID_RESPONSE_LEN, COOKIE_REPLY_LEN]).toEqual([1360, 1216, 112]);
    expect(decodeHandshake(hybridInitiation)).toMatchObject({ type: 'initiation', version: 2 });
    expect(decodeHandshake(hybridResponse)).toMatchObject({ type: 'response', version: 2, senderId: 9n });
  });

  test('of a cookie reply', () => {
    const bytes = Buffer.from(cookieReply);
    expect(bytes.subarray(0, 24).toString('hex')).toBe(
      '0000000000000000' + '03' + '01' + '000000000000' + '0807060504030201',
    );
    const read = decodeHandshake(cookieReply);
    expect(read).toMatchObject({ type: 'cookie', version: 1, receiverId: 0x0102030405060708n });
    expect(read).toHaveProperty('nonce', bytes.subarray(24, 48));
    expect(read).toHaveProperty('sealed', bytes.subarray(48, 80));
  });

  test('is read from a view at any offset', () => {
    const larger = Buffer.concat([Buffer.alloc(3), initiation, Buffer.alloc(5)]);
    expect(decodeHandshake(larger.subarray(3, 163))).toEqual(decodeHandshake(initiation));
  });
});

describe('strictness', () => {
  const changed = (datagram: Uint8Array, index: number, value: number) => {
    const bytes = Uint8Array.from(datagram);
    bytes[index] = value;
    return bytes;
  };

  test.each([
    ['initiation', initiation],
    ['response', response],
    ['hybrid initiation', hybridInitiation],
    ['hybrid response', hybridResponse],
    ['cookie reply', cookieReply],
  ])('every length but its own: %s', (_, datagram) => {
    for (let length = 0; length < 1500; length++) {
      const bytes = new Uint8Array(length);
      bytes.set(datagram.subarray(0, length));
      if (length === datagram.length) expect(decodeHandshake(bytes)).toBeDefined();
      else expect(decodeHandshake(bytes)).toBeUndefined();
    }
  });

  test.each([
    ...Array.from({ length: 8 }, (_, index) => ['a session id', index, 1] as const),
    ['type 0', 8, 0],
    ['type 2 with the length of 1', 8, 2],
    ['the type of a shorter one', 8, 3],
    ['a reserved type', 8, 4],
    ['type 255', 8, 255],
    ['version 0', 9, 0],
    ['version 2 with the length of 1', 9, 2],
    ['version 3', 9, 3],
    ...Array.from({ length: 6 }, (_, index) => ['a reserved byte', 10 + index, 1] as const),
  ] as const)('%s (byte %i = %i) is refused', (_, index, value) => {
    expect(decodeHandshake(changed(initiation, index, value))).toBeUndefined();
  });

  test('id 0', () => {
    expect(decodeHandshake(encode(initiationHeader(classic, 0n), noise1))).toBeUndefined();
    expect(decodeHandshake(encode(responseHeader(classic, 0n, 1n), noise2))).toBeUndefined();
    expect(decodeHandshake(encode(responseHeader(classic, 1n, 0n), noise2))).toBeUndefined();
    expect(decodeHandshake(encode(cookieHeader(hybrid, 0n), new Uint8Array(56)))).toBeUndefined();
  });

  test('mac2 is left to cookies', () => {
    expect(decodeHandshake(changed(initiation, 159, 1))).toBeDefined();
  });
});

describe('hashes', () => {
  test('BLAKE2s of "abc" (RFC 7693, appendix B)', () => {
    expect(Buffer.from(blake2sOf(Buffer.from('abc'))).toString('hex')).toBe(
      '508c5e8c327c14e2e1a72ba34eeb452f37458b209ed63a294d999b4c86675982',
    );
  });

  test('HMAC and HKDF agree with another library', () => {
    const input = Buffer.from('input');
    expect(Buffer.from(hmacBlake2s(key, input))).toEqual(Buffer.from(hmac(blake2s, key, input)));
    const temporary = hmac(blake2s, key, input);
    const first = hmac(blake2s, temporary, Uint8Array.of(1));
    const second = hmac(blake2s, temporary, Uint8Array.from([...first, 2]));
    const third = hmac(blake2s, temporary, Uint8Array.from([...second, 3]));
    expect(hkdf2(key, input).map((each) => Buffer.from(each))).toEqual(
      [first, second].map((each) => Buffer.from(each)),
    );
    expect(hkdf3(key, input).map((each) => Buffer.from(each))).toEqual(
      [first, second, third].map((each) => Buffer.from(each)),
    );
  });

  test('mac1 keys differ by recipient and by secret', () => {
    const [a, b] = [new Uint8Array(32).fill(1), new Uint8Array(32).fill(2)];
    const keys = [mac1Key(a, a), mac1Key(a, b), mac1Key(b, a), mac1Key(b, b)].map((each) =>
      Buffer.from(each).toString('hex'),
    );
    expect(new Set(keys).size).toBe(4);
  });

  test('comparison', () => {
    expect(equalBytes(Uint8Array.of(1, 2), Uint8Array.of(1, 2))).toBe(true);
    expect(equalBytes(Uint8Array.of(1, 2), Uint8Array.of(1, 3))).toBe(false);
    expect(equalBytes(Uint8Array.of(1, 2), Uint8Array.of(1))).toBe(false);
  });
});

describe('session ids', () => {
  test('never repeat, are never 0, and avoid those in use', () => {
    const ids = new SessionIds(new Uint8Array(32));
    const seen = new Set<bigint>();
    for (let round = 0; round < 1000; round++) seen.add(ids.next((id) => seen.has(id)));
    expect(seen.size).toBe(1000);
    expect(seen.has(0n)).toBe(false);
    const again = new SessionIds(new Uint8Array(32));
    const first = again.next(() => false);
    expect(seen.has(first)).toBe(true);
    expect(new SessionIds(new Uint8Array(32)).next((id) => id === first)).not.toBe(first);
  });

  test('differ between processes and use all 64 bits', () => {
    const own = Array.from({ length: 64 }, () => new SessionIds().next(() => false));
    expect(new Set(own).size).toBe(64);
    expect(own.reduce((bits, id) => bits | id, 0n)).toBe(2n ** 64n - 1n);
    expect(own.reduce((bits, id) => bits & id, 2n ** 64n - 1n)).toBe(0n);
  });
});
