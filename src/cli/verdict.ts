import type { Json, Verdict } from '../agent/api.ts';
import { ExitCode, OmniError } from '../errors.ts';
import { shortDigests, shortRevision } from './format.ts';
import type { Progress } from './progress.ts';
import type { RevisionView, StatusView } from './views/rollout.ts';

type VerdictView = Json<Verdict>;

/** What became of a revision that somebody asked for. */
export interface Conclusion {
  readonly revision: RevisionView;
  /** Absent: nothing new was to be tried. */
  readonly verdict?: VerdictView | undefined;
  /** Whether the node was Ready in the end. */
  readonly ready: boolean;
}

/**
 * The verdict on another revision than the one asked for, which it overtook. Undefined: not yet. `sinceMs`: when it was asked
 * for, milliseconds since 1970; what was decided before is about neither.
 */
export function newerConclusion(
  status: StatusView,
  { revision: preempted, sinceMs }: { readonly revision: RevisionView; readonly sinceMs: number },
): Conclusion | undefined {
  const { trial, waiting, history, quarantined } = status.rollout;
  if (trial !== undefined) return undefined;
  const ready = status.conditions.some(({ type, status: state }) => type === 'Ready' && state === 'True');
  const [newest] = history;
  // What was just rolled back is kept out by its quarantine from then on: how it ended says more.
  if (waiting !== undefined && waiting.revision.id !== newest?.revision.id) {
    const { revision, refused, reason, message } = waiting;
    return { revision, verdict: { outcome: refused ? 'refused' : 'waiting', reason, message }, ready };
  }
  if (newest === undefined || newest.revision.id === preempted.id || newest.outcome === 'preempted') return undefined;
  if (Date.parse(newest.at) < sinceMs) return undefined;
  const { revision, message } = newest;
  if (newest.outcome !== 'rolled-back')
    return { revision, verdict: { outcome: 'good', reason: 'Good', message }, ready };
  const why = quarantined.find((one) => one.revision.id === revision.id);
  const reason = why?.reason ?? 'RolledBack';
  return { revision, verdict: { outcome: 'rolled-back', reason, message: why?.message ?? message }, ready };
}

/**
 * Says on stderr how it ended, and returns exit code 0, or 1 where the node is not Ready. Anything but a revision in force is an
 * error: exit 5 for a rollback, 2 where a guard, a quarantine or a gate keeps it out, 4 where the time was up before the verdict.
 */
export function conclude({ revision, verdict, ready }: Conclusion, progress: Progress): number {
  const name = shortRevision(revision.label);
  if (verdict !== undefined && verdict.outcome !== 'good') throw failed(revision, verdict, verdict.outcome);
  if (!ready) {
    progress.warn(`not ready at ${name}: see 'omni status'`);
    return ExitCode.failed;
  }
  progress.done(`ready at ${name}${verdict?.message ? `: ${shortDigests(verdict.message)}` : ''}`);
  return ExitCode.ok;
}

/** A person ended its trial: what `omni rollback` asks for while a revision is on trial. */
export function isTakenBack({ verdict }: Conclusion): boolean {
  return verdict?.outcome === 'rolled-back' && verdict.reason === 'RolledBackByHand';
}

type Failure = Exclude<VerdictView['outcome'], 'good'>;

const WORDS: Readonly<Record<Failure, string>> = {
  'rolled-back': 'was rolled back',
  refused: 'is refused',
  waiting: 'is not tried now',
  preempted: 'was pre-empted by a newer revision',
  trial: 'is still on trial: the time was up before the verdict',
};

const EXIT_CODES: Readonly<Record<Failure, ExitCode>> = {
  'rolled-back': ExitCode.rolledBack,
  refused: ExitCode.usage,
  waiting: ExitCode.usage,
  preempted: ExitCode.failed,
  trial: ExitCode.stale,
};

function failed(revision: RevisionView, verdict: VerdictView, outcome: Failure): OmniError {
  const because = verdict.message === '' ? '' : `: ${verdict.message}`;
  const message = `${shortRevision(revision.label)} ${WORDS[outcome]} (${verdict.reason})${because}`;
  return new OmniError(message, {
    code: outcome,
    class: outcome === 'waiting' || outcome === 'trial' ? 'wait' : 'stall',
    exitCode: EXIT_CODES[outcome],
    fix: wayOut(outcome, verdict.reason, shortId(revision.id)),
  });
}

function wayOut(outcome: Failure, reason: string, id: string): string {
  switch (outcome) {
    case 'rolled-back':
      return `Commit a mend: a newer revision is tried by itself. \`omni retry ${id}\` tries this one again as it is.`;
    case 'refused':
      return REFUSALS[reason]?.(id) ?? 'See `omni status`.';
    case 'waiting':
      return WAITS[reason] ?? 'It is tried by itself once that is over; see `omni status`.';
    case 'preempted':
      return 'See `omni history` for what became of the newer one.';
    case 'trial':
      return 'The agent goes on: see `omni status`, or wait longer with --timeout.';
  }
}

const REFUSALS: Readonly<Record<string, (id: string) => string>> = {
  PruneBlocked: (id) =>
    `If it is meant, run \`omni confirm ${id}\` (\`omni apply\`: --allow-prune); else commit what is missing.`,
  PartitionBlocked: (id) =>
    `If it is meant, run \`omni confirm ${id} --allow-partition\` (\`omni apply\`: --allow-partition); else mend the paths.`,
  NotAMember: (id) =>
    `Commit this node's Peer again; if the node is to be emptied, run \`omni confirm ${id} --allow-partition\`.`,
  RevisionQuarantined: (id) => `Commit a mend, or try it again as it is with \`omni retry ${id}\`.`,
};

const WAITS: Readonly<Record<string, string>> = {
  Held: 'Run `omni release` to let it through.',
  Suspended: 'Run `omni resume` to let it through.',
};

/** As many digits as the command line takes for a revision. */
export function shortId(id: string): string {
  return id.replace(/^((?:sha256:)?[0-9a-f]{8})[0-9a-f]+$/, '$1');
}
