import { quarantineOf } from './bookkeeping.ts';
import type { RolloutState, Verdict } from './model.ts';
import { quarantinedStage } from './trial.ts';

/**
 * What became of a revision; undefined: that is not decided yet. `since`: decisions up to this number of
 * `RolloutState.sequence` are old.
 */
export function fateOf(state: RolloutState, id: string, since: number): Verdict | undefined {
  const { trial, reverting, candidate, inForce, decisions } = state;
  if (trial?.revision.id === id || reverting?.revision.id === id) return undefined;
  const asked = candidate?.revision.id === id ? candidate : undefined;
  if (asked !== undefined && asked.stage.at !== 'waiting' && asked.stage.at !== 'refused') return undefined;
  const decision = decisions.findLast((one) => one.id === id && one.sequence > since);
  if (decision !== undefined) return decision.verdict;
  if (asked?.stage.at === 'waiting' || asked?.stage.at === 'refused') {
    const { at, reason, message } = asked.stage;
    return { outcome: at, reason, message };
  }
  if (inForce?.id === id) return { outcome: 'good', reason: 'InForce', message: 'it is in force' };
  if (quarantineOf(state.record, id) !== undefined) {
    const { at, reason, message } = quarantinedStage(state, id);
    return { outcome: at, reason, message };
  }
  return { outcome: 'preempted', reason: 'Superseded', message: 'a newer revision came before it was tried' };
}
