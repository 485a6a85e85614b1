import { randomBytes } from 'node:crypto';
import {
  chmodSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  symlinkSync,
  truncateSync,
  unlinkSync,
  writeFileSync,
} from 'node:fs';
import { createServer as createHttpServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { GitSourceOptions } from '../../../src/source/git.ts';
import { defaultLimits } from '../../../src/source/limits.ts';
import type { Source } from '../../../src/source/source.ts';
import { cacheIn, failure, freePort, Lab, ManualClock, texts } from './lab.ts';

const lab = new Lab();
let daemon: string;
beforeAll(async () => {
  daemon = await lab.daemon();
});
afterAll(() => lab.close());

const signal = new AbortController().signal;

function open(url: string, options: Partial<GitSourceOptions> = {}): Source {
  return lab.source({ remotes: [{ url }], ...options });
}

describe('following a remote over git://', () => {
  it('brings a commit, then its successor, and the same snapshot while nothing changes', async () => {
    const repository = lab.repository('follow');
    const first = repository.write('fleet/a.yaml', 'a: 1\n').write('fleet/sub/b.json', '{}').commit('first fleet');
    const source = open(`${daemon}/follow`);
    const one = await source.fetch(signal);
    expect(one.revision).toMatchObject({
      id: first,
      label: `main@sha1:${first}`,
      subject: 'first fleet',
      author: 'Ada Example <ada@example.org>',
    });
    expect(new Date(one.revision.time ?? '').getTime()).toBeCloseTo(
      Number(repository.git('show', '-s', '--format=%ct', first)) * 1000,
    );
    expect(await texts(one)).toEqual({ 'fleet/a.yaml': 'a: 1\n', 'fleet/sub/b.json': '{}' });
    expect(one.files.map(({ blob }) => blob)).toEqual([
      repository.git('rev-parse', 'HEAD:fleet/a.yaml'),
      repository.git('rev-parse', 'HEAD:fleet/sub/b.json'),
    ]);
    expect(await source.fetch(signal)).toBe(one);
    const second = repository.write('fleet/a.yaml', 'a: 2\n').commit('second');
    const two = await source.fetch(signal);
    expect(two.revision.id).toBe(second);
    expect(two.files[1]?.blob).toBe(one.files[1]?.blob);
    expect((await texts(two))['fleet/a.yaml']).toBe('a: 2\n');
  });

  it('reads lightweight and annotated tags, and prefers the branch of the same name', async () => {
    const repository = lab.repository('tags');
    const tagged = repository.write('a.yaml', '1').commit('one');
    repository.git('tag', 'light');
    repository.git('tag', '-a', 'v1', '-m', 'release');
    repository.git('tag', 'main');
    const tip = repository.write('a.yaml', '2').commit('two');
    for (const ref of ['light', 'v1', 'refs/tags/v1', 'refs/tags/main']) {
      const source = open(`${daemon}/tags`, { ref });
      const snapshot = await source.fetch(signal);
      expect(snapshot.revision.id).toBe(tagged);
      expect(snapshot.revision.label).toBe(`${ref.replace('refs/tags/', '')}@sha1:${tagged}`);
      expect(await source.fetch(signal)).toBe(snapshot);
    }
    expect((await open(`${daemon}/tags`).fetch(signal)).revision.id).toBe(tip);
  });

  it('reads one folder, with paths below it, and only manifests that are not hidden', async () => {
    const repository = lab.repository('folders');
    repository
      .write('fleet/munich/a.yml', 'a')
      .write('fleet/munich/README.md', 'no')
      .write('fleet/munich/.hidden.yaml', 'no')
      .write('.github/workflows/ci.yaml', 'no')
      .write('fleet/berlin/b.yaml', 'b')
      .commit('one');
    expect(await texts(await open(`${daemon}/folders`, { path: 'fleet/munich/' }).fetch(signal))).toEqual({
      'a.yml': 'a',
    });
    expect(Object.keys(await texts(await open(`${daemon}/folders`).fetch(signal)))).toEqual([
      'fleet/berlin/b.yaml',
      'fleet/munich/a.yml',
    ]);
  });

  it('reads names that look like options, spaces and other scripts', async () => {
    const repository = lab.repository('names');
    const names = ['-x.yaml', '--upload-pack=touch pwned.yaml', 'ein ü.yaml', '日本/ロボット.yaml', '$(id).yaml'];
    for (const name of names) repository.write(name, name);
    repository.commit('names');
    expect(await texts(await open(`${daemon}/names`).fetch(signal))).toEqual(
      Object.fromEntries(names.map((name) => [name, name])),
    );
  });

  it('refuses a file name that holds a line break, for it could not be shown', async () => {
    lab.repository('newline').write('a\nb.yaml', 'x').commit('bad name');
    const error = await failure(open(`${daemon}/newline`).fetch(signal));
    expect(error).toMatchObject({ code: 'source-invalid', exitCode: 3, class: 'stall' });
    expect(error.message).toMatch(/"a\\nb\.yaml" in main@sha1:[0-9a-f]{40} holds control characters/);
  });

  it('skips symbolic links and submodules with a note, and never reads through them', async () => {
    const repository = lab.repository('links');
    repository.write('a.yaml', 'a');
    symlinkSync('/etc/passwd', join(repository.folder, 'passwd.yaml'));
    repository.git('add', '--all');
    repository.git('update-index', '--add', '--cacheinfo', `160000,${'1'.repeat(40)},vendored`);
    repository.git('commit', '--quiet', '-m', 'links');
    const snapshot = await open(`${daemon}/links`).fetch(signal);
    expect(Object.keys(await texts(snapshot))).toEqual(['a.yaml']);
    expect(snapshot.notes).toEqual(['passwd.yaml is a symbolic link: skipped', 'vendored is a submodule: skipped']);
  });

  it('brings 1,000 files', async () => {
    const repository = lab.repository('many');
    for (let index = 0; index < 1_000; index += 1) repository.write(`peers/p${index}.yaml`, `n: ${index}\n`);
    repository.commit('many');
    const snapshot = await open(`${daemon}/many`).fetch(signal);
    expect(snapshot.files).toHaveLength(1_000);
    const contents = await Promise.all(snapshot.files.map(async (file) => Buffer.from(await file.read()).toString()));
    expect(new Set(contents).size).toBe(1_000);
    expect(snapshot.files.every(({ size }, index) => size === contents[index]?.length)).toBe(true);
  });

  it('runs no hook and obeys no configuration of this host', async () => {
    const repository = lab.repository('hooks');
    repository.write('a.yaml', 'a').commit('one');
    const cacheDir = join(lab.root, 'cache-hooks');
    const source = open(`${daemon}/hooks`, { cacheDir });
    await source.fetch(signal);
    const cache = cacheIn(cacheDir);
    expect(existsSync(join(cache, 'hooks'))).toBe(false);
    const hooks = join(cache, 'hooks');
    mkdirSync(hooks);
    const marker = join(lab.root, 'hook-ran');
    for (const hook of ['reference-transaction', 'post-update', 'pre-auto-gc']) {
      writeFileSync(join(hooks, hook), `#!/bin/sh\ntouch '${marker}'\n`);
      chmodSync(join(hooks, hook), 0o755);
    }
    repository.write('a.yaml', 'b').commit('two');
    await source.fetch(signal);
    expect(existsSync(marker)).toBe(false);
  });
});

describe('offline', () => {
  it('boots from the cache without a remote, and finds older commits in it', async () => {
    const repository = lab.repository('offline');
    const first = repository.write('a.yaml', '1').commit('one');
    repository.git('tag', 'never-fetched');
    const second = repository.write('a.yaml', '2').commit('two');
    const cacheDir = join(lab.root, 'cache-offline');
    expect(await open(`${daemon}/offline`, { cacheDir }).cached(signal)).toBeUndefined();
    await open(`${daemon}/offline`, { cacheDir }).fetch(signal);
    repository.write('a.yaml', '3').commit('three, not seen');

    const again = open(`${daemon}/offline`, { cacheDir });
    const snapshot = await again.cached(signal);
    expect(snapshot?.revision.id).toBe(second);
    expect(await texts(snapshot)).toEqual({ 'a.yaml': '2' });
    for (const rev of ['main~1', first, first.slice(0, 10)]) {
      expect(await texts(await again.at(rev, signal))).toEqual({ 'a.yaml': '1' });
    }
    for (const rev of ['main~9', 'never-fetched', 'ffffffffff']) {
      expect(await failure(again.at(rev, signal))).toMatchObject({ code: 'source-ref-missing', exitCode: 3 });
    }
    expect(await failure(again.at('--output=x', signal))).toMatchObject({ code: 'source-invalid' });
    expect(await open(`${daemon}/offline`, { cacheDir, ref: 'other' }).cached(signal)).toBeUndefined();
  });

  it.each(['truncated packs', 'shorter packs', 'no packs'])(
    'fetches anew when the cache is damaged: %s',
    async (damage) => {
      const repository = lab.repository(`damaged ${damage}`.replaceAll(' ', '-'));
      const id = repository.write('a.yaml', '1').commit('one');
      const cacheDir = join(lab.root, `cache-${damage}`);
      const url = repository.url;
      await open(url, { cacheDir }).fetch(signal);
      const cache = cacheIn(cacheDir);
      for (const name of readdirSync(join(cache, 'objects', 'pack'))) {
        const pack = join(cache, 'objects', 'pack', name);
        chmodSync(pack, 0o600);
        if (damage === 'no packs') unlinkSync(pack);
        else truncateSync(pack, damage === 'shorter packs' ? 100 : 20);
      }
      const source = open(url, { cacheDir });
      expect(await failure(source.cached(signal))).toMatchObject({
        code: 'source-cache-damaged',
        message: expect.stringContaining(id),
      });
      renameSync(repository.folder, `${repository.folder}.away`);
      expect(await failure(source.fetch(signal))).toMatchObject({ code: 'source-unreachable' });
      renameSync(`${repository.folder}.away`, repository.folder);
      const snapshot = await source.fetch(signal);
      expect(snapshot.revision.id).toBe(id);
      expect(snapshot.notes).toEqual([expect.stringMatching(/is damaged: .*; it was fetched anew$/)]);
      expect(await texts(snapshot)).toEqual({ 'a.yaml': '1' });
      expect(readdirSync(cacheDir).filter((name) => name.includes('damaged'))).toEqual([]);
    },
  );

  it('polls a remote that is away ever more slowly, and one that answers at its interval', async () => {
    const clock = new ManualClock();
    const repository = lab.repository('polled');
    repository.write('a.yaml', '1').commit('one');
    const source = open(repository.url, { clock, intervalMs: 1_000 });
    let wakes = 0;
    const stop = source.watch(() => {
      wakes += 1;
    });
    const delay = () => (source.nextFetchAt?.() ?? 0) - clock.now();
    expect(delay()).toBe(0);
    clock.advance(0);
    expect(wakes).toBe(1);
    await source.fetch(signal);
    expect(delay()).toBe(1_000);
    renameSync(repository.folder, `${repository.folder}.away`);
    await failure(source.fetch(signal));
    expect(delay()).toBe(2_000);
    await failure(source.fetch(signal));
    expect(delay()).toBe(4_000);
    renameSync(`${repository.folder}.away`, repository.folder);
    repository.git('rm', '--quiet', 'a.yaml');
    repository.write('README.md', 'no fleet').commit('emptied');
    expect(await failure(source.fetch(signal))).toMatchObject({ code: 'source-invalid' });
    expect(delay()).toBe(1_000);
    await stop();
    expect(source.nextFetchAt?.()).toBeUndefined();
  });

  it('fetches anew after a manifest turned out to be damaged', async () => {
    const repository = lab.repository('rotten');
    const noise = randomBytes(100_000).toString('base64');
    repository.write('a.yaml', noise).commit('one');
    const cacheDir = join(lab.root, 'cache-rotten');
    await open(repository.url, { cacheDir }).fetch(signal);
    const packs = join(cacheIn(cacheDir), 'objects', 'pack');
    const pack = join(packs, readdirSync(packs).find((name) => name.endsWith('.pack')) ?? '');
    chmodSync(pack, 0o600);
    const bytes = readFileSync(pack);
    bytes.fill(0, 50_000, 50_100);
    writeFileSync(pack, bytes);
    const source = open(repository.url, { cacheDir });
    const first = await source.fetch(signal);
    await expect(first.files[0]?.read()).rejects.toMatchObject({ code: 'source-cache-damaged', class: 'retry' });
    expect(await texts(await source.fetch(signal))).toEqual({ 'a.yaml': noise });
  });

  it('says that git is missing', async () => {
    const path = process.env.PATH;
    const bin = lab.folder('bin');
    for (const tool of ['timeout', 'prlimit']) symlinkSync(`/usr/bin/${tool}`, join(bin, tool));
    try {
      process.env.PATH = bin;
      const error = await failure(open('https://nowhere.invalid/x.git').fetch(signal));
      expect(error).toMatchObject({ code: 'git-missing', class: 'stall', exitCode: 3 });
    } finally {
      process.env.PATH = path;
    }
  });

  it('removes locks that a killed fetch left', async () => {
    const repository = lab.repository('locked');
    repository.write('a.yaml', '1').commit('one');
    const cacheDir = join(lab.root, 'cache-locked');
    await open(`${daemon}/locked`, { cacheDir }).fetch(signal);
    const cache = cacheIn(cacheDir);
    writeFileSync(join(cache, 'refs', 'omni', 'accepted', 'heads', 'main.lock'), '');
    const second = repository.write('a.yaml', '2').commit('two');
    expect((await open(`${daemon}/locked`, { cacheDir }).fetch(signal)).revision.id).toBe(second);
  });
});

describe('what goes wrong, in words and codes', () => {
  it('no such ref, folder, repository, server', async () => {
    const repository = lab.repository('wrong');
    repository.write('fleet/a.yaml', 'a').write('empty/README.md', 'x').commit('one');
    const url = `${daemon}/wrong`;
    const cases: readonly [Source, Record<string, unknown>, RegExp][] = [
      [open(url, { ref: 'nope' }), { code: 'source-ref-missing', class: 'stall' }, /no branch or tag "nope"/],
      [open(url, { path: 'nope' }), { code: 'source-path-missing', class: 'stall' }, /no folder "nope" at main@/],
      [open(url, { path: 'fleet/a.yaml' }), { code: 'source-path-missing', class: 'stall' }, /a\.yaml/],
      [open(url, { path: 'empty' }), { code: 'source-invalid', class: 'stall' }, /no \.yaml/],
      [open(`${daemon}/no-repository`), { code: 'source-unreachable', class: 'retry' }, /no such git repository/],
      [open(`file://${lab.root}/nowhere`), { code: 'source-unreachable', class: 'retry' }, /no such git repository/],
      [
        open(`git://127.0.0.1:${await freePort()}/x`),
        { code: 'source-unreachable', class: 'retry' },
        /Connection refused/,
      ],
      [open('https://nowhere.invalid/x.git'), { code: 'source-unreachable', class: 'retry' }, /cannot be reached/],
    ];
    for (const [source, expected, words] of cases) {
      const error = await failure(source.fetch(signal));
      expect(error).toMatchObject({ ...expected, exitCode: 3 });
      expect(error.message).toMatch(words);
      expect(error.fix).toBeTruthy();
    }
  });

  it('a refused commit does not stop its successor', async () => {
    const repository = lab.repository('mended');
    repository.write('README.md', 'x').commit('no fleet yet');
    const source = open(`${daemon}/mended`);
    await failure(source.fetch(signal));
    expect(await failure(source.fetch(signal))).toMatchObject({ code: 'source-invalid' });
    repository.write('a.yaml', 'a').commit('fleet');
    expect((await source.fetch(signal)).files).toHaveLength(1);
  });

  it.each(['git', 'http', 'ssh'])('a %s server that accepts and never answers', async (scheme) => {
    const port = await lab.listen();
    const source = open(`${scheme}://127.0.0.1:${port}/x.git`, { limits: { ...defaultLimits, pollTimeoutMs: 300 } });
    const started = Date.now();
    const error = await failure(source.fetch(signal));
    expect(error).toMatchObject({ code: 'source-timeout', class: 'retry', exitCode: 3 });
    expect(Date.now() - started).toBeLessThan(3_000);
    await expect.poll(() => childrenTalkingTo(port), { timeout: 3_000 }).toEqual([]);
  });

  it('an abort ends a fetch at once with the reason', async () => {
    const port = await lab.listen();
    const controller = new AbortController();
    const fetching = open(`git://127.0.0.1:${port}/x.git`).fetch(controller.signal);
    setTimeout(() => controller.abort(new Error('shutting down')), 50);
    await expect(fetching).rejects.toThrow('shutting down');
  });

  it('a server that asks for a password', async () => {
    const server = createHttpServer((_request, response) => {
      response.writeHead(401, { 'www-authenticate': 'Basic realm="fleet"' }).end();
    });
    await new Promise<void>((ready) => server.listen(0, '127.0.0.1', ready));
    try {
      const { port } = server.address() as AddressInfo;
      const error = await failure(open(`http://127.0.0.1:${port}/fleet.git`).fetch(signal));
      expect(error).toMatchObject({ code: 'source-auth', class: 'stall', exitCode: 3 });
      expect(error.message).toMatch(/asks for a password/);
    } finally {
      server.close();
    }
  });

  it('a server that floods us', async () => {
    const port = await lab.listen((socket) => {
      const line = `003f${'a'.repeat(40)} refs/heads/branch-xx\n`.repeat(4_000);
      const flood = () => {
        while (!socket.destroyed && socket.write(line));
      };
      socket.on('drain', flood);
      flood();
    });
    const error = await failure(open(`git://127.0.0.1:${port}/x.git`).fetch(signal));
    expect(error.exitCode).toBe(3);
  });

  it('a file, a number of files and a history beyond the limits', async () => {
    const repository = lab.repository('large');
    repository.write('big.yaml', Buffer.alloc(50_000, 'x')).write('b.yaml', 'b').commit('large');
    const url = `${daemon}/large`;
    const big = await failure(open(url, { limits: { ...defaultLimits, fileBytes: 40_000 } }).fetch(signal));
    expect(big).toMatchObject({ code: 'source-too-large', class: 'stall', exitCode: 3 });
    expect(big.message).toContain('big.yaml');
    expect(await failure(open(url, { limits: { ...defaultLimits, files: 1 } }).fetch(signal))).toMatchObject({
      code: 'source-too-large',
    });
    const noise = Buffer.from(Array.from({ length: 300_000 }, (_, index) => (index * 2_654_435_761) >>> 24));
    const history = lab.repository('history');
    history.write('noise.bin', noise).commit('noise');
    history.git('rm', '--quiet', 'noise.bin');
    history.write('a.yaml', 'a').commit('fleet');
    const source = open(`${daemon}/history`, { limits: { ...defaultLimits, totalBytes: 1_000 } });
    expect(await failure(source.fetch(signal))).toMatchObject({ code: 'source-too-large' });
    expect(await failure(source.fetch(signal))).toMatchObject({ code: 'source-too-large' });
  });
});

/** Command lines of processes that name this port: helpers that outlived their git. */
function childrenTalkingTo(port: number): string[] {
  const found: string[] = [];
  for (const pid of readdirSync('/proc').filter((name) => /^[0-9]+$/.test(name) && Number(name) !== process.pid)) {
    try {
      const command = readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ');
      if (command.includes(String(port))) found.push(command);
    } catch {
      // ended meanwhile
    }
  }
  return found;
}
