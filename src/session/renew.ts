import type { SessionId } from '../reconcile/dataplane.ts';
import { beginAttempt } from './attempt.ts';
import { type Draft, type Slot, update } from './model.ts';

/** What is under way on a session that is no longer wanted may still arrive, once its successor is proven. */
const UNFIT_GRACE_MS = 1_000;

/** The applied revision no longer wants these sessions: others are asked for at once, and they end in any case. */
export function renew(
  draft: Draft,
  sessions: readonly { readonly localId: SessionId; readonly withinMs: number }[],
): void {
  const ends = new Map(sessions.map(({ localId, withinMs }) => [localId, draft.nowMs + withinMs]));
  const shorten = (slot: Slot): Slot => {
    const endMs = ends.get(slot.localId);
    return endMs === undefined ? slot : { ...slot, unfit: true, expiresMs: Math.min(slot.expiresMs, endMs) };
  };
  const { current, next, retiring } = draft.state;
  update(draft, {
    current: current && shorten(current),
    next: next && shorten(next),
    retiring: retiring.map(shorten),
  });
  replaceUnfit(draft);
}

/** Asks for another session where the one in use, or the one to come, is not wanted. */
export function replaceUnfit(draft: Draft): void {
  const { current, next } = draft.state;
  if ((current ?? next)?.unfit === true) beginAttempt(draft, 'renew');
}

/** The successor is proven. */
export function endSoon(slot: Slot, nowMs: number): Slot {
  return slot.unfit ? { ...slot, expiresMs: Math.min(slot.expiresMs, nowMs + UNFIT_GRACE_MS) } : slot;
}
