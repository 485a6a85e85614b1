import type { Endpoint } from '../../reconcile/dataplane.ts';
import type { PathDraft, PathSource, PathsState, Way } from './model.ts';
import { updatePaths } from './model.ts';
import { HEARD_MS, IN_USE_MS, MAX_PATHS, MAX_SEEN } from './timers.ts';

/** Never. */
export const LONG_AGO = Number.NEGATIVE_INFINITY;

export function sameEndpoint(a: Endpoint | undefined, b: Endpoint | undefined): boolean {
  return a?.address === b?.address && a?.port === b?.port;
}

export function wayTo(state: PathsState, endpoint: Endpoint | undefined): Way | undefined {
  return endpoint && state.ways.find((way) => sameEndpoint(way.endpoint, endpoint));
}

export function activeWay(state: PathsState): Way | undefined {
  return wayTo(state, state.active);
}

export function alternatives(state: PathsState): readonly Way[] {
  return state.ways.filter((way) => !sameEndpoint(way.endpoint, state.active));
}

/** Frames moved lately, or something is to be kept alive. */
export function inUse({ session, keepalive, seen }: PathsState, nowMs: number): boolean {
  return session && (keepalive || nowMs - Math.max(seen.txDataMs, seen.rxDataMs) < IN_USE_MS);
}

/**
 * When the path in use last showed that it works. What came in counts only while the peer sends from where we send to:
 * else it came by another path.
 */
export function heardMs(state: PathsState): number {
  const answeredMs = activeWay(state)?.answeredMs ?? LONG_AGO;
  return state.ignored === undefined ? Math.max(answeredMs, state.seen.rxDataMs) : answeredMs;
}

/** It carried something a moment ago. */
export function works(state: PathsState, nowMs: number): boolean {
  return state.session && nowMs - heardMs(state) < HEARD_MS;
}

export function change(draft: PathDraft, { endpoint }: Way, changes: Partial<Way>): void {
  const ways = draft.state.ways.map((way) => (sameEndpoint(way.endpoint, endpoint) ? { ...way, ...changes } : way));
  updatePaths(draft, { ways });
}

export function changeAll(draft: PathDraft, changes: Partial<Way>): void {
  updatePaths(draft, { ways: draft.state.ways.map((way) => ({ ...way, ...changes })) });
}

export function forgetWay(draft: PathDraft, { endpoint }: Way): void {
  updatePaths(draft, { ways: draft.state.ways.filter((way) => !sameEndpoint(way.endpoint, endpoint)) });
}

/** Undefined: there is no room for another path. */
export function addWay(draft: PathDraft, endpoint: Endpoint, source: PathSource): Way | undefined {
  const known = wayTo(draft.state, endpoint);
  if (known !== undefined) return known;
  if (source === 'seen' && !roomForSeen(draft)) return undefined;
  const way = newWay(endpoint, source, draft.nowMs);
  updatePaths(draft, { ways: bounded([...draft.state.ways, way], draft.state.active, endpoint) });
  return way;
}

/** Places that were seen must not crowd out each other while they are asked, nor anything else. */
function roomForSeen({ state }: PathDraft): boolean {
  const unanswered = state.ways.filter((way) => way.source === 'seen' && way.answeredMs === LONG_AGO);
  return unanswered.length < MAX_SEEN;
}

/** The path in use, `wanted` and what answered last stay; of the rest the manifest's first. */
function bounded(ways: readonly Way[], active: Endpoint | undefined, wanted?: Endpoint): readonly Way[] {
  if (ways.length <= MAX_PATHS) return ways;
  const kept = (way: Way) => sameEndpoint(way.endpoint, active) || sameEndpoint(way.endpoint, wanted);
  const rest = ways.filter((way) => !kept(way)).sort((a, b) => b.answeredMs - a.answeredMs || rank(a) - rank(b));
  const stays = new Set([...ways.filter(kept), ...rest].slice(0, MAX_PATHS));
  return ways.filter((way) => stays.has(way));
}

function rank({ source }: Way): number {
  return source === 'hint' ? 0 : 1;
}

/** The manifest's endpoints first and in its order; what else is known after them. */
export function withHints(state: PathsState, hints: readonly Endpoint[], nowMs: number): readonly Way[] {
  const named = hints.map((endpoint): Way => {
    const known = wayTo(state, endpoint);
    return known === undefined ? newWay(endpoint, 'hint', nowMs) : { ...known, source: 'hint' };
  });
  const others = state.ways.filter((way) => !hints.some((hint) => sameEndpoint(hint, way.endpoint)));
  const stay = others.flatMap((way): Way[] => {
    if (way.source !== 'hint') return [way];
    return sameEndpoint(way.endpoint, state.active) ? [{ ...way, source: 'proved' }] : [];
  });
  return bounded([...named, ...stay], state.active);
}

/**
 * Where initiations go, best first: the path in use alone while it is known to work; else what was proved, what answered
 * lately by its round trip, the rest in the manifest's order, and last what lately failed to answer.
 */
export function candidates(state: PathsState, working: boolean): readonly Endpoint[] {
  const { active, observed, ways } = state;
  if (observed && active !== undefined && working) return [active];
  const first = observed && active !== undefined ? [active] : [];
  const rest = ways.filter((way) => first.length === 0 || !sameEndpoint(way.endpoint, active));
  const ordered = [...rest].sort((a, b) => standing(a) - standing(b) || (a.rttMs ?? 0) - (b.rttMs ?? 0));
  return [...first, ...ordered.map(({ endpoint }) => endpoint)];
}

function standing({ failed, answeredMs }: Way): number {
  if (failed > 0) return 2;
  return answeredMs === LONG_AGO ? 1 : 0;
}

function newWay(endpoint: Endpoint, source: PathSource, nowMs: number): Way {
  return {
    endpoint,
    source,
    asked: [],
    check: undefined,
    seenMs: nowMs,
    answeredMs: LONG_AGO,
    fullMs: LONG_AGO,
    rttMs: undefined,
    fullRttMs: undefined,
    local: undefined,
    lossyMs: LONG_AGO,
    failed: 0,
    faster: 0,
    small: 0,
  };
}
