import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import {
  decodeMessage,
  ECHO_MIN_BYTES,
  encodeMessage,
  fitsNotice,
  type Message,
} from '../../../src/agent/peers/codec.ts';

interface Vector {
  readonly bytes: string;
  readonly nonce?: string;
  readonly size?: number;
  readonly revision?: string;
}
const vectors = JSON.parse(readFileSync(new URL('../../vectors/messages.json', import.meta.url), 'utf8')) as Readonly<
  Record<Message['type'], Vector>
>;

function messageOf(type: Message['type'], { nonce = '0', size = 0, revision = '' }: Vector): Message {
  return type === 'notice' ? { type, revision } : { type, nonce: BigInt(nonce), size };
}

const known = Object.entries(vectors) as [Message['type'], Vector][];
const bytesOf = (hex: string) => Uint8Array.from(Buffer.from(hex, 'hex'));

test.each(known)('%s is written and read as the protocol page shows', (type, vector) => {
  const message = messageOf(type, vector);
  expect(Buffer.from(encodeMessage(message)).toString('hex')).toBe(vector.bytes);
  expect(decodeMessage(bytesOf(vector.bytes))).toEqual(message);
});

test('the excerpt in docs/protocol.md is of these vectors', () => {
  const page = readFileSync(new URL('../../../docs/protocol.md', import.meta.url), 'utf8');
  const [, section = ''] = /^## 10\. Messages between agents\n(.*?)^## /ms.exec(page) ?? [];
  const [, excerpt = ''] = /```json\n(.*?)```/s.exec(section) ?? [];
  expect(JSON.parse(excerpt)).toEqual({ 'echo-request': vectors['echo-request'], notice: vectors.notice });
});

test.each(known)('%s of which anything is missing is none', (_type, { bytes }) => {
  const whole = bytesOf(bytes);
  const least = bytes.startsWith('0103') ? whole.length : ECHO_MIN_BYTES;
  for (let length = 0; length < least; length++) expect(decodeMessage(whole.subarray(0, length))).toBeUndefined();
});

test.each(known)('%s of another version, type, or with a reserved bit set is none', (_type, { bytes }) => {
  for (const [index, value] of [
    [0, 0],
    [0, 2],
    [1, 0],
    [1, 4],
    ...[2, 3, 4, 5, 6, 7].map((reserved) => [reserved, 1] as const),
  ] as const) {
    const changed = bytesOf(bytes);
    changed[index] = value;
    expect(decodeMessage(changed), `byte ${index} = ${value}`).toBeUndefined();
  }
});

describe('an echo', () => {
  test('fills the frame, whatever its padding', () => {
    const echo: Message = { type: 'echo-request', nonce: 2n ** 64n - 1n, size: 1400 };
    const bytes = encodeMessage(echo);
    expect(bytes).toHaveLength(1400);
    expect(decodeMessage(bytes.fill(7, ECHO_MIN_BYTES))).toEqual(echo);
  });

  test('is never shorter than its nonce', () => {
    expect(() => encodeMessage({ type: 'echo-request', nonce: 1n, size: ECHO_MIN_BYTES - 1 })).toThrow(RangeError);
  });

  test('is read where it lies in a larger buffer', () => {
    const bytes = encodeMessage({ type: 'echo-reply', nonce: 77n, size: 64 });
    const within = Buffer.concat([Buffer.alloc(5, 1), bytes]).subarray(5);
    expect(decodeMessage(within)).toEqual({ type: 'echo-reply', nonce: 77n, size: 64 });
  });
});

describe('a notice', () => {
  test.each([`sha256:${'a'.repeat(64)}`, '0'.repeat(40), 'f'.repeat(64), 'z'.repeat(128)])('names %s', (revision) => {
    expect(decodeMessage(encodeMessage({ type: 'notice', revision }))).toEqual({ type: 'notice', revision });
  });

  test.each(['', 'z'.repeat(129), 'Main', 'a b', 'ü', '../x', 'a\n'])('cannot name %j', (revision) => {
    expect(fitsNotice(revision)).toBe(false);
    expect(() => encodeMessage({ type: 'notice', revision })).toThrow(RangeError);
    const text = Buffer.from(revision, 'latin1');
    const forged = Buffer.concat([Buffer.from('0103000000000000', 'hex'), Buffer.of(text.length), text]);
    expect(decodeMessage(forged)).toBeUndefined();
  });
});
