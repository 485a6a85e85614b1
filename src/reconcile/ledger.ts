import type { ObjectRef } from '../manifest/model.ts';
import { Backoff, type BackoffOptions } from './backoff.ts';
import type { ConditionStatus } from './conditions.ts';
import type { CycleReport, Failure } from './cycle.ts';
import type { DesiredState } from './desired.ts';
import type { RowKey } from './rows.ts';
import type { Retarget } from './target.ts';

/** What a person asks about one object of the fleet, as far as this node programs it. */
export interface ObjectState {
  readonly ready: ConditionStatus;
  /** PascalCase: `Reconciled`, `Pending`, `NoRows`, or what failed. */
  readonly reason: string;
  readonly message: string;
  /** Milliseconds since 1970 of the last change of `ready` or `reason`. */
  readonly sinceMs: number;
}

/** An object, or a row that is to go and has no object any more. */
export type Subject = ObjectRef | RowKey;

export interface Settlement {
  /** Newly failing, or failing for another reason than before. */
  readonly failed: readonly { readonly subject: Subject; readonly failure: Failure }[];
  readonly recovered: readonly Subject[];
}

/** Remembers per row what is unmet and per object how it stands and when to try again. Work is proportional to what a cycle examined. */
export class Ledger {
  readonly #failures = new Map<RowKey, Failure>();
  readonly #subjects = new Map<RowKey, Subject>();
  readonly #objects = new Map<ObjectRef, ObjectState>();
  readonly #backoff: Backoff;
  /** The failure that an event last told of, by subject. */
  readonly #reported = new Map<Subject, string>();
  /** Subjects that a human or a bug fix must help: no timer tries them again. */
  readonly #parked = new Set<Subject>();
  readonly #wall: () => number;

  constructor(options: BackoffOptions & { readonly wall: () => number }) {
    this.#backoff = new Backoff(options);
    this.#wall = options.wall;
  }

  get failures(): ReadonlyMap<RowKey, Failure> {
    return this.#failures;
  }

  get objects(): ReadonlyMap<ObjectRef, ObjectState> {
    return this.#objects;
  }

