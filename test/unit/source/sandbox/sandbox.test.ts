import { execFileSync } from 'node:child_process';
import { chmodSync, existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:net';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { sandboxed, sandboxHidesFiles } from '../../../../src/source/sandbox.ts';
import { makeSshKey } from '../keys.ts';
import { failure, Lab, SANDBOX } from '../lab.ts';

/*
 * What git, ssh and gpg would do if somebody had taken them over: tried by a program that stands in for each of them, in a
 * fetch as the agent makes it. That honest ones work in the same sandbox is what every other test of git sources shows.
 */
const lab = new Lab();
const signal = new AbortController().signal;
const identity = join(lab.root, 'identity.key');
const control = join(lab.root, 'omni.sock');
const beside = join(lab.root, 'written');
const attacker = join(lab.folder('attacker'), 'attacker');
let agent: Server;
let hidesFiles: boolean;

beforeAll(async () => {
  execFileSync('cc', ['-Wall', '-Werror', '-o', attacker, join(import.meta.dirname, 'attacker.c')]);
  writeFileSync(identity, 'the key', { mode: 0o600 });
  agent = createServer((socket) => socket.end());
  await new Promise<void>((ready) => agent.listen(control, ready));
  hidesFiles = await sandboxHidesFiles(SANDBOX);
}, 30_000);
afterAll(() => {
  agent.close();
  lab.close();
});

const ATTACK = [attacker, identity, control, beside];
/** With these the kernel's Landlock is what refuses; the others are refused on every kernel. */
const FILES = new Set([
  'read-identity',
  'link-identity',
  'write-beside-identity',
  'init-memory',
  'write-sysctl',
  'signal-to-init',
]);

function outcomes(text: string): ReadonlyMap<string, string> {
  return new Map(text.split('\n').flatMap((line) => (line === '' ? [] : [line.split(' ', 2) as [string, string]])));
}

function expectRefused(text: string): void {
  const tried = outcomes(text);
  expect(tried.size).toBe(22);
  for (const [what, result] of tried) {
    if (hidesFiles || !FILES.has(what)) expect(result, what).toMatch(/^(EPERM|EACCES|EXDEV|ENOSYS)$/);
  }
  expect(readFileSync(identity, 'utf8')).toBe('the key');
}

/** Runs `use` with a program `name` on the PATH that attacks, and leaves its report in the folder that `$where` names. */
async function withImpostor(name: string, where: string, use: () => Promise<unknown>): Promise<void> {
  const bin = lab.folder(`bin-${name}`);
  const script = `#!/bin/sh\n"${ATTACK.join('" "')}" >"$${where}/report"\nexit 1\n`;
  writeFileSync(join(bin, name), script, { mode: 0o755 });
  // The PATH's folders can be read in the sandbox, where the attacker must be found as git would be.
  const path = process.env.PATH;
  process.env.PATH = `${bin}:${join(lab.root, 'attacker')}:${path}`;
  try {
    await use();
  } finally {
    process.env.PATH = path;
  }
}

function reportBelow(folder: string): string {
  const found = readdirSync(folder, { recursive: true, encoding: 'utf8' }).find((name) => name.endsWith('report'));
  return readFileSync(join(folder, found ?? 'no report'), 'utf8');
}

describe('the sandbox', () => {
  it('is what refuses: without it the same program reads the key', () => {
    const text = execFileSync(attacker, [identity, control, beside, 'control'], { encoding: 'utf8' });
    const tried = outcomes(text);
    for (const what of [
      'read-identity',
      'write-beside-identity',
      'control-socket',
      'netlink-socket',
      'datagram-pair',
    ]) {
      expect(tried.get(what), what).toBe('done');
    }
    rmSync(beside);
  });

  it.each([true, false])('refuses all of it, with the network: %s', (network) => {
    const cwd = lab.folder(`alone-${network}`);
    const [program = '', ...argv] = sandboxed(
      { program: SANDBOX, read: [join(lab.root, 'attacker')], write: [cwd], network },
      ['sh', '-c', '"$@" >report', 'sh', ...ATTACK],
    );
    // The program lies in no folder that programs are run from, and so is not run.
    expect(() => execFileSync(program, argv, { cwd, stdio: 'pipe' })).toThrow(/Permission denied/);
    const env = { ...process.env, PATH: `${join(lab.root, 'attacker')}:${process.env.PATH}` };
    execFileSync(program, argv, { cwd, env });
    expectRefused(readFileSync(join(cwd, 'report'), 'utf8'));
  });

  it('gives the network to those alone that are to have it', () => {
    const ask = ['/usr/bin/python3', '-c', 'import socket; socket.socket(socket.AF_INET6); socket.socket()'];
    const run = (network: boolean) => {
      const [program = '', ...argv] = sandboxed({ program: SANDBOX, read: [], write: [], network }, ask);
      return execFileSync(program, argv, { stdio: 'pipe' });
    };
    run(true);
    expect(() => run(false)).toThrow(/not permitted/);
  });

  it('leaves neither a capability nor a core', () => {
    const [program = '', ...argv] = sandboxed({ program: SANDBOX, read: ['/proc'], write: [], network: false }, [
      'cat',
      '/proc/self/status',
      '/proc/self/limits',
    ]);
    const text = execFileSync(program, argv, { encoding: 'utf8' });
    for (const set of ['CapInh', 'CapPrm', 'CapEff', 'CapAmb'])
      expect(text).toMatch(new RegExp(`^${set}:\\s+0+$`, 'm'));
    expect(text).toMatch(/^NoNewPrivs:\s+1$/m);
    expect(text).toMatch(/^Seccomp:\s+2$/m);
    expect(text).toMatch(/^Max core file size\s+0\s+0/m);
  });

  it('that is not there keeps git from running, with a word of what to do', async () => {
    lab.repository('unguarded').write('a.yaml', '1').commit('one');
    const source = lab.source({
      remotes: [{ url: `file://${lab.root}/unguarded` }],
      sandbox: join(lab.root, 'omni-sandbox'),
    });
    expect(await failure(source.fetch(signal))).toMatchObject({
      code: 'sandbox-missing',
      fix: expect.stringContaining('npm run build'),
    });
    await expect(sandboxHidesFiles('/nowhere/omni-sandbox')).rejects.toMatchObject({
      code: 'sandbox-missing',
      exitCode: 2,
    });
  });
});

describe('taken over in a fetch', () => {
  it('git reaches nothing of the agent', async () => {
    const cacheDir = lab.folder('cache-git');
    await withImpostor('git', 'TMPDIR', () =>
      failure(lab.source({ remotes: [{ url: 'https://127.0.0.1:1/x' }], cacheDir }).fetch(signal)),
    );
    expectRefused(reportBelow(cacheDir));
  });

  it('ssh reaches nothing of the agent', async () => {
    const cacheDir = lab.folder('cache-ssh');
    const key = makeSshKey(join(lab.root, 'deploy'));
    await withImpostor('ssh', 'TMPDIR', () =>
      failure(
        lab.source({ remotes: [{ url: 'ssh://git@127.0.0.1/x', sshKeyFile: key.file }], cacheDir }).fetch(signal),
      ),
    );
    expectRefused(reportBelow(cacheDir));
  });

  it('gpg reaches nothing of the agent', async () => {
    const cacheDir = lab.folder('cache-gpg');
    const openpgpKeysFile = join(lab.root, 'keys.asc');
    writeFileSync(openpgpKeysFile, 'whatever', { mode: 0o600 });
    const verify = { commits: 'head', tag: false, openpgpKeysFile } as const;
    await withImpostor('gpg', 'GNUPGHOME', () =>
      failure(lab.source({ remotes: [{ url: 'https://127.0.0.1:1/x' }], cacheDir, verify }).fetch(signal)),
    );
    expectRefused(reportBelow(cacheDir));
  });

  it('a hook or a filter of the cache is not run, and could not be: nothing written there is a program', async () => {
    const folder = lab.folder('written-programs');
    const program = join(folder, 'post-index-change');
    writeFileSync(program, '#!/bin/sh\necho ran\n');
    chmodSync(program, 0o755);
    mkdirSync(join(folder, 'tmp'));
    const [sandbox = '', ...argv] = sandboxed({ program: SANDBOX, read: [], write: [folder], network: false }, [
      program,
    ]);
    if (!hidesFiles) return;
    expect(() => execFileSync(sandbox, argv, { stdio: 'pipe' })).toThrow(/Permission denied/);
    expect(existsSync(program)).toBe(true);
  });
});
