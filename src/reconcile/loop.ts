import { OmniError } from '../errors.ts';
import type { CanonicalKey, Fleet, ObjectRef } from '../manifest/model.ts';
import { Backoff } from './backoff.ts';
import type { Clock } from './clock.ts';
import { cycle, type Failure } from './cycle.ts';
import type { AdoptReport, Cause, DataPlane, Stop } from './dataplane.ts';
import type { NodeView, SessionConfig } from './desired.ts';
import { diff } from './diff.ts';
import { Dirty } from './dirty.ts';
import { isLeft } from './drift.ts';
import type { ReconcileEvent } from './events.ts';
import { foldEndpoints } from './fold.ts';
import { peersCut } from './impact/cuts.ts';
import { Journal } from './journal.ts';
import { namesOf } from './names.ts';
import { plan } from './plan.ts';
import type { Plan, RowKey } from './rows.ts';
import { breather, Schedule } from './schedule.ts';
import type { ReconcileStats } from './stats.ts';
import type { ObjectReport, PassReport, ReconcilerStatus, RowsReport, RowsView } from './status.ts';
import { type Proposal, type ProposalOptions, type Retarget, type Target, Targeting } from './target.ts';

export interface ReconcilerOptions {
  readonly dataPlane: DataPlane;
  readonly clock: Clock;
  /** Uniform in [0, 1). */
  readonly random: () => number;
  readonly node: NodeView;
  readonly onEvent: (event: ReconcileEvent) => void;
  /**
   * After the first look at all that a desired set changed, once its link is there: what the sessions need now. Called
   * even where single objects failed (status names them). `undefined`: this node carries nothing.
   */
  readonly onApplied: (sessions: SessionConfig | undefined, revision: string) => void;
  /** After each completed pass: for duration histograms. */
  readonly onPass?: (report: PassReport) => void;
  /** Everything is looked at again this often, whatever notifications were lost. */
  readonly resyncMs?: number;
}

interface Waiter {
  readonly resolve: (report: PassReport) => void;
  readonly reject: (error: unknown) => void;
}

/** A pass lets timers and sockets run after it has been at it for this long. */
const SLICE_MS = 10;
const RESYNC_MS = 5 * 60_000;

/**
 * Keeps a node as its fleet says. `cycle` does the work; this decides when, and over which rows; `Journal` keeps account.
 * Level-triggered: commits, notifications and timers only mark rows dirty. One pass at a time; a newer desired set cuts
 * the running one short between two changes. Stages: what the agent calls, when to run, one pass, what people ask.
 */
export class Reconciler {
  readonly #options: ReconcilerOptions;
  readonly #targeting: Targeting;
  readonly #journal: Journal;
  readonly #passBackoff: Backoff;
  readonly #schedule: Schedule;
  readonly #stopping = new AbortController();
  #life: AbortSignal | undefined;
  #unwatch: Stop | undefined;

  /** Rows to look at. */
  readonly #dirty = new Dirty();
  #resyncAtMs = Number.POSITIVE_INFINITY;
  #running: Promise<void> | undefined;
  #paused = false;
  #waiters: Waiter[] = [];
  /** The target that `onApplied` was told of. */
  #announced: Target | undefined;

  constructor(options: ReconcilerOptions) {
    const { clock, random, node, onEvent } = options;
    this.#options = options;
    this.#targeting = new Targeting(node);
    this.#journal = new Journal({ clock, random, onEvent, targeting: this.#targeting });
    this.#passBackoff = new Backoff({ now: () => clock.now(), random });
    this.#schedule = new Schedule(clock, () => this.#tick());
  }

  // --- what the agent calls -----------------------------------------------------

