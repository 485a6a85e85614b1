import type { FileSet } from '../agent/api.ts';
import { ExitCode, OmniError } from '../errors.ts';
import { renderDiagnostic } from '../manifest/diagnostic.ts';
import type { Fleet, FleetResult, ManifestFile } from '../manifest/model.ts';
import { usageError } from './errors.ts';
import type { Io } from './io.ts';
import type { ManifestOptions } from './options.ts';
import { plural } from './text.ts';

interface Request {
  readonly io: Io;
  readonly options: ManifestOptions;
}

/** The files of `-f` and what the fleet reader says of them. */
export async function readFiles(request: Request): Promise<{
  readonly files: readonly ManifestFile[];
  readonly result: FleetResult;
}> {
  const { io, options } = request;
  if (options.filename === undefined) {
    throw usageError('no manifests were named', 'Name a file, a folder, or - for stdin, as in `-f fleet/`.');
  }
  // Loaded when called: compiling the schemas takes longer than most verbs do.
  const { createFleetReader, filesFromPaths } = await import('../manifest/load.ts');
  const files = await filesFromPaths(options.filename, { recursive: options.recursive, stdin: io.stdin, cwd: io.cwd });
  return { files, result: await createFleetReader().read(files) };
}

/** As `readFiles`, for verbs that go on only with a valid fleet: diagnostics go to stderr. */
export async function readManifests(
  request: Request,
): Promise<{ readonly files: readonly ManifestFile[]; readonly fleet: Fleet }> {
  const { files, result } = await readFiles(request);
  return { files, fleet: fleetOf(result, 'the manifests', (text) => request.io.stderr.write(text)) };
}

/** The fleet of a result; one with errors is reported whole and thrown, exit code 2. */
export function fleetOf(result: FleetResult, what: string, report: (text: string) => void): Fleet {
  for (const diagnostic of result.diagnostics) report(`${renderDiagnostic(diagnostic)}\n`);
  if (result.ok) return result.fleet;
  const errors = result.diagnostics.filter(({ severity }) => severity === 'error').length;
  throw new OmniError(`${what}: ${plural(errors, 'error')}, nothing was done`, {
    code: 'invalid-manifests',
    class: 'stall',
    exitCode: ExitCode.usage,
    fix: 'Mend what is listed above; `omni validate` lists it again.',
  });
}

/** Files as texts, for the agent. */
export async function fileSetOf(files: readonly ManifestFile[]): Promise<FileSet> {
  const decoder = new TextDecoder('utf-8', { fatal: true });
  return {
    files: await Promise.all(files.map(async (file) => ({ path: file.path, text: decoder.decode(await file.read()) }))),
  };
}
