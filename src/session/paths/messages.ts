import type { Endpoint, Path, PathMessage } from '../../reconcile/dataplane.ts';
import { beginCheck, wantsFull } from './checks.ts';
import { follow, suspect, useInstead } from './choice.ts';
import { type CheckReason, type PathDraft, updatePaths } from './model.ts';
import { endRound } from './rounds.ts';
import { ANSWER_MS, LATE_MS, RESPONSES_PER_SECOND, SUSPECT_AGAIN_MS } from './timers.ts';
import { addWay, change, inUse, sameEndpoint, wayTo } from './ways.ts';

/** What comes in by a path: challenges, their answers, and word of where the peer sends from. */

/** Where the peer sends from is asked, unless it was known when another path was chosen. */
export function seen(draft: PathDraft, endpoint: Endpoint): void {
  const { state, nowMs } = draft;
  if (!state.session || state.answers === 'no' || sameEndpoint(endpoint, state.active)) return;
  if (sameEndpoint(endpoint, state.ignored?.endpoint)) {
    updatePaths(draft, { ignored: { endpoint, seenMs: nowMs } });
    return;
  }
  if (maybeLate(draft, endpoint)) {
    suspect(draft);
    return;
  }
  const way = addWay(draft, endpoint, 'seen');
  if (way === undefined || way.check?.why === 'seen') return;
  change(draft, way, { seenMs: nowMs });
  beginCheck(draft, way, 'seen');
}

/** A datagram from the path that the peer has just left: under way when it did, or it is back. Then the new one owes an answer. */
function maybeLate({ state, nowMs }: PathDraft, endpoint: Endpoint): boolean {
  const { move } = state;
  return move?.why === 'peer-moved' && sameEndpoint(endpoint, move.from) && nowMs - move.atMs < LATE_MS;
}

/** On the path that it came by, and as large: so it shows what the path carries in both directions. */
export function answer(draft: PathDraft, path: Path, { nonce, size }: PathMessage): void {
  const { nowMs, state } = draft;
  const { sinceMs, count } = nowMs - state.responses.sinceMs < 1_000 ? state.responses : { sinceMs: nowMs, count: 0 };
  updatePaths(draft, { answers: 'yes', responses: { sinceMs, count: count + 1 } });
  if (count < RESPONSES_PER_SECOND) draft.effects.push({ type: 'respond', path, nonce, size });
}

/** Whichever path an answer takes, it is the challenge's path that works (RFC 9000, 8.2.3). */
export function answered(draft: PathDraft, { local }: Path, { nonce, size }: PathMessage): void {
  const { nowMs, state } = draft;
  const way = state.ways.find(({ asked }) => asked.some((each) => each.nonce === nonce));
  const asked = way?.asked.find((each) => each.nonce === nonce);
  if (way === undefined || asked === undefined) return;
  const rest = way.asked.filter((each) => each !== asked);
  if (nowMs - asked.sentMs >= ANSWER_MS || size < asked.size) {
    change(draft, way, { asked: rest });
    return;
  }
  const { check } = way;
  const over = check !== undefined && (asked.full || !wantsFull(check.why));
  const rttMs = nowMs - asked.sentMs;
  const lost = rest.some(({ sentMs }) => sentMs < asked.sentMs);
  change(draft, way, {
    asked: rest,
    answeredMs: nowMs,
    rttMs,
    local: local ?? way.local,
    failed: 0,
    lossyMs: lost ? nowMs : way.lossyMs,
    check: over ? undefined : check,
    ...(asked.full ? { fullMs: nowMs, fullRttMs: rttMs, small: 0 } : {}),
  });
  updatePaths(draft, { answers: 'yes' });
  const now = wayTo(draft.state, way.endpoint) ?? way;
  if (sameEndpoint(way.endpoint, draft.state.active)) activeAnswered(draft, over ? check.why : undefined);
  else if (over && check.why === 'seen') follow(draft, now);
  else if (asked.full) useInstead(draft, now);
  endRound(draft);
}

function activeAnswered(draft: PathDraft, why: CheckReason | undefined): void {
  updatePaths(draft, { leaving: false, suspectPauseMs: SUSPECT_AGAIN_MS });
  if (why === 'size') updatePaths(draft, { previous: undefined });
  // The keepalive before it may have been lost.
  if (why === 'source') draft.effects.push({ type: 'keepalive', urgent: inUse(draft.state, draft.nowMs) });
}