  /** Adopts what is there, then keeps going until `signal` or `stop`. Resolves once adopted. Call once. */
  async start(signal: AbortSignal): Promise<AdoptReport> {
    const { dataPlane, clock, resyncMs = RESYNC_MS } = this.#options;
    const life = AbortSignal.any([signal, this.#stopping.signal]);
    const report = await dataPlane.adopt(life);
    if (report.adopted) {
      const links = report.links.join(', ') || 'no link';
      this.#journal.say('Normal', 'Adopted', `took over ${links} with ${report.sessions} live sessions`);
    }
    this.#life = life;
    life.addEventListener('abort', () => this.#end(life.reason), { once: true });
    life.throwIfAborted();
    this.#unwatch = dataPlane.watch((keys, causes) => this.wake(keys, causes));
    this.#resyncAtMs = clock.now() + resyncMs;
    this.#journal.expectAll();
    this.#dirty.add('all');
    this.#arm();
    return report;
  }

  /**
   * What putting a fleet in force would be; nothing is changed. Throws an `OmniError` of class stall where it asks for more
   * than this version can do.
   */
  propose(fleet: Fleet, options: ProposalOptions): Proposal {
    return this.#targeting.propose(fleet, options);
  }

  /** Puts a proposal in force: the label of its revision is what status, events and reports call it. */
  setDesired(proposal: Proposal, revision: string): void {
    this.#retarget(this.#targeting.adopt(proposal, revision));
  }

  /**
   * To be called at a start, right after `setDesired`, where an earlier process had verified that very revision: in a
   * cluster of mode `report`, what differs now has drifted since and is left. Otherwise a start carries everything out.
   */
  resumeVerified(): void {
    this.#journal.resume();
  }

  /** The revision in force stays; what its fleet refers to changed: a name resolves to another address, other keys are barred. */
  refresh(changed: ReadonlySet<ObjectRef>, barred?: ReadonlySet<CanonicalKey>): void {
    this.#retarget(this.#targeting.refresh(changed, barred));
  }

  /** Removes everything that is ours, as no revision is in force any more. */
  withdraw(): void {
    this.#retarget(this.#targeting.withdraw());
  }

  /** What is in force. */
  get target(): Target | undefined {
    return this.#targeting.inForce;
  }

  /** Neither looks nor writes until `resume`. The pass under way ends; sessions go on. */
  pause(): void {
    this.#paused = true;
    this.#schedule.clear();
  }

  resume(): void {
    if (!this.#paused) return;
    this.#paused = false;
    this.#dirty.add('all');
    this.#arm();
  }

  /** Those of the rows that are not as desired; of all, but for drift that is left on purpose. Undefined: no pass has got through since the desired set came into force. */
  failing(rows: ReadonlySet<RowKey> | 'all'): readonly Failure[] | undefined {
    if (this.#journal.isProgressing) return undefined;
    const failures = [...this.#journal.ledger.failures.values()];
    return failures.filter((failure) => (rows === 'all' ? !isLeft(failure) : rows.has(failure.key)));
  }

  #retarget(retarget: Retarget | undefined): void {
    const { inForce } = this.#targeting;
    if (retarget !== undefined && inForce !== undefined) {
      this.#journal.expect(inForce, retarget);
      this.#dirty.add(retarget.touched);
      this.#passBackoff.resetAll();
      if (this.#paused) this.#announce(inForce); // what is there carries traffic, and no pass will tell
      this.#arm();
    }
    this.#journal.judge();
  }

  /**
   * Something may have changed behind our back. Data planes collect bursts; here there is no delay. A row that was waiting
   * for something is tried again when it is named: what it waited for may be there.
   */
  wake(keys: ReadonlySet<RowKey> | 'unknown', causes?: ReadonlyMap<RowKey, Cause>): void {
    this.#journal.hear(keys, causes);
    this.#dirty.add(keys === 'unknown' ? 'all' : keys);
    this.#arm();
  }

  /** Looks at everything, tries everything again, and resolves with the report of the first such pass that got through. */
  async reconcileNow(signal: AbortSignal): Promise<PassReport> {
    signal.throwIfAborted();
    this.#life?.throwIfAborted();
    if (this.#targeting.inForce === undefined) throw noRevision();
    if (this.#paused) throw paused();
    const report = this.#nextReport(signal);
    this.#journal.retryAll();
    this.#passBackoff.resetAll();
    this.#dirty.add('all');
    this.#arm();
    return report;
  }

  /** What putting `fleet` in force would do now, were it not for any guard. Writes nothing. */
  async preview(fleet: Fleet, signal: AbortSignal): Promise<{ changes: Plan; sessionsCut: readonly string[] }> {
    const { state } = this.#targeting.propose(fleet, { changed: 'all', barred: this.target?.state.barred });
    const observed = await this.#options.dataPlane.observe(signal);
    const changes = plan(diff(foldEndpoints(state.rows, observed), observed));
    const all = () => [...observed.values()].flatMap(({ row }) => (row.kind === 'peer' ? row.publicKey : []));
    const current = this.#targeting.inForce?.fleet;
    return { changes, sessionsCut: peersCut(changes, all, namesOf(fleet, ...(current ? [current] : []))) };
  }

  /** Ends the loop after the change that is under way. What is programmed stays. */
  async stop(): Promise<void> {
    this.#stopping.abort();
    this.#end(this.#stopping.signal.reason);
    await this.#unwatch?.();
    await this.#running;
  }

  #end(reason: unknown): void {
    this.#schedule.clear();
    for (const { reject } of this.#waiters.splice(0)) reject(reason);
  }

  async #nextReport(signal: AbortSignal): Promise<PassReport> {
    let giveUp: (() => void) | undefined;
    try {
      return await new Promise<PassReport>((resolve, reject) => {
        giveUp = () => reject(signal.reason);
        signal.addEventListener('abort', giveUp, { once: true });
        this.#waiters.push({ resolve, reject });
      });
    } finally {
      if (giveUp !== undefined) signal.removeEventListener('abort', giveUp);
    }
  }

  // --- when to run -----------------------------------------------------------------

  #arm(): void {
    if (this.#life === undefined || this.#life.aborted || this.#running || !this.#targeting.inForce) return;
    if (this.#paused) return;
    const hasWork = !this.#dirty.empty || this.#journal.isProgressing;
    const laterMs = Math.min(this.#journal.nextRetryMs(), this.#resyncAtMs);
    const nextMs = hasWork ? this.#options.clock.now() : laterMs;
    // A pass that failed as a whole delays everything.
    this.#schedule.at(this.#passBackoff.isEmpty ? nextMs : Math.max(nextMs, this.#passBackoff.nextMs()));
  }

  #tick(): void {
    const [target, life] = [this.#targeting.inForce, this.#life];
    if (target === undefined || life === undefined || this.#running) return;
    const { clock, resyncMs = RESYNC_MS } = this.#options;
    if (clock.now() >= this.#resyncAtMs) {
      this.#resyncAtMs = clock.now() + resyncMs;
      this.#journal.ledger.retryAll();
      this.#dirty.add('all');
    }
    this.#dirty.add(this.#journal.dueKeys());
    this.#running = this.#pass(target, life).finally(() => {
      this.#running = undefined;
      this.#arm();
    });
  }

  // --- one pass ----------------------------------------------------------------------

  async #pass(target: Target, life: AbortSignal): Promise<void> {
    const { clock, dataPlane, onPass } = this.#options;
    const startedMs = clock.now();
    const scope = this.#dirty.take();
    const waiters = this.#waiters.splice(0);
    const superseded = () => life.aborted || this.#targeting.inForce !== target;
    try {
      const report = await cycle(
        {
          dataPlane,
          desired: target.state.rows,
          scope,
          due: (key) => this.#journal.ledger.due(target.state.rows.get(key)?.origin.object ?? key),
          leaves: this.#journal.leaving(target),
          superseded,
          breathe: breather(clock, SLICE_MS),
        },
        life,
        (rows, keys) => this.#journal.see(rows, keys),
      );
      this.#passBackoff.resetAll();
      this.#journal.note(report);
      if (!report.complete || superseded()) {
        this.#journal.superseded();
        this.#dirty.giveBack(scope);
        this.#waiters.unshift(...waiters);
        if (life.aborted) this.#end(life.reason);
        return;
      }
      const pass = this.#journal.settle(target, scope, report, clock.now() - startedMs);
      this.#announce(target);
      onPass?.(pass);
      for (const { resolve } of waiters) resolve(pass);
    } catch (error) {
      this.#dirty.giveBack(scope);
      for (const { reject } of waiters) reject(error);
      if (life.aborted) return;
      this.#passBackoff.fail('pass');
      this.#journal.passFailed(error);
    } finally {
      this.#journal.judge();
    }
  }

  #announce(target: Target): void {
    if (this.#announced === target || this.#journal.isLinkMissing) return;
    this.#announced = target;
    this.#options.onApplied(target.state.sessions, target.revision);
  }

  // --- what people ask -----------------------------------------------------------------

  status(): ReconcilerStatus {
    return this.#journal.status();
  }

  /** Every object of this node's cluster, and how it stands. */
  objects(): readonly ObjectReport[] {
    return this.#journal.objects();
  }

  /** Desired, and observed as last seen. */
  rows(): RowsReport {
    return this.#journal.rows();
  }

  /** The same, row by row: for questions about one. */
  view(): RowsView {
    return this.#journal.view();
  }

  stats(): ReconcileStats {
    return this.#journal.stats();
  }
}

function noRevision(): OmniError {
  return new OmniError('there is no revision to reconcile yet', {
    code: 'no-revision',
    class: 'wait',
    fix: 'Wait until the source has been read; the status says why it has not.',
  });
}

function paused(): OmniError {
  return new OmniError('this node is suspended: it neither looks nor writes', {
    code: 'suspended',
    class: 'wait',
    fix: 'Run omni resume first.',
  });
}
