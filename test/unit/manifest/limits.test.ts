import { expect, test } from 'vitest';
import { makeFleet } from '../../../bench/fleets.ts';
import { limits } from '../../../src/manifest/limits.ts';
import { createFleetReader, filesFromTexts } from '../../../src/manifest/load.ts';
import type { Diagnostic, ManifestFile } from '../../../src/manifest/model.ts';
import { readTexts } from './support.ts';

const small = Object.fromEntries(makeFleet(1).map(({ path, text }) => [path, text]));

function rulesOf(diagnostics: readonly Diagnostic[]): string[] {
  return [...new Set(diagnostics.map(({ rule }) => rule))];
}

function unread(path: string, size: number): ManifestFile {
  return { path, blob: path, size, read: () => Promise.reject(new Error('it was read')) };
}

test('a file that is too large is not read, and the others are checked all the same', async () => {
  const files = [...filesFromTexts([{ path: 'a.yaml', text: 'kind: Peer' }]), unread('big.yaml', limits.fileBytes + 1)];
  const { diagnostics } = await createFleetReader().read(files);
  expect(diagnostics.map(({ rule, position }) => [rule, position.file])).toEqual([
    ['api-version-missing', 'a.yaml'],
    ['file-too-large', 'big.yaml'],
  ]);
});

test('a file that is larger than it said is refused as well', async () => {
  const [file] = filesFromTexts([{ path: 'a.yaml', text: ' '.repeat(limits.fileBytes + 1) }]);
  if (file === undefined) throw new Error('no file');
  const { diagnostics } = await createFleetReader().read([{ ...file, size: 10 }]);
  expect(rulesOf(diagnostics)).toEqual(['file-too-large']);
});

test('a set that is too large is not read', async () => {
  const files = Array.from({ length: 17 }, (_, at) => unread(`${at}.yaml`, limits.fileBytes));
  expect(rulesOf((await createFleetReader().read(files)).diagnostics)).toEqual(['set-too-large']);
});

test('a document that is too large is ours or passed over', async () => {
  const filler = `# ${'x'.repeat(limits.documentLength)}\n`;
  const passed = await readTexts(createFleetReader(), {
    ...small,
    'crd.yaml': `kind: CustomResourceDefinition\n${filler}`,
  });
  expect(passed.ok).toBe(true);
  const ours = `apiVersion: omni.io/v1alpha1\nkind: Cluster\n${filler}`;
  const refused = await readTexts(createFleetReader(), { ...small, 'big.yaml': ours });
  expect(rulesOf(refused.diagnostics)).toEqual(['document-too-large']);
});

const line = 'QUJD'.repeat(16);

/** As `omni seal` writes it, for ten thousand peers. */
function sealed(indent: string, lineEnd: string): string {
  const lines = Array.from({ length: 22_000 }, () => line);
  const header = Buffer.from('age-encryption.org/v1\n').toString('base64');
  const armor = ['-----BEGIN AGE ENCRYPTED FILE-----', header, ...lines, '-----END AGE ENCRYPTED FILE-----'];
  return armor.map((each) => `${indent}${each}${lineEnd}`).join('');
}

test.each([
  ['a block of YAML', `|\n${sealed('    ', '\n')}`],
  ['lines that end as on Windows', `|\r\n${sealed('      ', '\r\n')}`],
  ['a string of JSON', `"${sealed('', '\\n')}"`],
])('a key that is sealed for ten thousand peers is no document that is too large: %s', async (_, psk) => {
  const cluster = small['cluster.yaml'] ?? '';
  const result = await readTexts(createFleetReader(), { ...small, 'cluster.yaml': `${cluster}  psk: ${psk}\n` });
  expect(rulesOf(result.diagnostics)).not.toContain('document-too-large');
  expect(result.diagnostics.every(({ rule }) => rule === 'psk-invalid')).toBe(true);
});

test('what only looks like a sealed key in places is too large all the same', async () => {
  const head = 'apiVersion: omni.io/v1alpha1\nkind: Cluster\n';
  for (const each of [`[]\n${line}\n`.repeat(60_000), `"${line}",`.repeat(2_000), 'A'.repeat(140_000)]) {
    const result = await readTexts(createFleetReader(), { ...small, 'big.yaml': head + each });
    expect(rulesOf(result.diagnostics)).toEqual(['document-too-large']);
  }
});

test('too many documents, in one file and in several', async () => {
  const many = '---\n'.repeat(limits.documents + 1);
  expect(rulesOf((await readTexts(createFleetReader(), { 'a.yaml': many })).diagnostics)).toEqual([
    'too-many-documents',
  ]);
  const half = '---\na: b\n'.repeat(limits.documents / 2 + 1);
  const result = await readTexts(createFleetReader(), { ...small, 'a.yaml': half, 'b.yaml': half });
  expect(rulesOf(result.diagnostics)).toEqual(['too-many-documents']);
});

test('findings are bounded: of files, and of checks between them', async () => {
  const reader = createFleetReader();
  const bad = '---\nkind: Peer\n'.repeat(limits.findings + 5);
  const inFile = await readTexts(reader, { ...small, 'a.yaml': bad });
  expect(rulesOf(inFile.diagnostics)).toEqual(['too-many-findings', 'api-version-missing']);
  expect(inFile.diagnostics.length).toBeLessThan(limits.findings + 5);

  const vip =
    'apiVersion: omni.io/v1alpha1\nkind: VIP\nmetadata: { name: v }\nspec: { cluster: c, address: 10.0.0.1, peer: p }\n';
  const same = Array.from({ length: limits.findings / 2 }, () => vip).join('---\n');
  const between = await readTexts(reader, { ...small, 'a.yaml': same });
  expect(rulesOf(between.diagnostics)).toContain('too-many-findings');
  expect(between.diagnostics.length).toBe(limits.findings + 1);

  const well = await readTexts(reader, small);
  expect(well.ok && well.changed).toBe('all');
  expect(well.diagnostics).toEqual([]);
});

test('a set that overflowed with findings leaves the difference to the last good fleet right', async () => {
  const reader = createFleetReader();
  await readTexts(reader, small);
  const vip =
    'apiVersion: omni.io/v1alpha1\nkind: VIP\nmetadata: { name: v }\nspec: { cluster: c, address: 10.0.0.1, peer: p }\n';
  const same = Array.from({ length: limits.findings }, () => vip).join('---\n');
  expect((await readTexts(reader, { 'a.yaml': same })).ok).toBe(false);
  const two = Object.fromEntries(makeFleet(2).map(({ path, text }) => [path, text]));
  const result = await readTexts(reader, two);
  expect(result.ok && result.changed).toEqual(new Set(['peer/robot-00001', 'vip/robot-00001']));
});
