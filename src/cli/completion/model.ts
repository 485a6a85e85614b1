import type { Command, Option } from 'commander';
import { type Completes, Flag, Operand, type Suggestions } from '../options.ts';

/** What a shell needs to know of the command tree. */
export interface FlagModel {
  /** `-o`, `--output`. */
  readonly names: readonly string[];
  readonly description: string;
  readonly takesValue: boolean;
  readonly repeatable: boolean;
  readonly choices: readonly string[];
  readonly completes: Completes;
}
export interface VerbModel {
  readonly name: string;
  readonly description: string;
  readonly flags: readonly FlagModel[];
  readonly operands: readonly {
    readonly name: string;
    readonly suggestions: Suggestions;
  }[];
}
export interface CommandModel {
  readonly globals: readonly FlagModel[];
  readonly verbs: readonly VerbModel[];
}

export function commandModel(program: Command): CommandModel {
  const help = program.createHelp();
  return {
    globals: help.visibleOptions(program).map(flagModel),
    verbs: program.commands.map((command) => ({
      name: command.name(),
      description: command.summary() || command.description(),
      flags: help.visibleOptions(command).map(flagModel),
      operands: command.registeredArguments.map((argument) => ({
        name: argument.name(),
        suggestions: argument instanceof Operand ? argument.suggestions : [],
      })),
    })),
  };
}

function flagModel(option: Option): FlagModel {
  return {
    names: [option.short, option.long].filter((name) => name !== undefined && name !== null),
    description: option.description,
    takesValue: option.required || option.optional,
    repeatable: option instanceof Flag && option.repeatable,
    choices: option.argChoices ?? [],
    completes: option instanceof Flag ? option.completes : 'none',
  };
}
