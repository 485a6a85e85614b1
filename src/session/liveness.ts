import type { SessionId, SessionState } from '../reconcile/dataplane.ts';
import { beginAttempt } from './attempt.ts';
import { type Draft, type Seen, type Slot, update } from './model.ts';
import { confirm, forget, markProven, remove, slotsOf } from './slots.ts';
import {
  CONFIRM_DELAYS_MS,
  DEAD_PEER_MS,
  PASSIVE_KEEPALIVE_MS,
  POLL_ACTIVE_MS,
  POLL_GRID_MS,
  POLL_IDLE_MS,
  POLL_MIN_MS,
  RETIRE_GRACE_MS,
  STALE_MS,
} from './timers.ts';

/** Asks for the statistics of all sessions that the data plane should have. */
export function poll(draft: Draft): void {
  const ids = slotsOf(draft.state)
    .filter((slot) => slot.installed)
    .map((slot) => slot.localId);
  update(draft, { pollAtMs: Number.POSITIVE_INFINITY, polledMs: draft.nowMs });
  if (ids.length > 0) draft.effects.push({ type: 'poll', generation: draft.state.generation, ids });
}

/** The rules that follow from what moved and what did not. */
export function applySnapshot(
  draft: Draft,
  generation: number,
  asked: readonly SessionId[],
  sessions: readonly SessionState[],
): void {
  if (asked.length === 0) {
    update(draft, { pollAtMs: Math.min(draft.state.pollAtMs, draft.nowMs + POLL_ACTIVE_MS) }); // it could not be read
    return;
  }
  const byId = new Map(sessions.map((session) => [session.localId, session]));
  forget(
    draft,
    asked.filter((id) => !byId.has(id)),
  );
  if (generation === draft.state.generation) followDataPlane(draft, sessions);
  const before = draft.state.seen;
  const seen = latest(before, sessions);
  const moved = (Object.keys(seen) as (keyof Seen)[]).some((which) => seen[which] !== before[which]);
  if (moved) update(draft, { seen }); // thousands of idle peers a second come by here: nothing new, nothing copied
  const session = draft.state.current && byId.get(draft.state.current.localId);
  if (session !== undefined) {
    proveOrRepeat(draft, session);
    keepAlive(draft);
    detectSilence(draft);
    rekeyIfDue(draft);
    if (draft.state.queued) {
      update(draft, { queued: false });
      draft.effects.push({ type: 'flush' });
    }
  }
  dropRetired(draft, byId);
  dropUnused(draft, byId);
  update(draft, { pollAtMs: Math.min(draft.state.pollAtMs, nextPollMs(draft, moved)) });
}

/** An event may have been lost (a full ring, a dead agent): which session is current is the data plane's to say. */
function followDataPlane(draft: Draft, sessions: readonly SessionState[]): void {
  const { current } = draft.state;
  const sending = sessions.find((session) => session.current);
  if (sending !== undefined) confirmIfOther(draft, sending);
  else if (current?.installed && sessions.some((session) => session.localId === current.localId)) {
    remove(draft, [current.localId]); // alive but not sent on: its place was taken away, so it is of no use
  }
}

function confirmIfOther(draft: Draft, sending: SessionState): void {
  if (sending.localId !== draft.state.current?.localId && !sending.unconfirmed) confirm(draft, sending.localId);
}

/** When datagrams last moved, as these sessions know as well. */
export function latest(seen: Seen, sessions: readonly SessionState[]): Seen {
  return {
    txMs: Math.max(seen.txMs, ...sessions.map((session) => session.txLastMs)),
    txDataMs: Math.max(seen.txDataMs, ...sessions.map((session) => session.txDataLastMs)),
    rxMs: Math.max(seen.rxMs, ...sessions.map((session) => session.rxLastMs)),
    rxDataMs: Math.max(seen.rxDataMs, ...sessions.map((session) => session.rxDataLastMs)),
  };
}

/** A new initiator repeats its confirming keepalive until the responder's datagram shows that one arrived. */
function proveOrRepeat(draft: Draft, session: SessionState): void {
  const { current } = draft.state;
  if (current === undefined || current.proven) return;
  if (session.rxPackets > 0n) {
    markProven(draft);
    return;
  }
  if (current.confirmAtMs > draft.nowMs) return;
  const confirmations = current.confirmations + 1;
  const delay = CONFIRM_DELAYS_MS[confirmations] ?? Number.POSITIVE_INFINITY;
  update(draft, { current: { ...current, confirmations, confirmAtMs: draft.nowMs + delay } });
  sendKeepalive(draft);
}

