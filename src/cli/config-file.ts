import { open } from 'node:fs/promises';
import { type AgentSettings, readSettings } from '../agent/config-settings.ts';
import { ManifestsRefused } from '../agent/refused.ts';
import { ExitCode, OmniError } from '../errors.ts';
import { exposureOf } from '../source/exposure.ts';

const MAX_BYTES = 64 * 1024;

/**
 * The settings in an agent's configuration file. One that is absent says nothing, unless a person named it
 * (`required`). Throws, exit code 2, `invalid-config`: all that is wrong with it, each with its place.
 */
export async function readConfigFile(path: string, required: boolean): Promise<AgentSettings> {
  const bytes = await readBounded(path, required);
  if (bytes === undefined) return {};
  const read = readSettings(bytes, path);
  if (read.ok) return read.settings;
  const count = read.diagnostics.length;
  throw new ManifestsRefused(
    `the configuration ${path} has ${count} error${count === 1 ? '' : 's'}; the agent does not start`,
    {
      code: 'invalid-config',
      class: 'stall',
      exitCode: ExitCode.usage,
      object: path,
      fix: 'Mend the file as said above; docs/configuration.md has its form.',
    },
    read.diagnostics,
  );
}

async function readBounded(path: string, required: boolean): Promise<Uint8Array | undefined> {
  try {
    const exposure = await exposureOf(path);
    if (exposure !== undefined) throw exposed(path, exposure);
    const file = await open(path, 'r');
    try {
      const buffer = Buffer.alloc(MAX_BYTES + 1);
      const { bytesRead } = await file.read(buffer, 0, buffer.length, 0);
      if (bytesRead <= MAX_BYTES) return buffer.subarray(0, bytesRead);
    } finally {
      await file.close();
    }
  } catch (error) {
    if (error instanceof OmniError) throw error;
    const code = error instanceof Error && 'code' in error ? error.code : undefined;
    if (code === 'ENOENT' && !required) return undefined;
    throw unusable(path, `cannot be read: ${code ?? String(error)}`, 'Name another with --config.', error);
  }
  throw unusable(path, `is larger than ${MAX_BYTES / 1024} KiB`, 'Name the right file with --config.');
}

/** The file names commands that the agent runs, and whom it believes. */
function exposed(path: string, exposure: string): OmniError {
  return unusable(
    path,
    `is not used, since others could change what the agent runs: ${exposure}`,
    'Look through it, then give it and its folders to root (chown root) and take the right to write from others (chmod go-w).',
  );
}

function unusable(path: string, problem: string, fix: string, cause?: unknown): OmniError {
  return new OmniError(`the configuration ${path} ${problem}`, {
    code: 'invalid-config',
    class: 'stall',
    exitCode: ExitCode.usage,
    object: path,
    fix,
    cause,
  });
}
