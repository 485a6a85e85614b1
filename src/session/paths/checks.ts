import { type Endpoint, PATH_MESSAGE_MIN } from '../../reconcile/dataplane.ts';
import type { CheckReason, PathDraft, Way } from './model.ts';
import {
  ANSWER_MS,
  CHALLENGE_PAUSES_MS,
  DEAD_PAUSES_MS,
  LOSSY_MS,
  LOSSY_PAUSES_MS,
  MAX_ASKED,
  PATIENT_PAUSES_MS,
  SUSPECT_PAUSES_MS,
} from './timers.ts';
import { change, inUse, wayTo } from './ways.ts';

/** Asks on a path until it answers, or has been given its chances; what was asked before may still be answered. */
export function beginCheck(draft: PathDraft, { endpoint }: Way, why: CheckReason): void {
  const way = wayTo(draft.state, endpoint);
  if (way === undefined || way.check?.why === why) return;
  change(draft, way, { check: { why, tries: 0, atMs: draft.nowMs } });
  ask(draft, endpoint);
}

/** Carries on the checks whose time has come. Those that ended without an answer, with the path as it is now. */
export function continueChecks(draft: PathDraft): readonly { readonly way: Way; readonly why: CheckReason }[] {
  const ended: { way: Way; why: CheckReason }[] = [];
  for (const { endpoint, check } of draft.state.ways) {
    if (check === undefined || check.atMs > draft.nowMs || ask(draft, endpoint)) continue;
    const way = wayTo(draft.state, endpoint);
    if (way !== undefined) ended.push({ way, why: check.why });
  }
  return ended;
}

/** Only an answer of full size shows that a path is fit for use; where it is in use already, or was seen, a small one is quicker. */
export function wantsFull(why: CheckReason): boolean {
  return why === 'size' || why === 'round' || why === 'rescue';
}

/** Sends the next challenge. False: there were enough, and the check is over. */
function ask(draft: PathDraft, endpoint: Endpoint): boolean {
  const way = wayTo(draft.state, endpoint);
  if (way?.check === undefined) return true;
  const { why, tries } = way.check;
  const pauseMs = pauses(way, why, draft.nowMs)[tries];
  if (pauseMs === undefined) {
    change(draft, way, { check: undefined, failed: way.failed + 1 });
    return false;
  }
  const full = wantsFull(why);
  const asked = { nonce: draft.nonce(), sentMs: draft.nowMs, size: full ? draft.fullSize : PATH_MESSAGE_MIN, full };
  const fresh = way.asked.filter(({ sentMs }) => draft.nowMs - sentMs < ANSWER_MS).slice(1 - MAX_ASKED);
  change(draft, way, {
    asked: [...fresh, asked],
    check: { why, tries: tries + 1, atMs: draft.nowMs + pauseMs },
  });
  // A challenge is no sign that traffic moves; the peer learns from this where we are now.
  if (why === 'source') draft.effects.push({ type: 'keepalive', urgent: inUse(draft.state, draft.nowMs) });
  draft.effects.push({ type: 'challenge', endpoint, nonce: asked.nonce, size: asked.size });
  return true;
}

/** A path with a long round trip gets the time for it, and one that loses much the tries. */
function pauses({ failed, small, rttMs = 0, lossyMs }: Way, why: CheckReason, nowMs: number): readonly number[] {
  if (why === 'round' && small > 0) return PATIENT_PAUSES_MS;
  if (why !== 'suspect') return why === 'round' && failed > 0 ? DEAD_PAUSES_MS : CHALLENGE_PAUSES_MS;
  const usual = nowMs - lossyMs < LOSSY_MS ? LOSSY_PAUSES_MS : SUSPECT_PAUSES_MS;
  return usual.map((pauseMs, index) => (index + 1 < usual.length ? pauseMs : Math.max(pauseMs, 2 * rttMs)));
}
