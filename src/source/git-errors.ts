import { type ErrorClass, ExitCode, OmniError } from '../errors.ts';
import { mebibytes, tooLarge } from './limits.ts';
import { printable, withoutCredentials } from './url.ts';

const FREE_SPACE = 'Free space on the disk of the state folder, and check that it is writable.';

function sourceError(message: string, code: string, errorClass: ErrorClass, fix: string): OmniError {
  return new OmniError(message, { code, class: errorClass, exitCode: ExitCode.source, fix });
}

export function timedOut(origin: string, timeoutMs: number, command: string): OmniError {
  return sourceError(
    `${origin} did not answer git ${command} within ${Math.round(timeoutMs / 1000)} s`,
    'source-timeout',
    'retry',
    'Check that this node reaches the host and port, and that a git server listens there.',
  );
}

export function outputTooLarge(origin: string, limit: number): OmniError {
  return tooLarge(
    `${origin} sent more than ${Math.round(limit / 1024)} KiB where a short answer was due`,
    'Check that the URL is that of the fleet repository.',
  );
}

export function objectTooLarge(origin: string, bytes: number, limit: number): OmniError {
  return tooLarge(
    `${origin} holds an object of ${mebibytes(bytes)} MiB where at most ${mebibytes(limit)} MiB are read`,
    'Look at the commit and tag that the ref names: their messages are short in any honest repository.',
  );
}

export function refMissing(origin: string, ref: string): OmniError {
  return sourceError(
    `${origin} has no branch or tag "${ref}"`,
    'source-ref-missing',
    'stall',
    `Push it, or name another one with --ref; git ls-remote shows what is there.`,
  );
}

export function revMissing(origin: string, rev: string): OmniError {
  return sourceError(
    `there is no commit "${rev}" in ${origin}`,
    'source-ref-missing',
    'stall',
    'git log --oneline --all shows what is there; fetch first if it is new.',
  );
}

export function remoteShallow(origin: string): OmniError {
  return sourceError(
    `${origin} is a shallow clone: it holds a part of its history only`,
    'source-shallow',
    'stall',
    'Run git fetch --unshallow there, or mirror with git clone --mirror.',
  );
}

export function pathMissing(origin: string, path: string, revision: string): OmniError {
  return sourceError(
    `${origin} has no folder "${path}" at ${revision}`,
    'source-path-missing',
    'stall',
    'Restore it if it was deleted; else name the folder that holds the manifests with --path.',
  );
}

/** Our own folder takes no more. */
export function unwritable(origin: string, cause: unknown): OmniError {
  return new OmniError(
    `${origin} cannot be fetched: the state folder takes no more data (${cause instanceof Error ? cause.message : String(cause)})`,
    { code: 'source-cache-unwritable', class: 'retry', exitCode: ExitCode.source, fix: FREE_SPACE, cause },
  );
}

/** A key, token or trust file of this node that cannot be used as it is. */
export function credentialUnusable(
  code: 'credential-missing' | 'credential-exposed' | 'credential-invalid',
  origin: string,
  detail: string,
  more: { readonly fix: string; readonly cause?: unknown },
): OmniError {
  return new OmniError(`${origin} cannot be asked: ${detail}`, {
    code,
    class: 'stall',
    exitCode: ExitCode.source,
    ...more,
  });
}

/** Objects that should be there are not, or are not what they claim to be. */
export function damaged(place: GitPlace, origin: string, detail: string): OmniError {
  if (place === 'checkout') {
    const fix = 'Run git fsck there and repair what it names.';
    return sourceError(`${origin} cannot be read (git: ${detail})`, 'source-invalid', 'stall', fix);
  }
  return sourceError(
    `the local copy of ${origin} is damaged: ${detail}`,
    'source-cache-damaged',
    'retry',
    'It is fetched anew as soon as the remote answers; check the disk if this comes back.',
  );
}

interface Pattern {
  readonly pattern: RegExp;
  readonly code: string;
  readonly class: ErrorClass;
  readonly what: string;
  readonly fix: string;
}

