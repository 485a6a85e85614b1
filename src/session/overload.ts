/** Initiations without a proved address that are answered in a second: about a tenth of a processor, a quarter where they are hybrid. */
const ANSWERED_PER_SECOND = 200;
/** Cookie replies in a second, at most. The packet filter lets no more of them through (OMNI_UNPROVEN_PER_SECOND). */
const REPLIES_PER_SECOND = 1_000;
const SECOND_MS = 1_000;

/** How many initiations came whose senders' addresses are not proved. Immutable. */
export interface Load {
  /** Start of the second that is being counted. */
  readonly sinceMs: number;
  readonly count: number;
  /** Under load until then. */
  readonly untilMs: number;
}

export const NO_LOAD: Load = { sinceMs: Number.NEGATIVE_INFINITY, count: 0, untilMs: Number.NEGATIVE_INFINITY };

/**
 * One more of them came. `answer`: there is time for it. `cookie`: there is not; have the sender prove its address.
 * `drop`: there is no time for that either.
 */
export function arrive(
  load: Load,
  nowMs: number,
): { readonly load: Load; readonly verdict: 'answer' | 'cookie' | 'drop' } {
  const fresh = nowMs - load.sinceMs >= SECOND_MS;
  const sinceMs = fresh ? nowMs : load.sinceMs;
  const count = fresh ? 1 : load.count + 1;
  const untilMs = count > ANSWERED_PER_SECOND ? nowMs + SECOND_MS : load.untilMs;
  const busy = count > REPLIES_PER_SECOND ? 'drop' : 'cookie';
  return { load: { sinceMs, count, untilMs }, verdict: nowMs < untilMs ? busy : 'answer' };
}
