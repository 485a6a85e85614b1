import { constants, type FileHandle, open } from 'node:fs/promises';
import { userInfo } from 'node:os';
import { join } from 'node:path';
import type { OmniError } from '../errors.ts';
import { credentialUnusable } from './git-errors.ts';
import type { Remote } from './git-remotes.ts';
import { hasControlCharacter } from './url.ts';

/** What git is given to reach one remote. */
export interface Access {
  readonly env: Readonly<Record<string, string>>;
  /** Options of git itself, before the command. */
  readonly options: readonly string[];
  /** Texts that no message may hold, whoever sends them back to us. */
  readonly secrets: readonly string[];
  /** Files and folders that git and ssh read for it. */
  readonly read: readonly string[];
}

const MAX_TOKEN_BYTES = 8_192;
const DEFAULT_USERNAME = 'git';

/**
 * Reads and checks the remote's credential files as they are now. Throws `credential-missing`, `-exposed` or
 * `-invalid`: class stall, for a person has to mend the file. Tokens reach git through a pipe, never through a command
 * line or environment.
 */
export async function accessTo(remote: Remote): Promise<Access> {
  if (remote.scheme === 'ssh') return sshAccess(remote);
  if (remote.scheme === 'file') {
    return { env: {}, options: [], secrets: [], read: [remote.url.slice('file://'.length)] };
  }
  const options: string[] = [];
  const read: string[] = [];
  if (remote.caFile !== undefined) {
    await readable(remote, remote.caFile, 'the CA file');
    options.push('-c', `http.sslCAInfo=${remote.caFile}`);
    read.push(remote.caFile);
  }
  if (remote.tokenFile === undefined) return { env: {}, options, secrets: [], read };
  const token = await readToken(remote, remote.tokenFile);
  const username = remote.username ?? DEFAULT_USERNAME;
  const authority = remote.url.slice('https://'.length).split('/', 1)[0];
  return {
    env: { OMNI_GIT_USERNAME: username, OMNI_GIT_TOKEN_FILE: remote.tokenFile },
    options: [
      ...options,
      // Bound to scheme, host and port by git (gitcredentials(7)), and no redirect is followed: nobody else is told.
      '-c',
      `credential.https://${authority}.helper=${TOKEN_HELPER}`,
      '-c',
      'http.followRedirects=false',
    ],
    secrets: [token, Buffer.from(`${username}:${token}`).toString('base64')],
    read: [...read, remote.tokenFile],
  };
}

/** git-credential's protocol. `printf` is the shell's own and `head` is given the path: `ps` shows no token. */
const TOKEN_HELPER =
  '!f() { test "$1" = get || exit 0; printf \'username=%s\\npassword=\' "$OMNI_GIT_USERNAME"; head -n 1 -- "$OMNI_GIT_TOKEN_FILE"; }; f';

async function sshAccess(remote: Remote): Promise<Access> {
  const { sshKeyFile, knownHostsFile } = remote;
  const command = [...SSH];
  // What ssh reads for itself. Other keys of this user stay out of reach where the remote has one of its own.
  const home = join(userInfo().homedir, '.ssh');
  const settings = ['config', 'config.d', 'known_hosts', 'known_hosts2'].map((name) => join(home, name));
  const read = sshKeyFile === undefined ? [home] : [...settings, sshKeyFile];
  if (sshKeyFile !== undefined) {
    await checkPrivate(remote, sshKeyFile, 'the ssh key');
    command.push(`-i '${sshKeyFile}'`, '-oIdentitiesOnly=yes', '-oIdentityAgent=none');
  }
  if (knownHostsFile !== undefined) {
    await readable(remote, knownHostsFile, 'the file of known hosts');
    read.push(knownHostsFile);
    command.push(`-o'UserKnownHostsFile="${knownHostsFile}"'`, '-oGlobalKnownHostsFile=/dev/null');
    command.push('-oUpdateHostKeys=no');
  }
  return { env: { GIT_SSH_COMMAND: command.join(' ') }, options: [], secrets: [], read };
}

/** Always strict: a host key that nobody vouched for is never learned, for whoever answers first would be believed. */
const SSH: readonly string[] = [
  'ssh',
  '-oBatchMode=yes',
  '-oStrictHostKeyChecking=yes',
  '-oConnectTimeout=10',
  '-oServerAliveInterval=5',
  '-oServerAliveCountMax=3',
  '-oClearAllForwardings=yes',
  '-oForwardAgent=no',
  '-oPermitLocalCommand=no',
  '-oControlMaster=no',
];

async function readToken(remote: Remote, path: string): Promise<string> {
  const text = await withFile(remote, path, 'the token', async (file) => {
    await refuseExposed(remote, file, path, 'the token');
    const buffer = Buffer.alloc(MAX_TOKEN_BYTES + 1);
    const { bytesRead } = await file.read(buffer, 0, buffer.length, 0);
    return buffer.toString('utf8', 0, bytesRead);
  });
  const token = text.replace(/\n+$/, '');
  if (token !== '' && token.length <= MAX_TOKEN_BYTES && !hasControlCharacter(token) && token.trim() === token) {
    return token;
  }
  throw credentialUnusable('credential-invalid', remote.display, `the token file ${path} is not one line of text`, {
    fix: 'Write the token alone into the file, as one line with Unix line ends.',
  });
}

async function checkPrivate(remote: Remote, path: string, what: string): Promise<void> {
  await withFile(remote, path, what, (file) => refuseExposed(remote, file, path, what));
}

async function readable(remote: Remote, path: string, what: string): Promise<void> {
  await withFile(remote, path, what, async () => undefined);
}

async function withFile<T>(remote: Remote, path: string, what: string, use: (file: FileHandle) => Promise<T>) {
  let file: FileHandle;
  try {
    // O_NONBLOCK: opening a named pipe must not hang the agent.
    file = await open(path, constants.O_RDONLY | constants.O_NONBLOCK);
  } catch (cause) {
    throw unreadable(remote, path, what, cause);
  }
  try {
    if (!(await file.stat()).isFile()) throw unreadable(remote, path, what, 'it is not a regular file');
    return await use(file);
  } finally {
    await file.close();
  }
}

function unreadable(remote: Remote, path: string, what: string, cause: unknown): OmniError {
  const reason = cause instanceof Error && 'code' in cause ? String(cause.code) : String(cause);
  return credentialUnusable('credential-missing', remote.display, `${what} ${path} cannot be read: ${reason}`, {
    fix: 'Put the file there, or name another one in the configuration.',
    cause,
  });
}

async function refuseExposed(remote: Remote, file: FileHandle, path: string, what: string): Promise<void> {
  const { mode } = await file.stat();
  if ((mode & 0o077) === 0) return;
  const octal = (mode & 0o777).toString(8).padStart(4, '0');
  throw credentialUnusable(
    'credential-exposed',
    remote.display,
    `${what} ${path} has mode ${octal}: others than its owner may get at it`,
    { fix: `Run chmod 600 ${path}; if others had access, replace the secret at the git server too.` },
  );
}
