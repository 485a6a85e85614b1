import type { Fleet, IpAddress, ObjectRef, PublicKey } from '../../manifest/model.ts';
import type { Block } from '../block.ts';
import type { Clock } from '../clock.ts';
import type { ReconcileEvent } from '../events.ts';
import type { PruneLimit } from '../guards.ts';
import type { Reconciler } from '../loop.ts';
import { probesNamed, resumedBaseline, selectProbes } from './baseline.ts';
import { revisionOf } from './bookkeeping.ts';
import type { Found } from './boot.ts';
import { fateOf } from './fate.ts';
import type { Gates } from './gates.ts';
import { Keeper } from './keeper.ts';
import { initialState, nextDeadlineMs, recover, step } from './machine.ts';
import type { RolloutEffect, RolloutInput, RolloutState, Verdict } from './model.ts';
import type { Prober } from './probe.ts';
import { Probing } from './probing.ts';
import type { QuarantineReason, RolloutRecord } from './record.ts';
import { type RolloutView, viewOf } from './report.ts';
import { type Allowance, type Offer, type Origin, Revisions } from './revisions.ts';
import type { RolloutStore } from './store.ts';

export interface RolloutOptions {
  readonly store: RolloutStore;
  /** What the store's `load` gave. */
  readonly record: RolloutRecord;
  readonly reconciler: Pick<
    Reconciler,
    'propose' | 'setDesired' | 'resumeVerified' | 'withdraw' | 'refresh' | 'pause' | 'resume' | 'failing' | 'target'
  >;
  readonly prober: Prober;
  readonly gates: Gates;
  readonly clock: Clock;
  /** Uniform in [0, 1). */
  readonly random: () => number;
  /** Of the system: another one after each boot. */
  readonly bootId: string;
  /** Of this node. */
  readonly publicKey: PublicKey;
  readonly pruneLimit: PruneLimit;
  /** Whether the source is somewhere else, and may become unreachable. */
  readonly probesSource: boolean;
  readonly sourceAddresses: () => readonly IpAddress[];
  readonly onEvent: (event: ReconcileEvent) => void;
  /** Comes into force now. */
  readonly onTarget: (offer: Offer) => void;
}

export interface OfferOptions {
  readonly origin: Origin;
  /** Relative to the fleet that was offered before; of no meaning for `archive`. */
  readonly changed: ReadonlySet<ObjectRef> | 'all';
}

interface Waiter {
  readonly id: string;
  readonly since: number;
  readonly resolve: (verdict: Verdict) => void;
}

/** The source answered so recently that it need not be asked. */
const ANSWERED_MS = 10_000;

/**
 * Which revision is in force: `machine.ts` decides, this carries out. Stages: a start; revisions that come; what people
 * ask; carrying out.
 */
export class Rollout {
  readonly #options: RolloutOptions;
  readonly #revisions: Revisions;
  readonly #probing: Probing;
  readonly #keeper: Keeper;
  readonly #life = new AbortController();
  readonly #inputs: RolloutInput[] = [];
  #state: RolloutState;
  #busy = false;
  #cancelTimer: (() => void) | undefined;
  #waiters: readonly Waiter[] = [];
  /** Why the record is not on disk. */
  #problem: string | undefined;
  /** Something of ours was there before this agent. */
  #adopted = false;
  readonly #rollbacks = { ProbationFailed: 0, NotApplied: 0, Interrupted: 0, RolledBackByHand: 0 };
  /** Suspended, and nothing was there: what is trusted is programmed once. */
  #pausesLater = false;

