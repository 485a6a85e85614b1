import { type Attempt, type Draft, update } from './model.ts';
import { ATTEMPT_MS, EARLY_RETRIES_MS, NEXT_CANDIDATE_MS, RETRY_JITTER_MS } from './timers.ts';

const NEVER = Number.POSITIVE_INFINITY;

/** Why a session is wanted. `traffic`: frames wait for it. */
export type AttemptReason = 'traffic' | 'keepalive' | 'rekey' | 'renew' | 'dead-peer' | 'unreachable' | 'converge';

/**
 * Starts an effort to get a session, or keeps the one under way going. The first initiation leaves at once unless we
 * sent a handshake message less than a handshake timeout ago: then that one gets its chance first.
 */
export function beginAttempt(draft: Draft, reason: AttemptReason): void {
  const { attempt, handshakeSentMs, settings, vain } = draft.state;
  const giveUpAtMs = draft.nowMs + ATTEMPT_MS;
  if (attempt !== undefined) {
    if (reason === 'traffic') update(draft, { attempt: { ...attempt, giveUpAtMs } });
    return;
  }
  if (reason !== 'traffic' && reason !== 'converge' && !mayAsk(draft)) return;
  const earliestMs = handshakeSentMs + settings.handshakeTimeoutMs;
  const waits = earliestMs > draft.nowMs;
  const lasts = reason === 'traffic' || peerMayLive(draft);
  update(draft, {
    attempt: {
      pending: undefined,
      tries: 0,
      firstTry: lasts ? 0 : vain,
      retryAtMs: waits ? handshakeSentMs + jittered(draft, settings.handshakeTimeoutMs) : draft.nowMs,
      repeats: 0,
      repeatAtMs: NEVER,
      giveUpAtMs: lasts ? giveUpAtMs : draft.nowMs,
    },
    establishAtMs: NEVER,
  });
  if (!waits) attemptDue(draft);
}

/** Sends the next initiation if its time has come, or gives up. */
export function attemptDue(draft: Draft): void {
  const { attempt, sequence, candidates } = draft.state;
  if (attempt === undefined) return;
  if (attempt.retryAtMs > draft.nowMs) {
    repeatDue(draft, attempt);
    return;
  }
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
      repeats: 0,
      repeatAtMs: candidates > 1 ? draft.nowMs + NEXT_CANDIDATE_MS : NEVER,
    },
  });
  draft.effects.push({ type: 'initiate', sequence: sequence + 1, tries: attempt.firstTry + attempt.tries });
}

/**
 * The same initiation for the peer's next endpoint: whichever answers first counts, and the peer takes it once. A dead
 * endpoint costs a fraction of a second, and a slow one is not given up.
 */
function repeatDue(draft: Draft, attempt: Attempt): void {
  if (attempt.pending === undefined || attempt.repeatAtMs > draft.nowMs) return;
  const nth = attempt.repeats + 1;
  const repeatAtMs = nth + 1 < draft.state.candidates ? draft.nowMs + NEXT_CANDIDATE_MS : NEVER;
  update(draft, { attempt: { ...attempt, repeats: nth, repeatAtMs } });
  draft.effects.push({ type: 'repeat', sequence: attempt.pending, tries: attempt.firstTry + attempt.tries - 1, nth });
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
  update(draft, { attempt: { ...attempt, pending: undefined, retryAtMs: later, repeatAtMs: NEVER } });
}

/** A session is there: nothing more is asked for. */
export function endAttempt(draft: Draft): void {
  if (draft.state.attempt?.pending !== undefined) draft.effects.push({ type: 'abandon' });
  update(draft, { attempt: undefined, gaveUpMs: undefined, vain: 0, establishAtMs: NEVER });
}

function giveUp(draft: Draft): void {
  const { settings, current, vain } = draft.state;
  draft.effects.push({ type: 'abandon' }, { type: 'discard' }, { type: 'gave-up' });
  const again = current === undefined ? settings.keepaliveMs : undefined;
  update(draft, {
    attempt: undefined,
    queued: false,
    gaveUpMs: draft.nowMs,
    vain: vain + 1,
    establishAtMs: again === undefined ? NEVER : draft.nowMs + again,
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
  const { current, settings, candidates } = draft.state;
  const inUse = current !== undefined && draft.nowMs < current.expiresMs;
  const early = inUse || giveUpAtMs <= draft.nowMs ? undefined : EARLY_RETRIES_MS[tries];
  const eachOnce = candidates * NEXT_CANDIDATE_MS;
  return Math.min(early === undefined ? NEVER : Math.max(early, eachOnce), settings.handshakeTimeoutMs);
}

function jittered(draft: Draft, pause: number): number {
  return pause + draft.jitter * Math.min(RETRY_JITTER_MS, pause / 3);
}
