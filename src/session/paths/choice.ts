import type { Endpoint } from '../../reconcile/dataplane.ts';
import { beginCheck } from './checks.ts';
import { type Move, type MoveReason, type PathDraft, updatePaths, type Way } from './model.ts';
import {
  ANSWER_MS,
  FASTER_BY_MS,
  FASTER_ROUNDS,
  FASTER_SHARE,
  HOLD_MS,
  SMALL_ROUNDS,
  SUSPECT_AGAIN_MS,
} from './timers.ts';
import { activeWay, alternatives, change, changeAll, heardMs, inUse, sameEndpoint, wayTo } from './ways.ts';

/** The path in use may be dead. It is asked quickly; a little later the others are asked as well. */
export function suspect(draft: PathDraft): void {
  const active = activeWay(draft.state);
  if (active === undefined || active.check?.why === 'suspect') return;
  const doubtedMs = Math.min(draft.state.doubtedMs, draft.nowMs);
  updatePaths(draft, { doubtedMs, suspectedMs: draft.nowMs, silentSinceMs: heardMs(draft.state), leaving: false });
  beginCheck(draft, active, 'suspect');
}

export function askOthers(draft: PathDraft): void {
  const { suspectedMs } = draft.state;
  for (const way of alternatives(draft.state)) {
    if (way.fullMs < suspectedMs && way.check?.why !== 'seen') beginCheck(draft, way, 'rescue');
  }
}

/** The path in use is dead: the best of those that answered since the suspicion, or the first that will. */
export function leave(draft: PathDraft): void {
  const { suspectedMs, silentSinceMs } = draft.state;
  const best = quickest(alternatives(draft.state).filter(({ fullMs }) => fullMs >= suspectedMs));
  if (best === undefined) updatePaths(draft, { leaving: true });
  else move(draft, best, 'silent', silentSinceMs);
}

/** A path other than the one in use answered a challenge of full size. */
export function useInstead(draft: PathDraft, way: Way): void {
  const { leaving, suspectedMs, silentSinceMs } = draft.state;
  if (leaving && draft.nowMs - suspectedMs < ANSWER_MS) move(draft, way, 'silent', silentSinceMs);
}

/**
 * The peer sends from there, and answered there: data follows. Of two ends that have both just chosen another path, the
 * preferred one stays on its choice if that answers.
 */
export function follow(draft: PathDraft, way: Way): void {
  const { preferred, move: last } = draft.state;
  const chose = last !== undefined && last.why !== 'peer-moved' && draft.nowMs - last.atMs < HOLD_MS;
  if (preferred && chose) suspect(draft);
  else move(draft, way, 'peer-moved', way.seenMs);
}

/** The path that data followed the peer to carries no full frames: back, if the old one does. */
export function goBack(draft: PathDraft): void {
  const { previous, activeSinceMs = draft.nowMs } = draft.state;
  const way = wayTo(draft.state, previous);
  updatePaths(draft, { previous: undefined });
  if (way !== undefined && way.fullMs >= activeSinceMs) move(draft, way, 'too-small');
}

/** All have answered, or had their chances: is another path clearly and lastingly better? */
export function compare(draft: PathDraft, roundMs: number): void {
  const active = activeWay(draft.state);
  if (active === undefined) return;
  const answered = alternatives(draft.state).filter(({ fullMs }) => fullMs >= roundMs);
  if (active.fullMs < roundMs) {
    const best = active.small >= SMALL_ROUNDS ? quickest(answered) : undefined;
    if (best !== undefined) move(draft, best, 'too-small');
    return;
  }
  for (const way of answered) change(draft, way, { faster: isFaster(way, active) ? way.faster + 1 : 0 });
  const best = quickest(alternatives(draft.state).filter(({ faster }) => faster >= FASTER_ROUNDS));
  if (best !== undefined) move(draft, best, 'faster');
}

function isFaster(way: Way, active: Way): boolean {
  const [ours = Number.POSITIVE_INFINITY, its = 0] = [way.fullRttMs, active.fullRttMs];
  return ours < FASTER_SHARE * its && its - ours >= FASTER_BY_MS;
}

function quickest(ways: readonly Way[]): Way | undefined {
  return [...ways].sort((a, b) => (a.fullRttMs ?? 0) - (b.fullRttMs ?? 0))[0];
}

/** Data goes by way of `way` from now on. `sinceMs`: the first sign that it had to. */
export function move(draft: PathDraft, { endpoint, fullMs }: Way, why: MoveReason, sinceMs?: number): void {
  const { nowMs, state } = draft;
  const from = state.active;
  if (sameEndpoint(from, endpoint)) return;
  const left = activeWay(state);
  if (left !== undefined) change(draft, left, { check: undefined });
  changeAll(draft, { faster: 0, small: 0 });
  const tookMs = sinceMs === undefined || sinceMs === Number.NEGATIVE_INFINITY ? {} : { tookMs: nowMs - sinceMs };
  const moved: Move = { from, to: endpoint, why, atMs: nowMs, ...tookMs };
  const follows = why === 'peer-moved' || why === 'handshake';
  updatePaths(draft, {
    active: endpoint,
    observed: true,
    activeSinceMs: nowMs,
    move: from === undefined || !state.observed ? state.move : moved,
    previous: undefined,
    ignored: follows ? undefined : stillSends(draft, from, endpoint),
    leaving: false,
    suspectPauseMs: SUSPECT_AGAIN_MS,
  });
  draft.effects.push({ type: 'use', endpoint });
  if (!follows) draft.effects.push({ type: 'keepalive', urgent: inUse(state, nowMs) }); // so that the peer sees us there
  if (from !== undefined && state.observed) draft.effects.push({ type: 'moved', move: moved });
  if (why === 'peer-moved') tryFullFrames(draft, endpoint, fullMs, from);
}

/** Where the peer sends from has not changed by our choice: that it goes on doing so is no news. */
function stillSends({ state, nowMs }: PathDraft, from: Endpoint | undefined, to: Endpoint) {
  const ignored = state.ignored ?? (from && { endpoint: from, seenMs: nowMs });
  return sameEndpoint(ignored?.endpoint, to) ? undefined : ignored;
}

/** What the peer was followed to answered a small challenge: quick, and not the whole truth. */
function tryFullFrames(draft: PathDraft, endpoint: Endpoint, fullMs: number, from: Endpoint | undefined): void {
  if (draft.nowMs - fullMs < ANSWER_MS) return;
  updatePaths(draft, { previous: from });
  for (const way of [wayTo(draft.state, endpoint), wayTo(draft.state, from)]) {
    if (way !== undefined) beginCheck(draft, way, 'size');
  }
}
