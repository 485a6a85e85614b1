import { type Attempt, type Draft, update } from './model.ts';
import { ATTEMPT_MS, EARLY_RETRIES_MS, RETRY_JITTER_MS } from './timers.ts';

/** Why a session is wanted. `traffic`: frames wait for it. */
export type AttemptReason = 'traffic' | 'keepalive' | 'rekey' | 'dead-peer' | 'converge';

/**
 * Starts an effort to get a session, or keeps the one under way going. The first initiation leaves at once unless we
 * sent a handshake message less than a handshake timeout ago: then that one gets its chance first.
 */
export function beginAttempt(draft: Draft, reason: AttemptReason): void {
  const { attempt, handshakeSentMs, settings } = draft.state;
  const giveUpAtMs = draft.nowMs + ATTEMPT_MS;
  if (attempt !== undefined) {
    if (reason === 'traffic') update(draft, { attempt: { ...attempt, giveUpAtMs } });
    return;
  }
  if (reason !== 'traffic' && reason !== 'converge' && !mayAsk(draft)) return;
  const earliestMs = handshakeSentMs + settings.handshakeTimeoutMs;
  const waits = earliestMs > draft.nowMs;
  update(draft, {
    attempt: {
      pending: undefined,
      tries: 0,
      retryAtMs: waits ? handshakeSentMs + jittered(draft, settings.handshakeTimeoutMs) : draft.nowMs,
      giveUpAtMs: reason === 'traffic' || peerMayLive(draft) ? giveUpAtMs : draft.nowMs,
    },
    establishAtMs: Number.POSITIVE_INFINITY,
  });
  if (!waits) attemptDue(draft);
}

/** Sends the next initiation if its time has come, or gives up. */
export function attemptDue(draft: Draft): void {
  const { attempt, sequence } = draft.state;
  if (attempt === undefined || attempt.retryAtMs > draft.nowMs) return;
  if (attempt.tries > 0 && draft.nowMs >= attempt.giveUpAtMs) {
    giveUp(draft);
    return;
  }
  update(draft, {
    sequence: sequence + 1,
    handshakeSentMs: draft.nowMs,
    attempt: {
      ...attempt,
      pending: sequence + 1,
      tries: attempt.tries + 1,
      retryAtMs: draft.nowMs + jittered(draft, pauseMs(draft, attempt)),
    },
  });
  draft.effects.push({ type: 'initiate', sequence: sequence + 1, tries: attempt.tries });
}

/**
 * The peer's initiation is being answered. Its handshake gets a timeout's chance. Where both ends began at once, only
 * the preferred one's initiation stays in force: each drops or keeps its own by the same comparison.
 */
export function yieldTo(draft: Draft): void {
  const { attempt, settings } = draft.state;
  if (attempt === undefined) return;
  if (attempt.pending !== undefined && settings.preferred) return;
  if (attempt.pending !== undefined) draft.effects.push({ type: 'abandon' });
  const later = draft.nowMs + jittered(draft, settings.handshakeTimeoutMs);
  update(draft, { attempt: { ...attempt, pending: undefined, retryAtMs: later } });
}

/** A session is there: nothing more is asked for. */
export function endAttempt(draft: Draft): void {
  if (draft.state.attempt?.pending !== undefined) draft.effects.push({ type: 'abandon' });
  update(draft, { attempt: undefined, gaveUpMs: undefined, establishAtMs: Number.POSITIVE_INFINITY });
}

function giveUp(draft: Draft): void {
  const { settings, current } = draft.state;
  draft.effects.push({ type: 'abandon' }, { type: 'discard' }, { type: 'gave-up' });
  const again = current === undefined ? settings.keepaliveMs : undefined;
  update(draft, {
    attempt: undefined,
    queued: false,
    gaveUpMs: draft.nowMs,
    establishAtMs: again === undefined ? Number.POSITIVE_INFINITY : draft.nowMs + again,
  });
}

/** After a vain attempt only new traffic, a sign of life, or a persistent keepalive's turn asks again. */
function mayAsk(draft: Draft): boolean {
  const { gaveUpMs, settings } = draft.state;
  if (gaveUpMs === undefined || peerMayLive(draft)) return true;
  return settings.keepaliveMs !== undefined && draft.nowMs >= gaveUpMs + settings.keepaliveMs;
}

/** If not, one initiation a turn is enough: the peer was silent through a whole attempt. */
function peerMayLive(draft: Draft): boolean {
  const { gaveUpMs, seen } = draft.state;
  return gaveUpMs === undefined || seen.txDataMs > gaveUpMs || seen.rxMs > gaveUpMs;
}

/**
 * How long the initiation that leaves now waits for its answer. Early retries are for a peer that may not know us yet:
 * one with whom there is a session does. And the only initiation of a turn has no retry that could make up for an
 * answer that comes late.
 */
function pauseMs(draft: Draft, { tries, giveUpAtMs }: Attempt): number {
  const { current, settings } = draft.state;
  const inUse = current !== undefined && draft.nowMs < current.expiresMs;
  const early = inUse || giveUpAtMs <= draft.nowMs ? undefined : EARLY_RETRIES_MS[tries];
  return Math.min(early ?? Number.POSITIVE_INFINITY, settings.handshakeTimeoutMs);
}

function jittered(draft: Draft, pause: number): number {
  return pause + draft.jitter * Math.min(RETRY_JITTER_MS, pause / 3);
}
