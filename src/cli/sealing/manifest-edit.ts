import {
  type Document,
  isMap,
  isNode,
  isPair,
  isScalar,
  type Node,
  type Pair,
  parseAllDocuments,
  type YAMLMap,
} from 'yaml';
import type { SealedPlace } from '../../secrets/open.ts';

/** What becomes of a cluster's fields: a sealed text, or null: the line goes. Absent: it stays as it is. */
export type SealedFields = { readonly [F in SealedPlace['field']]?: string | null };

/** The order that the fields are put in where they are new. */
const FIELDS = ['psk', 'nextPsk'] as const;

/** Texts of a pair of a mapping, as offsets: the key's first character, the value's first, and the first behind it. */
interface Extent {
  readonly key: number;
  readonly value: number;
  readonly end: number;
}

/**
 * A manifest's text with `fields` of its Cluster `name` changed and every other character as it was: comments, order and
 * layout are people's. Undefined: it holds no such document, or one that is written in a way that this cannot edit.
 */
export function withSealedFields(text: string, name: string, fields: SealedFields): string | undefined {
  let edited: string | undefined = text;
  for (const field of FIELDS) {
    const sealed = fields[field];
    if (sealed === undefined || edited === undefined) continue;
    const spec = specOf(edited, name);
    edited = spec && editField(edited, spec, field, sealed);
  }
  return edited;
}

function specOf(text: string, name: string): YAMLMap | undefined {
  const documents: readonly Document[] = [...parseAllDocuments(text)];
  const found = documents.filter(
    (document) => document.get('kind') === 'Cluster' && document.getIn(['metadata', 'name']) === name,
  );
  const spec = found.length === 1 ? found[0]?.get('spec', true) : undefined;
  return isMap(spec) && spec.items.length > 0 ? spec : undefined;
}

function editField(text: string, spec: YAMLMap, field: string, sealed: string | null): string | undefined {
  const extents = spec.items.map(extentOf);
  if (extents.some((extent) => extent === undefined)) return undefined;
  const at = spec.items.findIndex(({ key }) => isScalar(key) && key.value === field);
  if (sealed === null && at < 0) return text;
  const pairs = extents.filter((extent) => extent !== undefined);
  return spec.flow === true ? editFlow(text, pairs, at, field, sealed) : editBlock(text, pairs, at, field, sealed);
}

function extentOf({ key, value }: Pair): Extent | undefined {
  const [from, to] = [rangeOf(key), rangeOf(value)];
  return from && to ? { key: from[0], value: to[0], end: to[1] } : undefined;
}

function rangeOf(node: unknown): Node['range'] | undefined {
  return isNode(node) && !isPair(node) ? (node.range ?? undefined) : undefined;
}

/** Lines of their own, with a literal block for the text. */
function editBlock(
  text: string,
  pairs: readonly Extent[],
  at: number,
  field: string,
  sealed: string | null,
): string | undefined {
  const [first] = pairs;
  const place = pairs[at < 0 ? pairs.length - 1 : at];
  if (first === undefined || place === undefined) return undefined;
  const lineBreak = text.includes('\r\n') ? '\r\n' : '\n';
  const indent = text.slice(startOfLine(text, first.key), first.key);
  if (indent.trim() !== '') return undefined;
  const from = at < 0 ? endOfLine(text, place.end) : startOfLine(text, place.key);
  const head = text.slice(0, from);
  const lines = sealed === null ? [] : blockLines(field, sealed).map((line) => `${indent}${line}${lineBreak}`);
  const joint = head === '' || head.endsWith('\n') || lines.length === 0 ? '' : lineBreak;
  return head + joint + lines.join('') + text.slice(endOfLine(text, place.end));
}

/** `field: |` and the lines of the text below it. */
export function blockLines(field: string, sealed: string): readonly string[] {
  return [
    `${field}: |`,
    ...sealed
      .trimEnd()
      .split('\n')
      .map((line) => `  ${line}`),
  ];
}

/** Inside braces: a text in double quotes, which JSON reads as well. */
function editFlow(
  text: string,
  pairs: readonly Extent[],
  at: number,
  field: string,
  sealed: string | null,
): string | undefined {
  const place = pairs[at < 0 ? pairs.length - 1 : at];
  if (place === undefined) return undefined;
  if (sealed === null) {
    const previous = pairs[at - 1];
    const next = pairs[at + 1];
    if (previous !== undefined) return text.slice(0, previous.end) + text.slice(place.end);
    return next === undefined ? undefined : text.slice(0, place.key) + text.slice(next.key);
  }
  if (at >= 0) return text.slice(0, place.value) + JSON.stringify(sealed) + text.slice(place.end);
  const key = text[place.key] === '"' ? JSON.stringify(field) : field;
  return `${text.slice(0, place.end)}, ${key}: ${JSON.stringify(sealed)}${text.slice(place.end)}`;
}

function startOfLine(text: string, at: number): number {
  return text.lastIndexOf('\n', at - 1) + 1;
}

/** Behind the line break; a block scalar's end is there already. */
function endOfLine(text: string, at: number): number {
  if (text[at - 1] === '\n') return at;
  const lineBreak = text.indexOf('\n', at);
  return lineBreak < 0 ? text.length : lineBreak + 1;
}
