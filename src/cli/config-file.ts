import { readFile } from 'node:fs/promises';
import { type Command, InvalidArgumentError } from 'commander';
import { parse } from 'yaml';
import { ExitCode, OmniError } from '../errors.ts';
import { Flag } from './options.ts';

const MAX_BYTES = 64 * 1024;

/**
 * Gives every flag that neither the command line nor the environment set its value from a YAML file, whose keys are
 * the flags' names: `state-dir: /var/lib/omni`. Unknown keys are errors. A file that is absent is none, unless a
 * person named it (`required`).
 */
export async function applyConfigFile(command: Command, path: string, required: boolean): Promise<void> {
  const text = await readConfig(path, required);
  if (text === undefined) return;
  for (const [key, value] of Object.entries(parseConfig(text, path))) {
    const flag = command.options.find((option) => option.name() === key && !EXCLUDED.has(key));
    if (!(flag instanceof Flag)) {
      throw invalid(
        path,
        `it has no setting '${key}'`,
        'Its keys are the flags of `omni agent --help` without dashes.',
      );
    }
    const source = command.getOptionValueSource(flag.attributeName());
    if (source !== undefined && source !== 'default') continue;
    command.setOptionValueWithSource(flag.attributeName(), settingOf(flag, value, path), 'config');
  }
}

/** What only makes sense where it is typed. */
const EXCLUDED = new Set(['config', 'teardown']);

async function readConfig(path: string, required: boolean): Promise<string | undefined> {
  try {
    const bytes = await readFile(path);
    if (bytes.length > MAX_BYTES)
      throw invalid(path, `it is larger than ${MAX_BYTES / 1024} KiB`, 'Name the right file.');
    return bytes.toString('utf8');
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (error instanceof OmniError) throw error;
    if (code === 'ENOENT' && !required) return undefined;
    throw invalid(path, `it cannot be read: ${code ?? String(error)}`, 'Name another with --config.', error);
  }
}

function parseConfig(text: string, path: string): object {
  let value: unknown;
  try {
    value = parse(text, { maxAliasCount: 0 });
  } catch (error) {
    const reason = error instanceof Error ? (error.message.split('\n')[0] ?? '') : String(error);
    throw invalid(path, `it is no YAML: ${reason}`, 'Mend it there.', error);
  }
  if (value === null) return {};
  if (typeof value !== 'object' || Array.isArray(value)) {
    throw invalid(path, 'it is not a mapping', 'Write lines of `key: value`.');
  }
  return value;
}

function settingOf(flag: Flag, value: unknown, path: string): unknown {
  if (flag.isBoolean()) {
    if (typeof value === 'boolean') return value;
    throw invalid(path, `${flag.name()} is neither true nor false`, 'Write true or false.');
  }
  const text = Array.isArray(value) ? value.join(',') : value;
  if (typeof text !== 'string' && typeof text !== 'number') {
    throw invalid(path, `${flag.name()} is no text`, `See --${flag.name()} in the help of \`omni agent\`.`);
  }
  try {
    return flag.parseArg ? flag.parseArg<unknown>(String(text), undefined) : String(text);
  } catch (error) {
    if (!(error instanceof InvalidArgumentError)) throw error;
    throw invalid(
      path,
      `${flag.name()} is '${text}': ${error.message}`,
      `See --${flag.name()} in the help of \`omni agent\`.`,
      error,
    );
  }
}

function invalid(path: string, problem: string, fix: string, cause?: unknown): OmniError {
  return new OmniError(`${path}: ${problem}`, {
    code: 'invalid-config',
    class: 'stall',
    exitCode: ExitCode.usage,
    object: path,
    fix,
    cause,
  });
}
