import { renameSync } from 'node:fs';
import { afterAll, expect, it } from 'vitest';
import { Lab } from './lab.ts';

const lab = new Lab();
afterAll(() => lab.close());
const signal = new AbortController().signal;

it('says which commit wrote a document last, without the remote, and nothing where nobody can tell', async () => {
  const repository = lab.repository('blame');
  const one = repository.write('fleet/sub/ä b.yaml', 'first\n---\nsecond\nof two\n').commit('add robot-17');
  repository.git('config', 'user.name', 'Grace\u0007 Example');
  const two = repository.write('fleet/sub/ä b.yaml', 'first\n---\nsecond\nof three\n').commit('move robot-17');
  const source = lab.source({ remotes: [{ url: repository.url }], path: 'fleet' });
  const blame = (id: string, file: string, line: number) => source.blame?.(id, file, line, signal);
  expect(await blame(two, 'sub/ä b.yaml', 1)).toBeUndefined(); // nothing was fetched yet
  await source.fetch(signal);
  renameSync(repository.folder, `${repository.folder}.away`);
  const file = 'sub/ä b.yaml';
  expect(await blame(two, file, 1)).toMatchObject({
    id: one,
    subject: 'add robot-17',
    author: 'Ada Example <ada@example.org>',
    time: expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(Z|[+-]\d\d:\d\d)$/),
  });
  const changed = await blame(two, file, 3); // the line itself is as it was, its document is not
  expect(changed).toMatchObject({ id: two, subject: 'move robot-17' });
  expect(await blame(two, file, 3)).toBe(changed);
  expect(await blame(one, file, 3)).toMatchObject({ id: one });
  for (const [id, path, line] of [
    [two, file, 5],
    [two, file, 0],
    [two, file, 1.5],
    [two, 'none.yaml', 1],
    [two, '../../etc/passwd', 1],
    ['f'.repeat(40), file, 1],
    ['--help', file, 1],
    ['main', file, 1],
  ] as const) {
    expect(await blame(id, path, line), `${id} ${path} ${line}`).toBeUndefined();
  }
});

it('ends when it is told to', async () => {
  const repository = lab.repository('blame-abort');
  const id = repository.write('a.yaml', 'x\n').commit('one');
  const source = lab.source({ remotes: [{ url: repository.url }] });
  await source.fetch(signal);
  await expect(source.blame?.(id, 'a.yaml', 1, AbortSignal.abort(new Error('stop')))).rejects.toThrow('stop');
});
