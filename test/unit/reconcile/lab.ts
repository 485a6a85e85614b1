import {
  createMemoryDataPlane,
  type MemoryDataPlane,
  type MemoryMachine,
} from '../../../src/dataplane/memory/plane.ts';
import { OmniError, type OmniErrorOptions } from '../../../src/errors.ts';
import type { Fleet, ObjectRef } from '../../../src/manifest/model.ts';
import type { DataPlane } from '../../../src/reconcile/dataplane.ts';
import type { NodeView, SessionConfig } from '../../../src/reconcile/desired.ts';
import type { ReconcileEvent } from '../../../src/reconcile/events.ts';
import { Reconciler } from '../../../src/reconcile/loop.ts';
import type { Change, RowKey } from '../../../src/reconcile/rows.ts';
import { FakeClock } from './clock.ts';
import { nodeOf } from './fleet.ts';

export interface LabOptions {
  readonly machine?: MemoryMachine;
  readonly clock?: FakeClock;
  readonly node?: NodeView;
  readonly random?: () => number;
  /** Runs inside each apply, before the data plane sees the change. */
  readonly onApply?: (change: Change, lab: Lab) => void | Promise<void>;
  /** Runs at the end of each read; `read` counts from 1. */
  readonly onRead?: (read: number, lab: Lab) => void;
}

/** A reconciler on a memory data plane, with everything that it says and does written down. */
export class Lab {
  readonly clock: FakeClock;
  readonly plane: MemoryDataPlane;
  readonly reconciler: Reconciler;
  readonly events: ReconcileEvent[] = [];
  readonly applied: { readonly sessions: SessionConfig | undefined; readonly revision: string }[] = [];
  /** Every change handed to the data plane. */
  readonly attempts: Change[] = [];
  /** Per read of the data plane: the keys, or all. */
  readonly reads: (readonly RowKey[] | 'all')[] = [];
  readonly #life = new AbortController();
  #busy = 0;
  /** The most calls into the data plane that were ever under way at once. */
  overlap = 0;

  constructor(options: LabOptions = {}) {
    this.clock = options.clock ?? new FakeClock();
    const now = () => this.clock.now();
    this.plane = createMemoryDataPlane(options.machine === undefined ? { now } : { now, machine: options.machine });
    this.reconciler = new Reconciler({
      dataPlane: this.#watched(options.onApply ?? (() => undefined), options.onRead ?? (() => undefined)),
      clock: this.clock,
      random: options.random ?? (() => 0.5),
      node: options.node ?? nodeOf(1),
      onEvent: (event) => this.events.push(event),
      onApplied: (sessions, revision) => this.applied.push({ sessions, revision }),
    });
  }

  async start(): Promise<this> {
    await this.reconciler.start(this.#life.signal);
    return this;
  }

  /** Puts a fleet in force; `changed` is relative to the fleet of the call before. */
  set(fleet: Fleet, revision: string, changed: ReadonlySet<ObjectRef> | 'all'): void {
    this.reconciler.setDesired(this.reconciler.propose(fleet, { changed, read: true }), revision);
  }

  /** As a signal to the agent does. */
  end(): void {
    this.#life.abort(new Error('the agent ends'));
  }

  rowKeys(): readonly string[] {
    return [...this.plane.host.rows.keys()].sort();
  }

  reasons(): readonly string[] {
    return this.events.map(({ reason }) => reason);
  }

  condition(type: string): { readonly status: string; readonly reason: string; readonly message: string } | undefined {
    return this.reconciler.status().conditions.find((condition) => condition.type === type);
  }

  #watched(
    onApply: (change: Change, lab: Lab) => void | Promise<void>,
    onRead: (read: number, lab: Lab) => void,
  ): DataPlane {
    const { plane } = this;
    return {
      adopt: (signal) => plane.adopt(signal),
      observe: (signal, keys) => {
        this.reads.push(keys === undefined ? 'all' : [...keys].sort());
        return this.#alone(async () => {
          const rows = await plane.observe(signal, keys);
          onRead(this.reads.length, this);
          return rows;
        });
      },
      apply: (change, signal) => {
        this.attempts.push(change);
        return this.#alone(async () => {
          await onApply(change, this);
          await plane.apply(change, signal);
        });
      },
      watch: (wake) => plane.watch(wake),
      counters: () => plane.counters(),
      refusals: () => plane.refusals(),
      describe: () => plane.describe(),
      sessions: plane.sessions,
      messages: plane.messages,
      get writes() {
        return plane.writes;
      },
      close: () => plane.close(),
      teardown: (signal) => plane.teardown(signal),
    };
  }

  async #alone<T>(work: () => Promise<T>): Promise<T> {
    this.overlap = Math.max(this.overlap, ++this.#busy);
    try {
      return await work();
    } finally {
      this.#busy--;
    }
  }
}

export function failure(code: string, errorClass: OmniErrorOptions['class'], fix?: string): OmniError {
  return new OmniError(`the test says ${code}`, { code, class: errorClass, ...(fix === undefined ? {} : { fix }) });
}
