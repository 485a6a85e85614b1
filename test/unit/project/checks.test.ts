import { describe, expect, it } from 'vitest';
import { projectRoot } from '../../../lab/lab.ts';
import { run } from '../../../lab/shell.ts';

/** What `npm run check` does, so that `npm test` and CI do not need a second list. */
describe('the checkout', () => {
  it.each([
    [
      'is formatted and lint-clean, imports point one way',
      ['npx', '--no-install', 'biome', 'check', '--error-on-warnings', '.'],
    ],
    ['is well typed', ['npx', '--no-install', 'tsc', '--noEmit', '-p', 'tsconfig.check.json']],
    ['has no dead export and no unused dependency', ['npx', '--no-install', 'knip']],
    ['has generated files that are up to date', ['node', 'scripts/generate.mjs', '--check']],
  ])('%s', { timeout: 120_000 }, async (_name, argv) => {
    const result = await run(argv, { cwd: projectRoot, timeoutMs: 110_000 });
    expect(result.status, `${result.stdout}\n${result.stderr}`).toBe(0);
  });
});
