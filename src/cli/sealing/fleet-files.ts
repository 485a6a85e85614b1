import { chmod, realpath, stat } from 'node:fs/promises';
import { resolve } from 'node:path';
import { replaceFile } from '../../durable.ts';
import { ExitCode, OmniError } from '../../errors.ts';
import type { Cluster, Fleet, ManifestFile } from '../../manifest/model.ts';
import { usageError } from '../errors.ts';
import type { Io } from '../io.ts';
import { fleetOf, readManifests } from '../manifests.ts';
import type { ManifestOptions } from '../options.ts';
import { type SealedFields, withSealedFields } from './manifest-edit.ts';

export interface ClusterOptions extends ManifestOptions {
  readonly cluster?: string;
}

/** A cluster, and the files that it and its members were read from. */
export interface SealingTarget {
  readonly fleet: Fleet;
  readonly cluster: Cluster;
  readonly files: readonly ManifestFile[];
}

/** The cluster that `--cluster` names; where the fleet has one only, that one. */
export async function sealingTarget(request: {
  readonly io: Io;
  readonly options: ClusterOptions;
}): Promise<SealingTarget> {
  const { files, fleet } = await readManifests(request);
  const names = [...fleet.clusters.keys()].sort();
  const name = request.options.cluster ?? (names.length === 1 ? names[0] : undefined);
  if (name === undefined) {
    throw usageError('the manifests have no one cluster', `Name one with --cluster: ${names.join(', ')}.`);
  }
  const cluster = fleet.clusters.get(name);
  if (cluster === undefined) {
    throw usageError(`there is no cluster/${name} in these manifests`, `Name one of: ${names.join(', ')}.`);
  }
  return { fleet, cluster, files };
}

/**
 * Writes `fields` into the file that declares the cluster, and nothing else of it, once the whole set with it is seen to
 * be valid. Resolves with the file's path as it was given.
 */
export async function writeSealedFields(io: Io, target: SealingTarget, fields: SealedFields): Promise<string> {
  const { cluster, files } = target;
  const { file: path } = cluster.position;
  const file = files.find((each) => each.path === path);
  const before = file === undefined ? '' : new TextDecoder('utf-8', { fatal: true }).decode(await file.read());
  const after = withSealedFields(before, cluster.metadata.name, fields);
  if (after === undefined || !(await holds(io, target, fields, after))) throw notEditable(path);
  // A link stays one; what it leads to is replaced.
  const real = await realpath(resolve(io.cwd, path)).catch((cause: unknown) => {
    throw notEditable(path, cause);
  });
  const { mode } = await stat(real);
  await replaceFile(real, after);
  await chmod(real, mode & 0o7777);
  return path;
}

/** Whether the cluster holds what it is to hold once its file says `after`. Throws where the set is not valid then. */
async function holds(io: Io, target: SealingTarget, fields: SealedFields, after: string): Promise<boolean> {
  const { createFleetReader, filesFromTexts } = await import('../../manifest/load.ts');
  const { cluster, files } = target;
  const { file: path } = cluster.position;
  const others = files.filter((each) => each.path !== path);
  const result = await createFleetReader().read([...others, ...filesFromTexts([{ path, text: after }])]);
  const fleet = fleetOf(result, `${path} with the new key in it`, (text) => io.stderr.write(text));
  const found = fleet.clusters.get(cluster.metadata.name);
  return (['psk', 'nextPsk'] as const).every((field) => {
    const wanted = fields[field] === undefined ? cluster[field] : fields[field];
    return found?.[field]?.trimEnd() === wanted?.trimEnd();
  });
}

function notEditable(path: string, cause?: unknown): OmniError {
  return new OmniError(`${path} cannot be edited in place`, {
    code: 'manifest-not-editable',
    class: 'stall',
    exitCode: ExitCode.usage,
    object: path,
    fix: 'Leave --write away, and put the printed lines there by hand.',
    cause,
  });
}
