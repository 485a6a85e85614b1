import type { SessionId } from '../reconcile/dataplane.ts';
import { beginAttempt, endAttempt, yieldTo } from './attempt.ts';
import { type Draft, type Freshness, type MachineSettings, type MachineState, type Slot, update } from './model.ts';
import { endSoon, replaceUnfit } from './renew.ts';
import {
  CONFIRM_DELAYS_MS,
  MIN_INITIATION_INTERVAL_MS,
  PATH_ALIVE_MS,
  POLL_ACTIVE_MS,
  RETIRE_GRACE_MS,
  UNCONFIRMED_MIN_MS,
} from './timers.ts';

const NEVER = Number.POSITIVE_INFINITY;
/** Previous sessions kept at once; a crossing of two initiations needs two. */
const MAX_RETIRING = 2;

/** How long a session that this node answered waits for its initiator. */
export function unconfirmedMs({ handshakeTimeoutMs }: MachineSettings): number {
  return Math.max(handshakeTimeoutMs, UNCONFIRMED_MIN_MS);
}

/** All sessions of the peer. */
export function slotsOf(state: MachineState): readonly Slot[] {
  return [state.current, state.next, ...state.retiring].filter((slot) => slot !== undefined);
}

/** The session that a frame could go out on now. */
export function usable(draft: Draft): Slot | undefined {
  const { current } = draft.state;
  return current !== undefined && draft.nowMs < current.expiresMs ? current : undefined;
}

/** Our initiation number `sequence` was answered. Whoever says so has forgotten those whose answers are not welcome. */
export function installInitiated(draft: Draft, localId: SessionId, sequence: number): void {
  const pending = draft.state.attempt?.pending;
  if (pending === undefined || sequence > pending) return;
  draft.effects.push({ type: 'abandon' });
  takeOver(draft, localId);
}

/**
 * The peer answered at an endpoint that it was called at to see whether it does. Where a path is known to be alive,
 * traffic stays on it: the session is let go, and goes at the peer as one that was never confirmed.
 */
export function installCalled(draft: Draft, localId: SessionId): void {
  if (pathAlive(draft)) return;
  if (draft.state.attempt?.pending !== undefined) draft.effects.push({ type: 'abandon' });
  takeOver(draft, localId);
}

/** Something came in lately on the session in use. */
function pathAlive(draft: Draft): boolean {
  return usable(draft) !== undefined && draft.nowMs - draft.state.seen.rxMs < PATH_ALIVE_MS;
}

/** A session that we initiated takes over, the old one receives until it is proven. */
function takeOver(draft: Draft, localId: SessionId): void {
  const { current, next, seen } = draft.state;
  if (current !== undefined) retire(draft, current, NEVER);
  if (next !== undefined) retire(draft, next, next.removeAtMs);
  const firstDelay = CONFIRM_DELAYS_MS[0] ?? NEVER;
  changeSlots(draft, {
    current: { ...newSlot(draft, localId, true), confirmAtMs: draft.nowMs + firstDelay },
    next: undefined,
    attempt: undefined,
    gaveUpMs: undefined,
    vain: 0,
    establishAtMs: NEVER,
    establishedMs: draft.nowMs,
    unansweredSinceMs: draft.nowMs,
    queued: false,
    seen: { ...seen, rxMs: Math.max(seen.rxMs, draft.nowMs) },
  });
  pollBy(draft, draft.nowMs + firstDelay);
  // The keepalive tells the responder that it may send; it must not wait for a frame that may never come.
  draft.effects.push(
    { type: 'endpoint', localId },
    { type: 'install', localId },
    { type: 'keepalive' },
    { type: 'flush' },
    { type: 'established', initiator: true },
  );
}

/** An authentic initiation: answered unless it is a replay or the peer floods. The session waits to be confirmed. */
export function installAnswered(draft: Draft, localId: SessionId, freshness: Freshness): void {
  const { state, nowMs } = draft;
  if (freshness === 'replayed' || freshness === 'timestamp') {
    draft.effects.push({ type: 'reject', reason: freshness });
    return;
  }
  const waiting = freshness === 'late' && state.next !== undefined;
  if (waiting || nowMs - state.initiationAcceptedMs < MIN_INITIATION_INTERVAL_MS) {
    draft.effects.push({ type: 'reject', reason: 'rate-limited' });
    return;
  }
  const moveEndpoint = freshness === 'newest' && !pathAlive(draft);
  if (freshness === 'newest') {
    yieldTo(draft);
    update(draft, { initiationAcceptedMs: nowMs, handshakeSentMs: nowMs });
  }
  // An initiator that asks again may still have heard our earlier answer: what it sent on that must not be lost.
  if (state.next !== undefined) retire(draft, state.next, state.next.removeAtMs);
  changeSlots(draft, {
    next: { ...newSlot(draft, localId, false), removeAtMs: nowMs + unconfirmedMs(state.settings) },
  });
  pollBy(draft, nowMs + POLL_ACTIVE_MS); // should the data plane's word that it is confirmed be lost
  draft.effects.push({ type: 'respond', localId, moveEndpoint });
}

