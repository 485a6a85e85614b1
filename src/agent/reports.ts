import type { ObjectRef, PublicKey } from '../manifest/model.ts';
import type { Verdict } from '../reconcile/rollout/model.ts';
import { type Change, rowKey } from '../reconcile/rows.ts';
import type { Revision } from '../source/source.ts';
import type { ApplyReport } from './api.ts';
import { currentConditions } from './conditions.ts';
import { objectVerbs, peersNamed, type Verb } from './objects.ts';
import type { Parts } from './parts.ts';

type Watched = Pick<Parts, 'config' | 'reconciler' | 'follower' | 'sessions' | 'rollout' | 'passes' | 'fleets'>;

/** Notes down what is done from now on, for the report to who asked for it. To be ended. */
export class Watch {
  /** Decisions up to here are old. */
  readonly since: number;
  readonly #parts: Watched;
  readonly #before: Parts['reconciler']['target'];
  readonly #changes: Change[] = [];
  readonly #end: () => void;

  constructor(parts: Watched) {
    this.#parts = parts;
    this.since = parts.rollout.state.sequence;
    this.#before = parts.reconciler.target;
    this.#end = parts.passes.subscribe(({ changes }) => this.#changes.push(...changes));
  }

  end(): void {
    this.#end();
  }

  /** Waits for the verdict on a revision, or until the time is up. */
  async report(revision: Revision, timeoutMs: number, caller: AbortSignal): Promise<ApplyReport> {
    const { rollout, fleets } = this.#parts;
    const deadline = AbortSignal.any([caller, AbortSignal.timeout(timeoutMs)]);
    const verdict = await rollout.verdict(revision.id, this.since, deadline);
    const { reconciler } = this.#parts;
    if (verdict.outcome === 'good') await this.#settled(deadline);
    caller.throwIfAborted();
    const fleet = reconciler.target?.fleet;
    const verbs = fleet === undefined ? new Map<ObjectRef, Verb>() : objectVerbs(this.#before?.fleet, fleet);
    const ready = currentConditions(this.#parts).some(({ type, status }) => type === 'Ready' && status === 'True');
    const known = fleets.at(revision.label)?.revision ?? revision;
    return reportOf(known, verbs, this.#changes, {
      verdict,
      ready: ready && verdict.outcome === 'good',
      peers: peersNamed(this.#changes, [this.#before?.fleet, fleet]),
      ...this.#found(),
    });
  }

  /** A revision that changes no row is good before any pass has looked at it. */
  async #settled(deadline: AbortSignal): Promise<void> {
    const { reconciler, passes } = this.#parts;
    while (reconciler.failing('all') === undefined && !deadline.aborted) {
      await new Promise<void>((resolve) => {
        const done = () => {
          stop();
          deadline.removeEventListener('abort', done);
          resolve();
        };
        const stop = passes.subscribe(done);
        deadline.addEventListener('abort', done);
      });
    }
  }

  /** Objects that are not as desired, and those of which something was set right. */
  #found(): { readonly failed: ReadonlyMap<ObjectRef, string>; readonly healed: ReadonlySet<ObjectRef> } {
    const { reconciler } = this.#parts;
    const failed = new Map<ObjectRef, string>();
    for (const { object, ready, message } of reconciler.objects()) if (ready === 'False') failed.set(object, message);
    const touched = new Set(this.#changes.map(({ key }) => key));
    const healed = new Set<ObjectRef>();
    if (touched.size > 0) {
      for (const { row, origin } of reconciler.rows().desired) if (touched.has(rowKey(row))) healed.add(origin.object);
    }
    return { failed, healed };
  }
}

interface Findings {
  readonly ready: boolean;
  readonly verdict?: Verdict;
  readonly peers?: Readonly<Record<PublicKey, string>>;
  readonly failed?: ReadonlyMap<ObjectRef, string>;
  readonly healed?: ReadonlySet<ObjectRef>;
}

export function reportOf(
  revision: Revision,
  verbs: ReadonlyMap<ObjectRef, Verb>,
  changes: readonly Change[],
  { ready, verdict, peers, failed, healed }: Findings,
): ApplyReport {
  const objects = [...verbs].map(([object, verb]): ApplyReport['objects'][number] => {
    const message = failed?.get(object);
    if (message !== undefined) return { object, verb: 'failed', message };
    return { object, verb: verb === 'unchanged' && healed?.has(object) ? 'configured' : verb };
  });
  return { revision, objects, changes, ...(peers && { peers }), ready, ...(verdict && { verdict }) };
}