  counts(): { readonly total: number; readonly ready: number; readonly failed: number } {
    let [ready, failed] = [0, 0];
    for (const state of this.#objects.values()) {
      if (state.ready === 'True') ready++;
      if (state.ready === 'False') failed++;
    }
    return { total: this.#objects.size, ready, failed };
  }

  /** What is desired changed: old failures say nothing about `touched` any more. */
  expect(desired: DesiredState, { touched, objects }: Retarget): void {
    for (const key of touched === 'all' ? [...this.#failures.keys()] : touched) {
      this.#release(this.#subjects.get(key) ?? key);
      this.#clear(key);
    }
    for (const object of objects === 'all' ? [...this.#objects.keys(), ...desired.rowsOf.keys()] : objects) {
      const keys = desired.rowsOf.get(object);
      if (keys === undefined) this.#forget(object);
      else if (keys.length === 0) this.#judgeObject(desired, object, undefined);
      else if (!this.#objects.has(object) || touched === 'all' || keys.some((key) => touched.has(key))) {
        this.#release(object);
        this.#set(object, 'Unknown', 'Pending', 'waits to be programmed');
      }
    }
  }

  /** Forgets every delay, as a person's `reconcile` and the periodic look at everything do. */
  retryAll(): void {
    this.#backoff.resetAll();
    this.#parked.clear();
  }

  /** What these rows waited for may have come. */
  nudge(keys: Iterable<RowKey>): void {
    for (const key of keys) {
      if (this.#failures.get(key)?.class === 'wait') this.#release(this.#subjects.get(key) ?? key);
    }
  }

  due(subject: Subject): boolean {
    return !this.#parked.has(subject) && this.#backoff.due(subject);
  }

  /** Rows that failed and whose time has come. */
  dueKeys(): readonly RowKey[] {
    const keys: RowKey[] = [];
    for (const [key, failure] of this.#failures) {
      if (failure.attempted && this.due(this.#subjects.get(key) ?? key)) keys.push(key);
    }
    return keys;
  }

  /** Monotonic milliseconds of the next retry; Infinity: none is waiting. */
  nextRetryMs(): number {
    return this.#backoff.nextMs();
  }

  /** Takes a complete cycle's findings. `examined` undefined: everything. */
  settle(desired: DesiredState, examined: ReadonlySet<RowKey> | undefined, report: CycleReport): Settlement {
    const subjects = new Set<Subject>();
    const keys = new Set(examined ?? [...this.#failures.keys()]);
    for (const key of report.unmet.keys()) keys.add(key);
    for (const key of keys) {
      const subject = desired.rows.get(key)?.origin.object ?? key;
      subjects.add(subject).add(this.#subjects.get(key) ?? subject);
      this.#record(key, subject, report.unmet.get(key));
    }
    if (examined === undefined) for (const object of desired.rowsOf.keys()) subjects.add(object);
    return this.#judge(desired, subjects, report);
  }

  #record(key: RowKey, subject: Subject, failure: Failure | undefined): void {
    if (failure === undefined) {
      this.#clear(key);
    } else if (failure.code !== 'backing-off' || !this.#failures.has(key)) {
      this.#failures.set(key, failure);
      this.#subjects.set(key, subject);
    }
  }

  #judge(desired: DesiredState, subjects: ReadonlySet<Subject>, report: CycleReport): Settlement {
    const failed: { subject: Subject; failure: Failure }[] = [];
    const recovered: Subject[] = [];
    for (const subject of subjects) {
      const keys = desired.rowsOf.get(subject as ObjectRef) ?? [subject as RowKey];
      const failure = this.#worst(keys);
      this.#schedule(subject, keys, failure, report);
      this.#judgeObject(desired, subject as ObjectRef, failure);
      if (failure === undefined && this.#reported.delete(subject)) recovered.push(subject);
      if (!failure?.attempted || failure.code === this.#reported.get(subject)) continue;
      this.#reported.set(subject, failure.code);
      failed.push({ subject, failure });
    }
    return { failed, recovered };
  }

  /** Of an object's failing rows, the one that decides what to do. */
  #worst(keys: readonly RowKey[]): Failure | undefined {
    const failures = keys.flatMap((key) => this.#failures.get(key) ?? []);
    return failures.find(needsHelp) ?? failures.find(({ attempted }) => attempted) ?? failures[0];
  }

  #schedule(subject: Subject, keys: readonly RowKey[], failure: Failure | undefined, report: CycleReport): void {
    if (failure === undefined || !failure.attempted) {
      this.#release(subject);
    } else if (keys.some((key) => report.unmet.get(key)?.attempted)) {
      if (needsHelp(failure)) {
        this.#backoff.reset(subject);
        this.#parked.add(subject);
      } else {
        this.#backoff.fail(subject);
      }
    }
  }

  #judgeObject(desired: DesiredState, object: ObjectRef, failure: Failure | undefined): void {
    const rows = desired.rowsOf.get(object);
    if (rows === undefined) this.#forget(object);
    else if (failure !== undefined) this.#set(object, 'False', reasonOf(failure.code), failure.message);
    else if (rows.length === 0) this.#set(object, 'True', 'NoRows', 'gives this node nothing to program');
    else this.#set(object, 'True', 'Reconciled', `${rows.length} ${rows.length === 1 ? 'row' : 'rows'} verified`);
  }

  #set(object: ObjectRef, ready: ConditionStatus, reason: string, message: string): void {
    const old = this.#objects.get(object);
    const sinceMs = old?.ready === ready && old.reason === reason ? old.sinceMs : this.#wall();
    this.#objects.set(object, { ready, reason, message, sinceMs });
  }

  #forget(object: ObjectRef): void {
    this.#objects.delete(object);
    this.#reported.delete(object);
  }

  #release(subject: Subject): void {
    this.#backoff.reset(subject);
    this.#parked.delete(subject);
  }

  #clear(key: RowKey): void {
    this.#failures.delete(key);
    this.#subjects.delete(key);
  }
}

/** No retry will help. */
export function needsHelp(failure: Failure): boolean {
  return failure.class === 'stall' || failure.class === 'bug';
}

/** `link-absent` -> `LinkAbsent`, as conditions and events spell reasons. */
export function reasonOf(code: string): string {
  return code.replace(/(^|-)([a-z0-9])/g, (_, _dash: string, letter: string) => letter.toUpperCase());
}
