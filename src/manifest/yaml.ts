import {
  Composer,
  type Document,
  isAlias,
  isMap,
  isScalar,
  isSeq,
  type ParsedNode,
  Parser,
  type YAMLError,
} from 'yaml';
import { statement } from './diagnostic.ts';
import { limits } from './limits.ts';
import { type LocalFinding, lineStarts, type Spot, spotAt, start } from './text.ts';

/**
 * 1. compose: text to the YAML library's tree, syntax errors to findings
 * 2. identity: who the document says it is, without a look at the rest
 * 3. plain: tree to plain values with the place of everything; aliases and the like are refused
 */

/** A document of a stream, composed, possibly with errors. */
export interface YamlDocument {
  readonly contents: ParsedNode | null;
  readonly syntax: readonly LocalFinding[];
  readonly directives: boolean;
  at(offset: number): Spot;
}

const ADVICE: Readonly<Record<string, string>> = {
  TAB_AS_INDENT: 'Indent with spaces.',
  BAD_INDENT: 'Align the line with its neighbours; indent with spaces.',
  MISSING_CHAR: 'Close what was opened before: a quote, a bracket or a brace; or put a space behind the colon.',
  MULTILINE_IMPLICIT_KEY: 'Close the quote, or put the key and its colon on one line.',
  BLOCK_AS_IMPLICIT_KEY: 'Put the nested value on a line of its own, or quote the text that has a colon in it.',
  UNEXPECTED_TOKEN: 'Quote the text if it begins with or contains a special character.',
};

function syntaxFinding(error: YAMLError, at: (offset: number) => Spot): LocalFinding {
  const problem = error.message.replace(/[.:]?\s*$/, '');
  const advice = ADVICE[error.code] ?? 'Repair the syntax here, or quote the text.';
  return { ...statement('yaml-syntax', { problem, advice }), at: at(error.pos[0]) };
}

function composed(document: Document.Parsed, at: (offset: number) => Spot): YamlDocument {
  const errors = document.errors.slice(0, limits.findingsPerDocument);
  const { yaml, tags } = document.directives;
  return {
    contents: document.contents as ParsedNode | null,
    syntax: errors.map((error) => syntaxFinding(error, at)),
    directives: yaml.explicit === true || Object.keys(tags).length > 1,
    at,
  };
}

/** Parses one section. Never throws: what the library cannot do becomes a finding. */
export function composeYaml(text: string): YamlDocument[] {
  const starts = lineStarts(text);
  const at = (offset: number) => spotAt(starts, offset);
  try {
    const composer = new Composer({
      version: '1.2',
      schema: 'core',
      strict: true,
      stringKeys: true,
      // The library compares each key with each other one; `plain` does it in linear time and says where.
      uniqueKeys: false,
      prettyErrors: false,
      logLevel: 'silent',
    });
    return [...composer.compose(new Parser().parse(text), true, text.length)].map((each) => composed(each, at));
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    // The call stack is at its end: the library descends into nesting by recursion.
    const finding = { ...statement('yaml-too-deep', { limit: limits.depth }), at: start };
    return [{ contents: null, syntax: [finding], directives: false, at }];
  }
}

function member(node: ParsedNode | null, key: string): ParsedNode | undefined {
  if (!isMap(node)) return undefined;
  const pair = node.items.find((item) => isScalar(item.key) && item.key.value === key);
  return (pair?.value as ParsedNode | null | undefined) ?? undefined;
}

export interface Identity {
  readonly apiVersion: unknown;
  readonly kind: unknown;
  readonly name: unknown;
}

function scalar(node: ParsedNode | undefined): unknown {
  return isScalar(node) ? node.value : undefined;
}

/** Works on broken documents too, as far as they could be read. */
export function identityOf(contents: ParsedNode | null): Identity {
  return {
    apiVersion: scalar(member(contents, 'apiVersion')),
    kind: scalar(member(contents, 'kind')),
    name: scalar(member(member(contents, 'metadata') ?? null, 'name')),
  };
}