/** git's words, in the order in which they outrank each other. */
const PATTERNS: readonly Pattern[] = [
  {
    pattern: /failed to execute git\b|spawn git ENOENT/,
    code: 'git-missing',
    class: 'stall',
    what: 'cannot be read: there is no git on this node',
    fix: 'Install git: apt-get install git.',
  },
  {
    pattern: /spawn timeout ENOENT/,
    code: 'timeout-missing',
    class: 'stall',
    what: 'cannot be read: there is no timeout(1) on this node, without which a hanging git would never end',
    fix: 'Install coreutils: apt-get install coreutils.',
  },
  {
    pattern: /failed to run command 'prlimit'|spawn prlimit ENOENT/,
    code: 'prlimit-missing',
    class: 'stall',
    what: 'cannot be read: there is no prlimit(1) on this node, without which git could take all memory',
    fix: 'Install util-linux: apt-get install util-linux.',
  },
  {
    pattern: /failed to execute \S*omni-sandbox|omni-sandbox: cannot restrict/,
    code: 'sandbox-missing',
    class: 'stall',
    what: 'cannot be read: git would run without restrictions',
    fix: 'Run `npm run build` in the installation; `omni doctor` says what the kernel lacks.',
  },
  {
    pattern: /error: cannot run ssh: No such file|\bssh: not found/,
    code: 'ssh-missing',
    class: 'stall',
    what: 'cannot be asked: there is no ssh on this node',
    fix: 'Install it: apt-get install openssh-client.',
  },
  {
    pattern: /out of memory|memory exhausted|cannot allocate memory|unable to create (?:thread|async thread)/i,
    code: 'source-too-large',
    class: 'stall',
    what: 'holds objects that take more memory to unpack than git is given here',
    fix: 'Keep the fleet in a repository of its own, without large files; somebody may have pushed one to do harm.',
  },
  {
    pattern: /Host key verification failed|REMOTE HOST IDENTIFICATION HAS CHANGED/,
    code: 'source-auth',
    class: 'stall',
    what: 'presents an ssh host key that this node does not know',
    fix: "Check the key's fingerprint with the host's operator, then add it to the remote's knownHostsFile.",
  },
  {
    pattern:
      /could not read (Username|Password)|terminal prompts disabled|Authentication failed|Permission denied|returned error: 40[13]|HTTP 40[13]/i,
    code: 'source-auth',
    class: 'stall',
    what: 'asks for a password or key that this node does not have',
    fix: 'Give the remote a read-only deploy key (sshKeyFile) or token (tokenFile) that the server knows, and check that it was not withdrawn.',
  },
  {
    pattern: /server certificate verification failed|SSL certificate problem|certificate .*(?:expired|not trusted)/i,
    code: 'source-auth',
    class: 'stall',
    what: 'presents a certificate that this node does not trust',
    fix: "Give the remote the server's authority as caFile, and check the node's clock.",
  },
  {
    pattern: /unable to update url base from redirection|requested URL returned error: 30[12378]/,
    code: 'source-unreachable',
    class: 'retry',
    what: 'redirects elsewhere, which is not followed where a token is given',
    fix: "Name the repository's final URL; git ls-remote prints where it leads.",
  },
  {
    pattern: /detected dubious ownership/,
    code: 'source-invalid',
    class: 'stall',
    what: 'belongs to another user, and git refuses to read it',
    fix: 'Serve it over ssh or https, or give the folder to the user that the agent runs as.',
  },
  {
    pattern: /not a git repository \(or any/,
    code: 'source-invalid',
    class: 'stall',
    what: 'is not a git repository',
    fix: 'Run the command inside a checkout of the fleet repository.',
  },
  {
    pattern:
      /does not appear to be a git repository|repository .*not found|not found: did you run|not a git repository|access denied or repository not exported|returned error: 404|no such (?:path|repository)|not valid: is this a git repository/i,
    code: 'source-unreachable',
    class: 'retry',
    what: 'answers, but has no such git repository',
    fix: 'Check the path in the URL, and that this node may read the repository.',
  },
  {
    pattern: /transport '.*' not allowed/,
    code: 'source-invalid',
    class: 'stall',
    what: 'leads to a transport that is not allowed',
    fix: 'Use an https, http, ssh, git or file URL.',
  },
  {
    pattern: /No space left on device|Disk quota exceeded|Read-only file system|unable to (?:create|write)/i,
    code: 'source-cache-unwritable',
    class: 'retry',
    what: 'cannot be fetched: the state folder takes no more data',
    fix: FREE_SPACE,
  },
  {
    pattern: /fsck error|fsck_|error in object|object format|invalid object|not our ref|mismatched algorithms/i,
    code: 'source-invalid',
    class: 'stall',
    what: 'offers objects that git refuses as malformed',
    fix: 'Run git fsck in the repository, find out who pushed what it names, and push a history without that.',
  },
];

/** Of a command that talks to the remote, that reads our cache, that reads somebody's checkout. */
export type GitPlace = 'remote' | 'cache' | 'checkout';

const DAMAGED =
  /bad object|bad tree|corrupt|packfile .*(cannot|unavailable|too short|does not match)|did not send all necessary|unable to (?:read|parse) (?:tree|commit|object|sha1)|missing (?:blob|tree|commit)|inflate|index file .* (?:too small|bad)|unresolved delta/i;

/** Turns what git printed into an error for people. What is not recognised depends on where it happened. */
export function classifyGitFailure(place: GitPlace, origin: string, output: string): OmniError {
  const clean = printable(withoutCredentials(output.slice(0, 8_192)).trim().replaceAll('\n', ' | '));
  for (const { pattern, code, class: errorClass, what, fix } of PATTERNS) {
    if (pattern.test(clean)) return sourceError(`${origin} ${what} (git: ${lastWords(clean)})`, code, errorClass, fix);
  }
  if (place !== 'remote' || DAMAGED.test(clean)) return damaged(place, origin, lastWords(clean));
  return sourceError(
    `${origin} cannot be reached (git: ${lastWords(clean)})`,
    'source-unreachable',
    'retry',
    "Check the network, the name and the port; git ls-remote with the same URL shows git's own view.",
  );
}

/**
 * The line that says why: what is wrong with an object; else git's `fatal:` and, where that ends in a colon, the next; else
 * the first. At most 300 characters.
 */
function lastWords(text: string): string {
  const lines = text.split(' | ').filter((line) => line.trim() !== '');
  const malformed = lines.findIndex((line) => /^error: object [0-9a-f]+: /.test(line));
  const fatal = lines.findIndex((line) => line.startsWith('fatal: '));
  const index = Math.max(0, malformed === -1 ? fatal : malformed);
  const line = lines[index] ?? 'no message';
  const whole = line.endsWith(':') ? `${line} ${lines[index + 1] ?? ''}` : line;
  return whole.replace(/^(?:fatal|error): /, '').slice(0, 300);
}