function keepAlive(draft: Draft): void {
  const { seen, settings } = draft.state;
  const silentMs = draft.nowMs - seen.txMs;
  const passive = seen.rxDataMs > seen.txMs && silentMs >= PASSIVE_KEEPALIVE_MS;
  const persistent = settings.keepaliveMs !== undefined && silentMs >= settings.keepaliveMs;
  if (passive || persistent) sendKeepalive(draft);
}

function sendKeepalive(draft: Draft): void {
  draft.effects.push({ type: 'keepalive' });
  update(draft, { seen: { ...draft.state.seen, txMs: draft.nowMs } });
}

/** Frames go out and nothing comes back: the peer lost the session, or its address. */
function detectSilence(draft: Draft): void {
  const { seen, unansweredSinceMs } = draft.state;
  if (unansweredSinceMs !== undefined && seen.rxMs > unansweredSinceMs) {
    update(draft, { unansweredSinceMs: undefined });
  } else if (unansweredSinceMs === undefined && seen.txDataMs > seen.rxMs) {
    update(draft, { unansweredSinceMs: seen.txDataMs });
  }
  const since = draft.state.unansweredSinceMs;
  if (since !== undefined && draft.nowMs - since >= DEAD_PEER_MS) beginAttempt(draft, 'dead-peer');
}

function rekeyIfDue(draft: Draft): void {
  const { current } = draft.state;
  if (current !== undefined && wantsRekey(current, draft.state.seen, draft.nowMs)) beginAttempt(draft, 'rekey');
}

/**
 * The initiator rekeys when it sent after the time, as the data plane's event says; this finds what happened while
 * nobody listened. One that only receives sends passive keepalives, so the rule covers it. And whoever sends on an
 * old session that has long been silent asks for a new one: keepalives into the void would go on for its lifetime.
 */
function wantsRekey(slot: Slot, seen: Seen, nowMs: number): boolean {
  const staleMs = slot.rekeyAfterMs + STALE_MS;
  if (seen.txMs >= staleMs && nowMs - seen.rxMs >= STALE_MS) return true;
  return slot.initiator && nowMs >= slot.rekeyAfterMs && seen.txMs >= slot.rekeyAfterMs;
}

/** Removes previous sessions on which nothing came in during the grace period. */
function dropRetired(draft: Draft, byId: ReadonlyMap<SessionId, SessionState>): void {
  if (draft.state.retiring.length === 0) return;
  const due: SessionId[] = [];
  const retiring = draft.state.retiring.map((slot) => {
    const session = byId.get(slot.localId);
    if (session === undefined || slot.removeAtMs > draft.nowMs) return slot;
    const quietAtMs = session.rxLastMs + RETIRE_GRACE_MS;
    if (quietAtMs > draft.nowMs) return { ...slot, removeAtMs: quietAtMs };
    due.push(slot.localId);
    return slot;
  });
  update(draft, { retiring });
  remove(draft, due);
}

/** Removes a session that this node answered and that its initiator did not use in time. */
function dropUnused(draft: Draft, byId: ReadonlyMap<SessionId, SessionState>): void {
  const { next } = draft.state;
  if (next === undefined || next.removeAtMs > draft.nowMs) return;
  if (byId.get(next.localId)?.unconfirmed === true) remove(draft, [next.localId]);
}

/** The earliest moment at which one of the rules above may apply. */
function nextPollMs(draft: Draft, moved: boolean): number {
  const { state, nowMs } = draft;
  const { current, next, retiring, seen, settings, unansweredSinceMs } = state;
  if (slotsOf(state).length === 0) return Number.POSITIVE_INFINITY;
  const times = retiring.map((slot) => slot.removeAtMs);
  if (next !== undefined) times.push(onGrid(nowMs + POLL_ACTIVE_MS), next.removeAtMs);
  if (current !== undefined) {
    times.push(onGrid(nowMs + (moved ? POLL_ACTIVE_MS : POLL_IDLE_MS)), current.confirmAtMs);
    if (seen.rxDataMs > seen.txMs) times.push(seen.txMs + PASSIVE_KEEPALIVE_MS);
    if (settings.keepaliveMs !== undefined) times.push(seen.txMs + settings.keepaliveMs);
    if (unansweredSinceMs !== undefined && state.attempt === undefined) times.push(unansweredSinceMs + DEAD_PEER_MS);
  }
  return Math.max(nowMs + POLL_MIN_MS, Math.min(...times));
}

/** Ten thousand peers' polls fall together into a few reads a second instead of ten thousand wake-ups. */
function onGrid(atMs: number): number {
  return Math.floor(atMs / POLL_GRID_MS) * POLL_GRID_MS;
}
