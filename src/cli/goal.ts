import type { Condition } from '../agent/api.ts';
import { ExitCode, OmniError } from '../errors.ts';
import { usageError } from './errors.ts';
import { shortRevision } from './format.ts';
import { isNamed } from './rollout.ts';
import { shortId } from './verdict.ts';
import type { ObjectView } from './views/objects.ts';
import { type StatusView, trialWords } from './views/rollout.ts';

/** What `omni wait --for` waits for. */
export type Goal =
  | { readonly kind: 'condition'; readonly type: Condition['type']; readonly status: Condition['status'] }
  | { readonly kind: 'revision'; readonly revision: string }
  | { readonly kind: 'delete' };

/** What the agent says of the target. */
export interface Reading {
  readonly status?: StatusView;
  readonly objects?: readonly ObjectView[];
}

export interface Judgement {
  readonly met: boolean;
  /** How it stands, for people: in short, and in full. */
  readonly short: string;
  readonly full: string;
}

const TYPES: readonly Condition['type'][] = [
  'Ready',
  'Reconciling',
  'Stalled',
  'SourceReady',
  'SourceVerified',
  'Probation',
  'Held',
  'Suspended',
  'Drifted',
  'Contested',
];
/** These are left out while they do not hold. */
const ONLY_WHILE_TRUE: ReadonlySet<Condition['type']> = new Set(
  TYPES.filter((type) => type !== 'Ready' && !type.startsWith('Source')),
);
const STATUSES: readonly Condition['status'][] = ['True', 'False', 'Unknown'];

/** `condition=Ready`, `condition=Ready=False`, `revision=450796dd`, `delete`; conditions in any case, as kubectl has it. */
export function parseGoal(text: string): Goal {
  const [kind, value = '', state = 'True', ...rest] = text.split('=');
  if (kind === 'delete' && text === 'delete') return { kind };
  if (kind === 'revision' && value !== '' && text === `revision=${value}`) return { kind, revision: value };
  if (kind === 'condition' && rest.length === 0) {
    const type = sameWord(TYPES, value);
    const status = sameWord(STATUSES, state);
    if (type !== undefined && status !== undefined) return { kind, type, status };
    throw usageError(
      `--for=${text}: there is no such condition`,
      `Conditions are ${TYPES.join(', ')}, each True, False or Unknown.`,
    );
  }
  throw usageError(
    `--for=${text} cannot be read`,
    'Write condition=Ready, condition=Ready=False, revision=COMMIT or delete.',
  );
}

function sameWord<T extends string>(words: readonly T[], text: string): T | undefined {
  return words.find((word) => word.toLowerCase() === text.toLowerCase());
}

/** Refuses what can never be met, before anything is waited for. */
export function checkGoal(goal: Goal, target: string): void {
  if (goal.kind === 'delete' && target === 'node') {
    throw usageError('the node itself cannot be deleted', 'Name an object: `omni wait --for=delete peer/robot-17`.');
  }
  if (goal.kind === 'revision' && target !== 'node') {
    throw usageError('revisions are adopted by nodes', 'Leave the object away: `omni wait --for=revision=COMMIT`.');
  }
  if (goal.kind === 'condition' && goal.type !== 'Ready' && target !== 'node') {
    throw usageError(`${target} has no condition ${goal.type}`, 'Objects have Ready alone; the node has them all.');
  }
}

/** Throws, exit code 5, where the revision that is waited for was rolled back: no waiting will help. */
export function judge(goal: Goal, target: string, { status, objects }: Reading): Judgement {
  if (goal.kind === 'revision') return judgeRevision(goal.revision, status);
  const object = objects?.find((one) => one.object === target);
  if (goal.kind === 'delete') return stated(object === undefined, 'it is still there');
  if (target === 'node') return judgeCondition(goal, status);
  if (object === undefined) return stated(false, 'it is not known to this node');
  return judged(goal, { type: 'Ready', status: object.ready, reason: object.reason, message: object.message });
}

type Stated = Pick<Condition, 'type' | 'status' | 'reason' | 'message'>;
type ConditionGoal = Extract<Goal, { readonly kind: 'condition' }>;

function judgeCondition(goal: ConditionGoal, status: StatusView | undefined): Judgement {
  const condition = status?.conditions.find(({ type }) => type === goal.type);
  if (condition !== undefined) return judged(goal, condition);
  const met = goal.status === 'False' && ONLY_WHILE_TRUE.has(goal.type) && status !== undefined;
  return stated(met, `the node does not say whether it is ${goal.type}`);
}

function judged(goal: ConditionGoal, { type, status, reason, message }: Stated): Judgement {
  const short = `${type} is ${status} (${reason})`;
  return { met: status === goal.status, short, full: message === '' ? short : `${short}: ${message}` };
}

function judgeRevision(wanted: string, status: StatusView | undefined): Judgement {
  if (status === undefined) return stated(false, 'the agent has not said');
  const { lastKnownGood, history, quarantined, trial, waiting } = status.rollout;
  if (lastKnownGood !== undefined && isNamed(lastKnownGood, wanted)) return stated(true, 'it is the last known good');
  const bad = quarantined.find(({ revision }) => isNamed(revision, wanted));
  if (bad !== undefined) throw rolledBack(shortRevision(bad.revision.label), bad.reason, bad.message);
  // It passed, and a later one has taken its place.
  if (history.some(({ revision, outcome }) => outcome === 'good' && isNamed(revision, wanted))) {
    return stated(true, 'it was good');
  }
  if (trial !== undefined && isNamed(trial.revision, wanted)) {
    return { met: false, short: 'it is on trial', full: `it is on trial: ${trialWords(trial)}` };
  }
  if (waiting !== undefined && isNamed(waiting.revision, wanted)) {
    const how = waiting.refused ? 'it is refused' : 'it waits';
    return { met: false, short: `${how} (${waiting.reason})`, full: `${how}: ${waiting.reason}: ${waiting.message}` };
  }
  const good = lastKnownGood === undefined ? 'none yet' : shortRevision(lastKnownGood.label);
  return stated(false, `${shortId(wanted)} has not come; the last known good revision is ${good}`);
}

function stated(met: boolean, short: string): Judgement {
  return { met, short, full: short };
}

function rolledBack(revision: string, reason: string, message: string): OmniError {
  return new OmniError(`${revision} was rolled back (${reason}): ${message}`, {
    code: 'rolled-back',
    class: 'stall',
    exitCode: ExitCode.rolledBack,
    fix: 'Commit a mend, or try it again as it is with `omni retry`.',
  });
}
