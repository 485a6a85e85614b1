import { expect, test } from 'vitest';
import type { PublicKey } from '../../../src/manifest/model.ts';
import { HandshakeClock } from '../../../src/session/handshake-clock.ts';
import { FakeClock } from './support/clock.ts';

const [A, B, SELF] = ['a', 'b', 's'].map((name) => `${name.repeat(43)}=`) as [PublicKey, PublicKey, PublicKey];

const stamp = (caller: PublicKey, timestampNs: bigint) => ({ own: SELF, callers: [caller], timestampNs });

/** A disk that counts what is written, and what an agent that loses power now would find on it. */
function disk() {
  const state = { text: undefined as string | undefined, writes: 0 };
  const kept = {
    path: 'memory',
    read: async () => state.text,
    write: async (text: string) => {
      state.text = text;
      state.writes++;
    },
  };
  const reopened = () => HandshakeClock.open(kept, [SELF], new FakeClock(), report);
  return { state, kept, reopened };
}

function report(error: unknown): void {
  throw error;
}

test('what was confirmed after a quiet time is on disk at once; while more comes, every ten seconds', async () => {
  const clock = new FakeClock();
  const { state, kept, reopened } = disk();
  const stamps = await HandshakeClock.open(kept, [SELF], clock, report);
  stamps.confirmed(stamp(A, 5n));
  stamps.confirmed(stamp(B, 6n));
  await clock.advance(100);
  expect((await reopened()).judge(stamp(A, 5n))).toBe('replayed');
  expect((await reopened()).judge(stamp(A, 6n))).toBe('newest');
  expect((await reopened()).judge(stamp(B, 6n))).toBe('replayed');
  expect((await reopened()).judge(stamp(B, 7n))).toBe('newest');
  expect(state.writes).toBe(1);

  for (let at = 1; at <= 20; at++) {
    stamps.confirmed(stamp(A, 5n + BigInt(at)));
    await clock.advance(1_000);
  }
  expect(state.writes).toBe(3);
  expect((await reopened()).judge(stamp(A, 25n))).toBe('replayed');
  expect((await reopened()).judge(stamp(A, 26n))).toBe('newest');
  await clock.advance(20_000);
  expect(state.writes).toBe(3);
  expect(clock.pending).toBe(0);
});

test('what is confirmed last is on disk when it stops, and no timer is left', async () => {
  const clock = new FakeClock();
  const { kept, reopened } = disk();
  const stamps = await HandshakeClock.open(kept, [SELF], clock, report);
  stamps.confirmed(stamp(A, 5n));
  await clock.advance(100);
  stamps.confirmed(stamp(A, 7n));
  await stamps.stop();
  expect((await reopened()).judge(stamp(A, 7n))).toBe('replayed');
  expect((await reopened()).judge(stamp(A, 8n))).toBe('newest');
  expect(clock.pending).toBe(0);
});

test('what was accepted and never confirmed is refused in this process, and leaves nothing on disk', async () => {
  const clock = new FakeClock();
  const { state, kept, reopened } = disk();
  const stamps = await HandshakeClock.open(kept, [SELF], clock, report);
  stamps.accepted(stamp(A, 5n));
  expect(stamps.judge(stamp(A, 5n))).toBe('replayed');
  await stamps.stop();
  expect([state.writes, clock.pending]).toEqual([0, 0]);
  expect((await reopened()).judge(stamp(A, 5n))).toBe('newest');
});
