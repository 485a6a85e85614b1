import type { Clock } from './clock.ts';
import { type Condition, conditionsOf } from './conditions.ts';
import { type CycleReport, type Failure, failureOf } from './cycle.ts';
import { Dirty } from './dirty.ts';
import { driftEvents, type ReconcileEvent, settlementEvents } from './events.ts';
import { namesOf } from './impact.ts';
import { Ledger, needsHelp } from './ledger.ts';
import type { Change, ObservedRow, RowKey, RowSet } from './rows.ts';
import { newStats, type ReconcileStats } from './stats.ts';
import {
  type ObjectReport,
  objectReports,
  type PassReport,
  type ReconcilerStatus,
  type RowsReport,
  rowsReport,
} from './status.ts';
import type { Retarget, Target, Targeting } from './target.ts';

export interface JournalOptions {
  readonly clock: Clock;
  readonly random: () => number;
  readonly targeting: Targeting;
  readonly onEvent: (event: ReconcileEvent) => void;
}

/** The loop's account: what was seen, what failed, what was drift, and what to say about it. Decides nothing. */
export class Journal {
  readonly ledger: Ledger;
  readonly #clock: Clock;
  readonly #targeting: Targeting;
  readonly #onEvent: (event: ReconcileEvent) => void;
  readonly #stats = newStats();
  /** Rows that a commit changed and no pass has verified yet; a difference in any other is drift. */
  readonly #expected = new Dirty();
  #observed = new Map<RowKey, ObservedRow>();
  #drift: Change[] = [];
  #applied: string | undefined;
  #settled: Target | undefined;
  #passFailure: Failure | undefined;
  #conditions: readonly Condition[] = [];

  constructor({ clock, random, targeting, onEvent }: JournalOptions) {
    this.#clock = clock;
    this.#targeting = targeting;
    this.#onEvent = onEvent;
    this.ledger = new Ledger({ now: () => clock.now(), wall: () => clock.wall(), random });
    this.judge();
  }

  /** A desired set came into force. */
  expect(target: Target, retarget: Retarget): void {
    this.ledger.expect(target.state, retarget);
    this.#expected.add(retarget.touched);
  }

  /** Everything is new to us: nothing that differs now is drift. */
  expectAll(): void {
    this.#expected.add('all');
  }

  /** What was read: all, or `keys`, of which those not in `rows` are not there. */
  see(rows: RowSet<ObservedRow>, keys: ReadonlySet<RowKey> | undefined): void {
    if (keys === undefined) this.#observed = new Map(rows);
    for (const key of keys ?? []) {
      const row = rows.get(key);
      if (row === undefined) this.#observed.delete(key);
      else this.#observed.set(key, row);
    }
  }

  /** A pass took these changes, whether it got through or not. */
  note({ changes }: CycleReport): void {
    this.#passFailure = undefined;
    for (const change of changes) {
      this.#stats.changes[change.op]++;
      if (!this.#expected.has(change.key) && !this.ledger.failures.has(change.key)) this.#drift.push(change);
    }
  }

  /** A pass got through; `scope` is what it looked at, undefined: all. */
  settle(target: Target, scope: ReadonlySet<RowKey> | undefined, report: CycleReport, durationMs: number): PassReport {
    const settlement = this.ledger.settle(target.state, report.whole ? undefined : scope, report);
    this.#expected.take();
    this.#settled = target;
    const failures = [...report.unmet.values()];
    const drift = this.#drift.splice(0).filter(({ key }) => !report.unmet.has(key));
    this.#count(failures, drift.length, durationMs);
    for (const event of driftEvents(drift, namesOf(target.fleet))) this.#onEvent(event);
    for (const event of settlementEvents(settlement)) this.#onEvent(event);
    if (this.ledger.failures.size === 0 && this.#applied !== target.revision) {
      this.#applied = target.revision;
      if (target.revision !== '')
        this.say('Normal', 'RevisionApplied', `revision ${target.revision}: ${report.changes.length} changes`);
    }
    const { changes, whole } = report;
    return { revision: target.revision, ready: failures.length === 0, changes, failures, drift, whole, durationMs };
  }

  superseded(): void {
    this.#stats.superseded++;
  }

  /** A pass could not even observe. */
  passFailed(error: unknown): void {
    const failure = failureOf('pass' as RowKey, error);
    if (this.#passFailure?.code !== failure.code) this.say('Warning', 'ReconcileFailed', failure.message);
    this.#passFailure = failure;
    this.#stats.errors[failure.class]++;
  }

  /** Draws the conditions anew; to be called after whatever they follow from. */
  judge(): void {
    const { inForce } = this.#targeting;
    const failures = this.#failures();
    const first = failures.find(needsHelp) ?? failures.find((failure) => failure.attempted) ?? failures[0];
    const situation = {
      attempted: inForce?.revision || undefined,
      progressing: this.isProgressing,
      suspended: inForce?.state.standing === 'suspended',
      rows: inForce?.state.rows.size ?? 0,
      failure: first && { first, count: failures.length, needsHelp: needsHelp(first) },
    };
    this.#conditions = conditionsOf(situation, this.#conditions, new Date(this.#clock.wall()).toISOString());
  }

  /** No pass has got through since the desired set came into force. */
  get isProgressing(): boolean {
    return this.#settled !== this.#targeting.inForce;
  }

  /** A desired link that is known to be missing: nothing works without it. */
  get isLinkMissing(): boolean {
    for (const key of this.ledger.failures.keys()) if (key.startsWith('link/') && !this.#observed.has(key)) return true;
    return false;
  }

  status(): ReconcilerStatus {
    const { inForce } = this.#targeting;
    const { standing, self, rows } = inForce?.state ?? {};
    const unverified = this.#expected.all ? (rows?.size ?? 0) : this.#expected.keys.size;
    return {
      revision: {
        ...(inForce?.revision && { attempted: inForce.revision }),
        ...(this.#applied && { applied: this.#applied }),
      },
      ...(standing && { standing }),
      ...(self && { self }),
      conditions: this.#conditions,
      objects: this.ledger.counts(),
      rows: {
        desired: rows?.size ?? 0,
        observed: this.#observed.size,
        pending: Math.max(unverified, this.ledger.failures.size),
      },
      failures: this.#failures(),
    };
  }

  objects(): readonly ObjectReport[] {
    return objectReports(this.ledger.objects, this.#targeting.inForce?.revision ?? '');
  }

  rows(): RowsReport {
    return rowsReport(this.#targeting.inForce, this.#observed);
  }

  stats(): ReconcileStats {
    return structuredClone(this.#stats);
  }

  say(type: ReconcileEvent['type'], reason: string, message: string): void {
    this.#onEvent({ type, reason, object: 'node', message });
  }

  #failures(): readonly Failure[] {
    return [...(this.#passFailure ? [this.#passFailure] : []), ...this.ledger.failures.values()];
  }

  #count(failures: readonly Failure[], drift: number, durationMs: number): void {
    this.#stats.passes++;
    this.#stats.driftHealed += drift;
    this.#stats.lastDurationMs = durationMs;
    this.#stats.totalDurationMs += durationMs;
    for (const failure of failures) if (failure.attempted) this.#stats.errors[failure.class]++;
  }
}
