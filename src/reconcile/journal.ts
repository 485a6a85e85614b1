import type { Cluster } from '../manifest/model.ts';
import { clusterOf } from './block.ts';
import type { Clock } from './clock.ts';
import { type Condition, conditionsOf, situationOf } from './conditions.ts';
import { type CycleReport, type Failure, failureOf } from './cycle.ts';
import type { Cause } from './dataplane.ts';
import { DriftBook, isLeft, LEFT } from './drift.ts';
import { driftEvents, type ReconcileEvent, settlementEvents } from './events.ts';
import { Ledger } from './ledger.ts';
import { namesOf } from './names.ts';
import type { Change, ObservedRow, RowKey, RowSet } from './rows.ts';
import { countPass, newStats, type ReconcileStats } from './stats.ts';
import {
  type ObjectReport,
  objectReports,
  type PassReport,
  type ReconcilerStatus,
  type RowsReport,
  type RowsView,
  rowsReport,
  statusOf,
} from './status.ts';
import type { Retarget, Target, Targeting } from './target.ts';
import { Verified } from './verified.ts';

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
  readonly #drift: DriftBook;
  readonly #verified = new Verified();
  #observed = new Map<RowKey, ObservedRow>();
  #applied: string | undefined;
  #settled: Target | undefined;
  #passFailure: Failure | undefined;
  #conditions: readonly Condition[] = [];

  constructor({ clock, random, targeting, onEvent }: JournalOptions) {
    this.#clock = clock;
    this.#targeting = targeting;
    this.#onEvent = onEvent;
    this.ledger = new Ledger({ now: () => clock.now(), wall: () => clock.wall(), random });
    this.#drift = new DriftBook(() => clock.now());
    this.judge();
  }

  /** A desired set came into force. */
  expect(target: Target, retarget: Retarget): void {
    this.ledger.expect(target.state, retarget);
    this.#drift.ask(retarget.touched);
    this.#verified.forget(retarget.touched);
  }

  /** Everything is new to us: nothing that differs now is drift. */
  expectAll(): void {
    this.#drift.ask('all');
  }

  /** What is in force is what an earlier process had verified. Where drift is healed anyway, it is not worth an event at each start. */
  resume(): void {
    const { inForce } = this.#targeting;
    if (inForce !== undefined && modeOf(inForce) === 'report') this.#drift.askNothing();
  }

  /** A notification: rows that may have changed, and who did it as far as it says. */
  hear(keys: ReadonlySet<RowKey> | 'unknown', causes: ReadonlyMap<RowKey, Cause> | undefined): void {
    this.#drift.hear(keys, causes);
    if (keys !== 'unknown') this.ledger.nudge(keys);
  }

  /** A person wants everything tried again, be it contested or delayed. */
  retryAll(): void {
    this.#drift.retryAll();
    this.ledger.retryAll();
  }

  /** Rows whose time to be tried again has come; each contested one is named once. */
  dueKeys(): readonly RowKey[] {
    const { inForce } = this.#targeting;
    return [...this.ledger.dueKeys(), ...(inForce ? this.#drift.release(modeOf(inForce)) : [])];
  }

  /** Monotonic milliseconds at which `dueKeys` will name one; Infinity: none waits. */
  nextRetryMs(): number {
    return Math.min(this.ledger.nextRetryMs(), this.#drift.nextMs());
  }

  /** Decides for a pass which drift is left as it is. */
  leaving(target: Target): (change: Change) => Failure | undefined {
    const [mode, nameOf] = [modeOf(target), namesOf(target.fleet)];
    return (change) => this.#drift.leaves(change, mode, nameOf);
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
    for (const change of changes) this.#stats.changes[change.op]++;
    this.#drift.write(changes);
  }

  /** A pass got through; `scope` is what it looked at, undefined: all. */
  settle(target: Target, scope: ReadonlySet<RowKey> | undefined, report: CycleReport, durationMs: number): PassReport {
    const looked = report.whole ? undefined : scope;
    const settlement = this.ledger.settle(target.state, looked, report);
    const drift = this.#drift.settle(report, looked, this.ledger.failures);
    this.#verified.note(looked, report.unmet, this.#clock.wall());
    this.#settled = target;
    const unmet = [...report.unmet.values()];
    const failures = unmet.filter((failure) => !isLeft(failure));
    countPass(this.#stats, { failures, drift, durationMs });
    for (const event of driftEvents(drift, namesOf(target.fleet))) this.#onEvent(event);
    for (const event of settlementEvents(settlement)) this.#onEvent(event);
    if (this.#applied !== target.revision && this.#failures().length === 0) {
      this.#applied = target.revision;
      if (target.revision !== '')
        this.say(
          'Normal',
          'RevisionApplied',
          `revision ${target.revision}: ${report.changes.length === 1 ? '1 change' : `${report.changes.length} changes`}`,
        );
    }
    return {
      revision: target.revision,
      ready: failures.length === 0,
      changes: report.changes,
      failures,
      left: unmet.filter(isLeft),
      drift: drift.healed.map(({ change }) => change),
      whole: report.whole,
      durationMs,
    };
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
    const situation = situationOf({
      target: inForce,
      progressing: this.isProgressing,
      failures: this.#failures(),
      left: this.#left(),
    });
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
    const { asked } = this.#drift;
    const { inForce: target } = this.#targeting;
    const unverified = asked.all ? (target?.state.rows.size ?? 0) : asked.keys.size;
    return statusOf({
      target,
      applied: this.#applied,
      conditions: this.#conditions,
      objects: this.ledger.counts(),
      observed: this.#observed.size,
      pending: Math.max(unverified, this.ledger.failures.size),
      failures: this.#failures(),
      left: this.#left(),
    });
  }

  objects(): readonly ObjectReport[] {
    return objectReports(this.ledger.objects, this.#targeting.inForce?.revision ?? '');
  }

  rows(): RowsReport {
    return rowsReport(this.#targeting.inForce, this.#observed);
  }

  view(): RowsView {
    return {
      target: this.#targeting.inForce,
      observed: this.#observed,
      failures: this.ledger.failures,
      verifiedAt: (key) => this.#verified.at(key),
    };
  }

  stats(): ReconcileStats {
    const left = this.#left();
    const contestedRows = left.filter(({ code }) => code === LEFT.contested).length;
    return { ...structuredClone(this.#stats), contestedRows, driftedRows: left.length - contestedRows };
  }

  say(type: ReconcileEvent['type'], reason: string, message: string): void {
    this.#onEvent({ type, reason, object: 'node', message });
  }

  #failures(): readonly Failure[] {
    const failures = [...this.ledger.failures.values()].filter((failure) => !isLeft(failure));
    return [...(this.#passFailure ? [this.#passFailure] : []), ...failures];
  }

  #left(): readonly Failure[] {
    return [...this.ledger.failures.values()].filter(isLeft);
  }
}

/** What the node's cluster says about drift. */
function modeOf(target: Target): Cluster['mode'] {
  return clusterOf(target)?.mode ?? 'enforce';
}