/** The data plane received on an unconfirmed session, and sends on it since. */
export function confirm(draft: Draft, localId: SessionId): void {
  const { current, next, retiring, settings } = draft.state;
  if (current?.localId === localId) {
    markProven(draft);
    return;
  }
  const slot = next?.localId === localId ? next : retiring.find((each) => each.localId === localId);
  if (slot === undefined) return;
  const crossed = slot !== next && current?.initiator === true && current.createdMs >= slot.createdMs;
  changeSlots(draft, {
    next: slot === next ? undefined : next,
    retiring: retiring.filter((each) => each !== slot),
  });
  if (current !== undefined) retire(draft, current, draft.nowMs + RETIRE_GRACE_MS);
  changeSlots(draft, {
    current: { ...slot, installed: true, removeAtMs: NEVER },
    establishedMs: draft.nowMs,
    queued: false,
  });
  markProven(draft);
  endAttempt(draft);
  // The answer shows the initiator that this direction works as well.
  draft.effects.push(
    { type: 'endpoint', localId },
    { type: 'keepalive' },
    { type: 'flush' },
    { type: 'established', initiator: false },
  );
  replaceUnfit(draft);
  // Both initiations were answered and each end sends on the other's: nobody would rekey. One end begins anew.
  if (crossed && settings.preferred) beginAttempt(draft, 'converge');
}

/** Something authentic came in on the current session: its predecessors may go. */
export function markProven(draft: Draft): void {
  const { current, retiring, seen } = draft.state;
  if (current === undefined || current.proven) return;
  const removeAtMs = draft.nowMs + RETIRE_GRACE_MS;
  update(draft, {
    current: { ...current, proven: true, confirmAtMs: NEVER },
    retiring: retiring.map((slot) => endSoon(slot.removeAtMs === NEVER ? { ...slot, removeAtMs } : slot, draft.nowMs)),
    unansweredSinceMs: undefined,
    seen: { ...seen, rxMs: Math.max(seen.rxMs, draft.nowMs) },
  });
  pollBy(draft, removeAtMs);
}

export function markInstalled(draft: Draft, localId: SessionId): void {
  const mark = (slot: Slot | undefined) => (slot?.localId === localId ? { ...slot, installed: true } : slot);
  const { current, next, retiring } = draft.state;
  update(draft, {
    current: mark(current),
    next: mark(next),
    retiring: retiring.map((slot) => (slot.localId === localId ? { ...slot, installed: true } : slot)),
  });
  if (next?.localId === localId) pollBy(draft, next.removeAtMs);
}

/** The data plane does not have these any more. Whoever still wants a session asks for one. */
export function forget(draft: Draft, ids: readonly SessionId[]): void {
  const { current, next, retiring, settings } = draft.state;
  if (!slotsOf(draft.state).some((slot) => ids.includes(slot.localId))) return;
  const keep = (slot: Slot | undefined) => (slot !== undefined && ids.includes(slot.localId) ? undefined : slot);
  changeSlots(draft, {
    current: keep(current),
    next: keep(next),
    retiring: retiring.filter((slot) => !ids.includes(slot.localId)),
  });
  if (current === undefined || draft.state.current !== undefined) return;
  update(draft, { unansweredSinceMs: undefined });
  if (draft.state.queued) beginAttempt(draft, 'traffic');
  else if (settings.keepaliveMs !== undefined) beginAttempt(draft, 'keepalive');
}

/** Deletes in the data plane, too. */
export function remove(draft: Draft, ids: readonly SessionId[]): void {
  for (const localId of ids) draft.effects.push({ type: 'remove', localId });
  if (ids.length > 0) forget(draft, ids);
}

/** Deletes expired sessions. Whether an answered one was used is the data plane's to say: applySnapshot, which is due then. */
export function removeDue(draft: Draft): void {
  const { next } = draft.state;
  const over = slotsOf(draft.state).filter(
    (slot) => slot.expiresMs <= draft.nowMs || (slot === next && !slot.installed && slot.removeAtMs <= draft.nowMs),
  );
  remove(
    draft,
    over.map((slot) => slot.localId),
  );
}

/** Asks for statistics at that time or before. */
export function pollBy(draft: Draft, atMs: number): void {
  if (atMs < draft.state.pollAtMs) update(draft, { pollAtMs: atMs });
}

function retire(draft: Draft, slot: Slot, removeAtMs: number): void {
  const retiring = [{ ...slot, removeAtMs }, ...draft.state.retiring];
  for (const { localId } of retiring.slice(MAX_RETIRING)) draft.effects.push({ type: 'remove', localId });
  changeSlots(draft, { retiring: retiring.slice(0, MAX_RETIRING) });
  pollBy(draft, removeAtMs);
}

function changeSlots(draft: Draft, changes: Partial<MachineState>): void {
  update(draft, { ...changes, generation: draft.state.generation + 1 });
}

function newSlot(draft: Draft, localId: SessionId, initiator: boolean): Slot {
  const { rekeyAfterMs, lifetimeMs } = draft.state.settings;
  return {
    localId,
    initiator,
    createdMs: draft.nowMs,
    rekeyAfterMs: draft.nowMs + rekeyAfterMs,
    expiresMs: draft.nowMs + lifetimeMs,
    installed: false,
    proven: false,
    confirmations: 0,
    confirmAtMs: NEVER,
    removeAtMs: NEVER,
    unfit: false,
  };
}
