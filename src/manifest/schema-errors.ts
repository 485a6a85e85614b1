import type { ErrorObject } from 'ajv/dist/2020.js';
import common from '../../schema/common.json' with { type: 'json' };
import { type Statement, statement } from './diagnostic.ts';
import { type DocumentKind, repeated, resolved, type SchemaNode, schemas } from './schema.ts';
import { nearest } from './suggest.ts';
import { type LocalFinding, type Spot, start } from './text.ts';
import { formats, isDurationRange, outOfRange } from './values.ts';
import { type Plain, pointer } from './yaml.ts';

/** `/spec/endpoints/0` as people write it: `spec.endpoints[0]`; the document itself: `a Peer`. */
function spoken(path: string, kind: DocumentKind): string {
  if (path === '') return kind === 'AgentConfig' ? `an ${kind}` : `a ${kind}`;
  const keys = path.split('/').slice(1);
  return keys
    .map((key) => key.replaceAll('~1', '/').replaceAll('~0', '~'))
    .map((key, at) => (/^\d+$/.test(key) ? `[${key}]` : at === 0 ? key : `.${key}`))
    .join('');
}

/** What a field wants, in words that fit behind "must be" and "Give". */
function expectation(node: SchemaNode): string {
  const schema = resolved(node);
  if (schema['x-expects'] !== undefined) return schema['x-expects'];
  if (schema.const !== undefined) return `\`${schema.const}\``;
  if (schema.enum !== undefined) return schema.enum.map((value) => `\`${value}\``).join(' or ');
  switch (schema.type) {
    case 'integer':
      return `a whole number from ${schema.minimum} to ${schema.maximum}`;
    case 'boolean':
      return '`true` or `false`';
    case 'array':
      return 'a list';
    case 'object':
      return 'an object';
    default:
      return 'a text';
  }
}

/** A value as it may be shown. Where a key belongs, a secret may stand: it is not repeated. */
export function described(value: unknown, schema?: SchemaNode): string {
  if (value === null || value === undefined) return 'empty';
  if (Array.isArray(value)) return value.length === 0 ? 'an empty list' : 'a list';
  if (typeof value === 'object') return 'an object';
  if (mayBeSecret(schema)) return `a ${typeof value === 'string' ? 'text' : typeof value}`;
  return typeof value === 'string' ? `the text "${value}"` : `the ${typeof value} ${String(value)}`;
}

/** Where such a value belongs, a secret may stand. */
function mayBeSecret(schema: SchemaNode | undefined): boolean {
  return ['omni-public-key', 'omni-age', 'omni-absolute-path'].includes(schema?.format ?? '');
}

function typeAdvice(value: unknown, schema: SchemaNode): string {
  const single = typeof value === 'string' || typeof value === 'number' || typeof value === 'boolean';
  if (value === null) return 'Give it a value, or remove the line.';
  if (schema.format === 'omni-duration' && typeof value === 'number') return `Write it with a unit: ${value}s.`;
  if (schema.type === 'string' && !mayBeSecret(schema) && single) return `Put it in quotes: "${value}".`;
  if (schema.type === 'integer' && typeof value === 'string' && /^\d+$/.test(value)) return 'Remove the quotes.';
  if (schema.type === 'array' && single) return 'Write it as a list, in brackets: [a, b].';
  return `Give ${expectation(schema)}.`;
}

/** A text made into a name, where little is missing. */
function asName(text: string): string {
  const plain = text
    .normalize('NFKD')
    .toLowerCase()
    .replace(/[^a-z0-9.]+/g, '-');
  return plain.replace(/^[-.]+|[-.]+$/g, '').slice(0, 63);
}

function valueAdvice(value: unknown, schema: SchemaNode, expected: string): string {
  if (typeof value === 'string') {
    const near = nearest(value, schema.enum ?? []);
    if (near !== undefined) return `Did you mean \`${near}\`?`;
    const name = schema.pattern === common.$defs.name.pattern ? asName(value) : '';
    if (name !== '') return `Write it as \`${name}\`.`;
  }
  return `Give ${expected}.`;
}

function inQuotes(name: string): string {
  return `Did you mean "${name}"?`;
}

/** Where else in the kind a field of this name is. */
function homeOf(field: string, node: SchemaNode, path = ''): string | undefined {
  for (const [name, raw] of Object.entries(node.properties ?? {})) {
    const schema = resolved(raw);
    const here = path === '' ? name : `${path}.${name}`;
    if (name === field && path !== '') return path;
    const below = homeOf(field, schema, here);
    if (below !== undefined) return below;
  }
  return undefined;
}

