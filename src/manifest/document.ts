import { statement } from './diagnostic.ts';
import { limits } from './limits.ts';
import type { Kind } from './model.ts';
import { type Body, parseDocument } from './parse.ts';
import { salvage } from './salvage.ts';
import { API_GROUP, API_VERSION, kinds, validate } from './schema.ts';
import { described, schemaFindings } from './schema-errors.ts';
import { nearest } from './suggest.ts';
import { type LocalFinding, type Spot, start } from './text.ts';
import { composeYaml, type Identity, identityOf, type Plain, plain, type Spots, type YamlDocument } from './yaml.ts';
import { readSubset } from './yaml-subset.ts';

/** What became of one document of ours. It depends on the text of its section alone, so it can be cached by it. */
export interface ParsedDocument {
  /** Known even where the document is invalid, if it says so: references to it are not dangling. */
  readonly kind?: Kind;
  readonly name?: string;
  /** Absent where what other objects refer to could not be read. With findings it is for checks alone. */
  readonly body?: Body;
  readonly findings: readonly LocalFinding[];
  /** Place of every value by JSON pointer, relative to the section. */
  readonly at: Spots;
  readonly start: Spot;
}

/** `passed`: documents that belong to others. */
export interface ParsedSection {
  readonly documents: readonly ParsedDocument[];
  readonly passed: number;
}

const OURS = /\bomni\.io\/v/;

function isKind(value: unknown): value is Kind {
  return kinds.some((kind) => kind === value);
}

/** Whose a document is by its apiVersion: `slip` looks like an attempt at ours. */
function ownerOf({ apiVersion, kind }: Identity, text: string): 'ours' | 'others' | 'slip' | 'unsaid' {
  if (typeof apiVersion !== 'string') return isKind(kind) || OURS.test(text) ? 'unsaid' : 'others';
  if (apiVersion === API_VERSION) return 'ours';
  const [group = ''] = apiVersion.split('/');
  if (group === API_GROUP) return 'slip';
  return isKind(kind) && nearest(group, [API_GROUP]) !== undefined ? 'slip' : 'others';
}

function bounded(findings: readonly LocalFinding[], from: Spot): readonly LocalFinding[] {
  const most = limits.findingsPerDocument;
  if (findings.length <= most) return findings;
  const sorted = [...findings].sort((a, b) => a.at - b.at);
  return [{ ...statement('too-many-errors', { count: findings.length - most }), at: from }, ...sorted.slice(0, most)];
}

function failed(identity: Identity, findings: readonly LocalFinding[], at: Spots, from: Spot): ParsedDocument {
  const { kind, name } = identity;
  return {
    ...(isKind(kind) && typeof name === 'string' ? { kind, name } : {}),
    findings: bounded(findings, from),
    at,
    start: from,
  };
}

function kindFinding(identity: Identity, { valueAt, keyAt }: Plain, from: Spot): LocalFinding {
  const { kind } = identity;
  if (kind === undefined || kind === null) return { ...statement('kind-missing', {}), at: keyAt['/kind'] ?? from };
  const near = typeof kind === 'string' ? nearest(kind, kinds) : undefined;
  const suggestion = near === undefined ? 'The kinds are Cluster, Peer and VIP.' : `Did you mean "${near}"?`;
  return { ...statement('kind-unknown', { kind: String(kind), suggestion }), at: valueAt['/kind'] ?? from };
}

interface Read {
  readonly body?: Body;
  readonly findings: readonly LocalFinding[];
}

/** Schema, then values; what can be read of an invalid document is, for the checks against other objects. */
function readBody<K extends Kind>(kind: K, read: Plain): Read {
  const first = validate(kind, read.value);
  if (first.ok) return parseDocument(kind, first.document, read.valueAt);
  const findings = schemaFindings(first.errors, kind, read);
  const second = salvage(read.value, first.errors) ? validate(kind, read.value) : first;
  if (!second.ok) return { findings };
  const { body, findings: more } = parseDocument(kind, second.document, read.valueAt);
  return { body, findings: [...findings, ...more] };
}

function readOurs(document: YamlDocument, identity: Identity, from: Spot): ParsedDocument {
  const read = plain(document);
  const { kind } = identity;
  if (!isKind(kind)) return failed(identity, [...read.findings, kindFinding(identity, read, from)], read.valueAt, from);
  // Behind an alias or a merge key there is no value to check.
  const { body, findings }: Read = read.whole ? readBody(kind, read) : { findings: [] };
  if (body === undefined) return failed(identity, [...read.findings, ...findings], read.valueAt, from);
  const all = bounded([...read.findings, ...findings], from);
  return { kind, name: body.metadata.name, body, findings: all, at: read.valueAt, start: from };
}

