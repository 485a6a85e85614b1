import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { projectRoot } from '../../../lab/lab.ts';
import { OmniDrop, omniDropNames } from '../../../src/dataplane/kernel/layout.ts';

/** Whoever reads a counter at night finds it in the manual, and no other. */
it('the manual explains every drop reason, and only those', () => {
  const manual = readFileSync(join(projectRoot, 'docs/operations.md'), 'utf8');
  const [, chapter = ''] = /## Drop reasons\n(.*?)\n## /s.exec(manual) ?? [];
  const rows = chapter.split('\n').filter((line) => line.startsWith('| `'));
  const explained = rows.flatMap((row) =>
    [...(row.split('|')[1] ?? '').matchAll(/`([^`]+)`/g)].map(([, name]) => name),
  );
  const reasons = omniDropNames.filter((_, index) => index !== OmniDrop.none);
  expect(explained.toSorted()).toEqual(reasons.toSorted());
});
