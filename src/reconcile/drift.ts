import type { Cluster } from '../manifest/model.ts';
import { CONTEST_LIMIT, Contest } from './contest.ts';
import type { CycleReport, Failure } from './cycle.ts';
import type { Cause } from './dataplane.ts';
import { Dirty } from './dirty.ts';
import { describeDrift } from './events.ts';
import type { NameOf } from './names.ts';
import { type Change, type RowKey, rowOf } from './rows.ts';

/** A difference between desired and observed that no commit asked for. */
export interface Drift {
  readonly change: Change;
  readonly cause?: Cause;
  /** False: nothing told of it; a look at everything found it. */
  readonly notified: boolean;
}

/** What one pass found of it. */
export interface DriftReport {
  readonly healed: readonly Drift[];
  /** Left because the cluster says so; each row and value once. */
  readonly detected: readonly Drift[];
  /** Left because somebody else keeps changing it; each fight once. */
  readonly contested: readonly Drift[];
}

/** Codes of the failures of rows that are left as they are. */
export const LEFT = { drifted: 'drifted', contested: 'contested' } as const;

/** A row that is left alone on purpose: no failure of the revision. */
export function isLeft({ code }: Failure): boolean {
  return code === LEFT.drifted || code === LEFT.contested;
}

/**
 * Tells what commits asked for from what changed behind our back, and decides which of the latter is left: all of it in a
 * cluster of mode `report`, and what somebody else keeps changing.
 */
export class DriftBook {
  readonly #now: () => number;
  readonly #contest = new Contest();
  /** Rows that a commit changed and that have not been as desired since. */
  readonly #asked = new Dirty();
  /** Rows that a notification named, with what it said. */
  readonly #heard = new Map<RowKey, Cause | undefined>();
  /** A notification was lost. */
  #overheard = false;
  /** Drift that was written since the last complete pass. */
  readonly #written = new Map<RowKey, Change>();
  /** Drift that is left. */
  readonly #left = new Map<RowKey, Change>();
  /** What was said of it: its change, as text. */
  readonly #detected = new Map<RowKey, string>();

  /** `now`: monotonic milliseconds. */
  constructor(now: () => number) {
    this.#now = now;
  }

  /** Rows that are not known to be as the commit wants them. */
  get asked(): Pick<Dirty, 'all' | 'keys'> {
    return this.#asked;
  }

  /** A commit changed these rows, or nothing is known of any. */
  ask(keys: ReadonlySet<RowKey> | 'all'): void {
    this.#asked.add(keys);
    this.#contest.forgive(keys);
  }

  /** Everything was as commits want it when an earlier process last looked: what differs now has drifted since. */
  askNothing(): void {
    this.#asked.take();
  }

  hear(keys: ReadonlySet<RowKey> | 'unknown', causes: ReadonlyMap<RowKey, Cause> | undefined): void {
    if (keys === 'unknown') {
      this.#overheard = true;
      return;
    }
    for (const key of keys) {
      this.#heard.set(key, causes?.get(key));
      this.#contest.heard(key, this.#now());
    }
  }

  /** A person wants everything tried again. */
  retryAll(): void {
    this.#contest.forgive('all');
  }

