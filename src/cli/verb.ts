import type { Command } from 'commander';
import type { Io } from './io.ts';
import { applyEnvironment } from './options.ts';
import { createPrinter, type Printer } from './output.ts';
import { createProgress, type Progress } from './progress.ts';
import { type ColorMode, createStyle, isUtf8, wantsColor } from './style.ts';

interface GlobalOptions {
  readonly color: ColorMode;
  readonly verbose: boolean;
}

/** What a verb is called with. */
export interface Invocation<O> {
  readonly io: Io;
  readonly options: O & GlobalOptions;
  readonly args: readonly string[];
  readonly out: Printer;
  readonly progress: Progress;
}

/** One run of the command line. */
export interface Cli {
  readonly io: Io;
  exitCode: number;
}

/** Makes `handle` what the command does; it resolves with the exit code, and failures are thrown. */
export function handleVerb<O extends object>(
  cli: Cli,
  command: Command,
  handle: (invocation: Invocation<O>) => Promise<number>,
): Command {
  return command.action(async () => {
    const { io } = cli;
    applyEnvironment(command, io.env);
    const options = command.optsWithGlobals<O & GlobalOptions>();
    const utf8 = isUtf8(io.env);
    const out = createPrinter(io, createStyle({ color: wantsColor(options.color, io.stdout, io.env), utf8 }));
    const stderrColor = wantsColor(options.color, io.stderr, io.env);
    const progress = createProgress(io, createStyle({ color: stderrColor, utf8 }));
    try {
      cli.exitCode = await handle({ io, options, args: command.args, out, progress });
    } finally {
      progress.clear();
    }
  });
}
