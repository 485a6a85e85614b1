import { type ErrorClass, OmniError } from '../errors.ts';
import type { DataPlane } from './dataplane.ts';
import { diff } from './diff.ts';
import { foldEndpoints } from './fold.ts';
import { plan } from './plan.ts';
import { rowsTouched, withBothKeys } from './rename.ts';
import { type Change, type DesiredRow, type ObservedRow, type Plan, type RowKey, type RowSet, rowOf } from './rows.ts';
import { verify } from './verify.ts';

export interface CycleInput {
  readonly dataPlane: Pick<DataPlane, 'observe' | 'apply'>;
  readonly desired: RowSet<DesiredRow>;
  /** The rows to look at; undefined: all. */
  readonly scope: ReadonlySet<RowKey> | undefined;
  /** False for a row whose retry is not due yet: it is left as it is. */
  due(key: RowKey): boolean;
  /** Why a difference is left as it is on purpose; undefined: it is to be set right. */
  leaves(change: Change): Failure | undefined;
  /** True once a newer revision is there: the rest of the plan is out of date. */
  superseded(): boolean;
  /** Lets others run if this cycle has been at it for long. */
  breathe(): Promise<void>;
}

/** Why a row is not as desired. */
export interface Failure {
  readonly key: RowKey;
  readonly class: ErrorClass;
  readonly code: string;
  readonly message: string;
  readonly fix?: string;
  /** False: not tried in this cycle: its retry is not due, its link is not there, or it is left on purpose. */
  readonly attempted: boolean;
}

export interface CycleReport {
  /** False: superseded half-way; `changes` were carried out, and everything must be looked at again. */
  readonly complete: boolean;
  /** Changes that the data plane took, in order. */
  readonly changes: Plan;
  /** Rows that are not as desired, of those looked at. */
  readonly unmet: ReadonlyMap<RowKey, Failure>;
  /** True where the whole truth was read, either asked for or because a link came or went. */
  readonly whole: boolean;
}

/** Whatever is done to a link may change what is on it, so everything is looked at once more; a fourth time would be a fight. */
const MAX_ROUNDS = 3;

/**
 * The loop's body: observe, diff, plan, apply, observe, verify. `seen` is told everything that was read: `keys` undefined
 * means that what is not in `rows` is not there.
 */
export async function cycle(
  input: CycleInput,
  signal: AbortSignal,
  seen: (rows: RowSet<ObservedRow>, keys: ReadonlySet<RowKey> | undefined) => void,
): Promise<CycleReport> {
  const { dataPlane, desired } = input;
  const changes: Change[] = [];
  const unmet = new Map<RowKey, Failure>();
  let scope = input.scope && withBothKeys(input.scope, desired);

  const observe = async (keys: ReadonlySet<RowKey> | undefined): Promise<RowSet<ObservedRow>> => {
    const rows = await dataPlane.observe(signal, keys);
    seen(rows, keys);
    return rows;
  };

  for (let round = 1; ; round++) {
    const observed = await observe(scope);
    const differences = diff(foldEndpoints(desired, observed), observed, scope);
    if (scope === undefined) forget(unmet, differences);
    if (differences.length === 0) break;

    const attempt = await applyAll(plan(differences), input, signal, unmet);
    changes.push(...attempt.taken);
    if (!attempt.finished) return { complete: false, changes, unmet, whole: scope === undefined };
    if (attempt.taken.length === 0) break;

    const touched = new Set(attempt.taken.flatMap(rowsTouched));
    const again = await observe(fewOf(touched, desired) ? touched : undefined);
    for (const { key, message } of verify(desired, again, touched)) {
      unmet.set(key, { key, class: 'retry', code: 'not-observed', message, attempted: true });
    }
    if (round === MAX_ROUNDS || !attempt.taken.some((change) => rowOf(change).kind === 'link')) break;
    scope = undefined;
  }
  return { complete: true, changes, unmet, whole: scope === undefined };
}

/** Everything was read again: what differs no more is met. */
function forget(unmet: Map<RowKey, Failure>, differences: readonly Change[]): void {
  const differing = new Set(differences.map(({ key }) => key));
  for (const key of unmet.keys()) if (!differing.has(key)) unmet.delete(key);
}

interface Attempt {
  readonly taken: Plan;
  readonly finished: boolean;
}

/**
 * Carries out a plan. One row that fails does not stop the others, but what needs a link waits for it; and what failed in
 * an earlier round is left to the next cycle.
 */
async function applyAll(
  steps: Plan,
  input: CycleInput,
  signal: AbortSignal,
  unmet: Map<RowKey, Failure>,
): Promise<Attempt> {
  const taken: Change[] = [];
  const missingLinks = new Set<string>();
  for (const change of steps) {
    if (input.superseded()) return { taken, finished: false };
    const failedBefore = unmet.get(change.key)?.attempted ? unmet.get(change.key) : undefined;
    const failure = failedBefore ?? waitsFor(change, missingLinks, input) ?? (await tryOne(change, input, signal));
    if (failure === undefined) {
      taken.push(change);
      unmet.delete(change.key);
    } else {
      unmet.set(change.key, failure);
      if (makesLink(change)) missingLinks.add(change.to.interface);
    }
    await input.breathe();
  }
  return { taken, finished: true };
}

async function tryOne(change: Change, { dataPlane }: CycleInput, signal: AbortSignal): Promise<Failure | undefined> {
  try {
    await dataPlane.apply(change, signal);
    return undefined;
  } catch (error) {
    signal.throwIfAborted();
    return failureOf(change.key, error);
  }
}

function makesLink(change: Change): change is Extract<Change, { op: 'create' }> {
  return change.op === 'create' && change.to.kind === 'link';
}

/** Reading rows one by one costs more than reading all once they are a good part of all. */
function fewOf(keys: ReadonlySet<RowKey>, desired: RowSet<DesiredRow>): boolean {
  return keys.size <= 256 || keys.size * 4 < desired.size;
}

/** Why a change is not tried now; undefined: it is. */
function waitsFor(change: Change, missingLinks: ReadonlySet<string>, input: CycleInput): Failure | undefined {
  const { key, op } = change;
  const base = { key, class: 'wait', attempted: false } as const;
  const { interface: name } = rowOf(change);
  const left = input.leaves(change);
  if (left !== undefined) return left;
  if (op !== 'delete' && missingLinks.has(name)) {
    return { ...base, code: 'link-absent', message: `waits for link/${name}` };
  }
  return input.due(key) ? undefined : { ...base, code: 'backing-off', message: 'waits for its next try' };
}

export function failureOf(key: RowKey, error: unknown): Failure {
  if (!(error instanceof OmniError)) {
    return { key, class: 'bug', code: 'internal', message: String(error), attempted: true };
  }
  const { code, fix, message } = error;
  return { key, class: error.class, code, message, attempted: true, ...(fix === undefined ? {} : { fix }) };
}