function unknownField(field: string, owner: SchemaNode, kind: DocumentKind): string {
  const names = Object.keys(owner.properties ?? {});
  const near = nearest(field, names);
  if (near !== undefined) return inQuotes(near);
  const home = homeOf(field, schemas[kind]);
  return home === undefined ? `Remove it; the fields here are ${names.join(', ')}.` : `Put it under ${home}.`;
}

function isSchemaNode(value: unknown): value is SchemaNode {
  return typeof value === 'object' && value !== null;
}

function text(value: unknown): string {
  return typeof value === 'string' ? value : '';
}

function count(value: unknown): number {
  return typeof value === 'number' ? value : 0;
}

/** Rewrites one error of Ajv for people, and finds the place of what offends. Undefined: said by another one. */
function finding(error: ErrorObject, kind: DocumentKind, { valueAt, keyAt }: Plain): LocalFinding | undefined {
  const path = error.instancePath;
  const schema: SchemaNode = isSchemaNode(error.parentSchema) ? error.parentSchema : {};
  const where = spoken(path, kind);
  const value: Spot = valueAt[path] ?? start;
  const key = (child: string): Spot => keyAt[pointer(path, child)] ?? value;
  const params: Readonly<Record<string, unknown>> = error.params;
  const wrong = (actual: string, expected: string, at = value): LocalFinding => ({
    ...statement('field-value', { where, actual, expected, advice: valueAdvice(error.data, schema, expected) }),
    at,
  });
  switch (error.keyword) {
    case 'additionalProperties': {
      const field = text(params.additionalProperty);
      const suggestion = unknownField(field, schema, kind);
      return { ...statement('field-unknown', { where, field, suggestion }), at: key(field) };
    }
    case 'required': {
      const field = text(params.missingProperty);
      const expected = expectation(schema.properties?.[field] ?? {});
      return { ...statement('field-missing', { where, field, expected }), at: keyAt[path] ?? value };
    }
    case 'type':
      return { ...typeStatement(where, error.data, schema), at: value };
    case 'propertyNames':
      return undefined;
    case 'uniqueItems': {
      const index = Array.isArray(error.data) ? repeated(error.data) : 0;
      const at = valueAt[pointer(path, index)] ?? value;
      const said = { actual: 'given already', expected: 'a value of its own', advice: 'Remove one of the two.' };
      const item = { where: `${where}[${index}]`, ...said };
      return { ...statement('field-value', item), at };
    }
    case 'minItems':
      return wrong(described(error.data), `a list of ${count(params.limit)} or more`);
    case 'maxItems':
    case 'maxProperties':
      return wrong('longer', `a list of at most ${count(params.limit)}`);
    case 'format':
    case 'x-range': {
      const said = valueStatement(error, schema, where);
      return said === undefined ? undefined : { ...said, at: value };
    }
    case 'maxLength':
      // The format has said what is wrong with the text.
      if (schema.format !== undefined && valueStatement({ ...error, keyword: 'format' }, schema, where))
        return undefined;
      return wrong('longer than any valid value', expectation(schema));
    default:
      // A propertyNames error speaks of a key, not of the value behind it.
      return error.propertyName === undefined
        ? wrong(described(error.data, schema), expectation(schema))
        : wrong(`given the key "${error.propertyName}"`, expectation(schema), key(error.propertyName));
  }
}

function valueStatement({ keyword, data }: ErrorObject, schema: SchemaNode, where: string): Statement | undefined {
  if (typeof data !== 'string') return undefined;
  if (keyword === 'format') return formats[schema.format ?? '']?.(data, where);
  const range = schema['x-range'];
  return isDurationRange(range) ? outOfRange(data, range, where) : undefined;
}

function typeStatement(where: string, data: unknown, schema: SchemaNode): Statement {
  const advice = typeAdvice(data, schema);
  return statement('field-type', { where, expected: expectation(schema), actual: described(data, schema), advice });
}

/** Ajv's errors as findings at the place of what offends: the key of an unknown field, the value of a wrong one. */
export function schemaFindings(errors: readonly ErrorObject[], kind: DocumentKind, plain: Plain): LocalFinding[] {
  return errors.flatMap((error) => finding(error, kind, plain) ?? []);
}
