import { readdirSync, renameSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { GitSourceOptions } from '../../../src/source/git.ts';
import { defaultLimits } from '../../../src/source/limits.ts';
import { cacheIn, failure, freePort, Lab, ManualClock, type Repository } from './lab.ts';

const lab = new Lab();
let daemon: string;
beforeAll(async () => {
  daemon = await lab.daemon();
});
afterAll(() => lab.close());
const signal = new AbortController().signal;

let count = 0;
/** Two remotes that hold the same commits; `push` brings the second up to date. */
function mirrored() {
  count += 1;
  const first = lab.repository(`first-${count}`);
  first.write('a.yaml', '1').commit('one');
  const mirror = `mirror-${count}`;
  first.git('clone', '--quiet', '--bare', first.folder, join(lab.root, mirror));
  const push = () => first.git('push', '--quiet', '--force', join(lab.root, mirror), 'main');
  const remotes = [{ url: `${daemon}/first-${count}` }, { url: `${daemon}/${mirror}` }];
  return { first, mirror: join(lab.root, mirror), push, remotes };
}

function goAway(repository: Repository): () => void {
  renameSync(repository.folder, `${repository.folder}.away`);
  return () => renameSync(`${repository.folder}.away`, repository.folder);
}

describe('several remotes', () => {
  it('are tried in turn; one that failed is asked last for five minutes', async () => {
    const { first, push, remotes } = mirrored();
    const clock = new ManualClock();
    const source = lab.source({ remotes, clock });
    await source.fetch(signal);
    const comeBack = goAway(first);
    expect((await source.fetch(signal)).revision.subject).toBe('one');
    comeBack();
    first.write('a.yaml', '2').commit('two, not mirrored yet');
    expect((await source.fetch(signal)).revision.subject).toBe('one');
    clock.advance(300_000);
    expect((await source.fetch(signal)).revision.subject).toBe('two, not mirrored yet');
    push();
    goAway(first);
    expect((await source.fetch(signal)).revision.subject).toBe('two, not mirrored yet');
    const askedAt = new Date(clock.now()).toISOString();
    const [one, two] = remotes;
    expect(source.remotes?.()).toEqual([
      { url: one?.url, askedAt, error: expect.stringContaining(one?.url ?? '') },
      { url: two?.url, askedAt },
    ]);
  });

  it.each(['No space left on device', 'failed to execute git', 'spawn prlimit ENOENT'])(
    'are tried in turn whatever the first one says of itself: %s',
    async (words) => {
      const { remotes } = mirrored();
      const line = `ERR ${words}\n`; // gitprotocol-pack(5), PKT-LINE
      const port = await lab.listen((socket) => {
        socket.end((line.length + 4).toString(16).padStart(4, '0') + line);
      });
      const source = lab.source({ remotes: [{ url: `git://127.0.0.1:${port}/x` }, ...remotes] });
      expect((await source.fetch(signal)).revision.subject).toBe('one');
    },
  );

  it('that all fail are named with their reasons', async () => {
    const { remotes } = mirrored();
    const gone = { url: `git://127.0.0.1:${await freePort()}/x` };
    const hanging = { url: `git://127.0.0.1:${await lab.listen()}/y` };
    const limits = { ...defaultLimits, pollTimeoutMs: 300 };
    const error = await failure(lab.source({ remotes: [gone, hanging], limits }).fetch(signal));
    expect(error).toMatchObject({ code: 'source-unreachable', class: 'retry', exitCode: 3 });
    expect(error.message).toMatch(/none of 2 remotes/);
    expect(error.message).toContain(`${gone.url} cannot be reached`);
    expect(error.message).toContain(`${hanging.url} did not answer`);
    expect((await lab.source({ remotes: [gone, hanging, ...remotes], limits }).fetch(signal)).revision.subject).toBe(
      'one',
    );
  });

  it('a mirror that lags is no rewind: the newest that any has is taken, and none is told apart from trouble', async () => {
    const { first, push, remotes } = mirrored();
    const source = lab.source({ remotes: remotes.toReversed() });
    const two = first.write('a.yaml', '2').commit('two');
    push();
    await source.fetch(signal);
    const mirrorOnly = first.git('rev-parse', 'main~1');
    first.git(
      'push',
      '--quiet',
      '--force',
      remotes[1]?.url.replace(daemon, lab.root) ?? '',
      `${mirrorOnly}:refs/heads/main`,
    );
    expect((await source.fetch(signal)).revision.id).toBe(two);
    goAway(first);
    const error = await failure(source.fetch(signal));
    expect(error).toMatchObject({ class: 'retry' });
    expect(error.message).toMatch(/is behind/);
  });

  it('one that rewrote history does not keep a node from the other, nor hides behind its silence', async () => {
    const { first, mirror, remotes } = mirrored();
    const source = lab.source({ remotes: remotes.toReversed() });
    await source.fetch(signal);
    const evil = lab.repository(`evil-${count}`);
    evil.write('a.yaml', 'evil').commit('evil');
    evil.git('push', '--quiet', '--force', mirror, 'main');
    const good = first.write('a.yaml', '2').commit('two');
    const snapshot = await source.fetch(signal);
    expect(snapshot.revision.id).toBe(good);
    expect(snapshot.notes?.join()).toMatch(/passed over: .*does not descend/);
    goAway(first);
    expect(await failure(source.fetch(signal))).toMatchObject({ code: 'history-rewound', class: 'stall' });
  });

  it('a shallow mirror, and one that lost objects, are passed over; the cache stays as it is', async () => {
    const { first, remotes } = mirrored();
    const [good = { url: '' }] = remotes;
    const cacheDir = join(lab.root, `passed-over-${count}`);
    await lab.source({ remotes: [good], cacheDir }).fetch(signal);
    const inode = statSync(cacheIn(cacheDir)).ino;

    const two = first.write('a.yaml', '2').commit('two');
    first.write('b.yaml', '2').commit('three');
    const shallow = join(lab.root, `shallow-${count}`);
    first.git('clone', '--quiet', '--bare', '--depth=1', first.url, shallow);
    const holed = join(lab.root, `holed-${count}`);
    first.git('clone', '--quiet', '--bare', first.folder, holed); // keeps the loose objects of a local repository
    rmSync(join(holed, 'objects', two.slice(0, 2), two.slice(2)), { force: true });
    const alone = await failure(lab.source({ remotes: [{ url: `file://${shallow}` }] }).fetch(signal));
    expect(alone).toMatchObject({ code: 'source-shallow', class: 'stall', exitCode: 3 });
    expect(alone.message).toMatch(/shallow clone/);
    const source = lab.source({ remotes: [{ url: `file://${shallow}` }, { url: `file://${holed}` }, good], cacheDir });
    const snapshot = await source.fetch(signal);
    expect(snapshot.revision.subject).toBe('three');
    expect(snapshot.notes).toHaveLength(2);
    expect(statSync(cacheIn(cacheDir)).ino).toBe(inode);
  });

  it('share one cache and one mark, whatever their order and number', async () => {
    const { first, remotes } = mirrored();
    const cacheDir = join(lab.root, `shared-${count}`);
    const [a = { url: '' }, b = { url: '' }] = remotes;
    const open = (list: GitSourceOptions['remotes']) => lab.source({ remotes: list, cacheDir });
    await open([a, b]).fetch(signal);
    const cache = cacheIn(cacheDir);
    for (const list of [[b, a], [b], [a, b], [b, { url: `${daemon}/elsewhere` }], [a, b]]) {
      expect((await open(list).cached(signal))?.revision.subject).toBe('one');
      await open(list).fetch(signal);
      expect(cacheIn(cacheDir)).toBe(cache);
    }
    first.write('a.yaml', 'x').commit('rewritten', '--amend');
    expect(await failure(open([a]).fetch(signal))).toMatchObject({ code: 'history-rewound' });
    expect((await open([a, b]).fetch(signal)).revision.subject).toBe('one');
  });

  it('none of which was there before are another source: a new cache, no mark, and a note', async () => {
    const one = lab.repository('source-one');
    one.write('a.yaml', '1').commit('one');
    const other = lab.repository('source-other');
    other.write('a.yaml', '2').commit('other');
    const cacheDir = join(lab.root, 'cache-other');
    const open = (repository: Repository) => lab.source({ remotes: [{ url: repository.url }], cacheDir });
    await open(one).fetch(signal);
    const before = cacheIn(cacheDir);
    expect(await open(other).cached(signal)).toBeUndefined();
    const mistyped = lab.source({ remotes: [{ url: `${one.url}x` }], cacheDir });
    await failure(mistyped.fetch(signal));
    expect((await open(one).cached(signal))?.revision.subject).toBe('one');

    const snapshot = await open(other).fetch(signal);
    expect(snapshot.revision.subject).toBe('other');
    expect(snapshot.notes?.join()).toContain(one.url);
    expect(readdirSync(cacheDir).filter((name) => /^[0-9a-f]{32}$/.test(name))).toHaveLength(1);
    expect(cacheIn(cacheDir)).not.toBe(before);
    one.write('a.yaml', 'x').commit('rewritten', '--amend');
    expect(await failure(open(one).fetch(signal))).toMatchObject({ code: 'history-rewound' });
  });
});

describe('reachable', () => {
  it('resolves while any remote answers, whatever it has, and rejects when none does', async () => {
    const empty = lab.repository('empty-remote');
    const gone = { url: `git://127.0.0.1:${await freePort()}/x` };
    const source = lab.source({ remotes: [gone, { url: `${daemon}/empty-remote` }] });
    await source.reachable(signal);
    goAway(empty);
    const error = await failure(source.reachable(signal));
    expect(error).toMatchObject({ class: 'retry', exitCode: 3 });
    expect(error.message).toContain(gone.url);
  });

  it('does not wait for a fetch under way, and ends when nobody answers', async () => {
    const { remotes } = mirrored();
    const url = `git://127.0.0.1:${await lab.listen()}/hangs`;
    const limits = { ...defaultLimits, pollTimeoutMs: 1_000 };
    const source = lab.source({ remotes: [...remotes, { url }], ref: 'nowhere', limits });
    const order: string[] = [];
    const fetching = failure(source.fetch(signal)).then(() => order.push('fetch'));
    await source.reachable(signal).then(() => order.push('reachable'));
    await fetching;
    expect(order).toEqual(['reachable', 'fetch']);
    expect(await failure(lab.source({ remotes: [{ url }], limits }).reachable(signal))).toMatchObject({
      code: 'source-timeout',
    });
  });
});

it('names the hosts of its remotes', () => {
  const urls = [
    'ssh://git@git.example.org:2222/a.git',
    'git@Git.lab:a.git',
    'https://[2001:db8::1]:8443/a',
    'file:///a/b',
  ];
  expect(lab.source({ remotes: urls.map((url) => ({ url })) }).hosts).toEqual([
    'git.example.org',
    'Git.lab',
    '2001:db8::1',
  ]);
});

it('refuses remotes that could not work, before anybody is asked', () => {
  const cases: readonly [GitSourceOptions['remotes'], RegExp][] = [
    [[], /no remote/],
    [[{ url: '/a/folder' }], /not a git URL/],
    [[{ url: 'http://a/b', tokenFile: '/t' }], /http would show a token/],
    [[{ url: 'ssh://a/b', tokenFile: '/t' }], /no https URL/],
    [[{ url: 'https://a/b', sshKeyFile: '/k' }], /no ssh URL/],
    [[{ url: 'https://a/b', username: 'x' }], /user name/],
    [[{ url: 'ssh://a/b', sshKeyFile: 'relative' }], /path of a key/],
    [[{ url: 'ssh://a/b', sshKeyFile: "/a'; touch x; '" }], /path of a key/],
    [[{ url: 'ssh://a/b', knownHostsFile: '/a/%h' }], /path of a key/],
  ];
  for (const [remotes, words] of cases) {
    expect(() => lab.source({ remotes })).toThrow(
      expect.objectContaining({ code: 'source-invalid', message: expect.stringMatching(words) }),
    );
  }
});
