import type { Change } from '../../reconcile/rows.ts';

/** What to fail, and how. */
export interface Fault {
  /** Changes that fail; or, with `observe`, reads. */
  readonly when: 'observe' | ((change: Change) => boolean);
  /** Thrown. */
  readonly error: Error;
  /** How often; default: until cleared. */
  times?: number;
}

/** Failures that a host is told to have. */
export class Faults {
  readonly #faults = new Set<Fault>();

  /** Returns what takes the fault away. */
  add(fault: Fault): () => void {
    const own = { ...fault };
    this.#faults.add(own);
    return () => {
      this.#faults.delete(own);
    };
  }

  onObserve(): void {
    for (const fault of this.#faults) if (fault.when === 'observe') this.#throw(fault);
  }

  onApply(change: Change): void {
    for (const fault of this.#faults) if (fault.when !== 'observe' && fault.when(change)) this.#throw(fault);
  }

  #throw(fault: Fault): never {
    if (fault.times !== undefined && --fault.times <= 0) this.#faults.delete(fault);
    throw fault.error;
  }
}
