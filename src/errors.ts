/**
 * What the caller does about a failure:
 * `retry` with jitter, `wait` for something that is under way, `stall` until a human acts, `bug`.
 */
export type ErrorClass = 'retry' | 'wait' | 'stall' | 'bug';

/** Exit codes of the command line. `omni diff` alone uses 1 for "difference". */
export const ExitCode = {
  ok: 0,
  failed: 1,
  usage: 2,
  source: 3,
  stale: 4,
  rolledBack: 5,
  partial: 6,
  interrupted: 130,
} as const;
export type ExitCode = (typeof ExitCode)[keyof typeof ExitCode];

export interface OmniErrorOptions {
  /** Stable, kebab-case, documented: scripts match on it. */
  readonly code: string;
  readonly class: ErrorClass;
  /** What a person does now: one sentence, imperative. */
  readonly fix?: string;
  /** The object it concerns: `peer/robot-17`, `link/omni0`, `fleet/a.yaml:3:5`. */
  readonly object?: string;
  readonly exitCode?: ExitCode;
  readonly cause?: unknown;
}

/** Every failure that this project raises on purpose. The message says what and why; never a secret. */
export class OmniError extends Error {
  readonly code: string;
  readonly class: ErrorClass;
  readonly fix: string | undefined;
  readonly object: string | undefined;
  readonly exitCode: ExitCode;

  constructor(message: string, options: OmniErrorOptions) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = 'OmniError';
    this.code = options.code;
    this.class = options.class;
    this.fix = options.fix;
    this.object = options.object;
    this.exitCode = options.exitCode ?? ExitCode.failed;
  }
}