  /** Rows that may be tried again now, each named once. */
  release(mode: Cluster['mode']): readonly RowKey[] {
    const quiet = this.#contest.release(this.#now());
    if (mode === 'report') return quiet;
    // Since the cluster says `enforce` again.
    const reported = [...this.#left.keys()].filter((key) => this.#detected.has(key));
    for (const key of reported) this.#detected.delete(key);
    return [...quiet, ...reported];
  }

  /** Monotonic milliseconds at which `release` will name a row. */
  nextMs(): number {
    return this.#contest.nextMs();
  }

  /** Why a difference is left as it is; undefined: it is to be set right. */
  leaves(change: Change, mode: Cluster['mode'], nameOf: NameOf): Failure | undefined {
    if (this.#isAsked(change) || followsUnderlay(change) || cutsStranger(change)) return undefined;
    if (mode === 'report') return this.#leave(change, LEFT.drifted, 'left as it is (mode report)', nameOf);
    // What a contested link carries cannot stand either.
    if (!this.#contest.isLeft(linkOf(change)) && !this.#contest.leaves(change.key, this.#now())) return undefined;
    return this.#leave(change, LEFT.contested, CONTESTED, nameOf);
  }

  /** Whoever touches a link touches what is on it. */
  #isAsked(change: Change): boolean {
    return this.#asked.has(change.key) || this.#asked.has(linkOf(change)) || isReminder(change);
  }

  #leave(change: Change, code: string, why: string, nameOf: NameOf): Failure {
    const { key } = change;
    this.#left.set(key, change);
    const message = `${describeDrift(this.#driftOf(change), nameOf)}; ${why}`;
    return { key, class: 'wait', code, message, attempted: false, ...(code === LEFT.contested && { fix: MAKE_PEACE }) };
  }

  /** Changes that a pass carried out. */
  write(changes: readonly Change[]): void {
    const drift = changes.filter((change) => !this.#isAsked(change));
    const links = new Set(drift.flatMap((change) => (rowOf(change).kind === 'link' ? rowOf(change).interface : [])));
    const written = new Map(drift.map((change) => [change.key, change]));
    for (const [key, change] of written) {
      this.#written.set(key, change);
      const { kind, interface: name } = rowOf(change);
      // What went with its link is no fight of its own.
      if ((kind !== 'link' && links.has(name)) || followsUnderlay(change)) continue;
      this.#contest.wrote(key, this.#now());
    }
  }

  /** A pass got through. `scope`: what it looked at; `failing`: every row that is not as desired now. */
  settle(
    { unmet }: Pick<CycleReport, 'unmet'>,
    scope: ReadonlySet<RowKey> | undefined,
    failing: ReadonlyMap<RowKey, Failure>,
  ): DriftReport {
    const healed = [...this.#written].flatMap(([key, change]) => (unmet.has(key) ? [] : this.#driftOf(change)));
    const detected: Drift[] = [];
    const contested: Drift[] = [];
    for (const [key, { code }] of unmet) {
      const change = this.#left.get(key);
      if (change === undefined) continue;
      if (code === LEFT.drifted && this.#isNews(change)) detected.push(this.#driftOf(change));
      if (code === LEFT.contested && this.#contest.tell(key)) contested.push(this.#driftOf(change));
    }
    this.#written.clear();
    this.#forget(scope, failing);
    return { healed, detected, contested };
  }

  #isNews(change: Change): boolean {
    const text = JSON.stringify(change);
    const known = this.#detected.get(change.key) === text;
    this.#detected.set(change.key, text);
    return !known;
  }

  #forget(scope: ReadonlySet<RowKey> | undefined, failing: ReadonlyMap<RowKey, Failure>): void {
    const stillAsked = [...failing.keys()].filter((key) => this.#asked.has(key));
    this.#asked.take();
    this.#asked.add(stillAsked);
    const nowMs = this.#now();
    for (const key of scope ?? new Set([...this.#heard.keys(), ...this.#left.keys()])) {
      const failure = failing.get(key);
      if (failure === undefined) {
        this.#heard.delete(key);
        this.#contest.met(key, nowMs);
      }
      if (failure !== undefined && isLeft(failure)) continue;
      this.#left.delete(key);
      this.#detected.delete(key);
    }
    if (scope !== undefined) return;
    this.#overheard = false;
    this.#contest.sweep(nowMs);
  }

  #driftOf(change: Change): Drift {
    const about = [change.key, linkOf(change)].find((key) => this.#heard.has(key));
    const cause = about && this.#heard.get(about);
    return { change, notified: about !== undefined || this.#overheard, ...(cause && { cause }) };
  }
}

const CONTESTED = `set right ${CONTEST_LIMIT} times within ten minutes; left alone until ten minutes have passed without a change`;
const MAKE_PEACE = 'Stop what changes it, then run omni reconcile.';

/** Who may talk to this node is the fleet's to say, whatever its mode and whoever insists: a revoked peer stays out. */
function cutsStranger(change: Change): boolean {
  return change.op === 'delete' && change.from.kind === 'peer';
}

/** No data plane keeps a peer's other key over a restart: telling it again sets nothing right. */
function isReminder(change: Change): boolean {
  return change.op === 'update' && change.fields.every((field) => field === 'nextPublicKey');
}

function linkOf(change: Change): RowKey {
  return `link/${rowOf(change).interface}` as RowKey;
}

/**
 * A link that is there and up, but whose automatic MTU is out of date or whose programs miss an interface: the underlay
 * moved, as it does under robots. Following it is neither drift to report nor a fight.
 */
function followsUnderlay(change: Change): boolean {
  if (change.op !== 'update' || change.from.kind !== 'link') return false;
  return change.from.mtu !== 0 && change.fields.every((field) => field === 'mtu' || field === 'port');
}