  constructor(options: RolloutOptions) {
    const { clock, prober, record, bootId } = options;
    this.#options = options;
    this.#revisions = new Revisions(options);
    this.#probing = new Probing({
      prober,
      clock,
      onResult: (id, message) => this.#dispatch({ type: 'probed', results: new Map([[id, message]]) }),
    });
    this.#keeper = new Keeper(
      {
        ...options,
        filesOf: (id) => this.#revisions.get(id)?.files,
        onProblem: (problem) => this.#saved(problem),
      },
      record,
    );
    this.#state = initialState(recover(record, bootId, new Date(clock.wall()).toISOString()), bootId);
  }

  get state(): RolloutState {
    return this.#state;
  }

  /** Why the record is not on disk as it should be; undefined: it is. */
  get problem(): string | undefined {
    return this.#problem;
  }

  /** How often a revision was taken back since this agent runs. */
  rollbacks(): Readonly<Record<QuarantineReason, number>> {
    return { ...this.#rollbacks };
  }

  report(): RolloutView {
    return viewOf(this.#state, { nowMs: this.#options.clock.now() });
  }

  // --- a start ------------------------------------------------------------------------

  /** Puts in force what is trusted, or a trial that was stopped in order. Once, before any `offer`. */
  boot({ good, kept, trial }: Found, adopted: boolean): void {
    const { record, reconciler } = this.#options;
    const interrupted = this.#state.record.trial === undefined ? record.trial : undefined;
    this.#adopted = adopted;
    this.#pausesLater = record.suspension !== undefined && !adopted && good !== undefined;
    if (record.suspension !== undefined && !this.#pausesLater) reconciler.pause();
    if (good !== undefined) this.#bootGood(good, kept);
    this.#dispatch({ type: 'booted', inForce: good && revisionOf(good.revision) });
    if (this.#state.record.trial !== undefined) this.#bootTrial(trial);
    if (interrupted !== undefined) this.#interrupted(interrupted.revision.label);
    const leftOver = adopted && record.lastKnownGood === undefined && !this.#isFirst();
    if (leftOver && this.#state.inForce === undefined) reconciler.withdraw(); // of a first revision that was not trusted
    if (this.#state.record !== record) this.#save(this.#state.record);
  }

  #bootGood(good: Offer, kept: boolean): void {
    this.#add(good, { origin: 'cache', changed: 'all' });
    if (kept) this.#keeper.isKept(good.revision.id);
    this.#revisions.apply(good.revision.id, 'return', this.#state);
    const { record, reconciler } = this.#options;
    // Its verdict was the last one: nothing else was written since, and no way back to it was cut short.
    const last = record.history.at(-1);
    const untouched =
      record.trial === undefined &&
      last?.revision.id === good.revision.id &&
      (last.outcome === 'good' || last.outcome === 'chosen');
    if (this.#adopted && untouched) reconciler.resumeVerified();
  }

  #bootTrial(trial: Found['trial']): void {
    const id = trial?.revision.id ?? '';
    if (trial !== undefined) this.#add(trial, { origin: 'cache', changed: trial.changed });
    const finding = trial && this.#revisions.examine(id, 'follow', this.#state);
    if (finding === undefined || 'block' in finding) {
      this.#dispatch({ type: 'dropped' });
      return;
    }
    const before = this.#options.reconciler.target;
    this.#revisions.apply(id, 'follow', this.#state);
    const [after, { touched }] = [this.#options.reconciler.target, this.#revisions];
    const ids = this.#state.record.trial?.baseline ?? [];
    const baseline = after ? resumedBaseline(ids, { before, after, touched }) : { ids: [], required: [] };
    this.#dispatch({ type: 'resumed', facts: finding.facts, baseline });
  }

  #interrupted(label: string): void {
    this.#rollbacks.Interrupted += 1;
    const quarantined = this.#state.record.lastKnownGood !== undefined;
    const next = quarantined ? 'it is quarantined' : 'nothing was trusted before it, so it is tried again';
    this.#say('Warning', 'Interrupted', `${label} was on trial when the agent or the system ended: ${next}`);
  }

  // --- revisions that come ----------------------------------------------------------------

  /** The source's newest. Each that was read must be offered, in order: the next `changed` is relative to it. */
  offer(offer: Offer, options: OfferOptions): void {
    this.#add(offer, options);
    const revision = revisionOf(offer.revision);
    if (options.origin === 'cache' && this.#isFirst() && this.#adopted && this.#trust(revision.id)) return;
    this.#dispatch({ type: 'offered', revision, intent: 'follow' });
  }

  /** An older one that a person goes back to. */
  goBackTo(offer: Offer): void {
    this.#add(offer, { origin: 'archive', changed: 'all' });
    this.#dispatch({ type: 'offered', revision: revisionOf(offer.revision), intent: 'return' });
  }

  #add(offer: Offer, { origin, changed }: OfferOptions): void {
    this.#revisions.add(
      offer,
      { origin, sinceMs: this.#options.clock.now() },
      this.#state,
      origin === 'archive' ? undefined : changed,
    );
  }

  /** No record speaks of any revision. */
  #isFirst(): boolean {
    const { lastKnownGood, history, quarantined } = this.#state.record;
    return lastKnownGood === undefined && history.length + quarantined.length === 0 && !this.#state.inForce;
  }

  /** A version without a record had put it in force: that is what this node trusts. */
  #trust(id: string): boolean {
    const known = this.#revisions.get(id);
    if (known === undefined || 'block' in this.#revisions.examine(id, 'follow', this.#state)) return false;
    this.#revisions.apply(id, 'follow', this.#state);
    this.#dispatch({ type: 'trusted', revision: revisionOf(known.revision) });
    return true;
  }

  /** To be called after each pass of the reconciler that got through. */
  passed(): void {
    if (this.#pausesLater) this.#options.reconciler.pause();
    this.#pausesLater = false;
    const { trial, reverting } = this.#state;
    if (trial === undefined && reverting === undefined) return;
    const failing = this.#options.reconciler.failing(this.#revisions.touched);
    if (failing !== undefined) this.#dispatch({ type: 'passed', unmet: failing });
  }

  /** Why a fleet must not be put in force; undefined: nothing speaks against it. Nothing is changed. */
  objection(fleet: Fleet, allowance: Allowance): Block | undefined {
    return this.#revisions.objection(fleet, allowance, this.#state);
  }

  /** What a person accepts of a revision that is about to be offered. */
  accept(id: string, allowance: Allowance): void {
    this.#revisions.accept(id, allowance);
  }

  // --- what people ask ----------------------------------------------------------------------

  /** Resolves once it is known what becomes of a revision that was offered; with `trial` where `signal` comes first. */
  verdict(id: string, since: number, signal: AbortSignal): Promise<Verdict> {
    const known = fateOf(this.#state, id, since);
    if (known !== undefined) return Promise.resolve(known);
    return new Promise((resolve) => {
      const give = () => resolve({ outcome: 'trial', reason: 'Probation', message: 'no verdict yet; see omni status' });
      const waiter = { id, since, resolve };
      this.#waiters = [...this.#waiters, waiter];
      if (signal.aborted) give();
      signal.addEventListener(
        'abort',
        () => {
          this.#waiters = this.#waiters.filter((one) => one !== waiter);
          give();
        },
        { once: true },
      );
    });
  }

  /** What `people.ts` found to make sense. Resolves once it would outlive a crash; rejects where the disk refuses it. */
  async command(
    input: Extract<RolloutInput, { readonly type: 'hold' | 'release' | 'suspend' | 'resume' }>,
  ): Promise<void> {
    this.#dispatch(input);
    await this.#keeper.save(this.#state.record);
  }

  /** As `command`, for those whose effect is a verdict. */
  ask(input: Extract<RolloutInput, { readonly type: 'confirm' | 'lift' | 'fail' }>): void {
    this.#dispatch(input);
  }

  /** Ends in order: a trial goes on with the next agent of the same boot. What is in force stays. */
  async stop(): Promise<void> {
    this.#dispatch({ type: 'stopped' });
    this.#life.abort();
    this.#cancelTimer?.();
    this.#probing.stop();
    await this.#keeper.flush(this.#state.record).catch(() => undefined); // said by `onProblem`
    this.#keeper.stop();
  }

  // --- carrying out ---------------------------------------------------------------------------

  #dispatch(input: RolloutInput): void {
    if (this.#life.signal.aborted) return;
    this.#inputs.push(input);
    if (this.#busy) return;
    this.#busy = true;
    for (let next = this.#inputs.shift(); next !== undefined; next = this.#inputs.shift()) {
      const { clock } = this.#options;
      const moment = { nowMs: clock.now(), wallMs: clock.wall() };
      const { state, effects } = step(this.#state, next, moment);
      this.#state = state;
      for (const effect of effects) this.#carryOut(effect);
      this.#revisions.settle(this.#state);
    }
    this.#busy = false;
    this.#arm();
    this.#answer();
  }

  #arm(): void {
    const { clock } = this.#options;
    this.#cancelTimer?.();
    const nowMs = clock.now();
    const atMs = nextDeadlineMs(this.#state, { nowMs, wallMs: clock.wall() });
    if (atMs === Number.POSITIVE_INFINITY) this.#cancelTimer = undefined;
    else this.#cancelTimer = clock.setTimer(Math.max(0, atMs - nowMs), () => this.#dispatch({ type: 'timer' }));
  }

  #answer(): void {
    this.#waiters = this.#waiters.filter(({ id, since, resolve }) => {
      const verdict = fateOf(this.#state, id, since);
      if (verdict !== undefined) resolve(verdict);
      return verdict === undefined;
    });
  }

  #carryOut(effect: RolloutEffect): void {
    const { reconciler } = this.#options;
    switch (effect.type) {
      case 'save':
        this.#save(effect.record, effect.token);
        break;
      case 'examine':
        this.#examine(effect);
        break;
      case 'measure':
        void this.#measure(effect);
        break;
      case 'apply':
        this.#revisions.apply(effect.revision.id, effect.intent, this.#state);
        break;
      case 'restore':
        if (effect.reason !== undefined) this.#rollbacks[effect.reason] += 1;
        this.#revisions.restore(this.#state);
        break;
      case 'bar':
        this.#revisions.bar(this.#state);
        break;
      case 'probe':
        this.#probe(effect.ids);
        break;
      case 'stop-probing':
        this.#probing.stop();
        break;
      case 'pause':
        reconciler.pause();
        break;
      case 'go-on':
        this.#pausesLater = false;
        reconciler.resume();
        break;
      case 'say':
        this.#say(effect.level, effect.reason, effect.message);
    }
  }

  #save(record: RolloutRecord, token?: number): void {
    const saved = this.#keeper.save(record);
    if (token === undefined)
      saved.catch(() => undefined); // said by `onProblem`, and tried again
    else
      saved.then(
        () => this.#dispatch({ type: 'recorded', token }),
        (error: unknown) => this.#dispatch({ type: 'recorded', token, problem: messageOf(error) }),
      );
  }

  #examine({ token, revision, intent }: Extract<RolloutEffect, { readonly type: 'examine' }>): void {
    const finding = this.#revisions.examine(revision.id, intent, this.#state);
    if ('block' in finding) {
      this.#dispatch({ type: 'examined', token, finding });
      return;
    }
    this.#options.gates.check(this.#life.signal).then(
      (gate) => this.#dispatch({ type: 'examined', token, finding: { ...finding, gate } }),
      () => undefined, // the agent ends
    );
  }

  async #measure({
    token,
    revision,
    intent,
    carried,
  }: Extract<RolloutEffect, { readonly type: 'measure' }>): Promise<void> {
    const { signal } = this.#life;
    try {
      const live = await this.#options.prober.livePeers();
      const known = this.#revisions.get(revision.id);
      if (signal.aborted || known === undefined) return;
      const after = this.#revisions.proposal(revision.id, intent, this.#state);
      const before = this.#options.reconciler.target;
      const source = this.#sourceFor(known);
      const { random } = this.#options;
      const chosen = selectProbes({ before, after, touched: after.touched, live, source, carried, random });
      const passing = await this.#probing.passing(chosen.tried, signal);
      const ids = [...chosen.assumed.map(({ id }) => id), ...passing];
      this.#dispatch({
        type: 'measured',
        token,
        baseline: { ids, required: chosen.required.filter((id) => ids.includes(id)) },
      });
    } catch (error) {
      if (!signal.aborted) this.#dispatch({ type: 'unmeasured', token, problem: messageOf(error) });
    }
  }

  #sourceFor({ origin, sinceMs }: { readonly origin: Origin; readonly sinceMs: number }): 'none' | 'ask' | 'answered' {
    if (!this.#options.probesSource || origin === 'cache') return 'none';
    return origin === 'source' && this.#options.clock.now() - sinceMs < ANSWERED_MS ? 'answered' : 'ask';
  }

  #probe(ids: readonly string[]): void {
    const { target } = this.#options.reconciler;
    const probes = target === undefined ? [] : probesNamed(ids, target, this.#options.probesSource);
    this.#probing.start(probes);
    const there = new Set(probes.map(({ id }) => id));
    // What is not there any more (its peer was revoked meanwhile) has nothing to say.
    const gone = ids.filter((id) => !there.has(id)).map((id) => [id, undefined] as const);
    if (gone.length > 0) this.#dispatch({ type: 'probed', results: new Map(gone) });
  }

  #saved(problem: string | undefined): void {
    const before = this.#problem;
    this.#problem = problem;
    if (problem !== undefined && before === undefined) this.#say('Warning', 'StateNotSaved', problem);
    if (problem === undefined && before !== undefined) this.#say('Normal', 'StateSaved', 'the state is on disk again');
  }

  #say(type: ReconcileEvent['type'], reason: string, message: string): void {
    this.#options.onEvent({ type, reason, object: 'node', message });
  }
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
