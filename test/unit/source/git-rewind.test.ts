import { mkdirSync, readFileSync, renameSync, rmdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import type { GitSourceOptions } from '../../../src/source/git.ts';
import { cacheIn, failure, Lab, type Repository, texts } from './lab.ts';

const lab = new Lab();
afterAll(() => lab.close());
const signal = new AbortController().signal;
const REFUSED = { code: 'history-rewound', class: 'stall', exitCode: 3 };

let count = 0;
/** A repository with commits one, two, three; a cache that followed it; `open` as a new start of the agent. */
async function followed(options: Partial<GitSourceOptions> = {}) {
  count += 1;
  const repository = lab.repository(`rewind-${count}`);
  const ids = ['1', '2', '3'].map((text) => repository.write('a.yaml', text).commit(text));
  const cacheDir = join(lab.root, `rewind-cache-${count}`);
  const open = (more: Partial<GitSourceOptions> = {}) =>
    lab.source({ remotes: [{ url: repository.url }], cacheDir, ...options, ...more });
  await open().fetch(signal);
  return { repository, ids, cacheDir, open };
}

function amend(repository: Repository, text: string): string {
  return repository.write('a.yaml', text).commit(text, '--amend');
}

describe('a history that was rewound', () => {
  it('is refused when the branch goes back, changes nothing, and passes when it goes on', async () => {
    const { repository, ids, open } = await followed();
    repository.git('reset', '--quiet', '--hard', 'HEAD~1');
    const source = open();
    const error = await failure(source.fetch(signal));
    expect(error).toMatchObject(REFUSED);
    expect(error.message).toContain(ids[1]?.slice(0, 12));
    expect(error.message).toContain(ids[2]?.slice(0, 12));
    expect(error.fix).toContain('--accept-rewind');
    expect(await failure(source.fetch(signal))).toMatchObject(REFUSED);
    expect((await source.cached(signal))?.revision.id).toBe(ids[2]);
    repository.git('reset', '--quiet', '--hard', ids[2] ?? '');
    expect((await source.fetch(signal)).revision.id).toBe(ids[2]);
    const next = repository.write('a.yaml', '4').commit('4');
    expect((await source.fetch(signal)).revision.id).toBe(next);
  });

  it('is refused when it was rewritten, also by an agent that starts anew, also without its cache', async () => {
    const { repository, ids, cacheDir, open } = await followed();
    amend(repository, 'other');
    expect(await failure(open().fetch(signal))).toMatchObject(REFUSED);
    rmSync(cacheIn(cacheDir), { recursive: true });
    expect(await open().cached(signal)).toBeUndefined();
    expect(await failure(open().fetch(signal))).toMatchObject(REFUSED);
    repository.git('reset', '--quiet', '--hard', ids[2] ?? '');
    expect((await open().fetch(signal)).revision.id).toBe(ids[2]);
  });

  it('is refused when the branch becomes a tag of the same name', async () => {
    const { repository, ids, open } = await followed();
    repository.git('branch', '-m', 'elsewhere');
    repository.git('tag', 'main', ids[0] ?? '');
    expect(await failure(open().fetch(signal))).toMatchObject(REFUSED);
    repository.git('tag', '--force', 'main', ids[2] ?? '');
    expect((await open().fetch(signal)).revision.id).toBe(ids[2]);
  });

  it('is refused for a tag that moves back or aside, and followed when it moves on', async () => {
    const { repository, ids, open } = await followed();
    repository.git('tag', 'release', ids[1] ?? '');
    const source = open({ ref: 'release' });
    expect((await source.fetch(signal)).revision.id).toBe(ids[1]);
    repository.git('tag', '--force', 'release', ids[0] ?? '');
    expect(await failure(source.fetch(signal))).toMatchObject(REFUSED);
    repository.git('tag', '--force', '-a', '-m', 'moved on', 'release', ids[2] ?? '');
    expect((await source.fetch(signal)).revision.id).toBe(ids[2]);
  });

  it('is judged by what was handed out: a commit that could not be read may be taken back', async () => {
    const { repository, ids, open } = await followed();
    repository.git('rm', '--quiet', 'a.yaml');
    repository.write('README.md', 'no fleet').commit('emptied');
    expect(await failure(open().fetch(signal))).toMatchObject({ code: 'source-invalid' });
    repository.git('reset', '--quiet', '--hard', ids[2] ?? '');
    const next = repository.write('a.yaml', '4').commit('4');
    expect((await open().fetch(signal)).revision.id).toBe(next);
  });
});

describe('accepting a rewind', () => {
  it('holds for one fetch, says so, and keeps the former history readable', async () => {
    const { repository, ids, open } = await followed();
    const rewritten = amend(repository, 'other');
    const source = open();
    source.acceptRewind?.();
    const snapshot = await source.fetch(signal);
    expect(snapshot.revision.id).toBe(rewritten);
    expect(snapshot.notes?.join()).toMatch(/rewound from .* as a person accepted/);
    expect(await texts(await source.at(ids[2] ?? '', signal))).toEqual({ 'a.yaml': '3' });
    amend(repository, 'again');
    expect(await failure(source.fetch(signal))).toMatchObject(REFUSED);
    expect(await failure(open().fetch(signal))).toMatchObject(REFUSED);
  });

  it('is used up by a fetch that nobody answered', async () => {
    const { repository, open } = await followed();
    const source = open();
    source.acceptRewind?.();
    renameSync(repository.folder, `${repository.folder}.away`);
    expect(await failure(source.fetch(signal))).toMatchObject({ code: 'source-unreachable' });
    renameSync(`${repository.folder}.away`, repository.folder);
    amend(repository, 'other');
    expect(await failure(source.fetch(signal))).toMatchObject(REFUSED);
  });
});

describe('the mark', () => {
  it('is one file beside the cache, replaced as a whole', async () => {
    const { repository, ids, cacheDir } = await followed();
    const path = join(cacheDir, 'mark.json');
    expect(JSON.parse(readFileSync(path, 'utf8'))).toEqual({
      version: 1,
      sources: [
        { cache: expect.stringMatching(/^[0-9a-f]{32}$/), remotes: [repository.url], accepted: { main: ids[2] } },
      ],
    });
  });

  it('that cannot be written keeps a commit from being handed out, and the old one in force', async () => {
    const { repository, ids, cacheDir, open } = await followed();
    const next = repository.write('a.yaml', '4').commit('4');
    const obstacle = join(cacheDir, 'mark.json.new');
    mkdirSync(obstacle);
    const source = open();
    expect(await failure(source.fetch(signal))).toMatchObject({ code: 'source-cache-unwritable', class: 'retry' });
    expect((await source.cached(signal))?.revision.id).toBe(ids[2]);
    rmdirSync(obstacle);
    expect((await source.fetch(signal)).revision.id).toBe(next);
  });

  it('that cannot be read is stood in for by the cache; without either nothing is believed', async () => {
    const { repository, ids, cacheDir, open } = await followed();
    writeFileSync(join(cacheDir, 'mark.json'), '{"version":1,"sources":[{"cac');
    repository.git('reset', '--quiet', '--hard', 'HEAD~1');
    expect(await failure(open().fetch(signal))).toMatchObject(REFUSED);
    expect((await open().cached(signal))?.revision.id).toBe(ids[2]);
    rmSync(cacheIn(cacheDir), { recursive: true });
    const source = open();
    expect(await failure(source.fetch(signal))).toMatchObject({ code: 'mark-damaged', class: 'stall', exitCode: 3 });
    source.acceptRewind?.();
    expect((await source.fetch(signal)).revision.id).toBe(ids[1]);
    repository.git('reset', '--quiet', '--hard', 'HEAD~1');
    expect(await failure(open().fetch(signal))).toMatchObject(REFUSED);
  });
});

it('offers no commit that lies in the cache but was refused', async () => {
  const { repository, ids, open } = await followed();
  const refused = amend(repository, 'other');
  const source = open();
  expect(await failure(source.fetch(signal))).toMatchObject(REFUSED);
  expect(await failure(source.at(refused, signal))).toMatchObject({ code: 'revision-not-accepted', exitCode: 3 });
  expect((await source.at(ids[0] ?? '', signal)).revision.id).toBe(ids[0]);
});
