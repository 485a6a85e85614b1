const GROUPS = {
  set: 'The set as a whole',
  file: 'Files',
  yaml: 'YAML',
  document: 'Documents',
  schema: 'Fields',
  value: 'Values',
  fleet: 'The fleet: objects against each other',
};

/** docs/manifests.md: every field and every rule, as schema/ has them. */
export function manual({ common, kinds }, rules) {
  const parts = [INTRODUCTION];
  for (const kind of kinds) parts.push(kindSection(kind, common.$defs));
  parts.push(rulesSection(rules));
  return `${parts.join('\n\n')}\n`;
}

const INTRODUCTION = `<!-- Generated from schema/ by \`npm run generate\`; do not edit. -->
# Manifests

The desired state of a fleet is a set of YAML or JSON files, in any folder layout: \`*.yaml\`, \`*.yml\` and \`*.json\`,
one document or several separated by \`---\`. Each document is one object: a Cluster, a Peer or a VIP.

- Documents of other API groups, such as a \`kustomization.yaml\`, are passed over.
- A field that is not on this page is an error, and so is every rule broken: all of them are reported in one run,
  as \`file:line:column: error: what is wrong [rule]\` with what to do about it.
- A fleet with one error changes nothing at all. Warnings are said and stand in nobody's way.
- The files are YAML 1.2 without anchors, aliases, tags and merge keys.
- \`omni validate -f fleet/\` checks a set of files; it needs no agent and no root.

\`examples/fleet/\` is a whole fleet. An editor with a YAML language server completes and checks the fields with
\`# yaml-language-server: $schema=../../schema/peer.json\` at the head of a file.`;

/** docs/configuration.md: the file of an agent. */
export function configurationManual({ common, config }, rules) {
  const parts = [
    CONFIGURATION_INTRODUCTION,
    kindSection(config, common.$defs),
    '## Rules',
    'Besides those of [fields, values and YAML](manifests.md#rules), these hold:',
    ruleTable(rules, 'config'),
  ];
  return `${parts.join('\n\n')}\n`;
}

const CONFIGURATION_INTRODUCTION = `<!-- Generated from schema/ by \`npm run generate\`; do not edit. -->
# The agent's configuration

\`omni agent\` reads \`/etc/omni/agent.yaml\`, or what \`--config\` names: one YAML or JSON document of the form below. Without
\`--config\` the file may be absent. [Operations](operations.md#the-configuration-file) has the how and why.

- A flag beats its variable \`OMNI_*\`, that beats the file, that beats the default.
- A field that is not on this page is an error, and so is every rule broken: all of them are reported in one run, as
  \`file:line:column: error: what is wrong [rule]\` with what to do about it, and the agent ends with exit code 2.
- The file is read at the start. Files that it names (keys, tokens, certificates, signers) are read anew for each use.
- Secrets stand in files of their own, mode 0600, never in this one.

An editor with a YAML language server completes and checks the fields with
\`# yaml-language-server: $schema=…/schema/agent-config.json\` at the head of the file.`;

function kindSection(kind, defs) {
  const rows = [];
  collect(kind, '', rows, defs);
  const header = '| field | type | default | meaning |\n| --- | --- | --- | --- |';
  return [
    `## ${kind.title}`,
    kind.description,
    `\`\`\`yaml\n${example(kind, defs)}\n\`\`\``,
    `${header}\n${rows.map(fieldRow).join('\n')}`,
  ].join('\n\n');
}

/** A property with its definition folded in: what stands beside `$ref` wins. */
function resolved(schema, defs) {
  if (schema.$ref === undefined) return schema;
  const { $ref, ...own } = schema;
  const name = $ref.split('/').at(-1);
  const definition = defs[name];
  if (definition === undefined) throw new Error(`schema/common.json has no definition "${name}"`);
  return { ...resolved(definition, defs), ...own };
}

function collect(object, prefix, rows, defs) {
  for (const [name, raw] of Object.entries(object.properties)) {
    const schema = resolved(raw, defs);
    const path = `${prefix}${name}`;
    rows.push({ path, schema, required: (object.required ?? []).includes(name), defs });
    if (schema.properties !== undefined) collect(schema, `${path}.`, rows, defs);
    if (schema.items?.properties !== undefined) collect(schema.items, `${path}[].`, rows, defs);
  }
}

