import type { Endpoint } from '../../reconcile/dataplane.ts';
import { beginCheck } from './checks.ts';
import { move } from './choice.ts';
import { answer, answered, seen } from './messages.ts';
import {
  type PathDraft,
  type PathEffect,
  type PathInput,
  type PathMoment,
  type PathsState,
  updatePaths,
} from './model.ts';
import { FIRST_ROUND_MS, SUSPECT_AGAIN_MS } from './timers.ts';
import { statistics, timer } from './watch.ts';
import {
  activeWay,
  addWay,
  change,
  changeAll,
  inUse,
  LONG_AGO,
  sameEndpoint,
  wayTo,
  withHints,
  works,
} from './ways.ts';

const NEVER = Number.POSITIVE_INFINITY;

/** A peer of which nothing is known yet. */
export function initialPaths(): PathsState {
  return {
    preferred: false,
    keepalive: false,
    ways: [],
    active: undefined,
    observed: false,
    activeSinceMs: undefined,
    move: undefined,
    previous: undefined,
    ignored: undefined,
    session: false,
    answers: 'unknown',
    seen: { txMs: 0, txDataMs: 0, rxMs: 0, rxDataMs: 0 },
    roundAtMs: NEVER,
    roundMs: undefined,
    lookAtMs: NEVER,
    doubtedMs: NEVER,
    suspectedMs: LONG_AGO,
    silentSinceMs: LONG_AGO,
    leaving: false,
    suspectAgainMs: LONG_AGO,
    suspectPauseMs: SUSPECT_AGAIN_MS,
    responses: { sinceMs: LONG_AGO, count: 0 },
  };
}

/**
 * One peer's paths, as a function. Same arguments, same result. The caller carries out the effects in order, and calls
 * again with `timer` at `nextPathDeadlineMs`.
 */
export function stepPaths(
  state: PathsState,
  input: PathInput,
  moment: PathMoment,
): { readonly state: PathsState; readonly effects: readonly PathEffect[] } {
  const draft: PathDraft = { ...moment, state, effects: [] };
  react(draft, input);
  return { state: draft.state, effects: draft.effects };
}

/** When `timer` is due next; Infinity where nothing is pending. */
export function nextPathDeadlineMs({ roundAtMs, lookAtMs, ways }: PathsState): number {
  return Math.min(roundAtMs, lookAtMs, ...ways.map(({ check }) => check?.atMs ?? NEVER));
}

function react(draft: PathDraft, input: PathInput): void {
  switch (input.type) {
    case 'seen':
      seen(draft, input.endpoint);
      break;
    case 'message':
      if (input.message.kind === 'challenge') answer(draft, input.path, input.message);
      else answered(draft, input.path, input.message);
      break;
    case 'source-changed':
      sourceChanged(draft);
      break;
    case 'proved':
      proved(draft, input.endpoint, input.only);
      break;
    case 'found':
      found(draft, input.endpoint, input.observed);
      break;
    case 'hints':
      hinted(draft, input.endpoints);
      break;
    case 'settings':
      updatePaths(draft, { preferred: input.preferred, keepalive: input.keepalive });
      break;
    case 'session':
      sessionChanged(draft, input.present, input.fresh);
      break;
    case 'statistics':
      statistics(draft, input.seen);
      break;
    case 'timer':
      timer(draft);
      break;
  }
}

/** The peer must see where we are now. What was known of the paths was known of other ones. */
function sourceChanged(draft: PathDraft): void {
  const { state, nowMs } = draft;
  const active = activeWay(state);
  if (!state.session) return;
  const busy = inUse(state, nowMs);
  if (!busy || active === undefined || state.answers === 'no') {
    draft.effects.push({ type: 'keepalive', urgent: busy });
    if (busy) draft.effects.push({ type: 'handshake' }); // an older build moves by nothing else
    return;
  }
  changeAll(draft, { answeredMs: LONG_AGO, fullMs: LONG_AGO, rttMs: undefined, fullRttMs: undefined, failed: 0 });
  const roundAtMs = Math.min(state.roundAtMs, nowMs + FIRST_ROUND_MS);
  updatePaths(draft, { suspectedMs: nowMs, silentSinceMs: nowMs, leaving: false, roundAtMs });
  if (active.check?.why === 'source') draft.effects.push({ type: 'keepalive', urgent: true });
  else beginCheck(draft, active, 'source');
}

/**
 * A handshake's answer came from there, or its confirmation. Where the path in use is known to work, that is no more than
 * a sign of where the peer sends from: hosts with several addresses answer from whichever their routes say.
 */
function proved(draft: PathDraft, endpoint: Endpoint, only: boolean): void {
  const { state, nowMs } = draft;
  const leaveIt = state.observed && state.answers === 'yes' && works(state, nowMs);
  if (!only && leaveIt && !sameEndpoint(endpoint, state.active)) {
    seen(draft, endpoint);
    return;
  }
  const way = addWay(draft, endpoint, 'proved');
  if (way === undefined) return;
  change(draft, way, { answeredMs: nowMs, failed: 0 });
  if (!sameEndpoint(endpoint, state.active)) {
    move(draft, way, 'handshake');
    return;
  }
  updatePaths(draft, { observed: true, activeSinceMs: state.activeSinceMs ?? nowMs });
  draft.effects.push({ type: 'use', endpoint });
}

/** What the data plane says is so. */
function found(draft: PathDraft, endpoint: Endpoint, observed: boolean): void {
  const { active, activeSinceMs } = draft.state;
  addWay(draft, endpoint, observed ? 'proved' : 'hint');
  const known = sameEndpoint(endpoint, active);
  updatePaths(draft, { active: endpoint, observed, activeSinceMs: known ? activeSinceMs : undefined });
}

function hinted(draft: PathDraft, endpoints: readonly Endpoint[]): void {
  const { state, nowMs } = draft;
  const ways = withHints(state, endpoints, nowMs);
  const more = ways.some(({ endpoint }) => wayTo(state, endpoint) === undefined);
  const soon = more && state.roundAtMs !== NEVER;
  const roundAtMs = soon ? Math.min(state.roundAtMs, nowMs + FIRST_ROUND_MS) : state.roundAtMs;
  updatePaths(draft, { ways, roundAtMs });
}

function sessionChanged(draft: PathDraft, present: boolean, fresh: boolean): void {
  // An older build may have been upgraded.
  if (fresh && draft.state.answers !== 'yes') updatePaths(draft, { answers: 'unknown', doubtedMs: NEVER });
  updatePaths(draft, { session: present });
  if (present) return;
  changeAll(draft, { check: undefined, asked: [] });
  updatePaths(draft, {
    roundAtMs: NEVER,
    roundMs: undefined,
    lookAtMs: NEVER,
    leaving: false,
    ignored: undefined,
    previous: undefined,
  });
}