/** Undefined: it belongs to others. */
function readDocument(document: YamlDocument, text: string): ParsedDocument | undefined {
  const { contents } = document;
  const identity = identityOf(contents);
  const owner = ownerOf(identity, text);
  const from = contents === null ? start : document.at(contents.range[0]);
  const fail = (finding: LocalFinding) => failed(identity, [finding], {}, from);
  if (document.syntax.length > 0) {
    // Where the text broke before it said whose it is, nobody else may be asked.
    const theirs = owner === 'others' && typeof identity.apiVersion === 'string';
    return theirs ? undefined : failed(identity, document.syntax, {}, from);
  }
  if (owner === 'others') return undefined;
  if (owner === 'unsaid') {
    const { value } = plain(document);
    const single = typeof value === 'object' && value !== null && !Array.isArray(value);
    if (single) return fail({ ...statement('api-version-missing', {}), at: from });
    return fail({ ...statement('document-not-object', { actual: described(value) }), at: from });
  }
  if (owner === 'slip') {
    const at = plain(document).valueAt['/apiVersion'] ?? from;
    return fail({ ...statement('api-version-unknown', { version: String(identity.apiVersion) }), at });
  }
  return readOurs(document, identity, from);
}

/**
 * A valid document of the plain subset, without the library. Whoever asks where its fields stand (few do, of a document
 * that is valid) pays for the library then: ten thousand documents' places would be most of the memory.
 */
function readPlainly(text: string): ParsedDocument | undefined {
  const read = readSubset(text);
  if (read === undefined || read.value.apiVersion !== API_VERSION) return undefined;
  const { kind } = read.value;
  if (!isKind(kind)) return undefined;
  const body = validBody(kind, read.value);
  if (body === undefined) return undefined;
  let places: Spots | undefined;
  return {
    kind,
    name: body.metadata.name,
    body,
    findings: [],
    get at() {
      places ??= placesOf(text);
      return places;
    },
    start: read.start,
  };
}

/** Undefined where there is anything to say about it. */
function validBody<K extends Kind>(kind: K, value: unknown): Body | undefined {
  const checked = validate(kind, value);
  if (!checked.ok) return undefined;
  const { body, findings } = parseDocument(kind, checked.document, {});
  return findings.length === 0 ? body : undefined;
}

function placesOf(text: string): Spots {
  const [document] = composeYaml(text);
  return document === undefined ? {} : plain(document).valueAt;
}

/**
 * A whole line of Base64, as ASCII armor has it (RFC 7468, section 2), in a block scalar or in a string of JSON. The
 * library reads three megabytes of them in a third of a second wherever they stand, which no other text comes near.
 */
const ARMOR_LINE = /(?:\n *|\\n)[A-Za-z0-9+/]{64}(?=\r?\n|\\n)/g;

/** UTF-16 units that cost time: a key that is sealed for ten thousand peers is long, and cheap to read. */
function costlyLength(text: string): number {
  if (text.length <= limits.documentLength) return text.length;
  let length = text.length;
  for (const [line] of text.matchAll(ARMOR_LINE)) length -= line.length;
  return length;
}

/** Parses one section of a file. Never throws, whatever the text is. */
export function parseSection(text: string): ParsedSection {
  const length = costlyLength(text);
  if (length > limits.documentLength) {
    if (!OURS.test(text)) return { documents: [], passed: 1 };
    const finding = { ...statement('document-too-large', { length, limit: limits.documentLength }), at: start };
    return { documents: [{ findings: [finding], at: {}, start }], passed: 0 };
  }
  const read = readPlainly(text);
  if (read !== undefined) return { documents: [read], passed: 0 };
  const composed = composeYaml(text).filter((each) => each.contents !== null || each.syntax.length > 0);
  // A lone null, what remains of comments and `---`, is no document.
  const real = composed.filter((each) => each.syntax.length > 0 || !isEmpty(each));
  const documents = real.flatMap((each) => readDocument(each, text) ?? []);
  return { documents, passed: real.length - documents.length };
}

function isEmpty({ contents }: YamlDocument): boolean {
  return contents !== null && 'value' in contents && contents.value === null;
}
