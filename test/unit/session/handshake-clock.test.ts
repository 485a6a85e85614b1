import { expect, test } from 'vitest';
import type { PublicKey } from '../../../src/manifest/model.ts';
import { HandshakeClock } from '../../../src/session/handshake-clock.ts';
import { FakeClock } from './support/clock.ts';

const [A, B] = ['a'.repeat(43), 'b'.repeat(43)].map((name) => `${name}=` as PublicKey) as [PublicKey, PublicKey];

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
  const reopened = () => HandshakeClock.open(kept, new FakeClock(), report);
  return { state, kept, reopened };
}

function report(error: unknown): void {
  throw error;
}

test('what was accepted after a quiet time is on disk at once; while more comes, every ten seconds', async () => {
  const clock = new FakeClock();
  const { state, kept, reopened } = disk();
  const stamps = await HandshakeClock.open(kept, clock, report);
  stamps.accepted(A, 5n);
  stamps.accepted(B, 6n);
  await clock.advance(100);
  expect((await reopened()).greatest(A)).toBe(5n);
  expect((await reopened()).greatest(B)).toBe(6n);
  expect(state.writes).toBe(1);

  for (let at = 1; at <= 20; at++) {
    stamps.accepted(A, 5n + BigInt(at));
    await clock.advance(1_000);
  }
  expect(state.writes).toBe(3);
  expect((await reopened()).greatest(A)).toBe(25n);
  await clock.advance(20_000);
  expect(state.writes).toBe(3);
  expect(clock.pending).toBe(0);
});

test('what is accepted last is on disk when it stops, and no timer is left', async () => {
  const clock = new FakeClock();
  const { kept, reopened } = disk();
  const stamps = await HandshakeClock.open(kept, clock, report);
  stamps.accepted(A, 5n);
  await clock.advance(100);
  stamps.accepted(A, 7n);
  await stamps.stop();
  expect((await reopened()).greatest(A)).toBe(7n);
  expect(clock.pending).toBe(0);
});
