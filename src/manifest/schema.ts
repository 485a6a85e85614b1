import { Ajv2020, type ErrorObject, type ValidateFunction } from 'ajv/dist/2020.js';
import agentConfig from '../../schema/agent-config.json' with { type: 'json' };
import cluster from '../../schema/cluster.json' with { type: 'json' };
import common from '../../schema/common.json' with { type: 'json' };
import peer from '../../schema/peer.json' with { type: 'json' };
import vip from '../../schema/vip.json' with { type: 'json' };
import type { AgentConfigDocument, ClusterDocument, PeerDocument, VIPDocument } from './generated.ts';
import type { Kind } from './model.ts';
import { formats, isDurationRange, outOfRange } from './values.ts';

/** The part of JSON Schema that schema/ uses. */
export interface SchemaNode {
  readonly $ref?: string;
  readonly type?: string | readonly string[];
  readonly format?: string;
  readonly const?: string;
  readonly enum?: readonly string[];
  readonly pattern?: string;
  readonly minimum?: number;
  readonly maximum?: number;
  readonly properties?: Readonly<Record<string, SchemaNode>>;
  readonly items?: SchemaNode;
  readonly 'x-expects'?: string;
  readonly 'x-range'?: readonly string[];
}

export interface Documents {
  readonly Cluster: ClusterDocument;
  readonly Peer: PeerDocument;
  readonly VIP: VIPDocument;
  /** Of a node, and in no fleet. */
  readonly AgentConfig: AgentConfigDocument;
}
export type DocumentKind = keyof Documents;

export const kinds: readonly Kind[] = ['Cluster', 'Peer', 'VIP'];
export const API_GROUP = 'omni.io';
export const API_VERSION = common.$defs.apiVersion.const;

export const schemas: Readonly<Record<DocumentKind, SchemaNode>> = {
  Cluster: cluster,
  Peer: peer,
  VIP: vip,
  AgentConfig: agentConfig,
};

/** Follows a reference into schema/common.json; what stands beside `$ref` wins. */
export function resolved(node: SchemaNode): SchemaNode {
  const name = node.$ref?.split('/').at(-1);
  if (name === undefined) return node;
  const definitions: Readonly<Record<string, SchemaNode>> = common.$defs;
  const definition = definitions[name];
  if (definition === undefined) throw new Error(`schema/common.json has no definition "${name}"`);
  const { $ref, ...own } = node;
  return { ...resolved(definition), ...own };
}

/** Index of the first text that was in the list before; values of other types have an error of their own. */
export function repeated(values: readonly unknown[]): number {
  const seen = new Set<unknown>();
  return values.findIndex((value) => typeof value === 'string' && seen.size === seen.add(value).size);
}

function createAjv(): Ajv2020 {
  const ajv = new Ajv2020({ strict: true, allowUnionTypes: true, allErrors: true, verbose: true });
  ajv.addVocabulary(['x-expects', 'x-alternative']);
  ajv.addKeyword({
    keyword: 'x-range',
    validate: (range: unknown, value: unknown) =>
      typeof value !== 'string' || !isDurationRange(range) || outOfRange(value, range, '') === undefined,
  });
  // Ajv's own compares any two values, and trusts them to have the methods of objects.
  ajv.removeKeyword('uniqueItems');
  ajv.addKeyword({
    keyword: 'uniqueItems',
    type: 'array',
    validate: (_: unknown, values: readonly unknown[]) => repeated(values) === -1,
  });
  for (const [format, check] of Object.entries(formats)) {
    ajv.addFormat(format, (text: string) => check(text, '') === undefined);
  }
  ajv.addSchema(common);
  return ajv;
}

let ajv: Ajv2020 | undefined;
const compiled: { [K in DocumentKind]?: ValidateFunction<Documents[K]> } = {};

/** Compiled on first use: a command that reads no manifest does not pay for it. */
function validator<K extends DocumentKind>(kind: K): ValidateFunction<Documents[K]> {
  const known = compiled[kind];
  if (known !== undefined) return known as ValidateFunction<Documents[K]>;
  ajv ??= createAjv();
  const made = ajv.compile<Documents[K]>(schemas[kind]);
  (compiled as Partial<Record<DocumentKind, unknown>>)[kind] = made;
  return made;
}

export type Validated<K extends DocumentKind> =
  | { readonly ok: true; readonly document: Documents[K] }
  | { readonly ok: false; readonly errors: readonly ErrorObject[] };

/** Against the schema of its kind; all errors at once, in Ajv's form. */
export function validate<K extends DocumentKind>(kind: K, value: unknown): Validated<K> {
  const check = validator(kind);
  if (check(value)) return { ok: true, document: value };
  return { ok: false, errors: check.errors ?? [] };
}
