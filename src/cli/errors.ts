import { CommanderError } from 'commander';
import { ManifestsRefused } from '../agent/refused.ts';
import { ExitCode, OmniError } from '../errors.ts';
import { renderDiagnostic } from '../manifest/diagnostic.ts';
import type { Diagnostic } from '../manifest/model.ts';
import { shortDigests } from './format.ts';
import { Interrupted, type Io } from './io.ts';
import type { Style } from './style.ts';
import { printable } from './text.ts';

/** The command line itself is wrong: exit 2. */
export function usageError(message: string, fix: string): OmniError {
  return new OmniError(message, { code: 'usage', class: 'stall', fix, exitCode: ExitCode.usage });
}

interface Report {
  readonly message: string;
  readonly fix?: string | undefined;
  readonly exitCode: number;
  /** What is wrong with manifests, each with its place: comes before the message. */
  readonly diagnostics?: readonly Diagnostic[] | undefined;
  /** Where it came from; shown by --verbose. */
  readonly detail?: string | undefined;
}

/**
 * Tells stderr what failed, why, and what to do, and returns the exit code: an `OmniError`'s own, 2 for usage,
 * 130 and 143 for signals, 1 for what nobody foresaw. `verb` completes "see 'omni … --help'".
 */
export function reportError(
  error: unknown,
  context: { readonly io: Io; readonly style: Style; readonly verbose: boolean; readonly verb: string },
): number {
  const { io, style, verbose, verb } = context;
  if (error instanceof CommanderError && error.exitCode === 0) return ExitCode.ok;
  const report = io.signal.aborted ? interrupted(io.signal.reason) : describe(error, verb);
  const message = verbose ? report.message : shortDigests(report.message);
  const write = (text: string): void => io.stderr.write(style.encode(text));
  for (const diagnostic of report.diagnostics ?? []) write(`${printable(renderDiagnostic(diagnostic))}\n`);
  write(`${style.paint('bad', 'error:')} ${printable(message)}\n`);
  if (report.fix !== undefined) write(`  fix: ${printable(report.fix)}\n`);
  if (verbose && report.detail !== undefined) write(`${printable(report.detail)}\n`);
  return report.exitCode;
}

function describe(error: unknown, verb: string): Report {
  if (error instanceof CommanderError) return describeUsage(error, verb);
  if (error instanceof OmniError) {
    // Messages of the agent and of the readers often start with the object that they are about already.
    const name = error.object?.replace(/^(?:file|port)\//, '');
    const named = name === undefined || error.message.includes(name);
    const message = named ? error.message : `${error.object}: ${error.message}`;
    const diagnostics = error instanceof ManifestsRefused ? error.diagnostics : undefined;
    return { message, fix: error.fix, exitCode: error.exitCode, diagnostics, detail: stack(error) };
  }
  const message = error instanceof Error ? error.message : String(error);
  return {
    message: `unexpected: ${message.split('\n')[0]}`,
    fix: 'This is a bug; run it again with --verbose and report what it prints.',
    exitCode: ExitCode.failed,
    detail: stack(error),
  };
}

/** commander's own messages: `error: unknown option '--foo'\n(Did you mean --for?)`. */
function describeUsage(error: CommanderError, verb: string): Report {
  const [first = '', ...rest] = error.message.replace(/^error: /, '').split('\n');
  const hint = /^\(Did you mean (.*)\?\)$/s.exec(rest.join('\n'))?.[1];
  const help = `See \`omni${verb === '' ? '' : ` ${verb}`} --help\`.`;
  return { message: first, fix: hint === undefined ? help : `Did you mean ${hint}? ${help}`, exitCode: ExitCode.usage };
}

function interrupted(reason: unknown): Report {
  if (reason instanceof Interrupted) return { message: reason.message, exitCode: reason.exitCode };
  return { message: 'interrupted', exitCode: ExitCode.interrupted };
}

function stack(error: unknown): string | undefined {
  if (!(error instanceof Error)) return undefined;
  const cause = stack(error.cause);
  return `${error.stack ?? error.message}${cause === undefined ? '' : `\ncaused by: ${cause}`}`;
}
