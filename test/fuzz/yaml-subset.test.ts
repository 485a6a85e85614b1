import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { makeFleet } from '../../bench/fleets.ts';
import { sections } from '../../src/manifest/text.ts';
import { composeYaml, plain } from '../../src/manifest/yaml.ts';
import { readSubset } from '../../src/manifest/yaml-subset.ts';

const RUNS = Number(process.env.OMNI_FUZZ_RUNS ?? 3000);

/** What the subset's reader reads, the YAML library reads the same; true where it read it. */
function agrees(text: string): boolean {
  const fast = readSubset(text);
  if (fast === undefined) return false;
  const documents = composeYaml(text).filter((each) => each.contents !== null || each.syntax.length > 0);
  expect(documents.length, text).toBe(1);
  const [document] = documents;
  if (document?.contents == null) throw new Error(`the library finds nothing in ${JSON.stringify(text)}`);
  expect(document.syntax, text).toEqual([]);
  const slow = plain(document);
  expect(slow.findings, text).toEqual([]);
  expect(fast.value, text).toStrictEqual(slow.value);
  expect(fast.start, text).toBe(document.at(document.contents.range[0]));
  return true;
}

const folders = ['test/unit/manifest/fixtures', 'examples'].map((folder) => join(import.meta.dirname, '../..', folder));
const corpus = folders.flatMap((root) =>
  readdirSync(root, { recursive: true, encoding: 'utf8' })
    .filter((path) => /\.(ya?ml|json)$/.test(path))
    .flatMap((path) => sections(readFileSync(join(root, path), 'utf8')).map(({ text }) => text)),
);

test('every document of a fleet as people write it is of the subset', () => {
  const texts = makeFleet(50).flatMap(({ text }) => sections(text).map((section) => section.text));
  expect(texts.filter((text) => !agrees(text))).toEqual([]);
});

test('documents of the examples and of the fixtures', () => {
  const read = corpus.filter((text) => agrees(text));
  expect(read.length).toBeGreaterThan(corpus.length / 3);
});

const token = fc.constantFrom(
  ...[
    'a: ',
    'name: ',
    'spec:',
    '\n',
    '\n  ',
    '\n    ',
    '\n- ',
    '\n  - ',
    '- ',
    '---\n',
    '...',
    '{ ',
    ' }',
    '[',
    ']',
    ', ',
  ],
  ...[
    '"',
    "'",
    '"x y"',
    "'it''s'",
    ' # c',
    '#',
    ': ',
    ':',
    'x',
    '10.77.0.1',
    '1',
    '01',
    '0x1f',
    '1e3',
    '.5',
    'true',
    'True',
  ],
  ...[
    'null',
    '~',
    '-',
    '?',
    '|',
    '>',
    '&a ',
    '*a',
    '!t ',
    '%',
    '@',
    '`',
    '<<: ',
    '__proto__: ',
    'fd77::/64',
    'a:b',
    'a#b',
    ' ',
  ],
);

test('texts made of pieces that mean something to YAML', () => {
  fc.assert(
    fc.property(fc.array(token, { maxLength: 14 }), (pieces) => {
      agrees(pieces.join(''));
    }),
    { numRuns: RUNS * 5 },
  );
});

test('mutated documents', () => {
  const document = fc.constantFrom(...corpus, ...makeFleet(3).map(({ text }) => text.split('---')[0] ?? ''));
  const edit = fc.record({ at: fc.nat(600), cut: fc.nat(6), put: fc.oneof(token, fc.string({ maxLength: 3 })) });
  fc.assert(
    fc.property(document, fc.array(edit, { minLength: 1, maxLength: 4 }), (text, edits) => {
      let changed = text;
      for (const { at, cut, put } of edits) changed = changed.slice(0, at) + put + changed.slice(at + cut);
      agrees(changed);
    }),
    { numRuns: RUNS * 3 },
  );
});

test('generated values, written as flow and as blocks', () => {
  const scalar = fc.oneof(
    fc.stringMatching(/^[A-Za-z0-9+/=.:_ -]{1,20}$/).map((text) => text.trim()),
    fc.integer({ min: -5, max: 100000 }).map(String),
    fc.boolean().map(String),
  );
  const key = fc.stringMatching(/^[a-z][A-Za-z0-9./-]{0,8}$/);
  const entries = fc.array(fc.tuple(key, scalar), { minLength: 1, maxLength: 4 });
  let read = 0;
  fc.assert(
    fc.property(entries, entries, fc.array(scalar, { maxLength: 4 }), (outer, inner, items) => {
      const flow = `{ ${inner.map(([name, value]) => `${name}: ${value}`).join(', ')} }`;
      const block = inner.map(([name, value]) => `  ${name}: ${value}\n`).join('');
      const text = `${outer.map(([name, value]) => `${name}: ${value}\n`).join('')}z1: ${flow}\nz2:\n${block}z3: [${items.join(', ')}]\nz4:\n${items.map((item) => `- ${item}\n`).join('')}`;
      if (agrees(text)) read++;
    }),
    { numRuns: RUNS },
  );
  expect(read).toBeGreaterThan(RUNS / 20);
});