/** Place of every value, or every key, by JSON pointer (RFC 6901). */
export type Spots = Readonly<Record<string, Spot>>;

export interface Plain {
  readonly value: unknown;
  /** False where a part of the value was refused: what is missing then was perhaps there. */
  readonly whole: boolean;
  readonly valueAt: Spots;
  readonly keyAt: Spots;
  readonly findings: readonly LocalFinding[];
}

export function pointer(parent: string, key: string | number): string {
  return `${parent}/${String(key).replaceAll('~', '~0').replaceAll('/', '~1')}`;
}

class Walk {
  readonly valueAt: Record<string, Spot> = {};
  readonly keyAt: Record<string, Spot> = {};
  readonly findings: LocalFinding[] = [];
  whole = true;
  readonly #refused = new Set<string>();
  readonly #document: YamlDocument;

  constructor(document: YamlDocument) {
    this.#document = document;
  }

  value(node: ParsedNode | null, path: string, depth: number, fallback: Spot): unknown {
    const at = node === null ? fallback : this.#document.at(node.range[0]);
    this.valueAt[path] = at;
    if (node === null) return null;
    this.#features(node, at);
    if (isScalar(node)) return node.value;
    if (isAlias(node)) return undefined;
    if (depth >= limits.depth) {
      this.whole = false;
      this.findings.push({ ...statement('yaml-too-deep', { limit: limits.depth }), at });
      return undefined;
    }
    if (isSeq(node)) {
      return node.items.map((item, index) => this.value(item as ParsedNode, pointer(path, index), depth + 1, at));
    }
    return this.#mapping(node, path, depth);
  }

  #mapping(node: ParsedNode, path: string, depth: number): object {
    // Without a prototype a key such as __proto__ is a key like any other.
    const object: Record<string, unknown> = Object.create(null);
    if (!isMap(node)) return object;
    for (const { key, value } of node.items) {
      if (!isScalar(key)) continue;
      const name = String(key.value);
      const at = this.#document.at(key.range?.[0] ?? 0);
      const child = pointer(path, name);
      const first = this.keyAt[child];
      if (first !== undefined) {
        this.findings.push({ ...statement('yaml-duplicate-key', { key: name }), at, related: first });
        continue;
      }
      this.keyAt[child] = at;
      this.#features(key as ParsedNode, at);
      if (name === '<<') this.#refuse('merge key', 'a merge key (<<)', at);
      else object[name] = this.value(value as ParsedNode | null, child, depth + 1, at);
    }
    return object;
  }

  #features(node: ParsedNode, at: Spot): void {
    if (isAlias(node)) this.#refuse('alias', `an alias (*${node.source})`, at);
    else if (node.anchor !== undefined) this.#refuse('anchor', `an anchor (&${node.anchor})`, at);
    if (node.tag !== undefined) this.#refuse('tag', `a tag (${node.tag.replace('tag:yaml.org,2002:', '!!')})`, at);
  }

  /** Each kind of feature once a document: whoever uses them uses many. */
  #refuse(kind: string, feature: string, at: Spot): void {
    if (kind === 'alias' || kind === 'merge key') this.whole = false;
    if (this.#refused.has(kind)) return;
    this.#refused.add(kind);
    this.findings.push({ ...statement('yaml-feature', { feature }), at });
  }
}

/** The document's value with the place of everything in it. The value is of use only where there are no findings. */
export function plain(document: YamlDocument): Plain {
  const walk = new Walk(document);
  const value = walk.value(document.contents, '', 0, start);
  if (document.directives) {
    walk.findings.push({ ...statement('yaml-feature', { feature: 'a directive (%YAML or %TAG)' }), at: start });
  }
  const { valueAt, keyAt, findings, whole } = walk;
  return { value, whole, valueAt, keyAt, findings };
}
