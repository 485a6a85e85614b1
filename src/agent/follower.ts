import { OmniError } from '../errors.ts';
import { renderDiagnostic } from '../manifest/diagnostic.ts';
import type { Diagnostic, Fleet, FleetReader, ManifestFile, ObjectRef } from '../manifest/model.ts';
import type { Revision, Snapshot, Source } from '../source/source.ts';
import type { EventLog } from './events.ts';
import { messageOf } from './lock.ts';
import type { Log } from './log.ts';

/** A fleet that was read and validated completely. */
export interface Offer {
  readonly fleet: Fleet;
  readonly revision: Revision;
  readonly files: readonly ManifestFile[];
  /** Relative to the fleet that the reader returned before. */
  readonly changed: ReadonlySet<ObjectRef> | 'all';
  /** `cache`: of an earlier run, before any network. */
  readonly origin: 'source' | 'cache';
  /** When its files were there to be read: monotonic milliseconds. */
  readonly receivedMs: number;
}

export interface FollowerOptions {
  readonly source: Source;
  readonly reader: FleetReader;
  /** Takes each new valid fleet, in order. */
  readonly offer: (offer: Offer) => Promise<void>;
  /** A person told this node to leave its source alone. */
  readonly suspended: () => boolean;
  readonly events: EventLog;
  readonly log: Log;
  /** Milliseconds since 1970. */
  readonly now: () => number;
  /** Monotonic milliseconds. */
  readonly monotonic: () => number;
}

/** A revision that holds errors: nothing of it was put in force. */
interface InvalidRevision {
  readonly revision: Revision;
  readonly errors: readonly Diagnostic[];
  readonly sinceMs: number;
}

export interface FollowerState {
  /** `undefined`: not asked yet. */
  readonly sourceReady: boolean | undefined;
  readonly sinceMs: number;
  readonly lastFetchMs?: number;
  readonly error?: OmniError;
  readonly attempted?: Revision;
  readonly invalid?: InvalidRevision;
}

/**
 * Turns wake-ups of a source into validated fleets: one fetch at a time, the newest only. A source that is away and a
 * revision with errors change nothing but this state.
 */
export class Follower {
  readonly #options: FollowerOptions;
  #state: FollowerState;
  /** Read to its end, valid or not: the same content has the same outcome. */
  #settledId: string | undefined;
  #running: Promise<void> | undefined;
  #again = false;
  #life: AbortSignal | undefined;

  constructor(options: FollowerOptions) {
    this.#options = options;
    this.#state = { sourceReady: undefined, sinceMs: options.now() };
  }

  get state(): FollowerState {
    return this.#state;
  }

  /**
   * Offers what an earlier run left on disk, unless `inForce` (an id) is that already, without any network. Resolves when
   * that was done or found wanting.
   */
  async boot(inForce: string | undefined, signal: AbortSignal): Promise<void> {
    const { source, events, log } = this.#options;
    try {
      const snapshot = await source.cached(signal);
      if (snapshot !== undefined && snapshot.revision.id === inForce) this.#isInForce(snapshot.revision);
      else if (snapshot !== undefined) await this.#take(snapshot, 'cache');
    } catch (error) {
      signal.throwIfAborted();
      const message = `the newest revision in the source's cache cannot be used: ${messageOf(error)}`;
      log('warn', message);
      events.record({ type: 'Warning', reason: 'CacheUnusable', object: 'source', message });
    }
  }

  /** Follows until the returned function is called; the first fetch starts at once. */
  start(signal: AbortSignal): () => Promise<void> {
    this.#life = signal;
    const stopWatching = this.#options.source.watch(() => this.#wake(signal));
    return async () => {
      await stopWatching();
      await this.#running;
    };
  }

