import type { Fleet } from '../manifest/model.ts';
import { sealingGaps } from '../secrets/census.ts';
import type { EventLog } from './events.ts';
import type { Log } from './log.ts';

/** Tells, once each, of keys in the fleet that are not sealed for just its members. */
export class SealingWatch {
  readonly #events: EventLog;
  readonly #log: Log;
  #told: ReadonlySet<string> = new Set();

  constructor(events: EventLog, log: Log) {
    this.#events = events;
    this.#log = log;
  }

  /** A fleet that is in force now, as a member of `cluster`. */
  look(fleet: Fleet, cluster: string): void {
    const gaps = sealingGaps(fleet).filter((gap) => gap.cluster === cluster);
    for (const { object, message, fix } of gaps) {
      if (this.#told.has(message)) continue;
      this.#log('warn', message, { object, fix });
      this.#events.record({ type: 'Warning', reason: 'SecretNotSealedForAll', object, message: `${message}. ${fix}` });
    }
    this.#told = new Set(gaps.map(({ message }) => message));
  }
}
