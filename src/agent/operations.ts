import { setTimeout as sleep } from 'node:timers/promises';
import { ExitCode, OmniError } from '../errors.ts';
import { macOf } from '../manifest/keys.ts';
import { createFleetReader } from '../manifest/load.ts';
import type { Diagnostic, Fleet, FleetReader, ObjectRef, PublicKey } from '../manifest/model.ts';
import { type Change, rowKey } from '../reconcile/rows.ts';
import type { PassReport } from '../reconcile/status.ts';
import type { Snapshot } from '../source/source.ts';
import type { ApplyReport, ApplyRequest, DiffReport, DiffRequest } from './api.ts';
import { AppliedSource, snapshotOf } from './applied.ts';
import { objectVerbs, type Verb } from './objects.ts';
import type { Parts } from './parts.ts';
import { ApiFailure } from './server.ts';

/** Between two looks at a set whose rows fail for the moment. */
const RETRY_MS = 250;

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
    const snapshot = against === 'source' ? await this.#parts.source.fetch(signal) : snapshotOf(against);
    const fleet = await this.#read(snapshot);
    const preview = await this.#parts.reconciler.preview(fleet, signal);
    const before = this.#parts.fleets.newest?.fleet;
    return { revision: snapshot.revision, ...preview, peers: peersNamed(preview.changes, [before, fleet]) };
  }

  /** Puts a set in force and waits until it is, something needs help, or the time is up. */
  async apply({ set, dryRun, timeoutMs }: ApplyRequest, signal: AbortSignal): Promise<ApplyReport> {
    const { source, reconciler, fleets, follower, now } = this.#parts;
    if (!(source instanceof AppliedSource)) throw followsSource(source.description);
    const snapshot = snapshotOf(set);
    const fleet = await this.#read(snapshot);
    const before = fleets.newest?.fleet;
    // Also refuses what must not be put in force, before it is kept.
    const { changes } = await reconciler.preview(fleet, signal);
    const verbs = objectVerbs(before, fleet);
    if (dryRun) return report(snapshot, verbs, changes, changes.length === 0);
    const kept = await source.replace(set, now());
    await follower.poll(signal);
    const passes = await this.#settle(AbortSignal.any([signal, AbortSignal.timeout(timeoutMs)]), signal);
    return this.#report(kept, verbs, passes);
  }

  /** Fetches, then looks at everything once. */
  async reconcile(signal: AbortSignal): Promise<ApplyReport> {
    const { reconciler, fleets, follower } = this.#parts;
    const before = fleets.newest?.fleet;
    await follower.poll(signal);
    const { invalid } = follower.state;
    if (invalid !== undefined) throw fleetInvalid(invalid.revision.label, invalid.errors);
    const pass = await reconciler.reconcileNow(signal);
    const after = fleets.newest;
    if (after === undefined) throw nothingRead();
    return this.#report({ revision: after.revision }, objectVerbs(before, after.fleet), [pass]);
  }

  async #read(snapshot: Snapshot): Promise<Fleet> {
    const result = await this.#reader.read(snapshot.files);
    if (result.ok) return result.fleet;
    throw fleetInvalid(snapshot.revision.label, result.diagnostics);
  }

  /** Passes until one finds everything as desired, or finds something that no retry will mend. */
  async #settle(deadline: AbortSignal, caller: AbortSignal): Promise<readonly PassReport[]> {
    const { reconciler } = this.#parts;
    const passes: PassReport[] = [];
    try {
      for (;;) {
        const pass = await reconciler.reconcileNow(deadline);
        passes.push(pass);
        if (pass.ready || pass.failures.some((failure) => failure.class === 'stall' || failure.class === 'bug')) break;
        await sleep(RETRY_MS, undefined, { signal: deadline });
      }
    } catch (error) {
      caller.throwIfAborted();
      if (!deadline.aborted) throw error;
      if (passes.length === 0) throw timedOut();
    }
    return passes;
  }

  #report(
    { revision }: Pick<Snapshot, 'revision'>,
    verbs: ReadonlyMap<ObjectRef, Verb>,
    passes: readonly PassReport[],
  ): ApplyReport {
    const { reconciler } = this.#parts;
    const changes = passes.flatMap((pass) => pass.changes);
    const failed = new Map<ObjectRef, string>();
    for (const { object, ready, message } of reconciler.objects()) if (ready === 'False') failed.set(object, message);
    const touched = new Set(changes.map(({ key }) => key));
    const healed = new Set<ObjectRef>();
    if (touched.size > 0) {
      for (const { row, origin } of reconciler.rows().desired) if (touched.has(rowKey(row))) healed.add(origin.object);
    }
    const ready = passes.at(-1)?.ready ?? false;
    return report({ revision }, verbs, changes, ready, failed, healed);
  }
}

function report(
  { revision }: Pick<Snapshot, 'revision'>,
  verbs: ReadonlyMap<ObjectRef, Verb>,
  changes: readonly Change[],
  ready: boolean,
  failed: ReadonlyMap<ObjectRef, string> = new Map(),
  healed: ReadonlySet<ObjectRef> = new Set(),
): ApplyReport {
  const objects = [...verbs].map(([object, verb]): ApplyReport['objects'][number] => {
    const message = failed.get(object);
    if (message !== undefined) return { object, verb: 'failed', message };
    return { object, verb: verb === 'unchanged' && healed.has(object) ? 'configured' : verb };
  });
  return { revision, objects, changes, ready };
}

/** Names of the peers that changes speak of, by public key or by the MAC that follows from it. */
function peersNamed(
  changes: readonly Change[],
  fleets: readonly (Fleet | undefined)[],
): Readonly<Record<PublicKey, string>> {
  const rows = changes.flatMap((change) => [
    ...(change.op === 'create' ? [] : [change.from]),
    ...(change.op === 'delete' ? [] : [change.to]),
  ]);
  const keys = new Set(rows.flatMap((row) => ('publicKey' in row ? [row.publicKey] : [])));
  const macs = new Set(rows.flatMap((row) => (row.kind === 'neighbour' ? [row.mac] : [])));
  for (const key of keys) macs.delete(macOf(key));
  const peers = fleets.flatMap((fleet) => [...(fleet?.peerByKey ?? [])]);
  return Object.fromEntries(peers.filter(([key]) => keys.has(key) || (macs.size > 0 && macs.has(macOf(key)))));
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

function timedOut(): OmniError {
  return new OmniError('the time was up before the set was in force', {
    code: 'apply-timeout',
    class: 'retry',
    exitCode: ExitCode.stale,
    fix: 'The agent goes on: see omni status.',
  });
}

function nothingRead(): OmniError {
  return new OmniError('no revision was read yet', { code: 'no-revision', class: 'wait', exitCode: ExitCode.stale });
}
