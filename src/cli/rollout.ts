import type { AgentClient } from '../agent/client.ts';
import { usageError } from './errors.ts';
import { shortRevision } from './format.ts';
import type { RevisionView, StatusView } from './views/rollout.ts';

/** As git has it: fewer digits name too much. */
const LEAST_PREFIX = 4;

/** A revision as the agent is to be asked for it: `text` may be an id, its beginning, or a label, in full or as printed. */
export async function revisionId(client: AgentClient, text: string): Promise<string> {
  return resolveRevision(text, knownRevisions(await client.status()));
}

/** What `known` does not have is left to the agent, whose source may know it: `main~2`, a tag. */
function resolveRevision(text: string, known: readonly RevisionView[]): string {
  const exact = known.find(({ id, label }) => id === text || label === text);
  if (exact !== undefined) return exact.id;
  const ids = [...new Set(known.filter((revision) => isNamed(revision, text)).map(({ id }) => id))];
  if (ids.length > 1) {
    throw usageError(`'${text}' is the beginning of several revisions`, `Name one of them: ${ids.join(', ')}.`);
  }
  return ids[0] ?? text;
}

/** By its id, its label, the beginning of either, or as it is printed. */
export function isNamed({ id, label }: RevisionView, text: string): boolean {
  if (id === text || shortRevision(label) === text) return true;
  return text.length >= LEAST_PREFIX && [id, digest(id), label].some((name) => name.startsWith(text));
}

function digest(id: string): string {
  return id.slice(id.indexOf(':') + 1);
}

function knownRevisions({ rollout, revision }: StatusView): readonly RevisionView[] {
  const { lastKnownGood, trial, waiting, history, quarantined } = rollout;
  const all = [revision.lastApplied, revision.lastAttempted, lastKnownGood, trial?.revision, waiting?.revision];
  const past = [...history, ...quarantined].map((entry) => entry.revision);
  return [...all, ...past].filter((one) => one !== undefined);
}
