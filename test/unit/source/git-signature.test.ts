import { chmodSync, existsSync, mkdtempSync, rmSync, symlinkSync, unlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { GitSourceOptions } from '../../../src/source/git.ts';
import type { VerifyOptions } from '../../../src/source/git-verify.ts';
import { Gpg, makeSshKey, type SshKey, signFileWithSsh, signWithSsh } from './keys.ts';
import { cacheIn, failure, Lab, type Repository, texts } from './lab.ts';

const lab = new Lab();
const gpgHome = mkdtempSync(join(tmpdir(), 'og-'));
let gpg: Gpg;
let ada: SshKey;
let mallory: SshKey;
beforeAll(() => {
  ada = makeSshKey(join(lab.root, 'keys', 'ada'));
  mallory = makeSshKey(join(lab.root, 'keys', 'mallory'));
  gpg = new Gpg(join(gpgHome, 'h'));
});
afterAll(() => {
  gpg.close();
  rmSync(gpgHome, { recursive: true, force: true });
  lab.close();
});
const signal = new AbortController().signal;

let files = 0;
/** A trust file of this node. */
function file(content: string, mode = 0o644): string {
  files += 1;
  const path = join(lab.root, `trust-${files}`);
  writeFileSync(path, content);
  chmodSync(path, mode);
  return path;
}

function signersOf(...lines: string[]): string {
  return file(`${lines.join('\n')}\n`);
}

function open(repository: Repository, verify: Partial<VerifyOptions>, more: Partial<GitSourceOptions> = {}) {
  return lab.source({
    remotes: [{ url: repository.url }],
    verify: { commits: 'head', tag: false, ...verify },
    ...more,
  });
}

function signed(name: string, key: SshKey = ada): Repository {
  const repository = lab.repository(name).write('a.yaml', '1');
  signWithSsh(repository, key);
  return repository;
}

/** Puts a changed copy of the commit at the tip in its place: the signature is over the other object. */
function forge(repository: Repository, change: (commit: string) => string): string {
  const path = join(lab.root, 'forged');
  writeFileSync(path, `${change(repository.git('cat-file', 'commit', 'HEAD'))}\n`);
  const id = repository.git('hash-object', '-t', 'commit', '-w', path);
  repository.git('update-ref', 'refs/heads/main', id);
  return id;
}

describe('ssh signatures', () => {
  it('by a key of allowed_signers are accepted, and the revision says whose', async () => {
    const repository = signed('good');
    repository.commit('one', '-S');
    const snapshot = await open(repository, {
      allowedSignersFile: signersOf('# people', `ada@example.org ${ada.publicKey}`),
    }).fetch(signal);
    expect(snapshot.revision.signature).toEqual({ format: 'ssh', signer: 'ada@example.org', key: ada.fingerprint });
    expect(await texts(snapshot)).toEqual({ 'a.yaml': '1' });
  });

  it.each<[string, (repository: Repository) => { allowed: string; revoked?: string }, string, RegExp]>([
    [
      'none',
      (repository) => {
        repository.commit('one');
        return { allowed: `ada ${ada.publicKey}` };
      },
      'signature-missing',
      /is not signed/,
    ],
    [
      'by a key that is not listed',
      (repository) => {
        signWithSsh(repository, mallory);
        repository.commit('one', '-S');
        return { allowed: `ada ${ada.publicKey}` };
      },
      'signer-unknown',
      /is signed by ssh key SHA256:/,
    ],
    [
      'by a key listed for another namespace',
      (repository) => {
        repository.commit('one', '-S');
        return { allowed: `ada namespaces="file" ${ada.publicKey}` };
      },
      'signature-invalid',
      /namespace "git"/,
    ],
    [
      'made after the key expired',
      (repository) => {
        repository.commit('one', '-S');
        return { allowed: `ada valid-before="20200101" ${ada.publicKey}` };
      },
      'signature-invalid',
      /has expired/,
    ],
    [
      'made before the key counts',
      (repository) => {
        repository.commit('one', '-S');
        return { allowed: `ada valid-after="20990101" ${ada.publicKey}` };
      },
      'signature-invalid',
      /not yet valid/,
    ],
    [
      'by a revoked key',
      (repository) => {
        repository.commit('one', '-S');
        return { allowed: `ada ${ada.publicKey}`, revoked: ada.publicKey };
      },
      'signature-invalid',
      /by ssh key SHA256:.*revoked/,
    ],
    [
      'over another object',
      (repository) => {
        repository.commit('one', '-S');
        forge(repository, (commit) => commit.replace(/\none$/, '\nforged'));
        return { allowed: `ada ${ada.publicKey}` };
      },
      'signature-invalid',
      /does not belong/,
    ],
    [
      'made for another purpose',
      (repository) => {
        repository.commit('one', '-S');
        const commit = repository.git('cat-file', 'commit', 'HEAD');
        const path = join(lab.root, 'payload');
        writeFileSync(path, `${commit.replace(/gpgsig [\s\S]*-----END SSH SIGNATURE-----\n/, '')}\n`);
        const signature = signFileWithSsh(ada, 'file', path);
        forge(repository, () =>
          commit.replace(
            /gpgsig [\s\S]*-----END SSH SIGNATURE-----\n/,
            `gpgsig ${signature.trim().replaceAll('\n', '\n ')}\n`,
          ),
        );
        return { allowed: `ada ${ada.publicKey}` };
      },
      'signature-invalid',
      /not valid/,
    ],
    [
      'of X.509',
      (repository) => {
        repository.commit('one', '-S');
        forge(repository, (commit) => commit.replaceAll('SSH SIGNATURE', 'SIGNED MESSAGE'));
        return { allowed: `ada ${ada.publicKey}` };
      },
      'signature-invalid',
      /X\.509/,
    ],
    [
      'that is no signature',
      (repository) => {
        repository.commit('one');
        forge(repository, (commit) => commit.replace('\n\n', '\ngpgsig good, believe me\n\n'));
        return { allowed: `ada ${ada.publicKey}` };
      },
      'signature-invalid',
      /not known/,
    ],
    [
      'of a kind for which this node has no keys',
      (repository) => {
        gpg.sign(repository, gpg.makeKey('Other Kind <kind@example.org>'));
        repository.commit('one', '-S');
        return { allowed: `ada ${ada.publicKey}` };
      },
      'signer-unknown',
      /no openpgp key/,
    ],
  ])('%s: refused', async (name, prepare, code, words) => {
    const repository = signed(`refused-${name}`.replaceAll(/[ .]/g, '-'));
    const { allowed, revoked } = prepare(repository);
    const source = open(repository, {
      allowedSignersFile: signersOf(allowed),
      ...(revoked === undefined ? {} : { revokedKeysFile: signersOf(revoked) }),
    });
    const error = await failure(source.fetch(signal));
    expect(error).toMatchObject({ code, class: 'stall', exitCode: 3 });
    expect(error.message).toMatch(words);
    expect(error.message).toContain(repository.git('rev-parse', 'HEAD'));
    expect(error.fix).toBeTruthy();
    expect(await source.cached(signal)).toBeUndefined();
  });

  it('by an expired key of today count where they were made in its time', async () => {
    const repository = signed('in-its-time');
    const old = makeSshKey(join(lab.root, 'keys', 'old'));
    signWithSsh(repository, old);
    process.env.GIT_COMMITTER_DATE = '2019-06-01T00:00:00Z';
    repository.commit('one', '-S');
    delete process.env.GIT_COMMITTER_DATE;
    const allowedSignersFile = signersOf(`old valid-before="20200101" ${old.publicKey}`);
    expect((await open(repository, { allowedSignersFile }).fetch(signal)).revision.signature?.signer).toBe('old');
  });

  it('a refused commit leaves the accepted one in force, and a signed one on top of it goes through', async () => {
    const repository = signed('on-top');
    const one = repository.commit('one', '-S');
    const source = open(repository, { allowedSignersFile: signersOf(`ada ${ada.publicKey}`) });
    await source.fetch(signal);
    const unsigned = repository.write('a.yaml', '2').commit('two');
    expect(await failure(source.fetch(signal))).toMatchObject({ code: 'signature-missing' });
    expect((await source.cached(signal))?.revision.id).toBe(one);
    expect(await failure(source.at(unsigned, signal))).toMatchObject({ code: 'signature-missing' });
    const three = repository.write('a.yaml', '3').commit('three', '-S');
    expect((await source.fetch(signal)).revision.id).toBe(three);
    expect((await source.at(unsigned, signal)).revision.id).toBe(unsigned); // vouched for by its successor
  });

  it('count while the key is on this node: what lies on disk is verified again', async () => {
    const repository = signed('key-removed');
    repository.commit('one', '-S');
    const allowedSignersFile = signersOf(`ada ${ada.publicKey}`);
    const source = open(repository, { allowedSignersFile });
    const one = await source.fetch(signal);
    expect(await source.fetch(signal)).toBe(one);
    writeFileSync(allowedSignersFile, `mallory ${mallory.publicKey}\n`);
    expect(await failure(source.fetch(signal))).toMatchObject({ code: 'signer-unknown' });
    expect(await failure(source.cached(signal))).toMatchObject({ code: 'signer-unknown' });
    writeFileSync(allowedSignersFile, `ada ${ada.publicKey}\n`);
    expect((await source.fetch(signal)).revision.id).toBe(one.revision.id);
  });

  it('are asked for when a node that did without begins to', async () => {
    const repository = signed('begins');
    repository.commit('one');
    const cacheDir = join(lab.root, 'cache-begins');
    await lab.source({ remotes: [{ url: repository.url }], cacheDir }).fetch(signal);
    const source = open(repository, { allowedSignersFile: signersOf(`ada ${ada.publicKey}`) }, { cacheDir });
    expect(await failure(source.cached(signal))).toMatchObject({ code: 'signature-missing' });
    expect(await failure(source.fetch(signal))).toMatchObject({ code: 'signature-missing' });
  });
});

describe('every commit', () => {
  it('since the last accepted one is verified, merged branches included; of what was before, the accepted one speaks', async () => {
    const repository = signed('every');
    repository.commit('unsigned, long ago');
    const base = repository.commit('signed', '-S');
    const verify = { commits: 'every', allowedSignersFile: signersOf(`ada ${ada.publicKey}`) } as const;
    const source = open(repository, verify);
    expect((await source.fetch(signal)).revision.id).toBe(base);

    repository.git('checkout', '--quiet', '-b', 'side');
    const hidden = repository.write('b.yaml', 'x').commit('unsigned on a side branch');
    repository.git('checkout', '--quiet', 'main');
    repository.write('a.yaml', '2').commit('signed too', '-S');
    repository.git('merge', '--quiet', '--no-edit', '-S', 'side');
    const error = await failure(source.fetch(signal));
    expect(error).toMatchObject({ code: 'signature-missing' });
    expect(error.message).toContain(hidden);
    const headOnly = open(repository, { ...verify, commits: 'head' });
    expect((await headOnly.fetch(signal)).revision.signature?.signer).toBe('ada');

    repository.git('reset', '--quiet', '--hard', base);
    repository.git('checkout', '--quiet', '-B', 'side');
    repository.write('b.yaml', 'x').commit('signed on a side branch', '-S');
    repository.git('checkout', '--quiet', 'main');
    repository.write('a.yaml', '2').commit('signed too', '-S');
    repository.git('merge', '--quiet', '--no-edit', '-S', 'side');
    expect((await source.fetch(signal)).files).toHaveLength(2);
  });
});

it('gives up on a history of more than a thousand commits to verify, and takes its newest when a person says so', async () => {
  const repository = signed('long');
  repository.commit('base', '-S');
  const verify = { commits: 'every', allowedSignersFile: signersOf(`ada ${ada.publicKey}`) } as const;
  const source = open(repository, verify);
  await source.fetch(signal);
  const tree = repository.git('rev-parse', 'HEAD^{tree}');
  const person = 'A <a@example.org> 1700000000 +0000';
  const blocks = Array.from({ length: 1_000 }, (_, index) => {
    const from = index === 0 ? 'from refs/heads/main^0\n' : '';
    return `commit refs/heads/main\nauthor ${person}\ncommitter ${person}\ndata 1\nx\n${from}M 040000 ${tree} \n`;
  });
  repository.fastImport(blocks.join('\n'));
  repository.git('reset', '--quiet', '--hard', 'main');
  const tip = repository.commit('tip', '-S');
  expect(await failure(source.fetch(signal))).toMatchObject({ code: 'source-too-large', class: 'stall' });
  source.acceptRewind?.();
  expect((await source.fetch(signal)).revision.id).toBe(tip);
});

it('verifies the right commits where clocks were wrong: dates in the past, and after that in the future', async () => {
  const repository = signed('skewed');
  repository.commit('unsigned, before');
  const base = repository.commit('base', '-S');
  const verify = { commits: 'every', allowedSignersFile: signersOf(`ada ${ada.publicKey}`) } as const;
  const source = open(repository, verify);
  await source.fetch(signal);
  for (const date of ['2001', '2002', '2003', '2004', '2005', '2006', '2007', '2099', '2008']) {
    process.env.GIT_COMMITTER_DATE = `${date}-01-01T00:00:00Z`;
    repository.commit(`in ${date}`, '-S');
  }
  const unsigned = repository.commit('not signed, in 2008');
  const tip = repository.commit('in 2008', '-S');
  delete process.env.GIT_COMMITTER_DATE;
  expect((await failure(source.fetch(signal))).message).toContain(unsigned);
  repository.git('reset', '--quiet', '--hard', `${tip}~2`);
  expect((await source.fetch(signal)).revision.id).toBe(`${repository.git('rev-parse', 'HEAD')}`);
  repository.git('reset', '--quiet', '--hard', base);
  expect(await failure(source.fetch(signal))).toMatchObject({ code: 'history-rewound' });
});

describe('tags', () => {
  function tagged(name: string) {
    const repository = signed(name);
    const id = repository.commit('one');
    const allowedSignersFile = signersOf(`ada ${ada.publicKey}`);
    const follow = (ref: string, more: Partial<VerifyOptions> = {}) =>
      open(repository, { commits: 'off', tag: true, allowedSignersFile, ...more }, { ref });
    return { repository, id, follow };
  }

  it('that are signed vouch for their commit, and move only to a signed successor', async () => {
    const { repository, id, follow } = tagged('tag-good');
    repository.git('tag', '-s', '-m', 'release', 'v1');
    const source = follow('v1');
    const snapshot = await source.fetch(signal);
    expect(snapshot.revision).toMatchObject({ id, signature: { signer: 'ada', key: ada.fingerprint } });
    expect((await source.cached(signal))?.revision.id).toBe(id);
    const next = repository.write('a.yaml', '2').commit('two');
    repository.git('tag', '--force', '-a', '-m', 'not signed', 'v1');
    expect(await failure(source.fetch(signal))).toMatchObject({ code: 'signature-missing' });
    repository.git('tag', '--force', '-s', '-m', 'release', 'v1');
    expect((await source.fetch(signal)).revision.id).toBe(next);
    expect(await failure(follow('v1', { commits: 'head' }).fetch(signal))).toMatchObject({ code: 'signature-missing' });
  });

  it('without a signature, of another name, or by somebody else are refused, and so is a branch in their place', async () => {
    const { repository, follow } = tagged('tag-bad');
    repository.git('tag', 'light');
    repository.git('tag', '-a', '-m', 'x', 'plain');
    repository.git('tag', '-s', '-m', 'x', 'v1');
    repository.git('update-ref', 'refs/tags/v2', 'v1');
    signWithSsh(repository, mallory);
    repository.git('tag', '-s', '-m', 'x', 'foreign');
    repository.git('branch', 'v3');
    for (const [ref, code, words] of [
      ['light', 'signature-missing', /mere name/],
      ['plain', 'signature-missing', /not signed/],
      ['v2', 'signature-invalid', /"v1" under another name/],
      ['foreign', 'signer-unknown', new RegExp(mallory.fingerprint.replaceAll('+', '\\+'))],
      ['v3', 'source-ref-missing', /v3/],
    ] as const) {
      const error = await failure(follow(ref).fetch(signal));
      expect(error).toMatchObject({ code, class: 'stall', exitCode: 3 });
      expect(error.message).toMatch(words);
    }
    expect(() => follow('refs/heads/main')).toThrow(expect.objectContaining({ code: 'source-invalid' }));
  });
});

describe('OpenPGP signatures', () => {
  it('by a key of the ring are accepted; revoked, expired and foreign keys and forgeries are not', async () => {
    const good = gpg.makeKey('Grace Example <grace@example.org>');
    const revoked = gpg.makeKey('Revoked Example <revoked@example.org>');
    const foreign = gpg.makeKey('Foreign Example <foreign@example.org>');
    const expiring = gpg.makeKey('Expiring Example <expiring@example.org>', 'seconds=3');
    const repository = lab.repository('openpgp').write('a.yaml', '1');
    const commits = new Map<string, string>();
    for (const key of [good, revoked, foreign, expiring]) {
      gpg.sign(repository, key);
      commits.set(key, repository.commit('one', '-S'));
    }
    function at(key: string) {
      repository.git('reset', '--quiet', '--hard', commits.get(key) ?? '');
      return open(repository, { openpgpKeysFile: ring }).fetch(signal);
    }
    gpg.revoke(revoked);
    const ring = file(gpg.armored(good, revoked, expiring));
    expect((await at(good)).revision.signature).toEqual({
      format: 'openpgp',
      signer: 'Grace Example <grace@example.org>',
      key: good,
    });
    expect(await failure(at(revoked))).toMatchObject({
      code: 'signature-invalid',
      message: expect.stringMatching(/revoked/),
    });
    const unknown = await failure(at(foreign));
    expect(unknown).toMatchObject({ code: 'signer-unknown' });
    expect(unknown.message).toContain(foreign);
    await expect
      .poll(async () => (await at(expiring).catch((error) => error)).message, { timeout: 10_000, interval: 500 })
      .toMatch(/its key has expired/);
    repository.git('reset', '--quiet', '--hard', commits.get(good) ?? '');
    forge(repository, (commit) => commit.replace(/\none$/, '\nforged'));
    expect(await failure(open(repository, { openpgpKeysFile: ring }).fetch(signal))).toMatchObject({
      code: 'signature-invalid',
      message: expect.stringMatching(/does not belong/),
    });
  }, 30_000);

  it('follow the ring when its file changes, and need neither agent nor network', async () => {
    const key = gpg.makeKey('Late Example <late@example.org>');
    const other = gpg.makeKey('Other Example <other@example.org>');
    const repository = lab.repository('ring-changes').write('a.yaml', '1');
    gpg.sign(repository, key);
    repository.commit('one', '-S');
    const openpgpKeysFile = file(gpg.armored(other));
    const cacheDir = join(lab.root, 'cache-ring');
    const source = open(repository, { openpgpKeysFile }, { cacheDir });
    expect(await failure(source.fetch(signal))).toMatchObject({ code: 'signer-unknown' });
    writeFileSync(openpgpKeysFile, gpg.armored(other) + gpg.armored(key));
    expect((await source.fetch(signal)).revision.signature?.key).toBe(key);
    writeFileSync(openpgpKeysFile, gpg.armored(other));
    expect(await failure(source.fetch(signal))).toMatchObject({ code: 'signer-unknown' });
  });
});

describe('trust files', () => {
  it('that are missing, empty of keys, secret, or open to others are an error of their own', async () => {
    const repository = signed('trust-files');
    repository.commit('one', '-S');
    const secret = gpg.armoredSecret(gpg.makeKey('Secret Example <secret@example.org>'));
    const cases: readonly [Partial<VerifyOptions>, RegExp][] = [
      [{ allowedSignersFile: join(lab.root, 'nowhere') }, /nowhere cannot be read: ENOENT/],
      [{ allowedSignersFile: lab.root }, /not a regular file/],
      [
        { allowedSignersFile: file(`ada ${ada.publicKey}\n`, 0o666) },
        /has mode 0666: others than its owner may write it/,
      ],
      [{ openpgpKeysFile: file('no keys here\n') }, /OpenPGP|imported/],
      [{ openpgpKeysFile: file(secret) }, /private key/],
    ];
    for (const [verify, words] of cases) {
      const error = await failure(open(repository, verify).fetch(signal));
      expect(error).toMatchObject({ code: 'signers-unusable', class: 'stall', exitCode: 3 });
      expect(error.message).toMatch(words);
      expect(error.message).not.toContain('BEGIN');
    }
    expect(() => open(repository, {})).toThrow(expect.objectContaining({ code: 'source-invalid' }));
    expect(() => open(repository, { commits: 'off', allowedSignersFile: '/x' })).toThrow(/asks for nothing/);
  });

  it('never come out of the repository', async () => {
    const repository = signed('own-rules', mallory);
    repository.write('allowed_signers', `ada ${mallory.publicKey}\n`).write('.gitconfig', '[gpg "ssh"]\n');
    repository.git('config', 'gpg.ssh.allowedSignersFile', join(repository.folder, 'allowed_signers'));
    repository.commit('one', '-S');
    const source = open(repository, { allowedSignersFile: signersOf(`ada ${ada.publicKey}`) });
    expect(await failure(source.fetch(signal))).toMatchObject({ code: 'signer-unknown' });
  });

  it.each([
    ['ssh-keygen', 'ssh'],
    ['gpg', 'openpgp'],
  ])('without %s nothing is accepted, and the error says what to install', async (tool, format) => {
    const repository = signed(`without-${tool}`);
    const key = gpg.makeKey(`Without ${tool} <without@example.org>`);
    if (format === 'openpgp') gpg.sign(repository, key);
    repository.commit('one', '-S');
    const ring = file(gpg.armored(key));
    const path = process.env.PATH;
    const bin = lab.folder(`bin-${tool}`);
    for (const name of ['git', 'timeout', 'prlimit', 'sh', 'gpg', 'ssh-keygen']) {
      const target = (path ?? '').split(':').map((folder) => join(folder, name));
      symlinkSync(target.find((candidate) => existsSync(candidate)) ?? '', join(bin, name));
    }
    unlinkSync(join(bin, tool));
    const verify =
      format === 'ssh' ? { allowedSignersFile: signersOf(`ada ${ada.publicKey}`) } : { openpgpKeysFile: ring };
    try {
      process.env.PATH = bin;
      const error = await failure(open(repository, verify).fetch(signal));
      expect(error).toMatchObject({ code: `${tool}-missing`, class: 'stall', exitCode: 3 });
      expect(error.fix).toContain('apt-get install');
    } finally {
      process.env.PATH = path;
    }
  });
});

it('a cache that was lost is verified anew when it is fetched anew', async () => {
  const repository = signed('lost');
  repository.commit('one', '-S');
  const cacheDir = join(lab.root, 'cache-lost');
  const allowedSignersFile = signersOf(`ada ${ada.publicKey}`);
  await open(repository, { allowedSignersFile }, { cacheDir }).fetch(signal);
  rmSync(cacheIn(cacheDir), { recursive: true });
  repository.write('a.yaml', '2').commit('two');
  expect(await failure(open(repository, { allowedSignersFile }, { cacheDir }).fetch(signal))).toMatchObject({
    code: 'signature-missing',
  });
});
