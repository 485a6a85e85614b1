import { OmniError } from '../errors.ts';
import type { Clock } from './clock.ts';
import { DISTRUST } from './git-trust-errors.ts';
import type { RemoteState } from './source.ts';
import { hasControlCharacter, hostOf, parseSourceUrl, sourceInvalid } from './url.ts';

/** One place to fetch a repository from. Files are read at each use, so that keys and tokens can be exchanged. */
export interface RemoteOptions {
  readonly url: string;
  /** For ssh: this key alone is offered; absent: what the ssh configuration of the agent's user says. */
  readonly sshKeyFile?: string;
  /** For ssh: this file alone says which host keys are right; absent: those of the agent's user and of the system. */
  readonly knownHostsFile?: string;
  /** For https: one line, mode 0600 or stricter; sent as the password. */
  readonly tokenFile?: string;
  /** Goes with the token; `git` where it does not matter to the server. */
  readonly username?: string;
  /** For https: PEM certificates that the server's must lead to, in place of the system's. */
  readonly caFile?: string;
}

export interface Remote extends RemoteOptions {
  /** Lower case; `ssh` for scp-like addresses. */
  readonly scheme: string;
  /** For people and records; holds no credentials. */
  readonly display: string;
  /** Name or address, without port and brackets; undefined for `file`. */
  readonly host: string | undefined;
}

/** Checks what can be checked without looking at a file. Throws `source-invalid`. */
export function parseRemote(options: RemoteOptions): Remote {
  const parsed = parseSourceUrl(options.url);
  if (parsed.kind !== 'git') throw sourceInvalid(`${options.url} is not a git URL`, 'Use an https or ssh URL.');
  const scheme = /^([a-z]+):\/\//.exec(parsed.url)?.[1] ?? 'ssh';
  const { sshKeyFile, knownHostsFile, tokenFile, username, caFile } = options;
  if (scheme !== 'ssh' && (sshKeyFile !== undefined || knownHostsFile !== undefined)) {
    throw sourceInvalid(`${parsed.display} is given an ssh key or known hosts, but is no ssh URL`, 'Use an ssh URL.');
  }
  if (scheme !== 'https' && (tokenFile !== undefined || caFile !== undefined)) {
    const why = scheme === 'http' ? ', and http would show a token to everybody on the way' : '';
    throw sourceInvalid(
      `${parsed.display} is given a token or CA file, but is no https URL${why}`,
      'Use an https URL.',
    );
  }
  if (username !== undefined && (tokenFile === undefined || username === '' || hasControlCharacter(username))) {
    throw sourceInvalid(`the user name for ${parsed.display} is not usable`, 'Give it together with a token file.');
  }
  for (const file of [sshKeyFile, knownHostsFile, tokenFile, caFile]) if (file !== undefined) checkFile(file);
  return { ...options, url: parsed.url, scheme, display: parsed.display, host: hostOf(parsed.url) };
}

/** Whether whoever is on the path to the remote can say what it holds. Signatures alone tell then. */
export function isUnauthenticated(url: string): boolean {
  return /^(?:http|git):\/\//i.test(url);
}

/** Paths end up in a command line for a shell and in ssh's own syntax: what either would expand is refused. */
function checkFile(path: string): void {
  if (path.startsWith('/') && !hasControlCharacter(path) && !/["'%$`\\]/.test(path)) return;
  throw sourceInvalid(
    `"${path.slice(0, 80)}" cannot be used as the path of a key or token file`,
    'Give an absolute path without quotes, "%", "$" and backslashes.',
  );
}

const SET_BACK_MS = 300_000;

interface Outcome {
  /** Milliseconds since 1970. */
  readonly atMs: number;
  readonly error?: string;
}

/** Remotes in the order of the configuration, but for those that failed within five minutes: they are asked last. */
export class RemoteOrder {
  readonly #remotes: readonly Remote[];
  readonly #clock: Clock;
  readonly #outcomes = new Map<string, Outcome>();

  constructor(remotes: readonly Remote[], clock: Clock) {
    this.#remotes = remotes;
    this.#clock = clock;
  }

  list(): readonly Remote[] {
    const now = this.#clock.now();
    const setBack = (remote: Remote) => {
      const { atMs, error } = this.#outcomes.get(remote.url) ?? {};
      if (atMs === undefined || error === undefined) return false;
      return now >= atMs && now - atMs < SET_BACK_MS;
    };
    return [...this.#remotes.filter((remote) => !setBack(remote)), ...this.#remotes.filter(setBack)];
  }

  answered(remote: Remote): void {
    this.#outcomes.set(remote.url, { atMs: this.#clock.now() });
  }

  failed(remote: Remote, { message }: OmniError): void {
    this.#outcomes.set(remote.url, { atMs: this.#clock.now(), error: message });
  }

  /** In the order of the configuration. */
  states(): readonly RemoteState[] {
    return this.#remotes.map(({ url, display }) => {
      const outcome = this.#outcomes.get(url);
      if (outcome === undefined) return { url: display };
      const { atMs, error } = outcome;
      return { url: display, askedAt: new Date(atMs).toISOString(), ...(error === undefined ? {} : { error }) };
    });
  }
}

/**
 * One error for failures of all remotes, in words of each. What accuses a remote outranks what may pass by itself, and
 * that outranks what stays until somebody acts on it. `failures` holds at least one.
 */
export function joinFailures(failures: readonly OmniError[]): OmniError {
  const [first] = failures;
  if (first === undefined) throw new TypeError('no failures to join');
  if (failures.length === 1) return first;
  const {
    code,
    class: errorClass,
    exitCode,
    fix,
  } = failures.find((error) => DISTRUST.has(error.code)) ?? failures.find((error) => error.class === 'retry') ?? first;
  const messages = failures.map(({ message }) => message).join('; ');
  return new OmniError(`none of ${failures.length} remotes gives a revision that can be used: ${messages}`, {
    code,
    class: errorClass,
    exitCode,
    ...(fix === undefined ? {} : { fix }),
  });
}
