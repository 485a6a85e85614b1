import type { PassReport } from '../reconcile/status.ts';

/** Who listens to what the reconciler does. */
export class Passes {
  readonly #listeners = new Set<(pass: PassReport) => void>();

  tell(pass: PassReport): void {
    for (const listener of this.#listeners) listener(pass);
  }

  /** Every pass from now on; returns what ends it. */
  subscribe(listener: (pass: PassReport) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }
}
