import { ExitCode, OmniError } from '../errors.ts';
import { createFleetReader } from '../manifest/load.ts';
import type { Diagnostic, Fleet, FleetReader } from '../manifest/model.ts';
import type { Block } from '../reconcile/block.ts';
import { recall } from '../reconcile/rollout/boot.ts';
import { requireNotSuspended, toConfirm, toRetry, toRollBack } from '../reconcile/rollout/people.ts';
import type { Snapshot } from '../source/source.ts';
import type {
  ApplyReport,
  ApplyRequest,
  ConfirmRequest,
  DiffReport,
  DiffRequest,
  ReconcileRequest,
  RetryRequest,
  RollbackRequest,
} from './api.ts';
import { AppliedSource, snapshotOf } from './applied.ts';
import { objectVerbs, peersNamed } from './objects.ts';
import type { Parts } from './parts.ts';
import { reportOf, Watch } from './reports.ts';
import { ApiFailure } from './server.ts';

/** How `omni apply` goes past a guard, by the guard's code. */
const APPLY_ANYWAY: Readonly<Record<string, string>> = {
  'prune-blocked': 'If it is meant, run omni apply again with --allow-prune.',
  'partition-blocked': 'If it is meant, run omni apply again with --allow-partition.',
};

/** What people ask an agent to do; the routes hand over parsed requests. */
export class Operations {
  readonly #parts: Parts;
  /** Apart from the follower's, whose `changed` is relative to what it read before. */
  readonly #reader: FleetReader = createFleetReader();

  constructor(parts: Parts) {
    this.#parts = parts;
  }

  /** What a set, or the source's newest revision, would change now. Nothing is written. */
  async diff({ against }: DiffRequest, signal: AbortSignal): Promise<DiffReport> {
    const { source, rollout, reconciler } = this.#parts;
    const snapshot = against === 'source' ? await source.fetch(signal) : snapshotOf(against);
    const fleet = await this.#read(snapshot);
    this.#requireNoObjection(rollout.objection(fleet, { allowPrune: true, allowPartition: true }));
    const preview = await reconciler.preview(fleet, signal);
    const before = reconciler.target?.fleet;
    return { revision: snapshot.revision, ...preview, peers: peersNamed(preview.changes, [before, fleet]) };
  }

  /** Hands over a set, and waits for its verdict. */
  async apply(request: ApplyRequest, signal: AbortSignal): Promise<ApplyReport> {
    const { source, reconciler, rollout, follower, now } = this.#parts;
    if (!(source instanceof AppliedSource)) throw followsSource(source.description);
    const snapshot = snapshotOf(request.set);
    const fleet = await this.#read(snapshot);
    // What a guard refuses is not even kept: the node would stand there waiting for it.
    this.#requireNoObjection(rollout.objection(fleet, request));
    if (request.dryRun) {
      const { changes } = await reconciler.preview(fleet, signal);
      const before = reconciler.target?.fleet;
      const peers = peersNamed(changes, [before, fleet]);
      return reportOf(snapshot.revision, objectVerbs(before, fleet), changes, { ready: changes.length === 0, peers });
    }
    requireNotSuspended(rollout.state);
    const watch = new Watch(this.#parts);
    try {
      rollout.accept(snapshot.revision.id, request);
      await source.replace(request.set, now());
      await follower.poll(signal);
      return await watch.report(snapshot.revision, request.timeoutMs, signal);
    } finally {
      watch.end();
    }
  }

  /** Fetches, waits for the verdict on what came, then looks at everything once. */
  async reconcile({ timeoutMs, acceptRewind }: ReconcileRequest, signal: AbortSignal): Promise<ApplyReport> {
    const { reconciler, rollout, follower, source } = this.#parts;
    requireNotSuspended(rollout.state);
    if (acceptRewind) this.#acceptRewind();
    const watch = new Watch(this.#parts);
    try {
      await follower.poll(signal);
      const { invalid, attempted } = follower.state;
      if (invalid !== undefined) throw fleetInvalid(invalid.revision.label, invalid.errors);
      if (attempted === undefined) throw nothingRead(source.description);
      const deadline = AbortSignal.any([signal, AbortSignal.timeout(timeoutMs)]);
      const verdict = await rollout.verdict(attempted.id, watch.since, deadline);
      if (reconciler.target !== undefined && verdict.outcome !== 'trial') await reconciler.reconcileNow(signal);
      return await watch.report(attempted, timeoutMs, signal);
    } finally {
      watch.end();
    }
  }

  /** Accepts what a guard refuses, or ends the trial under way as passed. */
  async confirm({ revision, allowPartition, timeoutMs }: ConfirmRequest, signal: AbortSignal): Promise<ApplyReport> {
    const { rollout } = this.#parts;
    requireNotSuspended(rollout.state);
    const meant = toConfirm(rollout.state, revision);
    return this.#watched(meant, timeoutMs, signal, async () => {
      rollout.ask({ type: 'confirm', id: meant.id, allowPartition });
    });
  }

