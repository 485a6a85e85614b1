/**
 * What follows from schema/: the raw document types, the rules' parameters, docs/manifests.md and docs/configuration.md.
 */
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { compile } from 'json-schema-to-typescript';
import { configurationManual, manual } from './manifest-manual.mjs';

const KINDS = ['cluster', 'peer', 'vip'];
/** Of a node: typed and validated as the kinds of a fleet are, and on a page of its own. */
const CONFIG = 'agent-config';
const TYPES = 'src/manifest/generated.ts';
const DOCS = 'docs/manifests.md';
const CONFIG_DOCS = 'docs/configuration.md';

/** Path -> text of every file that is generated from schema/. `root` ends with a slash. */
export async function manifestFiles(root) {
  const read = (name) => JSON.parse(readFileSync(`${root}schema/${name}.json`, 'utf8'));
  const schemas = { common: read('common'), kinds: KINDS.map(read) };
  const config = read(CONFIG);
  const rules = read('rules');
  const typed = { ...schemas, kinds: [...schemas.kinds, config] };
  return {
    [TYPES]: formatted(root, TYPES, `${await types(typed)}\n${ruleTypes(rules)}`),
    [DOCS]: manual(schemas, rules),
    [CONFIG_DOCS]: configurationManual({ common: schemas.common, config }, rules),
  };
}

function formatted(root, path, text) {
  const run = spawnSync(`${root}node_modules/.bin/biome`, ['format', `--stdin-file-path=${path}`], {
    cwd: root,
    input: text,
    encoding: 'utf8',
  });
  if (run.status !== 0) throw new Error(`biome cannot format ${path}: ${run.stderr}`);
  return run.stdout;
}

async function types({ common, kinds }) {
  const $defs = structuredClone(common.$defs);
  for (const kind of kinds) {
    const { $id, $schema, title, ...rest } = structuredClone(kind);
    $defs[`${title}Document`] = rest;
  }
  const bundle = {
    title: 'ManifestDocument',
    oneOf: kinds.map((kind) => ({ $ref: `#/$defs/${kind.title}Document` })),
    $defs,
  };
  const local = JSON.parse(JSON.stringify(bundle).replaceAll('common.json#/', '#/'));
  const text = await compile(local, 'ManifestDocument', {
    additionalProperties: false,
    ignoreMinAndMaxItems: true,
    format: false,
    bannerComment:
      '/**\n * What a manifest says, before its values are read and defaults are filled in.\n * Generated from schema/ by `npm run generate`; do not edit.\n */',
  });
  return exportingOnly([...kinds.map((kind) => `${kind.title}Document`), 'Metadata'], withoutRoot(text));
}

/** The union of all kinds is what the compiler wants as a root; nobody else does. */
function withoutRoot(text) {
  const cut = text.replace(/^export type ManifestDocument\b.*\n/m, '');
  if (cut === text) throw new Error('the generated types have no ManifestDocument');
  return cut;
}

function exportingOnly(names, text) {
  return text.replace(/^export (interface|type) (\w+)/gm, (whole, word, name) =>
    names.includes(name) ? whole : `${word} ${name}`,
  );
}

function placeholders(rule) {
  const names = [...`${rule.message} ${rule.fix}`.matchAll(/\{(\w+)\}/g)].map((match) => match[1]);
  return [...new Set(names)];
}

function ruleTypes(rules) {
  const members = Object.entries(rules).map(([id, rule]) => {
    const names = placeholders(rule);
    return `  '${id}': ${names.length === 0 ? 'never' : names.map((name) => `'${name}'`).join(' | ')};`;
  });
  return `/** The rules of schema/rules.json, and what their messages speak of. */\nexport interface RuleParameters {\n${members.join('\n')}\n}\n`;
}
