import { join } from 'node:path';
import { Argument, type Command, InvalidArgumentError, Option } from 'commander';
import { parseDuration } from '../manifest/duration.ts';
import { usageError } from './errors.ts';
import type { Io } from './io.ts';
import type { OutputFormat } from './output.ts';
import { parseSelector, type Selector } from './selector.ts';

export const API_VERSION = 'omni.io/v1alpha1';

/** What a shell may complete a value with. */
export type Completes = 'path' | 'directory' | 'revisions' | 'objects' | 'none';

interface FlagSettings<T> {
  readonly default?: T;
  readonly choices?: readonly string[];
  /** Throws `InvalidArgumentError`. */
  readonly parse?: (value: string) => T;
  /** The flag may be given several times; its variable holds a comma-separated list. */
  readonly repeatable?: boolean;
  readonly completes?: Completes;
  /** Shown in help in place of the default. */
  readonly defaultText?: string;
}

/** An option with its mirror in the environment: `--state-dir` is `OMNI_STATE_DIR`. */
export class Flag extends Option {
  readonly variable: string;
  readonly repeatable: boolean;
  readonly completes: Completes;

  constructor(flags: string, description: string, settings: FlagSettings<unknown> = {}) {
    super(flags, description);
    this.variable = `OMNI_${this.name().replaceAll('-', '_').toUpperCase()}`;
    this.repeatable = settings.repeatable ?? false;
    this.completes = settings.completes ?? 'none';
    if (settings.default !== undefined) this.default(settings.default, settings.defaultText);
    if (settings.choices) this.choices(settings.choices);
    const { parse } = settings;
    if (parse) this.argParser(parse);
    if (this.repeatable) {
      this.argParser((value, previous: readonly unknown[] | undefined) => [
        ...(previous ?? []),
        parse ? parse(value) : value,
      ]);
    }
  }
}

/** Words that a shell may offer for an argument; `objects`, `names` and `revisions` are asked of the agent. */
export type Suggestions = readonly string[] | 'objects' | 'names' | 'revisions';

export class Operand extends Argument {
  readonly suggestions: Suggestions;

  constructor(name: string, description: string, suggestions: Suggestions = []) {
    super(name, description);
    this.suggestions = suggestions;
  }
}

/** Gives every flag that the command line left alone the value of its `OMNI_*` variable; an empty one counts as unset. */
export function applyEnvironment(command: Command, env: Io['env']): void {
  for (let level: Command | null = command; level; level = level.parent) {
    for (const option of level.options) {
      if (!(option instanceof Flag)) continue;
      const text = env[option.variable];
      const source = level.getOptionValueSource(option.attributeName());
      if (!text || (source !== undefined && source !== 'default')) continue;
      level.setOptionValueWithSource(option.attributeName(), flagValue(option, text), 'env');
    }
  }
}

function flagValue(option: Flag, text: string): unknown {
  if (option.isBoolean()) return booleanOf(option, text);
  const { parseArg } = option;
  if (!parseArg) return text;
  try {
    if (!option.repeatable) return parseArg<unknown>(text, undefined);
    return text.split(',').reduce<unknown>((previous, part) => parseArg<unknown>(part.trim(), previous), undefined);
  } catch (error) {
    if (!(error instanceof InvalidArgumentError)) throw error;
    throw usageError(
      `the variable ${option.variable} is '${text}': ${error.message}`,
      `See --${option.name()} in the help.`,
    );
  }
}

function booleanOf(option: Flag, text: string): boolean {
  if (/^(1|true|yes|on)$/i.test(text)) return true;
  if (/^(0|false|no|off)$/i.test(text)) return false;
  throw usageError(`the variable ${option.variable} is '${text}', neither true nor false`, 'Set it to 1 or to 0.');
}

export function outputFlag(formats: readonly OutputFormat[]): Flag {
  return new Flag('-o, --output <format>', 'form of the answer', { default: formats[0], choices: formats });
}

export function selectorFlag(): Flag {
  return new Flag('-l, --selector <labels>', "only objects with these labels, as in 'site=munich,role!=arm'", {
    parse: (text): Selector => parseSelector(text),
  });
}

/** A flag whose value is milliseconds, written `90s`, `5m`, `1h30m`. */
export function durationFlag(flags: string, description: string, fallback?: string): Flag {
  return new Flag(flags, description, {
    parse: parseDurationFlag,
    completes: 'none',
    ...(fallback === undefined ? {} : { default: parseDurationFlag(fallback), defaultText: fallback }),
  });
}

function parseDurationFlag(text: string): number {
  const result = parseDuration(text);
  if (!result.ok) {
    const problem = `${result.problem.charAt(0).toUpperCase()}${result.problem.slice(1)}`;
    throw new InvalidArgumentError(`${problem}; write it like 90s, 5m or 1h30m.`);
  }
  return result.ms;
}

export interface ManifestOptions {
  readonly filename?: readonly string[];
  readonly recursive: boolean;
}

export function addManifestFlags(command: Command): Command {
  return command
    .addOption(
      new Flag('-f, --filename <path>', "file or folder of manifests; '-' is stdin; repeatable", {
        repeatable: true,
        completes: 'path',
      }),
    )
    .addOption(new Flag('-R, --recursive', 'read folders below the named ones too', { default: false }));
}

export interface IdentityOptions {
  readonly identity?: string;
  readonly stateDir: string;
}

export function addIdentityFlags(command: Command): Command {
  return command
    .addOption(
      new Flag('--identity <file>', "the node's key; default: identity.key in --state-dir", { completes: 'path' }),
    )
    .addOption(
      new Flag('--state-dir <dir>', 'what the node keeps', { default: '/var/lib/omni', completes: 'directory' }),
    );
}

export function identityPath({ identity, stateDir }: IdentityOptions): string {
  return identity ?? join(stateDir, 'identity.key');
}

export function socketFlag(): Flag {
  return new Flag('--socket <path>', "the agent's control socket", {
    default: '/run/omni/omni.sock',
    completes: 'path',
  });
}
