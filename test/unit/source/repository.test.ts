import { chmodSync, chownSync, existsSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, expect, it } from 'vitest';
import { OmniError } from '../../../src/errors.ts';
import { openGitRepository } from '../../../src/source/repository.ts';
import { Lab } from './lab.ts';

const lab = new Lab();
afterAll(() => lab.close());
const signal = new AbortController().signal;

it('reads commits of a checkout from any folder inside it, without touching the work tree', async () => {
  const repository = lab.repository('checkout');
  const first = repository.write('fleet/a.yaml', '1').commit('one');
  repository.git('tag', '-a', 'v1', '-m', 'release');
  repository.write('fleet/a.yaml', '2').write('fleet/b.yaml', 'b').commit('two');
  repository.write('fleet/a.yaml', 'not committed');
  const git = openGitRepository(join(repository.folder, 'fleet'));
  try {
    for (const rev of ['v1', 'HEAD~1', 'main^', first]) {
      const snapshot = await git.readRevision(rev, 'fleet', signal);
      expect(snapshot.revision).toMatchObject({ id: first, label: `${rev}@sha1:${first}`, subject: 'one' });
      expect(snapshot.files.map(({ path }) => path)).toEqual(['a.yaml']);
    }
    const head = await git.readRevision('HEAD', 'fleet', signal);
    expect(Buffer.from((await head.files[0]?.read()) ?? []).toString()).toBe('2');
  } finally {
    git.close();
  }
});

it('reads what lies in the checkout: new and changed files, without ignored, removed and linked ones', async () => {
  const repository = lab.repository('work-tree');
  repository.write('fleet/a.yaml', '1').write('fleet/b.yaml', 'b').write('other.yaml', 'o').commit('one');
  repository.write('.gitignore', 'ignored.yaml\n').write('fleet/ignored.yaml', 'i').write('fleet/a.yaml', 'changed');
  repository.write('fleet/new/c.json', 'c').write('fleet/.hidden/d.yaml', 'd').write('fleet/notes.txt', 't');
  rmSync(join(repository.folder, 'fleet/b.yaml'));
  symlinkSync('a.yaml', join(repository.folder, 'fleet/link.yaml'));
  const git = openGitRepository(join(repository.folder, 'fleet'));
  try {
    const { revision, files } = await git.readWorkTree('fleet', signal);
    expect(revision.label).toBe('work tree');
    expect(files.map(({ path, size }) => [path, size])).toEqual([
      ['a.yaml', 7],
      ['new/c.json', 1],
    ]);
    expect(Buffer.from((await files[0]?.read()) ?? []).toString()).toBe('changed');
    const whole = await git.readWorkTree('', signal);
    expect(whole.files.map(({ path }) => path)).toEqual(['fleet/a.yaml', 'fleet/new/c.json', 'other.yaml']);
    const head = await git.readRevision('HEAD', '', signal);
    const blob = (files: typeof head.files) => files.find(({ path }) => path === 'other.yaml')?.blob;
    expect(blob(whole.files)).toBe(blob(head.files));
    await expect(git.readWorkTree('nope', signal)).rejects.toMatchObject({ code: 'source-invalid' });
  } finally {
    git.close();
  }
  const bare = openGitRepository(join(repository.folder, '.git'));
  await expect(bare.readWorkTree('', signal)).rejects.toMatchObject({
    code: 'source-invalid',
    fix: expect.stringContaining('two commits'),
  });
  bare.close();
});

it.skipIf(process.getuid?.() !== 0)("reads another user's checkout", async () => {
  const repository = lab.repository('foreign');
  const id = repository.write('a.yaml', '1').commit('one');
  for (const path of [repository.folder, join(repository.folder, '.git')]) chownSync(path, 65_534, 65_534);
  const git = openGitRepository(repository.folder);
  expect((await git.readRevision('HEAD', '', signal)).revision.id).toBe(id);
  git.close();
});

it('says what is wrong', async () => {
  const repository = lab.repository('errors');
  repository.write('a.yaml', '1').commit('one');
  const git = openGitRepository(repository.folder);
  await expect(git.readRevision('nope', '', signal)).rejects.toMatchObject({ code: 'source-ref-missing', exitCode: 3 });
  await expect(git.readRevision('HEAD', 'nope', signal)).rejects.toMatchObject({ code: 'source-path-missing' });
  await expect(git.readRevision('--batch-check', '', signal)).rejects.toMatchObject({ code: 'source-invalid' });
  git.close();
  const outside = openGitRepository(lab.folder('no-repository'));
  await expect(outside.readRevision('HEAD', '', signal)).rejects.toMatchObject({
    code: 'source-invalid',
    message: expect.stringContaining('not a git repository'),
  });
});

it('executes nothing that the repository configures', async () => {
  const repository = lab.repository('hostile');
  repository.write('a.yaml', '1').write('.gitattributes', '*.yaml diff=evil filter=evil\n').commit('one');
  const marker = join(lab.root, 'marker');
  const script = join(lab.root, 'evil.sh');
  writeFileSync(script, `#!/bin/sh\ntouch '${marker}'\n`);
  chmodSync(script, 0o755);
  for (const key of [
    'core.fsmonitor',
    'core.pager',
    'diff.evil.textconv',
    'filter.evil.smudge',
    'gpg.program',
    'core.sshCommand',
  ]) {
    repository.git('config', key, script);
  }
  // A partial clone that misses an object would fetch it, and so run the remote's command.
  repository.git('config', 'core.repositoryFormatVersion', '1');
  repository.git('config', 'extensions.partialClone', 'origin');
  repository.git('config', 'remote.origin.url', repository.url);
  repository.git('config', 'remote.origin.promisor', 'true');
  repository.git('config', 'remote.origin.uploadpack', script);
  repository.git('config', 'log.showSignature', 'true');
  const git = openGitRepository(repository.folder);
  const { files } = await git.readRevision('HEAD', '', signal);
  await files[0]?.read();
  repository.write('a.yaml', 'changed');
  expect((await git.readWorkTree('', signal)).files[0]?.size).toBe(7);
  const blob = files[0]?.blob ?? '';
  rmSync(join(repository.folder, '.git', 'objects', blob.slice(0, 2), blob.slice(2)));
  await expect(git.readRevision('HEAD', '', signal)).rejects.toBeInstanceOf(OmniError);
  await expect(files[0]?.read()).rejects.toBeInstanceOf(OmniError);
  git.close();
  expect(existsSync(marker)).toBe(false);
});