  /** Lifts a quarantine, and tries again what was in it. */
  async retry({ revision, timeoutMs }: RetryRequest, signal: AbortSignal): Promise<ApplyReport> {
    const { rollout } = this.#parts;
    requireNotSuspended(rollout.state);
    const meant = toRetry(rollout.state, revision);
    const isNewest = rollout.state.candidate?.revision.id === meant.id;
    return this.#watched(meant, timeoutMs, signal, async () => {
      const recalled = isNewest ? undefined : await this.#recall(meant.id, signal);
      rollout.ask({ type: 'lift', id: meant.id });
      if (recalled !== undefined) rollout.offer(recalled, { origin: 'archive', changed: 'all' });
    });
  }

  /** `lkg`: the trial under way fails, or else the good revision before the present one is tried; or the one that is named. */
  async rollback({ to, timeoutMs }: RollbackRequest, signal: AbortSignal): Promise<ApplyReport> {
    const { rollout } = this.#parts;
    requireNotSuspended(rollout.state);
    const meant = to === 'lkg' ? toRollBack(rollout.state) : { to };
    if ('fail' in meant) {
      return this.#watched(meant.fail, timeoutMs, signal, async () => rollout.ask({ type: 'fail' }));
    }
    const offer = await this.#recall(meant.to, signal);
    return this.#watched(offer.revision, timeoutMs, signal, async () => rollout.goBackTo(offer));
  }

  async #watched(
    revision: { readonly id: string; readonly label: string },
    timeoutMs: number,
    signal: AbortSignal,
    act: () => Promise<void>,
  ): Promise<ApplyReport> {
    const watch = new Watch(this.#parts);
    try {
      await act();
      return await watch.report(revision, timeoutMs, signal);
    } finally {
      watch.end();
    }
  }

  #recall(rev: string, signal: AbortSignal): ReturnType<typeof recall> {
    const { store, source } = this.#parts;
    return recall(rev, { store, archive: source, reader: this.#reader }, signal);
  }

  #acceptRewind(): void {
    const { source } = this.#parts;
    if (source.acceptRewind === undefined) throw noHistory(source.description);
    source.acceptRewind();
  }

  async #read(snapshot: Snapshot): Promise<Fleet> {
    const result = await this.#reader.read(snapshot.files);
    if (result.ok) return result.fleet;
    throw fleetInvalid(snapshot.revision.label, result.diagnostics);
  }

  #requireNoObjection(block: Block | undefined): void {
    if (block === undefined) return;
    const { code, message, cause = message } = block;
    const fix = APPLY_ANYWAY[code];
    throw new OmniError(cause, {
      code,
      class: 'stall',
      exitCode: ExitCode.usage,
      ...(fix === undefined ? {} : { fix }),
    });
  }
}

function followsSource(description: string): ApiFailure {
  return new ApiFailure(
    409,
    new OmniError(`this node follows ${description}: a set that is handed over would be undone`, {
      code: 'follows-source',
      class: 'stall',
      exitCode: ExitCode.usage,
      fix: 'Commit there; omni diff -f shows what a set would change. Or start the agent without --source.',
    }),
  );
}

function noHistory(description: string): ApiFailure {
  return new ApiFailure(
    409,
    new OmniError(`${description} has no history that could be rewound`, {
      code: 'no-history',
      class: 'stall',
      exitCode: ExitCode.usage,
      fix: 'Leave --accept-rewind out.',
    }),
  );
}

function fleetInvalid(label: string, diagnostics: readonly Diagnostic[]): ApiFailure {
  const errors = diagnostics.filter(({ severity }) => severity === 'error');
  const count = errors.length === 1 ? 'an error' : `${errors.length} errors`;
  const error = new OmniError(`${label} holds ${count}; nothing of it is applied`, {
    code: 'fleet-invalid',
    class: 'stall',
    exitCode: ExitCode.usage,
    fix: 'Mend it where it is written; omni validate shows the same without an agent.',
  });
  return new ApiFailure(422, error, errors);
}

function nothingRead(description: string): OmniError {
  return new OmniError(`no revision was read from ${description} yet`, {
    code: 'no-revision',
    class: 'wait',
    exitCode: ExitCode.stale,
  });
}
