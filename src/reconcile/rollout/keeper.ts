import type { ManifestFile } from '../../manifest/model.ts';
import type { Clock } from '../clock.ts';
import { previousGood, withRevoked } from './bookkeeping.ts';
import type { RevisionInfo, RolloutRecord } from './record.ts';
import type { RolloutStore } from './store.ts';

export interface KeeperOptions {
  readonly store: RolloutStore;
  readonly clock: Pick<Clock, 'setTimer'>;
  /** Of the revision that a record calls last known good; undefined: nobody has them. */
  readonly filesOf: (id: string) => readonly ManifestFile[] | undefined;
  /** What is not on disk, and why; undefined: it is now. */
  readonly onProblem: (problem: string | undefined) => void;
}

const RETRY_MS = 5_000;
const MAX_RETRY_MS = 60_000;

interface Wanted {
  readonly record: RolloutRecord;
  readonly waiters: { readonly resolve: () => void; readonly reject: (error: unknown) => void }[];
}

/**
 * Brings the newest record to disk, and again while that fails. A record is named on disk as last known good only once
 * its files are kept; until then the one before is, which is as true: the newer one is tried once more after a crash.
 */
export class Keeper {
  readonly #options: KeeperOptions;
  #wanted: Wanted | undefined;
  #running: Promise<void> | undefined;
  /** As it is on disk. */
  #saved: RolloutRecord;
  #kept: ReadonlySet<string> = new Set();
  #cancelRetry: (() => void) | undefined;
  #retryMs = RETRY_MS;

  /** `loaded`: the record on disk. */
  constructor(options: KeeperOptions, loaded: RolloutRecord) {
    this.#options = options;
    this.#saved = loaded;
  }

  /** The files of this revision are on disk. */
  isKept(id: string): void {
    this.#kept = new Set([...this.#kept, id]);
  }

  /** Resolves once this record, or a newer one, is on disk; rejects if it is not at the first try. */
  save(record: RolloutRecord): Promise<void> {
    return new Promise((resolve, reject) => {
      const waiters = [...(this.#wanted?.waiters ?? []), { resolve, reject }];
      this.#wanted = { record, waiters };
      this.#start();
    });
  }

  /** As `save`, and waits for the files too. */
  async flush(record: RolloutRecord): Promise<void> {
    await this.save(record);
    await this.#running;
  }

  stop(): void {
    this.#cancelRetry?.();
  }

  #start(): void {
    this.#cancelRetry?.();
    this.#running ??= this.#run().finally(() => {
      this.#running = undefined;
      if (this.#wanted !== undefined) this.#start();
    });
  }

  async #run(): Promise<void> {
    while (this.#wanted !== undefined) {
      const { record, waiters } = this.#wanted;
      this.#wanted = undefined;
      try {
        if (this.#wasGivenUp(record)) await this.#keep(record);
        await this.#write(this.#asFarAsKept(record));
        for (const { resolve } of waiters) resolve();
        if (this.#wanted === undefined) await this.#keep(record);
        this.#retryMs = RETRY_MS;
        this.#options.onProblem(undefined);
      } catch (error) {
        for (const { reject } of waiters) reject(error);
        this.#failed(record, error);
      }
    }
  }

  async #write(record: RolloutRecord): Promise<void> {
    await this.#options.store.save(record);
    this.#saved = record;
  }

  /** What is trusted on disk was given up by hand: no record can name it for the time being. */
  #wasGivenUp({ quarantined }: RolloutRecord): boolean {
    return quarantined.some(({ revision }) => revision.id === this.#saved.lastKnownGood?.id);
  }

  #asFarAsKept(record: RolloutRecord): RolloutRecord {
    const { lastKnownGood, ...rest } = record;
    if (lastKnownGood === undefined || this.#kept.has(lastKnownGood.id)) return record;
    const before = this.#saved.lastKnownGood;
    if (before === undefined) return rest;
    // What the older one must not let back in stays out until the newer one is named.
    return { ...withRevoked(rest, this.#saved.revoked), lastKnownGood: before };
  }

  async #keep(record: RolloutRecord): Promise<void> {
    const { lastKnownGood } = record;
    if (lastKnownGood === undefined || this.#kept.has(lastKnownGood.id)) return;
    const { store, filesOf } = this.#options;
    const files = filesOf(lastKnownGood.id);
    if (files === undefined) return;
    const { since: _, ...revision } = lastKnownGood;
    await store.keep({ revision, files });
    this.#kept = new Set([...this.#kept, revision.id]);
    if (this.#wanted !== undefined) return; // it names this one too, or a newer
    await this.#write(record);
    await this.#forgetOthers(record, revision);
  }

  /** The one before stays, for a person who wants it back. */
  async #forgetOthers(record: RolloutRecord, { id }: RevisionInfo): Promise<void> {
    const before = previousGood(record)?.id;
    const except = before === undefined ? [id] : [id, before];
    await this.#options.store.forget(except);
    this.#kept = new Set(except.filter((one) => this.#kept.has(one)));
  }

  #failed(record: RolloutRecord, error: unknown): void {
    this.#options.onProblem(error instanceof Error ? error.message : String(error));
    if (this.#wanted !== undefined) return;
    this.#cancelRetry = this.#options.clock.setTimer(this.#retryMs, () => {
      this.#wanted ??= { record, waiters: [] };
      this.#start();
    });
    this.#retryMs = Math.min(this.#retryMs * 2, MAX_RETRY_MS);
  }
}
