import { ExitCode, OmniError } from '../../errors.ts';
import type { FleetReader, ManifestFile, ObjectRef } from '../../manifest/model.ts';
import type { RevisionInfo, RolloutRecord } from './record.ts';
import type { Offer } from './revisions.ts';
import type { RolloutStore } from './store.ts';

/** Revisions that an earlier run left on this machine. No network is asked. */
interface Archive {
  /** The newest; undefined: there is none. */
  cached(signal: AbortSignal): Promise<Recalled | undefined>;
  /** Rejects where it is not there. */
  at(rev: string, signal: AbortSignal): Promise<Recalled>;
}

interface Recalled {
  readonly revision: RevisionInfo;
  readonly files: readonly ManifestFile[];
}

export interface RecallOptions {
  readonly store: Pick<RolloutStore, 'kept'>;
  readonly archive: Archive;
  /** The one that the source's revisions are read with too, or another where nobody relies on what it returns next. */
  readonly reader: FleetReader;
  /** What is amiss, for people. */
  readonly warn: (reason: string, message: string) => void;
}

/** What a start finds. */
export interface Found {
  /** The last known good revision. */
  readonly good?: Offer;
  /** Its files are where they are to be. */
  readonly kept: boolean;
  /** A revision whose trial goes on, and what is different from the good one. */
  readonly trial?: Offer & { readonly changed: ReadonlySet<ObjectRef> | 'all' };
}

/** Reads what a record names, from the kept files or else from the source's cache. */
export async function findForBoot(
  { lastKnownGood, trial }: RolloutRecord,
  options: RecallOptions,
  signal: AbortSignal,
): Promise<Found> {
  const kept = lastKnownGood && (await readKept(lastKnownGood, options, signal));
  const good = kept ?? (lastKnownGood && (await readArchived(lastKnownGood, options, signal)));
  const resumed = trial && (await readTrial(trial.revision, options, signal));
  return { kept: kept !== undefined, ...(good && { good }), ...(resumed && { trial: resumed }) };
}

async function readKept(
  revision: RevisionInfo,
  { store, reader, warn }: RecallOptions,
  signal: AbortSignal,
): Promise<Offer | undefined> {
  try {
    const kept = await store.kept(revision.id);
    if (kept === undefined) throw new Error('its files were never kept');
    return await read(kept, reader);
  } catch (error) {
    signal.throwIfAborted();
    const message = `${revision.label} cannot be booted from the files that were kept: ${messageOf(error)}`;
    warn('KeptRevisionDamaged', `${message}; looking into the source's cache`);
    return undefined;
  }
}

async function readArchived(
  revision: RevisionInfo,
  { archive, reader, warn }: RecallOptions,
  signal: AbortSignal,
): Promise<Offer | undefined> {
  try {
    const found = await archive.at(revision.id, signal);
    if (found.revision.id !== revision.id) throw new Error(`it has ${found.revision.label} instead`);
    const offer = await read(named(revision, found), reader);
    warn('BootedFromCache', `${revision.label} is booted from the source's cache`);
    return offer;
  } catch (error) {
    signal.throwIfAborted();
    warn('LastKnownGoodLost', `${revision.label} is not in the source's cache either: ${messageOf(error)}`);
    return undefined;
  }
}

async function readTrial(
  revision: RevisionInfo,
  { archive, reader, warn }: RecallOptions,
  signal: AbortSignal,
): Promise<Found['trial']> {
  const { id, label } = revision;
  try {
    const cached = await archive.cached(signal);
    return await read(named(revision, cached?.revision.id === id ? cached : await archive.at(id, signal)), reader);
  } catch (error) {
    signal.throwIfAborted();
    warn(
      'TrialLost',
      `the trial of ${label} cannot go on: ${messageOf(error)}; it begins again when the source has it`,
    );
    return undefined;
  }
}

/** Under the name that people know it by: an archive that is asked for an id knows no branch. */
function named({ label }: RevisionInfo, { revision, files }: Recalled): Recalled {
  return { revision: { ...revision, label }, files };
}

/** An older revision that a person asks for by id, or by what the source knows it by. */
export async function recall(rev: string, options: Omit<RecallOptions, 'warn'>, signal: AbortSignal): Promise<Offer> {
  const kept = await options.store.kept(rev).catch(() => undefined); // the archive may have it whole
  return read(kept ?? (await options.archive.at(rev, signal)), options.reader);
}

async function read({ revision, files }: Recalled, reader: FleetReader): Promise<NonNullable<Found['trial']>> {
  const result = await reader.read(files);
  if (!result.ok) {
    const [first] = result.diagnostics.filter(({ severity }) => severity === 'error');
    const where = first === undefined ? '' : `: ${first.position.file}:${first.position.line}: ${first.message}`;
    throw new OmniError(`${revision.label} holds errors by what this version checks${where}`, {
      code: 'fleet-invalid',
      class: 'stall',
      exitCode: ExitCode.usage,
      fix: 'Choose another revision.',
    });
  }
  return { revision, files, fleet: result.fleet, changed: result.changed };
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
