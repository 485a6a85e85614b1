import { execFile } from 'node:child_process';
import { constants } from 'node:fs';
import { access } from 'node:fs/promises';
import { ExitCode, OmniError } from '../errors.ts';

/** What a program in the sandbox reaches besides programs, libraries and the system's public settings. */
export interface Sandbox {
  /** Path of omni-sandbox (native/sandbox). */
  readonly program: string;
  readonly read: readonly string[];
  readonly write: readonly string[];
  /** IPv4 and IPv6; without it no socket at all. */
  readonly network: boolean;
}

/** The command line that runs `command` in the sandbox. */
export function sandboxed(sandbox: Sandbox, command: readonly string[]): readonly string[] {
  const { program, read, write, network } = sandbox;
  const files = [...read.flatMap((path) => ['-r', path]), ...write.flatMap((path) => ['-w', path])];
  return [program, ...files, ...(network ? ['-n'] : []), '--', ...command];
}

const PROBE_TIMEOUT_MS = 5_000;

/**
 * Whether the kernel keeps files from sandboxed programs (Landlock). Throws `sandbox-missing`, exit code 2, where the
 * installation has no sandbox that runs.
 */
export async function sandboxHidesFiles(program: string): Promise<boolean> {
  try {
    await access(program, constants.X_OK);
    const output = await new Promise<string>((resolve, reject) => {
      execFile(program, ['--probe'], { timeout: PROBE_TIMEOUT_MS }, (error, stdout) =>
        error === null ? resolve(stdout) : reject(error),
      );
    });
    return /^landlock [1-9]/.test(output);
  } catch (cause) {
    throw new OmniError(`git cannot be run with restrictions: ${program} does not run`, {
      code: 'sandbox-missing',
      class: 'stall',
      exitCode: ExitCode.usage,
      fix: 'Run `npm run build` in the installation.',
      cause,
    });
  }
}
