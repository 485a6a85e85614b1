import type { Clock } from '../clock.ts';
import type { Probe, Prober } from './probe.ts';

/** A commit is not held up for longer by what does not answer. */
const BASELINE_MS = 3_000;

export interface ProbingOptions {
  readonly prober: Prober;
  readonly clock: Pick<Clock, 'setTimer'>;
  /** One probe was tried; undefined: it passed. */
  readonly onResult: (id: string, message: string | undefined) => void;
}

/** Tries probes, side by side. */
export class Probing {
  readonly #options: ProbingOptions;
  #current = new AbortController();

  constructor(options: ProbingOptions) {
    this.#options = options;
  }

  /** Each once; `onResult` is called for each unless `stop` comes first. */
  start(probes: readonly Probe[]): void {
    const { prober, onResult } = this.#options;
    const { signal } = this.#current;
    for (const probe of probes) {
      prober.run(probe, signal).then(
        (message) => {
          if (!signal.aborted) onResult(probe.id, message);
        },
        (error: unknown) => {
          if (!signal.aborted) onResult(probe.id, error instanceof Error ? error.message : String(error));
        },
      );
    }
  }

  stop(): void {
    this.#current.abort();
    this.#current = new AbortController();
  }

  /** Ids of those that pass now, within 3 s. Rejects only when `signal` is aborted. */
  async passing(probes: readonly Probe[], signal: AbortSignal): Promise<ReadonlySet<string>> {
    const timeout = new AbortController();
    const cancel = this.#options.clock.setTimer(BASELINE_MS, () => timeout.abort());
    const either = AbortSignal.any([signal, timeout.signal]);
    const passed = new Set<string>();
    const tries = probes.map(async (probe) => {
      if ((await this.#options.prober.run(probe, either)) === undefined) passed.add(probe.id);
    });
    await Promise.allSettled(tries); // a probe that is cut short has not passed
    cancel();
    signal.throwIfAborted();
    return passed;
  }
}
