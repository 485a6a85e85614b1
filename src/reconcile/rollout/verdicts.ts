import { fateOf } from './fate.ts';
import type { RolloutState, Verdict } from './model.ts';

interface Question {
  readonly id: string;
  /** Decisions up to this number are old. */
  readonly since: number;
}

interface Waiter extends Question {
  readonly resolve: (verdict: Verdict) => void;
}

/** Those who wait for what becomes of a revision. */
export class Verdicts {
  #waiters: readonly Waiter[] = [];

  /** With outcome `trial` where `signal` comes first. */
  of(question: Question, state: RolloutState, signal: AbortSignal): Promise<Verdict> {
    const known = fateOf(state, question.id, question.since);
    if (known !== undefined) return Promise.resolve(known);
    return new Promise((resolve) => {
      const giveUp = () => {
        this.#waiters = this.#waiters.filter((one) => one !== waiter);
        resolve({ outcome: 'trial', reason: 'Probation', message: 'no verdict yet; see omni status' });
      };
      const waiter: Waiter = {
        ...question,
        resolve: (verdict) => {
          signal.removeEventListener('abort', giveUp);
          resolve(verdict);
        },
      };
      this.#waiters = [...this.#waiters, waiter];
      if (signal.aborted) giveUp();
      else signal.addEventListener('abort', giveUp, { once: true });
    });
  }

  /** To be called after each step. */
  answer(state: RolloutState): void {
    this.#waiters = this.#waiters.filter(({ id, since, resolve }) => {
      const verdict = fateOf(state, id, since);
      if (verdict !== undefined) resolve(verdict);
      return verdict === undefined;
    });
  }
}
