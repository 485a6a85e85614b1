import { type ChildProcessWithoutNullStreams, execFile, spawn } from 'node:child_process';
import { simpleGit } from 'simple-git';
import type { OmniError } from '../errors.ts';
import type { Access } from './git-access.ts';
import { temporaryFolder } from './git-cache.ts';
import { classifyGitFailure, type GitPlace, outputTooLarge, timedOut } from './git-errors.ts';
import type { Remote } from './git-remotes.ts';
import { type Sandbox, sandboxed } from './sandbox.ts';

/** Where git commands run, and with which environment. */
export interface GitContext {
  readonly kind: 'cache' | 'checkout';
  readonly folder: string;
  readonly env: Readonly<Record<string, string>>;
  /** Options of git itself, before the command. */
  readonly options: readonly string[];
  /** For errors: the URL without credentials, or the local folder. */
  readonly origin: string;
  /** No git process may hold more data than this. */
  readonly memoryBytes: number;
  /** Cut out of every message. */
  readonly secrets: readonly string[];
  /** Absent for somebody's own checkout, which they read with their own rights. */
  readonly sandbox?: Sandbox;
}

/** What a child may inherit: how to reach the network, nothing else. */
const INHERITED = [
  'PATH',
  'http_proxy',
  'https_proxy',
  'HTTPS_PROXY',
  'all_proxy',
  'ALL_PROXY',
  'no_proxy',
  'NO_PROXY',
  'SSL_CERT_FILE',
  'SSL_CERT_DIR',
] as const;

function inherited(names: readonly string[]): Record<string, string> {
  const env: Record<string, string> = {};
  for (const name of names) {
    const value = process.env[name];
    if (value !== undefined) env[name] = value;
  }
  return env;
}

const HARDENED = {
  LC_ALL: 'C', // failures are told apart by git's English
  GIT_TERMINAL_PROMPT: '0',
  GIT_NO_REPLACE_OBJECTS: '1', // refs/replace/ would show other content than the commit id promises
  GIT_OPTIONAL_LOCKS: '0',
  GIT_ATTR_NOSYSTEM: '1',
};

/**
 * For our cache: its own `config` file (see `git-cache.ts`) is the only one that git reads, because HOME is a folder
 * without any. ssh takes the home folder from the password database and still finds its keys. `sandbox`: the path of
 * omni-sandbox. Commands reach the cache and no network; `remoteContext` adds what one remote needs.
 */
export function cacheContext(gitDir: string, origin: string, memoryBytes: number, sandbox: string): GitContext {
  const env = {
    ...inherited(INHERITED),
    ...HARDENED,
    HOME: gitDir,
    GIT_CONFIG_NOSYSTEM: '1',
    GIT_DIR: gitDir,
    TMPDIR: temporaryFolder(gitDir),
    GIT_ALLOW_PROTOCOL: '',
  };
  return {
    kind: 'cache',
    folder: gitDir,
    env,
    options: [],
    origin,
    memoryBytes,
    secrets: [],
    sandbox: { program: sandbox, read: [], write: [gitDir], network: false },
  };
}

/** The same for commands that talk to one remote, by its own scheme alone: no redirect leads to another. */
export function remoteContext(context: GitContext, remote: Remote, access: Access): GitContext {
  const { env, options, secrets, read } = access;
  const { sandbox } = context;
  return {
    ...context,
    env: { ...context.env, ...env, GIT_ALLOW_PROTOCOL: remote.scheme },
    options: [...context.options, ...options],
    origin: remote.display,
    secrets,
    ...(sandbox === undefined ? {} : { sandbox: reaching(sandbox, read, remote.scheme !== 'file') }),
  };
}

/** The same for commands that read files of this node besides the cache. */
export function readingContext(context: GitContext, read: readonly string[]): GitContext {
  const { sandbox } = context;
  return sandbox === undefined ? context : { ...context, sandbox: reaching(sandbox, read, sandbox.network) };
}

function reaching(sandbox: Sandbox, read: readonly string[], network: boolean): Sandbox {
  return { ...sandbox, read: [...sandbox.read, ...read], network };
}

/**
 * For the checkout in the current folder, whoever owns it: git's guard against other people's repositories is there
 * because their configuration can name commands, and what runs here (ls-tree, cat-file, no transport) executes none.
 */
export function checkoutContext(folder: string): GitContext {
  const env = {
    ...inherited(['PATH']),
    ...HARDENED,
    HOME: '/nonexistent',
    GIT_CONFIG_NOSYSTEM: '1',
    GIT_ALLOW_PROTOCOL: '', // a partial clone must not fetch from here
    GIT_NO_LAZY_FETCH: '1',
  };
  const options = ['-c', 'safe.directory=*'];
  return { kind: 'checkout', folder, env, options, origin: folder, memoryBytes: CHECKOUT_MEMORY_BYTES, secrets: [] };
}

const TIMEOUT_GRACE_S = 5;
/** timeout(1), EXIT STATUS; git's own 128 and 129 are above it. */
const TIMEOUT_STATUS = 124;
/** Somebody's own repository: it is not there to do harm, and may hold anything. */
const CHECKOUT_MEMORY_BYTES = 2 * 1024 * 1024 * 1024;

