import { CommanderError } from 'commander';
import { reportError } from './errors.ts';
import type { Io } from './io.ts';
import { createProgram } from './program.ts';
import { type ColorMode, createStyle, isUtf8, wantsColor } from './style.ts';
import type { Cli } from './verb.ts';

/** Runs one command line (without the program's own name) and resolves with its exit code. Never rejects. */
export async function run(argv: readonly string[], io: Io): Promise<number> {
  const cli: Cli = { io, exitCode: 0 };
  const program = createProgram(cli);
  let verb = '';
  program.hook('preSubcommand', (_program, command) => {
    verb = command.name();
  });
  try {
    await program.parseAsync(argv, { from: 'user' });
    return cli.exitCode;
  } catch (error) {
    // No verb at all: like kubectl, say which there are.
    if (error instanceof CommanderError && error.code === 'commander.help' && verb === '') {
      program.outputHelp();
      return 0;
    }
    const { color, verbose } = program.opts<{ color: ColorMode; verbose: boolean }>();
    const style = createStyle({ color: wantsColor(color, io.stderr, io.env), utf8: isUtf8(io.env) });
    return reportError(error, { io, style, verbose, verb });
  }
}
