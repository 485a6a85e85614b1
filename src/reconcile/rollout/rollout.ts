import type { Fleet, ObjectRef } from '../../manifest/model.ts';
import type { Block } from '../block.ts';
import type { ReconcileEvent } from '../events.ts';
import { resumedBaseline } from './baseline.ts';
import { revisionOf } from './bookkeeping.ts';
import type { Found } from './boot.ts';
import { Carrier } from './carrier.ts';
import { Keeper } from './keeper.ts';
import { initialState, nextDeadlineMs, recover, step } from './machine.ts';
import type { RolloutInput, RolloutState, Verdict } from './model.ts';
import type { RolloutOptions } from './options.ts';
import { Probing } from './probing.ts';
import type { QuarantineReason } from './record.ts';
import { type RolloutView, viewOf } from './report.ts';
import { type Allowance, type Offer, type Origin, Revisions } from './revisions.ts';
import { Verdicts } from './verdicts.ts';

export interface OfferOptions {
  readonly origin: Origin;
  /** Relative to the fleet that was offered before; of no meaning for `archive`. */
  readonly changed: ReadonlySet<ObjectRef> | 'all';
}

/**
 * Which revision is in force: `machine.ts` decides, `carrier.ts` carries out, and this hands from one to the other. Stages:
 * a start; revisions that come; what people ask; one step after another.
 */
export class Rollout {
  readonly #options: RolloutOptions;
  readonly #revisions: Revisions;
  readonly #probing: Probing;
  readonly #keeper: Keeper;
  readonly #carrier: Carrier;
  readonly #life = new AbortController();
  readonly #inputs: RolloutInput[] = [];
  #state: RolloutState;
  #busy = false;
  #cancelTimer: (() => void) | undefined;
  readonly #verdicts = new Verdicts();
  /** Why the record is not on disk. */
  #problem: string | undefined;
  /** Something of ours was there before this agent. */
  #adopted = false;
  /** Trials that the agent before this one did not end: none or one. */
  #interruptions = 0;
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
    this.#carrier = new Carrier(options, {
      revisions: this.#revisions,
      probing: this.#probing,
      keeper: this.#keeper,
      life: this.#life.signal,
      state: () => this.#state,
      dispatch: (input) => this.#dispatch(input),
    });
    this.#state = initialState(recover(record, bootId, new Date(clock.wall()).toISOString()), bootId);
  }

  get state(): RolloutState {
    return this.#state;
  }

  /** How often a revision was taken back since this agent runs. */
  rollbacks(): Readonly<Record<QuarantineReason, number>> {
    return { ...this.#carrier.rollbacks, Interrupted: this.#interruptions };
  }

  report(): RolloutView {
    return viewOf(this.#state, { nowMs: this.#options.clock.now() });
  }

  // --- a start ------------------------------------------------------------------------

  /** Puts in force what is trusted, or a trial that was stopped in order. Once, before any `offer`. */
  async boot({ good, kept, trial: found }: Found, adopted: boolean): Promise<void> {
    const { record, reconciler } = this.#options;
    const trial = found && (await this.#isNotedDown()) ? found : undefined;
    if (this.#life.signal.aborted) return;
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
    if (this.#state.record !== record) this.#carrier.carryOut({ type: 'save', record: this.#state.record });
  }

  /**
   * That a trial goes on is on disk before anything of it is programmed: a revision that brings down each agent that
   * resumes it would else be resumed for ever. Where the disk refuses, the trial begins again once there is room.
   */
  #isNotedDown(): Promise<boolean> {
    const { record } = this.#state;
    if (record.trial === undefined) return Promise.resolve(true);
    const { stopped: _, ...goesOn } = record.trial;
    return this.#keeper.save({ ...record, trial: goesOn }).then(
      () => true,
      () => false, // said by `onProblem`
    );
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
    this.#interruptions += 1;
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
    const cuts = this.#revisions.cutsOf(revision.id);
    this.#dispatch({ type: 'offered', revision, intent: 'follow', cuts });
  }

  /** An older one that a person goes back to. */
  goBackTo(offer: Offer): void {
    this.#add(offer, { origin: 'archive', changed: 'all' });
    this.#dispatch({ type: 'offered', revision: revisionOf(offer.revision), intent: 'return', cuts: [] });
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
    if (this.#pausesLater && this.#state.record.suspension !== undefined) this.#options.reconciler.pause();
    this.#pausesLater = false;
    const { trial, reverting, aftermath } = this.#state;
    if (trial === undefined && reverting === undefined && aftermath === undefined) return;
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

  /**
   * Resolves once it is known what becomes of a revision that was offered; with `trial` where `signal` comes first. `since`:
   * `state.sequence` before it was asked for.
   */
  verdict(id: string, since: number, signal: AbortSignal): Promise<Verdict> {
    return this.#verdicts.of({ id, since }, this.#state, signal);
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

  // --- one step after another -----------------------------------------------------------------

  #dispatch(input: RolloutInput): void {
    if (this.#life.signal.aborted) return;
    this.#inputs.push(input);
    if (this.#busy) return;
    this.#busy = true;
    try {
      this.#drain();
    } finally {
      this.#busy = false;
    }
    this.#arm();
    this.#verdicts.answer(this.#state);
  }

  #drain(): void {
    for (let next = this.#inputs.shift(); next !== undefined; next = this.#inputs.shift()) {
      const { clock } = this.#options;
      const moment = { nowMs: clock.now(), wallMs: clock.wall() };
      const { state, effects } = step(this.#state, next, moment);
      this.#state = state;
      for (const effect of effects) this.#carrier.carryOut(effect);
      this.#revisions.settle(this.#state);
    }
  }

  #arm(): void {
    const { clock } = this.#options;
    this.#cancelTimer?.();
    const nowMs = clock.now();
    const atMs = nextDeadlineMs(this.#state, { nowMs, wallMs: clock.wall() });
    if (atMs === Number.POSITIVE_INFINITY) this.#cancelTimer = undefined;
    else this.#cancelTimer = clock.setTimer(Math.max(0, atMs - nowMs), () => this.#dispatch({ type: 'timer' }));
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
