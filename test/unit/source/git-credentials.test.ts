import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { chmodSync, existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { connect } from 'node:net';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { RemoteOptions } from '../../../src/source/git-remotes.ts';
import { type Certificate, HttpsGit, makeCertificate } from './https-git.ts';
import { makeSshKey } from './keys.ts';
import { cacheIn, failure, freePort, Lab } from './lab.ts';

const lab = new Lab();
const servers: HttpsGit[] = [];
let certificate: Certificate;
beforeAll(() => {
  certificate = makeCertificate(lab.folder('tls'));
});
afterAll(() => {
  for (const server of servers) server.close();
  lab.close();
});
const signal = new AbortController().signal;
const TOKEN = 'glpat-S3cr3t/T0ken+x=';

async function serve(intercept: (request: IncomingMessage, response: ServerResponse) => boolean): Promise<string> {
  const server = await HttpsGit.start(lab, certificate, { intercept });
  servers.push(server);
  return server.url;
}

function basic(user: string, token: string): string {
  return `Basic ${Buffer.from(`${user}:${token}`).toString('base64')}`;
}

/** Asks for a login with `authorization`, and notes what it was sent. */
function guarded(authorization: () => string, seen: (string | undefined)[] = []) {
  return (request: IncomingMessage, response: ServerResponse) => {
    seen.push(request.headers.authorization);
    if (request.headers.authorization === authorization()) return false;
    response.writeHead(401, { 'www-authenticate': 'Basic realm="fleet"' }).end();
    return true;
  };
}

let files = 0;
function secretFile(content: string, mode = 0o600): string {
  files += 1;
  const path = join(lab.root, `secret ${files}`);
  writeFileSync(path, content);
  chmodSync(path, mode);
  return path;
}

function open(remote: RemoteOptions) {
  return lab.source({ remotes: [remote] });
}

describe('a token for https', () => {
  it('is sent with its user name, read anew at each fetch, and seen by no other process', async () => {
    const repository = lab.repository('token');
    repository.write('a.yaml', '1').commit('one');
    let expected = basic('robot', TOKEN);
    const leaks: string[] = [];
    const check = guarded(() => expected);
    const url = await serve((request, response) => {
      leaks.push(...processesThatShow(TOKEN));
      return check(request, response);
    });
    const tokenFile = secretFile(`${TOKEN}\n`);
    const source = open({ url: `${url}/token`, tokenFile, username: 'robot', caFile: certificate.file });
    expect((await source.fetch(signal)).revision.subject).toBe('one');
    await source.reachable(signal);
    expected = basic('robot', 'rotated');
    repository.write('a.yaml', '2').commit('two');
    const error = await failure(source.fetch(signal));
    expect(error).toMatchObject({ code: 'source-auth', class: 'stall', exitCode: 3 });
    expect(JSON.stringify([error, error.message, error.stack, error.fix])).not.toContain(TOKEN);
    writeFileSync(tokenFile, 'rotated');
    expect((await source.fetch(signal)).revision.subject).toBe('two');
    expect(leaks).toEqual([]);
    expect(everythingBelow(lab.root, TOKEN).filter((path) => path !== tokenFile)).toEqual([]);
  });

  it('goes by the name git where none is given', async () => {
    lab.repository('default-user').write('a.yaml', '1').commit('one');
    const url = await serve(guarded(() => basic('git', TOKEN)));
    const tokenFile = secretFile(TOKEN);
    await open({ url: `${url}/default-user`, tokenFile, caFile: certificate.file }).fetch(signal);
  });

  it('is not sent where the server redirects to', async () => {
    lab.repository('redirected').write('a.yaml', '1').commit('one');
    const seen: (string | undefined)[] = [];
    const other = await serve(guarded(() => basic('git', TOKEN), seen));
    for (const when of ['before the login', 'after it']) {
      const check = guarded(() => basic('git', TOKEN));
      const url = await serve((request, response) => {
        if (when === 'after it' && check(request, response)) return true;
        response.writeHead(302, { location: `${other}${request.url}` }).end();
        return true;
      });
      const remote = { url: `${url}/redirected`, tokenFile: secretFile(TOKEN), caFile: certificate.file };
      const error = await failure(open(remote).fetch(signal));
      expect(error.exitCode).toBe(3);
      expect(error.message).toMatch(/redirects elsewhere/);
    }
    expect(seen).toEqual([]);
  });

  it('is cut out of what a server prints back', async () => {
    const url = await serve((request, response) => {
      const text = `you sent ${request.headers.authorization} which is ${TOKEN}`;
      if (request.headers.authorization === undefined) {
        response.writeHead(401, { 'www-authenticate': 'Basic realm="fleet"' }).end();
      } else response.writeHead(403, { 'content-type': 'text/plain' }).end(`${text}\n`);
      return true;
    });
    const remote = { url: `${url}/x`, tokenFile: secretFile(TOKEN), caFile: certificate.file };
    const error = await failure(open(remote).fetch(signal));
    expect(error).toMatchObject({ code: 'source-auth' });
    expect(error.message).not.toContain(TOKEN);
    expect(error.message).not.toContain(Buffer.from(`git:${TOKEN}`).toString('base64'));
  });

  it('in a file that others may read, that is missing, or that holds no token is not used', async () => {
    const seen: (string | undefined)[] = [];
    const url = await serve(guarded(() => '', seen));
    const cases: readonly [string, string][] = [
      [secretFile(TOKEN, 0o640), 'credential-exposed'],
      [secretFile(TOKEN, 0o604), 'credential-exposed'],
      [join(lab.root, 'nowhere'), 'credential-missing'],
      [lab.root, 'credential-missing'],
      [secretFile('\n'), 'credential-invalid'],
      [secretFile(`${TOKEN}\r\n`), 'credential-invalid'],
      [secretFile(`${TOKEN}\nmore\n`), 'credential-invalid'],
      [secretFile('x'.repeat(10_000)), 'credential-invalid'],
    ];
    for (const [tokenFile, code] of cases) {
      const error = await failure(open({ url: `${url}/x`, tokenFile, caFile: certificate.file }).fetch(signal));
      expect(error).toMatchObject({ code, class: 'stall', exitCode: 3 });
      expect(error.message).not.toContain(TOKEN);
    }
    expect(seen).toEqual([]);
  });

  it('is sent to no server whose certificate is not trusted', async () => {
    const seen: (string | undefined)[] = [];
    const url = await serve(guarded(() => '', seen));
    const error = await failure(open({ url: `${url}/x`, tokenFile: secretFile(TOKEN) }).fetch(signal));
    expect(error).toMatchObject({ code: 'source-auth', class: 'stall' });
    expect(error.fix).toContain('caFile');
    expect(seen).toEqual([]);
  });
});

describe('ssh', () => {
  it('is given the key and the known hosts, and nothing to ask with', async () => {
    // A folder of the PATH can be read by what runs in the sandbox: the repository lies in one.
    const bin = lab.folder('ssh-bin');
    lab.repository('ssh-bin/by-ssh').write('a.yaml', '1').commit('one');
    const cacheDir = lab.folder('ssh-cache');
    // Runs the command where sshd would: the transport of git is the real one.
    writeFileSync(
      join(bin, 'ssh'),
      '#!/bin/sh\nprintf \'%s\\n\' "$@" >>"$TMPDIR/ssh-arguments"\nfor last; do :; done\nexec sh -c "$last"\n',
      { mode: 0o755 },
    );
    const path = process.env.PATH;
    process.env.PATH = `${bin}:${path}`;
    try {
      const key = makeSshKey(join(lab.root, 'deploy keys', 'a key'));
      const knownHostsFile = join(lab.root, 'known hosts');
      writeFileSync(knownHostsFile, '');
      const remote = { url: `ssh://git@example.org${bin}/by-ssh`, sshKeyFile: key.file, knownHostsFile };
      const source = lab.source({ remotes: [remote], cacheDir });
      expect((await source.fetch(signal)).revision.subject).toBe('one');
      const lines = readFileSync(join(cacheIn(cacheDir), 'tmp/ssh-arguments'), 'utf8').split('\n');
      expect(lines).toEqual(
        expect.arrayContaining([
          '-oBatchMode=yes',
          '-oStrictHostKeyChecking=yes',
          '-oIdentitiesOnly=yes',
          '-oIdentityAgent=none',
          `-oUserKnownHostsFile="${knownHostsFile}"`,
          '-oGlobalKnownHostsFile=/dev/null',
        ]),
      );
      expect(lines[lines.indexOf('-i') + 1]).toBe(key.file);
      chmodSync(key.file, 0o640);
      expect(await failure(open(remote).fetch(signal))).toMatchObject({ code: 'credential-exposed', class: 'stall' });
      rmSync(key.file);
      expect(await failure(open(remote).fetch(signal))).toMatchObject({ code: 'credential-missing' });
    } finally {
      process.env.PATH = path;
    }
  });

  const sshd = ['/usr/sbin/sshd', '/usr/local/sbin/sshd'].find((path) => existsSync(path));
  describe.skipIf(sshd === undefined)(`with a real server${sshd === undefined ? ' (skipped: no sshd)' : ''}`, () => {
    let child: ChildProcess | undefined;
    afterAll(() => {
      child?.kill('SIGKILL');
    });

    it('lets the deploy key in, refuses another one, and believes no host key but the known one', async () => {
      lab.repository('real-ssh').write('a.yaml', '1').commit('one');
      const folder = lab.folder('sshd');
      chmodSync(folder, 0o700);
      const deploy = makeSshKey(join(folder, 'deploy'));
      const stranger = makeSshKey(join(folder, 'stranger'));
      const host = makeSshKey(join(folder, 'host'));
      const port = await freePort();
      writeFileSync(join(folder, 'authorized_keys'), `${deploy.publicKey}\n`, { mode: 0o600 });
      const config = [
        `ListenAddress 127.0.0.1:${port}`,
        `HostKey ${host.file}`,
        `AuthorizedKeysFile ${folder}/authorized_keys`,
        'PidFile none',
        'StrictModes no',
        'UsePAM no',
        'PermitRootLogin prohibit-password',
        'PasswordAuthentication no',
      ];
      writeFileSync(join(folder, 'sshd_config'), `${config.join('\n')}\n`);
      mkdirSync('/run/sshd', { recursive: true });
      child = spawn(sshd ?? '', ['-D', '-e', '-f', join(folder, 'sshd_config')], { stdio: 'ignore' });
      await listening(port);
      const user = execFileSync('id', ['-un'], { encoding: 'utf8' }).trim();
      const url = `ssh://${user}@127.0.0.1:${port}${lab.root}/real-ssh`;
      const known = join(folder, 'known_hosts');
      writeFileSync(known, `[127.0.0.1]:${port} ${host.publicKey}\n`);
      const good = { url, sshKeyFile: deploy.file, knownHostsFile: known };
      expect((await open(good).fetch(signal)).revision.subject).toBe('one');
      const denied = await failure(open({ ...good, sshKeyFile: stranger.file }).fetch(signal));
      expect(denied).toMatchObject({ code: 'source-auth', class: 'stall', exitCode: 3 });
      for (const line of ['', `[127.0.0.1]:${port} ${stranger.publicKey}\n`]) {
        const knownHostsFile = join(folder, 'other_hosts');
        writeFileSync(knownHostsFile, line);
        const error = await failure(open({ ...good, knownHostsFile }).fetch(signal));
        expect(error).toMatchObject({ code: 'source-auth', class: 'stall', exitCode: 3 });
        expect(error.message).toMatch(/host key that this node does not know/);
        expect(readFileSync(knownHostsFile, 'utf8')).toBe(line);
      }
    });
  });
});

async function listening(port: number): Promise<void> {
  const answers = () =>
    new Promise<boolean>((resolve) => {
      const socket = connect(port, '127.0.0.1', () => socket.end(() => resolve(true)));
      socket.on('error', () => resolve(false));
    });
  await expect.poll(answers, { timeout: 5_000, interval: 50 }).toBe(true);
}

/** Command lines and environments, as ps and /proc show them, that hold a text. */
function processesThatShow(text: string): string[] {
  const found: string[] = [];
  for (const pid of readdirSync('/proc').filter((name) => /^[0-9]+$/.test(name) && Number(name) !== process.pid)) {
    for (const file of ['cmdline', 'environ']) {
      try {
        if (readFileSync(`/proc/${pid}/${file}`, 'utf8').includes(text)) found.push(`${pid} ${file}`);
      } catch {
        // ended meanwhile, or not ours to read
      }
    }
  }
  return found;
}

/** Files that hold a text. */
function everythingBelow(folder: string, text: string): string[] {
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name))
    .filter((path) => readFileSync(path).includes(text));
}
