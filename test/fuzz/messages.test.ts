import fc from 'fast-check';
import { expect, test } from 'vitest';
import { decodeMessage, ECHO_MIN_BYTES, encodeMessage, type Message } from '../../src/agent/peers/codec.ts';

const header = fc
  .tuple(fc.nat(3), fc.nat(4), fc.boolean())
  .map(([version, type, clean]) => Uint8Array.of(version, type, 0, 0, 0, 0, 0, clean ? 0 : 1));

test('any bytes are a message or none, and nothing throws', () => {
  const bytes = fc.oneof(
    fc.uint8Array({ maxLength: 300 }),
    fc.tuple(header, fc.uint8Array({ maxLength: 300 })).map((parts) => Uint8Array.from(Buffer.concat(parts))),
  );
  let messages = 0;
  fc.assert(
    fc.property(bytes, (given) => {
      const copy = Uint8Array.from(given);
      const message = decodeMessage(given);
      expect(given).toEqual(copy);
      if (message === undefined) return;
      messages++;
      // What it says can be said again, and means the same.
      expect(decodeMessage(encodeMessage(message))).toEqual(message);
    }),
    { numRuns: 50_000 },
  );
  expect(messages).toBeGreaterThan(100);
});

test('every message survives its encoding', () => {
  const nonce = fc.bigInt({ min: 0n, max: 2n ** 64n - 1n });
  const size = fc.integer({ min: ECHO_MIN_BYTES, max: 3504 });
  const revision = fc.stringMatching(/^[0-9a-z][0-9a-z:.-]{0,127}$/);
  const message: fc.Arbitrary<Message> = fc.oneof(
    fc.record({ type: fc.constantFrom('echo-request', 'echo-reply'), nonce, size }),
    fc.record({ type: fc.constant('notice'), revision }),
  );
  fc.assert(
    fc.property(message, (each) => {
      expect(decodeMessage(encodeMessage(each))).toEqual(each);
    }),
    { numRuns: 5_000 },
  );
});
