import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { deflateSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { defaultLimits } from '../../../src/source/limits.ts';
import { cacheIn, failure, Lab, type Repository, texts } from './lab.ts';

const lab = new Lab();
let daemon: string;
beforeAll(async () => {
  daemon = await lab.daemon();
});
afterAll(() => lab.close());
const signal = new AbortController().signal;
const MIB = 1024 * 1024;
/** Enough for honest work, and less than any of the objects below. */
const limits = { ...defaultLimits, memoryBytes: 48 * MIB };

/** A loose object of zeros after `head`, as small as its compression makes it; returns its id. */
function bomb(repository: Repository, type: string, head: string, bytes: number): string {
  const body = Buffer.concat([Buffer.from(head), Buffer.alloc(bytes, type === 'blob' ? 0 : 'x')]);
  const content = Buffer.concat([Buffer.from(`${type} ${body.length}\0`), body]);
  const id = createHash('sha1').update(content).digest('hex');
  const folder = join(repository.folder, '.git', 'objects', id.slice(0, 2));
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, id.slice(2)), deflateSync(content, { level: 1 }));
  return id;
}

describe('objects that unpack to more than they weigh', () => {
  it('a blob beside the manifests is never held in memory', async () => {
    const repository = lab.repository('blob-bomb');
    repository.write('a.yaml', '1').git('add', 'a.yaml');
    const blob = bomb(repository, 'blob', '', 200 * MIB);
    repository.git('update-index', '--add', '--cacheinfo', `100644,${blob},zeros.bin`);
    repository.git('commit', '--quiet', '-m', 'bomb');
    const snapshot = await lab.source({ remotes: [{ url: `${daemon}/blob-bomb` }], limits }).fetch(signal);
    expect(await texts(snapshot)).toEqual({ 'a.yaml': '1' });
  }, 60_000);

  it('a blob that claims to be a manifest is refused unread', async () => {
    const repository = lab.repository('manifest-bomb');
    repository.write('a.yaml', '1').git('add', 'a.yaml');
    const blob = bomb(repository, 'blob', '', 200 * MIB);
    repository.git('update-index', '--add', '--cacheinfo', `100644,${blob},zeros.yaml`);
    repository.git('commit', '--quiet', '-m', 'bomb');
    const error = await failure(lab.source({ remotes: [{ url: `${daemon}/manifest-bomb` }], limits }).fetch(signal));
    expect(error).toMatchObject({ code: 'source-too-large', class: 'stall', exitCode: 3 });
    expect(error.message).toMatch(/zeros\.yaml in main@sha1:[0-9a-f]{40} has 200\.0 MiB/);
  }, 60_000);

  it.each([
    ['that git itself cannot hold', 100 * MIB],
    ['that would fill the agent', 12 * MIB],
  ])(
    'a commit %s is refused, and the node goes on when it is gone',
    async (name, bytes) => {
      const repository = lab.repository(`commit-bomb-${bytes}`);
      const first = repository.write('a.yaml', '1').commit('one');
      const source = lab.source({ remotes: [{ url: `${daemon}/commit-bomb-${bytes}` }], limits });
      await source.fetch(signal);
      const tree = repository.git('rev-parse', 'HEAD^{tree}');
      const person = 'Eve <eve@example.org> 1700000000 +0000';
      const head = `tree ${tree}\nparent ${first}\nauthor ${person}\ncommitter ${person}\n\n`;
      repository.git('update-ref', 'refs/heads/main', bomb(repository, 'commit', head, bytes));
      const error = await failure(source.fetch(signal));
      expect(error, name).toMatchObject({ code: 'source-too-large', class: 'stall', exitCode: 3 });
      expect(await failure(source.fetch(signal))).toMatchObject({ code: 'source-too-large' });
      expect((await source.cached(signal))?.revision.id).toBe(first);
      repository.git('update-ref', 'refs/heads/main', first);
      const next = repository.write('a.yaml', '2').commit('two');
      expect((await source.fetch(signal)).revision.id).toBe(next);
    },
    60_000,
  );

  it('trees that name each other a billion times end at the limit of a listing', async () => {
    const repository = lab.repository('tree-bomb');
    const blob = repository.write('a', 'x').git('hash-object', '-w', 'a');
    let tree = repository.mktree(Array.from({ length: 10 }, (_, index) => `100644 blob ${blob}\tf${index}.yaml`));
    for (let depth = 0; depth < 8; depth += 1) {
      const below = tree;
      tree = repository.mktree(Array.from({ length: 10 }, (_, index) => `040000 tree ${below}\td${index}`));
    }
    repository.git('update-ref', 'refs/heads/main', repository.git('commit-tree', '-m', 'bomb', tree));
    const error = await failure(lab.source({ remotes: [{ url: `${daemon}/tree-bomb` }], limits }).fetch(signal));
    expect(error).toMatchObject({ code: 'source-too-large', class: 'stall', exitCode: 3 });
  }, 60_000);
});

