import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import rules from '../../../schema/rules.json' with { type: 'json' };
import { renderDiagnostic } from '../../../src/manifest/diagnostic.ts';
import { createFleetReader, filesFromPaths } from '../../../src/manifest/load.ts';
import { noStdin } from './support.ts';

const root = join(import.meta.dirname, 'fixtures');
const cases = readdirSync(root);

/** Rules that no readable folder can break; limits.test.ts and reader.test.ts break them. */
const elsewhere = [
  'document-too-large',
  'file-too-large',
  'mac-collision',
  'set-too-large',
  'too-many-documents',
  'too-many-findings',
];

/** Each folder is a set of manifests; expected.txt is all that is said of it. `vitest -u` writes it anew. */
describe.each(cases)('fixtures/%s', (name) => {
  test('says what expected.txt says', async () => {
    const files = await filesFromPaths(['.'], { stdin: noStdin, cwd: join(root, name) });
    const result = await createFleetReader().read(files);
    const text = result.diagnostics.map((each) => `${renderDiagnostic(each)}\n`).join('');
    await expect(text).toMatchFileSnapshot(join(root, name, 'expected.txt'));
    expect(result.ok).toBe(!text.includes(': error: '));
  });
});

test('every rule has a case', () => {
  const said = cases.map((name) => readFileSync(join(root, name, 'expected.txt'), 'utf8')).join('');
  const seen = new Set(Array.from(said.matchAll(/ \[([a-z0-9-]+)\]$/gm), (match) => match[1]));
  // Those of an agent's configuration have cases of their own: test/unit/agent/config.test.ts.
  const ours = Object.entries(rules).filter(([, { group }]) => group !== 'config');
  const missing = ours.flatMap(([rule]) => (seen.has(rule) ? [] : [rule]));
  expect(missing.sort()).toEqual(elsewhere);
});

test('no case says the text of a key', () => {
  for (const name of cases) {
    const said = readFileSync(join(root, name, 'expected.txt'), 'utf8');
    expect(said, name).not.toMatch(/[A-Za-z0-9+/]{40}|BEGIN/);
  }
});
