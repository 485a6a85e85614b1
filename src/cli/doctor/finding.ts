/**
 * What doctor says of one thing. `failure`: the agent cannot work here like this. `warning`: it works, but worse.
 * `unknown`: it could not be checked, mostly for want of privileges.
 */
export interface Finding {
  /** Stable, kebab-case: scripts match on it. */
  readonly check: string;
  readonly status: 'ok' | 'warning' | 'failure' | 'unknown';
  readonly message: string;
  /** What to do about it. */
  readonly fix?: string;
}

export function ok(check: string, message: string): Finding {
  return { check, status: 'ok', message };
}
export function warning(check: string, message: string, fix: string): Finding {
  return { check, status: 'warning', message, fix };
}
export function failure(check: string, message: string, fix: string): Finding {
  return { check, status: 'failure', message, fix };
}
export function unknown(check: string, message: string, fix: string): Finding {
  return { check, status: 'unknown', message, fix };
}
