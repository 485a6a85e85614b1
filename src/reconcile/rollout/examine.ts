import { type Candidate, type Draft, nextToken, update } from './model.ts';

/** What it would do, and what its surroundings say, is to be found out (anew). */
export function examine(draft: Draft, { revision, intent, obstacle }: Omit<Candidate, 'stage'>): void {
  const token = nextToken(draft);
  update(draft, { candidate: { revision, intent, obstacle, stage: { at: 'examining', token } } });
  draft.effects.push({ type: 'examine', token, revision, intent });
}

/** What is in force or trusted changed under a candidate: what was found out about it is old. */
export function examineAnew(draft: Draft): void {
  const { candidate } = draft.state;
  const at = candidate?.stage.at;
  if (candidate !== undefined && (at === 'examining' || at === 'measuring')) examine(draft, candidate);
}
