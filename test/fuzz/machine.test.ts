import fc from 'fast-check';
import { expect, test } from 'vitest';
import { initialState, nextDeadlineMs, step } from '../../src/session/machine.ts';
import type { MachineInput, MachineState } from '../../src/session/model.ts';
import { slotsOf } from '../../src/session/slots.ts';

/** The state machine of one peer under inputs in any order, with any ids: it never throws, and never grows. */

const id = fc.bigInt({ min: 1n, max: 12n });
const settings = fc.record({
  rekeyAfterMs: fc.integer({ min: 1_000, max: 200_000 }),
  lifetimeMs: fc.integer({ min: 2_000, max: 4_000_000 }),
  handshakeTimeoutMs: fc.integer({ min: 500, max: 10_000 }),
  keepaliveMs: fc.option(fc.integer({ min: 1_000, max: 60_000 }), { nil: undefined }),
  preferred: fc.boolean(),
});
const state = fc.record({
  interface: fc.constant('omni0'),
  localId: id,
  remoteId: id,
  peer: fc.constant('key' as never),
  initiator: fc.boolean(),
  unconfirmed: fc.boolean(),
  hybrid: fc.boolean(),
  current: fc.boolean(),
  createdMs: fc.nat(100_000),
  rekeyAfterMs: fc.nat(200_000),
  expiresMs: fc.nat(4_000_000),
  txPackets: fc.bigInt({ min: 0n, max: 9n }),
  txBytes: fc.constant(0n),
  rxPackets: fc.bigInt({ min: 0n, max: 9n }),
  rxBytes: fc.constant(0n),
  txLastMs: fc.nat(4_000_000),
  txDataLastMs: fc.nat(4_000_000),
  rxLastMs: fc.nat(4_000_000),
  rxDataLastMs: fc.nat(4_000_000),
});
const input: fc.Arbitrary<MachineInput> = fc.oneof(
  fc.constantFrom<MachineInput>({ type: 'frame' }, { type: 'timer' }, { type: 'removed' }),
  fc.record({
    type: fc.constant('initiation' as const),
    freshness: fc.constantFrom('newest' as const, 'late' as const, 'replayed' as const, 'timestamp' as const),
    localId: id,
  }),
  fc.record({ type: fc.constant('response' as const), sequence: fc.nat(20), localId: id }),
  fc.record({
    type: fc.constantFrom(
      'called' as const,
      'installed' as const,
      'lost' as const,
      'confirmed' as const,
      'rekey-due' as const,
    ),
    localId: id,
  }),
  fc.record({
    type: fc.constant('snapshot' as const),
    generation: fc.nat(60),
    asked: fc.array(id, { maxLength: 5 }),
    sessions: fc.array(state, { maxLength: 5 }),
  }),
  fc.record({
    type: fc.constant('renew' as const),
    sessions: fc.array(fc.record({ localId: id, withinMs: fc.nat(90_000) }), { maxLength: 5 }),
  }),
  fc.record({ type: fc.constant('settings' as const), settings }),
  fc.record({ type: fc.constant('candidates' as const), count: fc.integer({ min: 1, max: 16 }) }),
);

/** What holds after every step. */
function check(before: MachineState, given: MachineInput, after: MachineState, nowMs: number): void {
  const slots = slotsOf(after);
  expect(slots.length).toBeLessThanOrEqual(4);
  expect(after.retiring.length).toBeLessThanOrEqual(Math.max(2, before.retiring.length));
  const refused = given.type === 'initiation' && (given.freshness === 'replayed' || given.freshness === 'timestamp');
  if (refused) expect(after).toEqual(before);
  expect(after.initiationAcceptedMs >= before.initiationAcceptedMs).toBe(true);
  expect(after.sequence >= before.sequence && after.sequence <= before.sequence + 2).toBe(true);
  expect(Number.isNaN(nextDeadlineMs(after))).toBe(false);
  if (given.type === 'timer' && after.attempt !== undefined) expect(after.attempt.retryAtMs).toBeGreaterThan(nowMs);
}

test('inputs in any order', () => {
  const history = fc.array(fc.tuple(input, fc.nat(30_000), fc.double({ min: 0, max: 0.999, noNaN: true })), {
    maxLength: 60,
  });
  fc.assert(
    fc.property(settings, fc.array(state, { maxLength: 2 }), history, (first, adopted, steps) => {
      let nowMs = 100_000;
      let current = initialState(first, { nowMs, adopted });
      for (const [each, pause, jitter] of steps) {
        nowMs += pause;
        const { state: next, effects } = step(current, each, { nowMs, jitter });
        check(current, each, next, nowMs);
        expect(effects.length).toBeLessThan(20);
        current = next;
      }
      const { state: over } = step(current, { type: 'removed' }, { nowMs, jitter: 0 });
      expect([slotsOf(over).length, nextDeadlineMs(over)]).toEqual([0, Number.POSITIVE_INFINITY]);
    }),
    { numRuns: 3_000 },
  );
});