  /** Fetches now and takes what comes. Throws what went wrong with the source, or `fleet-invalid`. */
  async poll(signal: AbortSignal): Promise<void> {
    // Others may have waited for the same one, and begun the next.
    while (this.#running !== undefined) await this.#running;
    await this.#run(signal);
  }

  /** Fetches as soon as nothing else is fetched. Of no effect before `start`. */
  look(): void {
    if (this.#life !== undefined) this.#wake(this.#life);
  }

  #isInForce(revision: Revision): void {
    this.#settledId = revision.id;
    this.#state = { ...this.#state, attempted: revision };
  }

  #wake(signal: AbortSignal): void {
    if (signal.aborted || this.#options.suspended()) return;
    if (this.#running !== undefined) {
      this.#again = true;
      return;
    }
    this.#run(signal).catch(() => undefined); // in `state`, the log and the events already
  }

  /** Whoever was told to look meanwhile looks afterwards. */
  #run(signal: AbortSignal): Promise<void> {
    const run = this.#fetch(signal);
    const over = (): void => {
      this.#running = undefined;
      if (!this.#again) return;
      this.#again = false;
      this.look();
    };
    this.#running = run.then(over, over);
    return run;
  }

  async #fetch(signal: AbortSignal): Promise<void> {
    try {
      const snapshot = await this.#options.source.fetch(signal);
      await this.#take(snapshot, 'source');
      this.#succeeded();
    } catch (error) {
      signal.throwIfAborted();
      this.#failed(error);
      throw error;
    }
  }

  async #take(snapshot: Snapshot, origin: Offer['origin']): Promise<void> {
    const { reader, offer, events, log, monotonic } = this.#options;
    const { revision } = snapshot;
    if (revision.id === this.#settledId) return;
    const receivedMs = monotonic();
    const result = await reader.read(snapshot.files);
    this.#settledId = revision.id;
    const { invalid: _, ...state } = this.#state;
    for (const note of snapshot.notes ?? []) log('warn', note, { revision: revision.label });
    if (result.ok) {
      this.#state = { ...state, attempted: revision };
      for (const warning of result.diagnostics) log('warn', renderDiagnostic(warning), { revision: revision.label });
      const { fleet, changed } = result;
      await offer({ fleet, revision, files: snapshot.files, changed, origin, receivedMs });
      return;
    }
    const errors = result.diagnostics.filter(({ severity }) => severity === 'error');
    this.#state = { ...state, attempted: revision, invalid: { revision, errors, sinceMs: this.#options.now() } };
    const message = `${revision.label} is not applied: ${describeErrors(errors)}`;
    log('error', message);
    events.record({ type: 'Warning', reason: 'InvalidFleet', object: 'node', message });
  }

  #succeeded(): void {
    const { events, log, now } = this.#options;
    const { error, ...state } = this.#state;
    const sinceMs = state.sourceReady === true ? state.sinceMs : now();
    this.#state = { ...state, sourceReady: true, sinceMs, lastFetchMs: now() };
    if (error === undefined) return;
    log('info', 'the source answers again');
    events.record({ type: 'Normal', reason: 'FetchSucceeded', object: 'source', message: 'the source answers again' });
  }

  /** Told once per kind of failure: a remote that is away for a week does not fill the log. */
  #failed(cause: unknown): void {
    const { events, log, now } = this.#options;
    const error = cause instanceof OmniError ? cause : unforeseen(cause);
    const { error: before, ...state } = this.#state;
    const sinceMs = state.sourceReady === false ? state.sinceMs : now();
    this.#state = { ...state, sourceReady: false, sinceMs, error };
    if (before?.code === error.code && before.message === error.message) return;
    const waiting = error.class === 'wait';
    log(waiting ? 'info' : 'warn', error.message, error.fix === undefined ? {} : { fix: error.fix });
    events.record({
      type: waiting ? 'Normal' : 'Warning',
      reason: 'FetchFailed',
      object: 'source',
      message: error.message,
    });
  }
}

function unforeseen(cause: unknown): OmniError {
  return new OmniError(`the source failed unexpectedly: ${messageOf(cause)}`, {
    code: 'internal',
    class: 'bug',
    cause,
  });
}

/** The first error in full, and how many more. */
export function describeErrors(errors: readonly Diagnostic[]): string {
  const [first] = errors;
  if (first === undefined) return 'it holds errors';
  const text = renderDiagnostic(first).replace(/\n\s*/g, '; ');
  return errors.length === 1 ? text : `${text}; and ${errors.length - 1} more`;
}
