import { beginCheck } from './checks.ts';
import { compare } from './choice.ts';
import { type PathDraft, updatePaths } from './model.ts';
import { WARM_MS } from './timers.ts';
import { alternatives, inUse } from './ways.ts';

/** Rounds of challenges on all paths at once: they keep the alternatives warm, and are what paths are compared by. */

/** There is somewhere else to go, and somebody to ask. */
export function watched({ state, nowMs }: PathDraft): boolean {
  return inUse(state, nowMs) && state.answers !== 'no' && alternatives(state).length > 0;
}

export function beginRound(draft: PathDraft): void {
  if (!watched(draft)) {
    updatePaths(draft, { roundAtMs: Number.POSITIVE_INFINITY });
    return;
  }
  const { nowMs, jitter, stretch } = draft;
  updatePaths(draft, { roundMs: nowMs, roundAtMs: nowMs + WARM_MS * stretch * (0.9 + 0.2 * jitter) });
  for (const way of draft.state.ways) if (way.check === undefined) beginCheck(draft, way, 'round');
}

export function endRound(draft: PathDraft): void {
  const { roundMs, ways } = draft.state;
  if (roundMs === undefined || ways.some(({ check }) => check?.why === 'round')) return;
  updatePaths(draft, { roundMs: undefined });
  compare(draft, roundMs);
}