describe('more than fits', () => {
  it('is refused while it is transferred, leaves nothing behind, and does not bar what is small again', async () => {
    const repository = lab.repository('too-large');
    const first = repository.write('a.yaml', '1').commit('one');
    const cacheDir = join(lab.root, 'cache-too-large');
    const small = { ...limits, totalBytes: 1 * MIB };
    const source = lab.source({ remotes: [{ url: `${daemon}/too-large` }], cacheDir, limits: small });
    await source.fetch(signal);
    execFileSync('dd', ['if=/dev/urandom', 'of=noise.bin', 'bs=1M', 'count=24', 'status=none'], {
      cwd: repository.folder,
    });
    repository.commit('noise');
    expect(await failure(source.fetch(signal))).toMatchObject({ code: 'source-too-large', class: 'stall' });
    const used = execFileSync('du', ['-sk', cacheIn(cacheDir)], { encoding: 'utf8' });
    expect(Number.parseInt(used, 10)).toBeLessThan(1_024);
    repository.git('reset', '--quiet', '--hard', first);
    const next = repository.write('a.yaml', '2').commit('two');
    expect((await source.fetch(signal)).revision.id).toBe(next);
  }, 60_000);
});

describe('file names', () => {
  it.each([['../../escape.yaml'], ['.git/config.yaml'], ['a/../b.yaml']])(
    '%s in a tree is refused by git before it is listed',
    async (name) => {
      const folder = `tree-${name.replaceAll(/[^a-z]/g, '-')}`;
      const repository = lab.repository(folder);
      const first = repository.write('a.yaml', '1').commit('one');
      const source = lab.source({ remotes: [{ url: `${daemon}/${folder}` }], limits });
      await source.fetch(signal);
      const blob = repository.git('rev-parse', 'HEAD:a.yaml');
      const parts = name.split('/');
      let tree = rawTree(repository, '100644', parts.pop() ?? '', blob);
      for (const part of parts.toReversed()) tree = rawTree(repository, '40000', part, tree);
      const commit = repository.git('commit-tree', '-p', first, '-m', 'hostile', tree);
      repository.git('update-ref', 'refs/heads/main', commit);
      expect(await failure(source.fetch(signal))).toMatchObject({
        code: 'source-invalid',
        class: 'stall',
        exitCode: 3,
        message: expect.stringMatching(/malformed \(git: object [0-9a-f]{40}: has(?:Dotdot|Dotgit|FullPathname): /),
      });
      expect((await source.cached(signal))?.revision.id).toBe(first);
    },
  );

  it.each([
    ['is no name', 'x'.repeat(4_000), 'is too long: 4005 bytes, where file systems hold 255'],
    ['lies too deep', `${'folder/'.repeat(150)}a`, 'is too long: 1056 bytes, and at most 1024 are read'],
    ['would draw on a terminal', '\u001b[2J\u009bm', '"\\u001b[2J\\u009bm.yaml" in main@sha1:'],
  ])('one that %s refuses the revision, and is told in few words', async (_why, name, words) => {
    const folder = `name-${name.length}`;
    const repository = lab.repository(folder);
    const blob = repository.write('a.yaml', '1').git('hash-object', '-w', 'a.yaml');
    const parts = `${name}.yaml`.split('/');
    let tree = rawTree(repository, '100644', parts.pop() ?? '', blob);
    for (const part of parts.toReversed()) tree = rawTree(repository, '40000', part, tree);
    repository.git('update-ref', 'refs/heads/main', repository.git('commit-tree', '-m', 'hostile', tree));
    const error = await failure(lab.source({ remotes: [{ url: `${daemon}/${folder}` }], limits }).fetch(signal));
    expect(error).toMatchObject({ code: 'source-invalid', class: 'stall', exitCode: 3 });
    expect(error.message).toContain(words);
    expect(error.message.length).toBeLessThan(300);
  });
});

/** A tree that git's own commands would not write. */
function rawTree(repository: Repository, mode: string, name: string, id: string): string {
  const body = Buffer.concat([Buffer.from(`${mode} ${name}\0`), Buffer.from(id, 'hex')]);
  const content = Buffer.concat([Buffer.from(`tree ${body.length}\0`), body]);
  const tree = createHash('sha1').update(content).digest('hex');
  const folder = join(repository.folder, '.git', 'objects', tree.slice(0, 2));
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, tree.slice(2)), deflateSync(content));
  return tree;
}
