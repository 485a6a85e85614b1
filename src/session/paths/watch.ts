import type { Seen } from '../model.ts';
import { continueChecks } from './checks.ts';
import { askOthers, goBack, leave, suspect } from './choice.ts';
import { type CheckReason, type PathDraft, updatePaths, type Way } from './model.ts';
import { beginRound, endRound, watched } from './rounds.ts';
import {
  ASK_OTHERS_MS,
  BUSY_MS,
  FIRST_ROUND_MS,
  FORGET_ROUNDS,
  LOOK_GRID_MS,
  LOOK_MIN_MS,
  LOOK_MS,
  SEEN_AGAIN_MS,
  SILENT_MS,
  SUSPECT_AGAIN_MAX_MS,
  SUSPECT_AGAIN_MS,
} from './timers.ts';
import { activeWay, alternatives, change, forgetWay, heardMs, LONG_AGO, sameEndpoint } from './ways.ts';

/** What follows from silence, and from time. */

const NEVER = Number.POSITIVE_INFINITY;

export function statistics(draft: PathDraft, latest: Seen): void {
  updatePaths(draft, { seen: latest });
  const { ignored } = draft.state;
  if (ignored !== undefined && latest.rxDataMs > ignored.seenMs + SEEN_AGAIN_MS)
    updatePaths(draft, { ignored: undefined });
  // It lives and does not answer: an older build, whose endpoint handshakes move.
  const { answers, doubtedMs } = draft.state;
  if (answers === 'unknown' && latest.rxMs > doubtedMs + SUSPECT_AGAIN_MS) updatePaths(draft, { answers: 'no' });
  if (!watched(draft)) {
    updatePaths(draft, { lookAtMs: NEVER });
    return;
  }
  if (draft.state.roundAtMs === NEVER) {
    updatePaths(draft, { roundAtMs: draft.nowMs + draft.jitter * FIRST_ROUND_MS * draft.stretch });
  }
  if (goesUnanswered(draft)) suspect(draft);
  updatePaths(draft, { lookAtMs: nextLookMs(draft) });
}

function goesUnanswered({ state, nowMs }: PathDraft): boolean {
  const heard = heardMs(state);
  if (activeWay(state)?.check?.why === 'source') return false;
  return state.seen.txDataMs > heard && nowMs - heard >= SILENT_MS && nowMs >= state.suspectAgainMs;
}

/** The first moment at which silence could have lasted long enough. */
function nextLookMs({ state, nowMs, stretch }: PathDraft): number {
  const { txDataMs } = state.seen;
  const heard = heardMs(state);
  const owedMs = txDataMs > heard ? heard + SILENT_MS - nowMs : SILENT_MS;
  const pauseMs = nowMs - txDataMs < BUSY_MS ? Math.min(SILENT_MS, owedMs) : LOOK_MS;
  const atMs = nowMs + Math.max(LOOK_MIN_MS, pauseMs) * stretch;
  return Math.ceil(atMs / LOOK_GRID_MS) * LOOK_GRID_MS;
}

export function timer(draft: PathDraft): void {
  const suspectTries = activeWay(draft.state)?.check?.tries ?? 0;
  for (const { way, why } of continueChecks(draft)) unanswered(draft, way, why);
  const check = activeWay(draft.state)?.check;
  if (check !== undefined && check.tries > suspectTries) askedAgain(draft, check.why);
  endRound(draft);
  if (draft.state.roundAtMs <= draft.nowMs) beginRound(draft);
  if (draft.state.lookAtMs > draft.nowMs) return;
  updatePaths(draft, { lookAtMs: draft.nowMs + LOOK_MS * draft.stretch }); // should nobody say what was seen
  draft.effects.push({ type: 'look' });
}

/** The path in use still owes an answer. */
function askedAgain(draft: PathDraft, why: CheckReason): void {
  if (why !== 'suspect' && why !== 'source') return;
  if (draft.nowMs - draft.state.suspectedMs < ASK_OTHERS_MS) return;
  askOthers(draft);
  if (why === 'source' && draft.nowMs - draft.state.suspectedMs >= SILENT_MS) leave(draft);
}

function unanswered(draft: PathDraft, way: Way, why: CheckReason): void {
  const active = sameEndpoint(way.endpoint, draft.state.active);
  if (!active) {
    const seenOnly = way.source === 'seen' && way.answeredMs === LONG_AGO;
    if (way.source !== 'hint' && (seenOnly || way.failed >= FORGET_ROUNDS)) forgetWay(draft, way);
    return;
  }
  switch (why) {
    case 'round':
      change(draft, way, { small: way.small + 1 });
      suspect(draft);
      break;
    case 'size':
      goBack(draft);
      break;
    case 'suspect':
      suspicionConfirmed(draft);
      break;
    case 'source':
      if (alternatives(draft.state).length > 0) leave(draft);
      if (sameEndpoint(way.endpoint, draft.state.active)) draft.effects.push({ type: 'handshake' });
      break;
  }
}

function suspicionConfirmed(draft: PathDraft): void {
  const { nowMs, state } = draft;
  updatePaths(draft, {
    suspectAgainMs: nowMs + state.suspectPauseMs,
    suspectPauseMs: Math.min(2 * state.suspectPauseMs, SUSPECT_AGAIN_MAX_MS),
  });
  leave(draft);
}