function fieldRow({ path, schema, required, defs }) {
  const fallback = required ? 'required' : schema.default === undefined ? 'none' : code(schema.default);
  // A list of objects is explained by its fields, each in a row of its own.
  const examples = (schema.items?.properties === undefined ? (schema.examples ?? []) : []).map(code).join(', ');
  const expects = resolved(schema.items ?? schema, defs)['x-expects'];
  const meaning = [
    schema.description,
    expects === undefined ? undefined : `${schema.items === undefined ? 'Form' : 'Form of each'}: ${expects}.`,
    schema['x-range'] === undefined ? undefined : `From ${schema['x-range'].join(' to ')}.`,
    examples === '' ? undefined : `Example: ${examples}.`,
  ];
  const cells = [
    `\`${path}\``,
    typeName(schema, defs),
    fallback,
    meaning.filter((text) => text !== undefined).join(' '),
  ];
  return `| ${cells.map((cell) => cell.replaceAll('|', '\\|')).join(' | ')} |`;
}

function typeName(schema, defs) {
  if (schema.const !== undefined) return code(schema.const);
  if (Array.isArray(schema.type)) return schema.type.join(' or ');
  if (schema.enum !== undefined) return schema.enum.map(code).join(' or ');
  if (schema.type === 'array') {
    const item = resolved(schema.items, defs);
    return `list of ${typeName(item, defs)}${item.enum === undefined ? 's' : ''}${countOf(schema)}`;
  }
  if (schema.type === 'object') return schema.properties === undefined ? 'map of strings' : 'object';
  if (schema.type === 'integer') return `integer, ${schema.minimum} to ${schema.maximum}`;
  if (schema.type === 'boolean') return '`true` or `false`';
  return schema.format === undefined ? 'string' : schema.format.replace(/^omni-/, '').replace('-', ' ');
}

function countOf(schema) {
  return `, ${schema.minItems ?? 0} to ${schema.maxItems}`;
}

function code(value) {
  return `\`${inline(value)}\``;
}

/** Flow style YAML of an example. */
function inline(value) {
  if (Array.isArray(value)) return `[${value.map(inline).join(', ')}]`;
  if (typeof value === 'object' && value !== null) {
    const entries = Object.entries(value).map(([key, item]) => `${key}: ${inline(item)}`);
    return entries.length === 0 ? '{}' : `{ ${entries.join(', ')} }`;
  }
  return typeof value === 'string' && /^$|^[[{]|[:,] |::|^\d[\d:]*$/.test(value) ? `"${value}"` : String(value);
}

function example(kind, defs) {
  const lines = [`apiVersion: ${defs.apiVersion.const}`, `kind: ${kind.title}`];
  if (kind.properties.metadata !== undefined) lines.push(...exampleMetadata(kind, defs));
  lines.push('spec:');
  exampleFields(kind.properties.spec, '  ', lines, defs);
  return lines.join('\n');
}

function exampleMetadata(kind, defs) {
  const metadata = resolved(kind.properties.metadata, defs);
  const name = kind.title === 'Cluster' ? 'warehouse' : resolved(metadata.properties.name, defs).examples[0];
  return ['metadata:', `  name: ${name}`];
}

function exampleFields(object, indent, lines, defs) {
  for (const [name, raw] of Object.entries(object.properties)) {
    const schema = resolved(raw, defs);
    // What excludes something that is in the example already.
    if (schema['x-alternative'] === true) continue;
    if (schema.properties !== undefined) {
      lines.push(`${indent}${name}:`);
      exampleFields(schema, `${indent}  `, lines, defs);
    } else if (schema.items?.properties !== undefined && schema.examples !== undefined) {
      lines.push(`${indent}${name}:`, ...schema.examples[0].flatMap((item) => blockItem(item, `${indent}  `)));
    } else if (schema.examples !== undefined) {
      lines.push(`${indent}${name}: ${inline(schema.examples[0])}`);
    }
  }
}

/** An object of a list, in block style. */
function blockItem(item, indent) {
  return Object.entries(item).map(([key, value], at) => `${indent}${at === 0 ? '- ' : '  '}${key}: ${inline(value)}`);
}

function rulesSection(rules) {
  const parts = [
    '## Rules',
    'The name in brackets at the end of a message is one of these. Scripts may rely on the names. Words in braces stand for what the message is about.',
  ];
  for (const [group, title] of Object.entries(GROUPS)) parts.push(`### ${title}`, ruleTable(rules, group));
  return parts.join('\n\n');
}

function ruleTable(rules, group) {
  const rows = Object.entries(rules).filter(([, rule]) => rule.group === group);
  return `| rule | what holds | message | what to do |\n| --- | --- | --- | --- |\n${rows.map(ruleRow).join('\n')}`;
}

function ruleRow([id, rule]) {
  const name = rule.severity === 'warning' ? `\`${id}\` (warning)` : `\`${id}\``;
  const fix = /^\{\w+\}$/.test(rule.fix) ? 'The message says it.' : rule.fix;
  return `| ${[name, rule.meaning, rule.message, fix].map((cell) => cell.replaceAll('|', '\\|')).join(' | ')} |`;
}
