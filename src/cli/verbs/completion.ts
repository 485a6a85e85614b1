import { Command } from 'commander';
import { ExitCode } from '../../errors.ts';
import { bashCompletion } from '../completion/bash.ts';
import { fishCompletion } from '../completion/fish.ts';
import { commandModel } from '../completion/model.ts';
import { zshCompletion } from '../completion/zsh.ts';
import { usageError } from '../errors.ts';
import { Operand } from '../options.ts';
import { type Cli, handleVerb } from '../verb.ts';

const SHELLS = { bash: bashCompletion, zsh: zshCompletion, fish: fishCompletion } as const;

export function completionCommand(cli: Cli, program: () => Command): Command {
  const command = new Command('completion')
    .summary('Print a completion script for a shell')
    .description('Prints the completion script for a shell.')
    .addArgument(new Operand('<shell>', 'bash, zsh or fish', Object.keys(SHELLS)));
  return handleVerb<object>(cli, command, async ({ args, out }) => {
    const [shell = ''] = args;
    if (!isShell(shell)) {
      throw usageError(`there is no completion for the shell '${shell}'`, 'Ask for bash, zsh or fish.');
    }
    out.write(SHELLS[shell](commandModel(program())));
    return ExitCode.ok;
  });
}

function isShell(name: string): name is keyof typeof SHELLS {
  return Object.hasOwn(SHELLS, name);
}
