import { type Statement, statement } from './diagnostic.ts';
import { limits } from './limits.ts';

/** Line and column, both 0-based, in one number: positions are kept by the ten thousand. */
export type Spot = number & { readonly __brand: 'Spot' };

const COLUMNS = 2 ** 20;

export function spot(line: number, column: number): Spot {
  return (line * COLUMNS + Math.min(column, COLUMNS - 1)) as Spot;
}
export function lineOf(at: Spot): number {
  return Math.floor(at / COLUMNS);
}
export function columnOf(at: Spot): number {
  return at % COLUMNS;
}
export const start = spot(0, 0);

/** A finding in a text whose file, and whose place in the file, are not known yet. */
export interface LocalFinding extends Statement {
  readonly at: Spot;
  readonly related?: Spot;
}

/** Offsets at which lines begin. */
export function lineStarts(text: string): number[] {
  const starts = [0];
  for (let at = text.indexOf('\n'); at !== -1; at = text.indexOf('\n', at + 1)) starts.push(at + 1);
  return starts;
}

/** Offset in UTF-16 units to line and column, by binary search. */
export function spotAt(starts: readonly number[], offset: number): Spot {
  let low = 0;
  let high = starts.length - 1;
  while (low < high) {
    const middle = (low + high + 1) >> 1;
    if ((starts[middle] ?? 0) <= offset) low = middle;
    else high = middle - 1;
  }
  return spot(low, offset - (starts[low] ?? 0));
}

/** The first byte that is not part of a UTF-8 text. Node's decoder says that there is one, and not where. */
function firstBadByte(bytes: Uint8Array): number {
  let good = 0;
  let bad = bytes.length;
  const decodes = (end: number) => {
    try {
      new TextDecoder('utf-8', { fatal: true }).decode(bytes.subarray(0, end), { stream: true });
      return true;
    } catch {
      return false;
    }
  };
  while (bad - good > 1) {
    const middle = (good + bad) >> 1;
    if (decodes(middle)) good = middle;
    else bad = middle;
  }
  return good;
}

/** Line and column of a byte: columns count characters as far as they can be read. */
function spotOfByte(bytes: Uint8Array, offset: number): Spot {
  const before = new TextDecoder('utf-8').decode(bytes.subarray(0, offset));
  return spotAt(lineStarts(before), before.length);
}

export type Decoded =
  | { readonly ok: true; readonly text: string }
  | { readonly ok: false; readonly finding: LocalFinding };

/** Bytes to text: UTF-8 with or without a byte order mark, and no control characters but tab and line ends. */
export function decode(bytes: Uint8Array): Decoded {
  if (bytes.length > limits.fileBytes) return { ok: false, finding: tooLarge(bytes.length) };
  let text: string;
  try {
    text = new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch {
    const offset = firstBadByte(bytes);
    return { ok: false, finding: { ...statement('not-utf8', { offset }), at: spotOfByte(bytes, offset) } };
  }
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
  const control = text.search(/[\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f]/);
  if (control !== -1) {
    const code = text.charCodeAt(control).toString(16).toUpperCase().padStart(4, '0');
    return {
      ok: false,
      finding: { ...statement('control-character', { code }), at: spotAt(lineStarts(text), control) },
    };
  }
  return { ok: true, text };
}

export function tooLarge(bytes: number): LocalFinding {
  return { ...statement('file-too-large', { bytes, limit: limits.fileBytes }), at: start };
}

/** The text of one document, or of nothing but comments. */
export interface Section {
  readonly text: string;
  /** Line of the file, 0-based, at which it begins; always at column 0. */
  readonly line: number;
}

/**
 * Cuts a stream into its documents. A line that begins with `---` or `...` is a marker wherever it stands (YAML 1.2.2,
 * 9.1.2), so this needs no parser; what is ahead of the first marker (directives) stays with what follows.
 */
export function sections(text: string): Section[] {
  const found: Section[] = [];
  let from = 0;
  let line = 0;
  let counted = 0;
  const cut = (end: number) => {
    if (end > from) {
      for (let at = text.indexOf('\n', counted); at !== -1 && at < from; at = text.indexOf('\n', at + 1)) line++;
      counted = from;
      found.push({ text: text.slice(from, end), line });
    }
    from = end;
  };
  for (const marker of text.matchAll(/(?<![^\n])(?:---|\.\.\.)(?=[ \t\r\n]|$)/g)) {
    const end = marker[0] === '---' ? marker.index : endOfLine(text, marker.index);
    if (!onlyPrelude(text, from, end)) cut(end);
  }
  cut(text.length);
  return found;
}

function endOfLine(text: string, offset: number): number {
  const end = text.indexOf('\n', offset);
  return end === -1 ? text.length : end + 1;
}

/** Comments, blank lines and directives: they belong to the document that comes. */
function onlyPrelude(text: string, from: number, end: number): boolean {
  return /^(?:[ \t]*(?:#.*)?\r?\n|%.*\r?\n)*$/.test(text.slice(from, end));
}
