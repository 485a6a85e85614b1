import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { projectRoot } from '../../../lab/lab.ts';
import { FEATURES } from '../../../src/dataplane/kernel/needs.ts';

it('docs/kernels.md names every feature that a kernel needs, with the version that brought it, and no other', () => {
  const manual = readFileSync(join(projectRoot, 'docs/kernels.md'), 'utf8');
  const [, chapter = ''] = /## What a kernel must do\n(.*?)\n## /s.exec(manual) ?? [];
  const rows = chapter.split('\n').filter((line) => line.startsWith('| '));
  const named = rows.slice(1).map((row) => row.split(' | ').map((cell) => cell.replace(/^\| /, '')));
  expect(named.map(([what, since]) => [what, since])).toEqual(FEATURES.map(({ what, since }) => [what, since]));
  for (const [at, { need }] of FEATURES.entries())
    expect(named[at]?.[2]?.startsWith('no agent')).toBe(need === 'needed');
});