/** RLIMIT_DATA counts what a process allocates, not the packs that it maps (setrlimit(2)). */
function limited({ memoryBytes, sandbox, options }: GitContext, args: readonly string[]): [string, ...string[]] {
  const git = ['git', ...options, ...args];
  return ['prlimit', `--data=${memoryBytes}`, ...(sandbox === undefined ? git : sandboxed(sandbox, git))];
}

export interface GitRun {
  readonly args: readonly string[];
  /** True for ls-remote and fetch: a failure is then the remote's, not the cache's. */
  readonly remote?: boolean;
  readonly timeoutMs: number;
  readonly signal: AbortSignal;
  /** More than this on stdout ends the process: a remote must not fill our memory. */
  readonly maxOutputBytes: number;
}

/**
 * Runs one git command to its end and returns its stdout. Throws a classified `OmniError`; an abort throws the
 * signal's reason. Arguments must have been validated: nothing here can tell an option from a name.
 */
export async function runGit(context: GitContext, run: GitRun): Promise<string> {
  run.signal.throwIfAborted();
  const timeout = AbortSignal.timeout(run.timeoutMs);
  const overflow = new AbortController();
  const git = simpleGit({
    baseDir: context.folder,
    // simple-git signals git alone, whose git-remote-https would live on. timeout(1) passes the signal on to a process
    // group of its own, and ends it should this process die first.
    binary: ['timeout', String(Math.ceil(run.timeoutMs / 1000) + TIMEOUT_GRACE_S)],
    abort: AbortSignal.any([run.signal, timeout, overflow.signal]),
    allowEnvironment: Object.keys(context.env),
    // simple-git's guard against these being set by whoever names a branch or URL; ours come from `accessTo` alone.
    unsafe: { allowUnsafeSshCommand: true, allowUnsafeCredentialHelper: true },
    // simple-git's own rule lets a failure pass that printed nothing.
    errors: (error, result) => {
      if (error !== undefined || result.exitCode === 0) return error;
      const stderr = Buffer.concat(result.stdErr);
      return stderr.length > 0 ? stderr : Buffer.from(`git ended with status ${result.exitCode}`);
    },
  });
  let received = 0;
  git.env({ ...context.env }).outputHandler((_command, stdout, stderr) => {
    const count = (chunk: Buffer) => {
      received += chunk.length;
      if (received > run.maxOutputBytes) overflow.abort();
    };
    stdout.on('data', count);
    stderr.on('data', count);
  });
  try {
    return await git.raw(limited(context, run.args));
  } catch (cause) {
    run.signal.throwIfAborted();
    if (overflow.signal.aborted) throw outputTooLarge(context.origin, run.maxOutputBytes);
    if (timeout.aborted) throw timedOut(context.origin, run.timeoutMs, run.args[0] ?? 'git');
    const place: GitPlace = run.remote === true ? 'remote' : context.kind;
    const output = cause instanceof Error ? cause.message : String(cause);
    throw classifyGitFailure(place, context.origin, withoutSecrets(output, context.secrets));
  }
}

/** A server is free to print back what it was sent. */
function withoutSecrets(text: string, secrets: readonly string[]): string {
  return secrets.reduce((rest, secret) => rest.replaceAll(secret, '***'), text);
}

export interface GitEnd {
  readonly status: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Like `runGit`, for commands whose failure is an answer: resolves with the exit status, whatever it is. */
export function inspectGit(context: GitContext, run: GitRun): Promise<GitEnd> {
  run.signal.throwIfAborted();
  const seconds = String(Math.ceil(run.timeoutMs / 1000));
  const options = {
    cwd: context.folder,
    env: { ...context.env },
    maxBuffer: run.maxOutputBytes,
    signal: run.signal,
    encoding: 'utf8',
  } as const;
  return new Promise((resolve, reject) => {
    execFile('timeout', [seconds, ...limited(context, run.args)], options, (error, stdout, stderr) => {
      if (error === null) resolve({ status: 0, stdout, stderr });
      else if (run.signal.aborted) reject(run.signal.reason);
      else if (error.code === 'ERR_CHILD_PROCESS_STDIO_MAXBUFFER') {
        reject(outputTooLarge(context.origin, run.maxOutputBytes));
      } else if (error.code === TIMEOUT_STATUS) reject(timedOut(context.origin, run.timeoutMs, run.args[0] ?? 'git'));
      else if (typeof error.code !== 'number' || error.code > TIMEOUT_STATUS) {
        reject(classifyGitFailure(context.kind, context.origin, stderr || error.message));
      } else resolve({ status: error.code, stdout, stderr });
    });
  });
}

/** A git command to talk to: simple-git runs commands to their end only. The caller ends it. */
export function spawnGit(context: GitContext, args: readonly string[]): ChildProcessWithoutNullStreams {
  const [command, ...rest] = limited(context, args);
  return spawn(command, rest, { cwd: context.folder, env: { ...context.env }, stdio: 'pipe' });
}

/** An error of `spawn` itself. */
export function spawnFailure(context: GitContext, error: Error): OmniError {
  return classifyGitFailure(context.kind, context.origin, error.message);
}
