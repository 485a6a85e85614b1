import { probesNamed, selectProbes } from './baseline.ts';
import type { Keeper } from './keeper.ts';
import type { RolloutEffect, RolloutInput, RolloutState } from './model.ts';
import type { RolloutOptions } from './options.ts';
import type { Probing } from './probing.ts';
import type { RolloutRecord } from './record.ts';
import type { Origin, Revisions } from './revisions.ts';

interface Hands {
  readonly revisions: Revisions;
  readonly probing: Probing;
  readonly keeper: Keeper;
  readonly life: AbortSignal;
  readonly state: () => RolloutState;
  /** Takes what came of an effect, later or at once. */
  readonly dispatch: (input: RolloutInput) => void;
}

/** The source answered so recently that it need not be asked. */
const ANSWERED_MS = 10_000;

/** Carries out what the machine decided, and tells it what came of it. */
export class Carrier {
  readonly #options: RolloutOptions;
  readonly #hands: Hands;
  /** Revisions that were taken back, by reason. */
  readonly rollbacks = { ProbationFailed: 0, NotApplied: 0, Interrupted: 0, RolledBackByHand: 0 };

  constructor(options: RolloutOptions, hands: Hands) {
    this.#options = options;
    this.#hands = hands;
  }

  carryOut(effect: RolloutEffect): void {
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
        this.#hands.revisions.apply(effect.revision.id, effect.intent, this.#hands.state());
        break;
      case 'restore':
        if (effect.reason !== undefined) this.rollbacks[effect.reason] += 1;
        this.#hands.revisions.restore(this.#hands.state());
        break;
      case 'bar':
        this.#hands.revisions.bar(this.#hands.state());
        break;
      case 'probe':
        this.#probe(effect.ids);
        break;
      case 'stop-probing':
        this.#hands.probing.stop();
        break;
      case 'pause':
        reconciler.pause();
        break;
      case 'go-on':
        reconciler.resume();
        break;
      case 'say':
        this.#options.onEvent({
          type: effect.level,
          reason: effect.reason,
          object: 'node',
          message: effect.message,
        });
    }
  }

  #save(record: RolloutRecord, token?: number): void {
    const saved = this.#hands.keeper.save(record);
    if (token === undefined)
      saved.catch(() => undefined); // said by `onProblem`, and tried again
    else
      saved.then(
        () => this.#hands.dispatch({ type: 'recorded', token }),
        (error: unknown) => this.#hands.dispatch({ type: 'recorded', token, problem: messageOf(error) }),
      );
  }

  #examine({ token, revision, intent }: Extract<RolloutEffect, { readonly type: 'examine' }>): void {
    const finding = this.#hands.revisions.examine(revision.id, intent, this.#hands.state());
    if ('block' in finding) {
      this.#hands.dispatch({ type: 'examined', token, finding });
      return;
    }
    this.#options.gates.check(this.#hands.life).then(
      (gate) => this.#hands.dispatch({ type: 'examined', token, finding: { ...finding, gate } }),
      () => undefined, // the agent ends
    );
  }

  async #measure({
    token,
    revision,
    intent,
    carried,
    discounted,
  }: Extract<RolloutEffect, { readonly type: 'measure' }>): Promise<void> {
    const { life: signal } = this.#hands;
    try {
      const live = await this.#options.prober.livePeers();
      const known = this.#hands.revisions.get(revision.id);
      if (signal.aborted || known === undefined) return;
      const after = this.#hands.revisions.proposal(revision.id, intent, this.#hands.state());
      const before = this.#options.reconciler.target;
      const source = this.#sourceFor(known);
      const { random } = this.#options;
      const chosen = selectProbes({ before, after, touched: after.touched, live, source, carried, discounted, random });
      const passing = await this.#hands.probing.passing(chosen.tried, signal);
      const ids = [...chosen.assumed.map(({ id }) => id), ...passing];
      this.#hands.dispatch({
        type: 'measured',
        token,
        baseline: { ids, required: chosen.required.filter((id) => ids.includes(id)) },
      });
    } catch (error) {
      if (!signal.aborted) this.#hands.dispatch({ type: 'unmeasured', token, problem: messageOf(error) });
    }
  }

  #sourceFor({ origin, sinceMs }: { readonly origin: Origin; readonly sinceMs: number }): 'none' | 'ask' | 'answered' {
    if (!this.#options.probesSource || origin === 'cache') return 'none';
    return origin === 'source' && this.#options.clock.now() - sinceMs < ANSWERED_MS ? 'answered' : 'ask';
  }

  #probe(ids: readonly string[]): void {
    const { target } = this.#options.reconciler;
    const probes = target === undefined ? [] : probesNamed(ids, target, this.#options.probesSource);
    this.#hands.probing.start(probes);
    const there = new Set(probes.map(({ id }) => id));
    // What is not there any more (its peer was revoked meanwhile) has nothing to say.
    const gone = ids.filter((id) => !there.has(id)).map((id) => [id, undefined] as const);
    if (gone.length > 0) this.#hands.dispatch({ type: 'probed', results: new Map(gone) });
  }
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
