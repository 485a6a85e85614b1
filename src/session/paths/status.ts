import type { PathStatus } from '../contract.ts';
import type { PathsState, Way } from './model.ts';
import { LIVE_MS } from './timers.ts';
import { LONG_AGO, sameEndpoint } from './ways.ts';

/** What there is to say of each path at `nowMs`. */
export function pathStatuses(state: PathsState, nowMs: number): readonly PathStatus[] {
  return state.ways.map((way) => {
    const active = sameEndpoint(way.endpoint, state.active);
    return {
      endpoint: way.endpoint,
      active,
      ...(active && state.activeSinceMs !== undefined ? { sinceMs: state.activeSinceMs } : {}),
      state: standing(state, way, active, nowMs),
      ...(way.rttMs === undefined ? {} : { rttMs: way.rttMs }),
      ...(way.answeredMs === LONG_AGO ? {} : { answeredMs: way.answeredMs }),
      source: way.source,
      ...(way.local === undefined ? {} : { local: way.local }),
    };
  });
}

function standing(state: PathsState, way: Way, active: boolean, nowMs: number): PathStatus['state'] {
  // Whoever does not take part in challenges is known by what comes in.
  const carriesUs = active && state.session && state.ignored === undefined;
  const heard = carriesUs && nowMs - state.seen.rxMs < LIVE_MS;
  if (way.failed > 0 && !(heard && state.answers === 'no')) return 'dead';
  return heard || nowMs - way.answeredMs < LIVE_MS ? 'live' : 'unknown';
}
