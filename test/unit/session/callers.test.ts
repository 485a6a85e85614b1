import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { PublicKey } from '../../../src/manifest/model.ts';
import { CallerStamps } from '../../../src/session/callers.ts';
import { MAX_TIMESTAMP_NS, Timestamps } from '../../../src/session/timestamps.ts';
import { MemoryText } from './support/node.ts';

const [SELF, NEXT, A, B] = ['self', 'next', 'a', 'b'] as [PublicKey, PublicKey, PublicKey, PublicKey];
const YEAR_2199 = 7_226_582_400_000_000_000n;

const stamp = (timestampNs: bigint, own = SELF, callers: readonly PublicKey[] = [A]) => ({ own, callers, timestampNs });

async function opened() {
  const { timestamps } = await Timestamps.open(new MemoryText(), [SELF]);
  return { timestamps, stamps: new CallerStamps(timestamps) };
}

describe('the time stamp of an initiation', () => {
  test('counts for good once its handshake is confirmed', async () => {
    const { stamps, timestamps } = await opened();
    expect(stamps.judge(stamp(10n))).toBe('newest');
    stamps.accepted(stamp(10n));
    expect(timestamps.greatest(SELF, A)).toBe(0n);
    stamps.confirmed(stamp(10n));
    expect(timestamps.greatest(SELF, A)).toBe(10n);
    expect([10n, 9n, 0n].map((each) => stamps.judge(stamp(each)))).toEqual(['replayed', 'replayed', 'replayed']);
    expect(stamps.judge(stamp(11n))).toBe('newest');
  });

  test('of an answered initiation is not taken again, and does not outrank an honest one below it', async () => {
    const { stamps } = await opened();
    stamps.confirmed(stamp(10n));
    stamps.accepted(stamp(YEAR_2199)); // forged, with this node's own key
    expect(stamps.judge(stamp(YEAR_2199))).toBe('replayed');
    expect(stamps.judge(stamp(11n))).toBe('late');
    stamps.accepted(stamp(11n));
    expect(stamps.judge(stamp(11n))).toBe('replayed');
    stamps.confirmed(stamp(11n));
    expect(stamps.judge(stamp(12n))).toBe('newest');
    expect(stamps.judge(stamp(YEAR_2199))).toBe('replayed');
  });

  test.each([MAX_TIMESTAMP_NS + 1n, 2n ** 64n - 1n])('of %s is refused', async (timestampNs) => {
    const { stamps } = await opened();
    expect(stamps.judge(stamp(timestampNs))).toBe('timestamp');
    expect(stamps.judge(stamp(MAX_TIMESTAMP_NS))).toBe('newest');
  });

  test('says nothing of initiations to another identity of this node, or by another caller', async () => {
    const { stamps } = await opened();
    stamps.accepted(stamp(10n));
    stamps.confirmed(stamp(10n));
    stamps.accepted(stamp(11n));
    for (const timestampNs of [10n, 11n]) {
      expect(stamps.judge(stamp(timestampNs, NEXT))).toBe('newest');
      expect(stamps.judge(stamp(timestampNs, SELF, [B]))).toBe('newest');
    }
  });

  test('counts under both keys of a caller that changes them', async () => {
    const { stamps } = await opened();
    const both = [A, B];
    stamps.confirmed(stamp(10n, SELF, both));
    stamps.accepted(stamp(11n, SELF, both));
    for (const callers of [[A], [B], both]) {
      expect(stamps.judge(stamp(10n, SELF, callers))).toBe('replayed');
      expect(stamps.judge(stamp(11n, SELF, callers))).toBe('replayed');
    }
  });

  test('that was forgotten among many unconfirmed ones is late at most, never the newest', async () => {
    const { stamps } = await opened();
    for (let each = 1n; each <= 40n; each++) stamps.accepted(stamp(each));
    expect(stamps.judge(stamp(1n))).toBe('late');
    expect(stamps.judge(stamp(40n))).toBe('replayed');
  });
});

test('whatever is accepted and confirmed, in any order: none twice, none below a confirmed one, and the honest next one', () => {
  const timestampNs = fc.oneof(
    fc.bigInt({ min: 0n, max: 30n }),
    fc.constantFrom(YEAR_2199, MAX_TIMESTAMP_NS, 2n ** 64n - 1n),
  );
  const steps = fc.array(fc.record({ timestampNs, confirms: fc.boolean() }), { maxLength: 80 });
  return fc.assert(
    fc.asyncProperty(steps, async (all) => {
      const { stamps } = await opened();
      const taken: bigint[] = [];
      let confirmed = 0n;
      for (const { confirms, ...step } of all) {
        const given = stamp(step.timestampNs);
        const judged = stamps.judge(given);
        const recently = taken.slice(-16).includes(step.timestampNs);
        if (step.timestampNs > MAX_TIMESTAMP_NS) expect(judged).toBe('timestamp');
        else if (step.timestampNs <= confirmed || recently) expect(judged).toBe('replayed');
        if (judged !== 'newest' && judged !== 'late') continue;
        expect(step.timestampNs).toBeGreaterThan(confirmed);
        taken.push(step.timestampNs);
        stamps.accepted(given);
        if (!confirms) continue;
        stamps.confirmed(given);
        confirmed = step.timestampNs;
        if (confirmed < MAX_TIMESTAMP_NS && !taken.includes(confirmed + 1n)) {
          expect(stamps.judge(stamp(confirmed + 1n))).toBe('newest');
        }
      }
    }),
    { numRuns: 500 },
  );
});
