import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import common from '../../../schema/common.json' with { type: 'json' };
import { createFleetReader, filesFromPaths } from '../../../src/manifest/load.ts';
import { type SchemaNode, schemas } from '../../../src/manifest/schema.ts';
import { fleetOf, noStdin, readTexts } from './support.ts';

const root = join(import.meta.dirname, '../../..');
const manual = readFileSync(join(root, 'docs/manifests.md'), 'utf8');
const configuration = readFileSync(join(root, 'docs/configuration.md'), 'utf8');

/** The values of keys in a text, without quotes. */
function valuesOf(text: string, key: string): string[] {
  return [...text.matchAll(new RegExp(`^ +${key}: (\\S+)`, 'gm'))].map((match) => match[1] ?? '');
}

test('examples/fleet is valid: one cluster, three robots, an address of each family for each', async () => {
  const files = await filesFromPaths(['examples/fleet'], { recursive: true, stdin: noStdin, cwd: root });
  const result = await createFleetReader().read(files);
  expect(result.diagnostics).toEqual([]);
  const fleet = fleetOf(result);
  expect([...fleet.clusters.keys()]).toEqual(['warehouse']);
  expect([...fleet.peers.keys()].sort()).toEqual(['robot-17', 'robot-18', 'robot-30']);
  const families = [...fleet.vips.values()].map(({ peer, address }) => `${peer} ${address.includes(':') ? 6 : 4}`);
  expect(families.sort()).toEqual([...fleet.peers.keys()].sort().flatMap((peer) => [`${peer} 4`, `${peer} 6`]));
});

test('the kustomization of examples/fleet lists exactly the manifests beside it', () => {
  const folder = join(root, 'examples/fleet');
  const listed = [...readFileSync(join(folder, 'kustomization.yaml'), 'utf8').matchAll(/^ {2}- (.*)$/gm)];
  const others = readdirSync(folder).filter((name) => name.endsWith('.yaml') && name !== 'kustomization.yaml');
  expect(listed.map((match) => match[1]).sort()).toEqual(others.sort());
});

test('the documents of docs/manifests.md make a valid fleet', async () => {
  const blocks = [...manual.matchAll(/```yaml\n(.*?)```/gs)].map((match) => match[1] ?? '');
  expect(blocks.length).toBe(3);
  const result = await readTexts(createFleetReader(), { 'manual.yaml': blocks.join('---\n') });
  expect(result.diagnostics).toEqual([]);
});

test('no two examples have a key in common', () => {
  const texts = ['cluster', 'field', 'munich'].map((name) =>
    readFileSync(join(root, `examples/fleet/${name}.yaml`), 'utf8'),
  );
  const keys = [...texts, manual].flatMap((text) => [
    ...valuesOf(text, 'publicKey'),
    ...valuesOf(text, 'nextPublicKey'),
  ]);
  expect(keys.length).toBe(5);
  expect(new Set(keys).size).toBe(keys.length);
});

/** Those of the objects in a list are written `list[].field`. */
function fields(node: SchemaNode, path: string): string[] {
  const name = node.$ref?.split('/').at(-1);
  const definitions: Readonly<Record<string, SchemaNode>> = common.$defs;
  const target = name === undefined ? node : (definitions[name] ?? node);
  return Object.entries(target.properties ?? {}).flatMap(([key, value]) => {
    const here = path === '' ? key : `${path}.${key}`;
    return [here, ...fields(value, here), ...fields(value.items ?? {}, `${here}[]`)];
  });
}

test('docs/manifests.md and docs/configuration.md describe every field', () => {
  for (const [kind, schema] of Object.entries(schemas)) {
    const page = kind === 'AgentConfig' ? configuration : manual;
    const section = page.slice(page.indexOf(`\n## ${kind}\n`)).split('\n## ')[1] ?? '';
    for (const field of fields(schema, '')) {
      const row = section.split('\n').find((line) => line.startsWith(`| \`${field}\` |`));
      expect(row, `${kind}.${field}`).toBeDefined();
      const [, , type = '', fallback = '', meaning = ''] = row?.split(/(?<!\\)\|/) ?? [];
      expect(
        [type, fallback, meaning].map((cell) => cell.trim().length > 0),
        `${kind}.${field}`,
      ).toEqual([true, true, true]);
    }
  }
});
