import { type Spot, spot } from './text.ts';

/**
 * A reader for the YAML that people write in fleets: block mappings and sequences, flow collections on one line, plain
 * and quoted scalars without escapes, comments. It is strict: whatever else stands in a text (block scalars, anchors,
 * escapes, nulls, a slip), it leaves the whole text to the YAML library, which also finds the words for what is wrong.
 * What it does read is what the library reads, 20 times as fast: that is what a cold start of ten thousand peers needs.
 *
 * 1. lines:   where content begins, comments and blank lines left out
 * 2. blocks:  mappings and sequences by indentation
 * 3. flow:    collections in brackets, within a line
 * 4. scalars: YAML 1.2 core schema
 */

export interface SubsetDocument {
  /** Objects have no prototype. */
  readonly value: Readonly<Record<string, unknown>>;
  readonly start: Spot;
}

/** The value of a text that is one document of the subset; undefined for any other text. Never throws. */
export function readSubset(text: string): SubsetDocument | undefined {
  if (FOREIGN.test(text)) return undefined;
  const reader = new Reader(text);
  const value = reader.document();
  return value === LEAVE ? undefined : { value, start: spot(reader.firstLine, 0) };
}

/** Tabs, carriage returns, what is not ASCII. */
const FOREIGN = /[^\x20-\x7e\n]/;
/** Implicit keys end within 1,024 characters (YAML 1.2.2, 7.4.3); no line of a fleet is longer than this. */
const LONGEST_LINE = 1_000;
const DEEPEST = 8;

/** Not of the subset. */
const LEAVE = Symbol('left to the YAML library');
type Leave = typeof LEAVE;
type Mapping = Record<string, unknown>;

const SPACE = 0x20;
const HASH = 0x23;
const COLON = 0x3a;
const DASH = 0x2d;
const COMMA = 0x2c;
const DOUBLE_QUOTE = 0x22;
const SINGLE_QUOTE = 0x27;
const OPEN_BRACKET = 0x5b;
const CLOSE_BRACKET = 0x5d;
const OPEN_BRACE = 0x7b;
const CLOSE_BRACE = 0x7d;

/** What no plain scalar begins with here; YAML lets some of them through where no space follows. */
const INDICATORS = new Set([...'-?:,[]{}#&*!|>\'"%@`=~<'].map((each) => each.charCodeAt(0)));
const RESERVED = new Set(['null', 'Null', 'NULL', 'True', 'TRUE', 'False', 'FALSE']);
const NUMBER =
  /^(?:[-+]?(?:\.\d+|\d+(?:\.\d*)?)(?:[eE][-+]?\d+)?|0o[0-7]+|0x[\da-fA-F]+|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))$/;
const WHOLE = /^(?:0|[1-9]\d{0,14})$/;

/** As a key, a word that is a truth value or nothing is left to the library. */
function isNoName(word: string): boolean {
  return RESERVED.has(word) || word === 'true' || word === 'false';
}

function isDigitLike(code: number): boolean {
  return (code >= 0x30 && code <= 0x39) || code === 0x2b || code === 0x2e;
}

function isLetter(code: number): boolean {
  return (code >= 0x41 && code <= 0x5a) || (code >= 0x61 && code <= 0x7a);
}

function isKeyCharacter(code: number): boolean {
  return isLetter(code) || (code >= 0x2d && code <= 0x39) || code === 0x5f; // - . / digits _
}

class Reader {
  readonly #text: string;
  /** Of each line with content: where that begins, where the line ends, and its indentation. */
  readonly #from: number[] = [];
  readonly #end: number[] = [];
  readonly #indent: number[] = [];
  /** The line that is read now. */
  #line = 0;
  /** Of the text, 0-based: the line that the document begins in. */
  firstLine = 0;
  #fits = true;

  constructor(text: string) {
    this.#text = text;
    this.#lines();
  }

  // --- lines -----------------------------------------------------------------------

  #lines(): void {
    const text = this.#text;
    let line = 0;
    for (let begin = 0; begin < text.length; line++) {
      const newline = text.indexOf('\n', begin);
      const end = newline === -1 ? text.length : newline;
      if (end - begin > LONGEST_LINE) this.#fits = false;
      let from = begin;
      while (from < end && text.charCodeAt(from) === SPACE) from++;
      if (from < end && text.charCodeAt(from) !== HASH && !this.#isMarker(begin, end)) {
        if (this.#from.length === 0) this.firstLine = line;
        this.#from.push(from);
        this.#end.push(end);
        this.#indent.push(from - begin);
      }
      begin = end + 1;
    }
  }

  /** `---` on a line of its own, ahead of all content; any other marker is content that no block accepts. */
  #isMarker(begin: number, end: number): boolean {
    return this.#from.length === 0 && this.#text.slice(begin, end).trimEnd() === '---' && this.#markers++ === 0;
  }
  #markers = 0;

  // --- blocks ----------------------------------------------------------------------

  document(): Mapping | Leave {
    if (!this.#fits || this.#from.length === 0 || this.#indent[0] !== 0) return LEAVE;
    const value = this.#mapping(0, 0);
    return this.#line === this.#from.length ? value : LEAVE;
  }

  #mapping(indent: number, depth: number): Mapping | Leave {
    if (depth >= DEEPEST) return LEAVE;
    const mapping: Mapping = Object.create(null);
    while (this.#indent[this.#line] === indent) {
      const from = this.#from[this.#line] ?? 0;
      const colon = this.#keyEnd(from, this.#lineEnd);
      if (colon === -1) return LEAVE;
      const key = this.#text.slice(from, colon);
      if (key in mapping || isNoName(key)) return LEAVE;
      const value = this.#blockValue(colon + 1, indent, depth);
      if (value === LEAVE) return LEAVE;
      mapping[key] = value;
    }
    return this.#endsAbove(indent) ? mapping : LEAVE;
  }

  #sequence(indent: number, depth: number): unknown[] | Leave {
    if (depth >= DEEPEST) return LEAVE;
    const items: unknown[] = [];
    while (this.#indent[this.#line] === indent && this.#isItem(this.#from[this.#line] ?? 0)) {
      const dash = this.#from[this.#line] ?? 0;
      const from = this.#skipSpaces(dash + 1);
      if (from >= this.#lineEnd || this.#isItem(from)) return LEAVE;
      let value: unknown;
      if (this.#keyEnd(from, this.#lineEnd) !== -1) {
        // A mapping that begins on the line of its dash is indented as far as its first key.
        this.#from[this.#line] = from;
        this.#indent[this.#line] = indent + from - dash;
        value = this.#mapping(indent + from - dash, depth + 1);
      } else {
        value = this.#inline(from, indent, depth + 1);
      }
      if (value === LEAVE) return LEAVE;
      items.push(value);
    }
    return items;
  }

  /** What follows a key's colon: on the same line, or as a block on the lines below. */
  #blockValue(after: number, indent: number, depth: number): unknown {
    const from = this.#skipSpaces(after);
    if (from < this.#lineEnd && !this.#isComment(from)) return this.#inline(from, indent, depth + 1);
    this.#line++;
    const below = this.#indent[this.#line];
    if (below === undefined || below < indent) return LEAVE;
    const isSequence = this.#isItem(this.#from[this.#line] ?? 0);
    if (isSequence) {
      const items = this.#sequence(below, depth + 1);
      // Items may stand as far left as their key, and then the next key follows.
      return items === LEAVE || (below > indent && !this.#endsAbove(below)) ? LEAVE : items;
    }
    return below > indent ? this.#mapping(below, depth + 1) : LEAVE;
  }

  /** A value that ends with its line. */
  #inline(from: number, indent: number, depth: number): unknown {
    const value = this.#isFlowStart(from) ? this.#wholeFlow(from, depth) : this.#plain(from);
    this.#line++;
    // A deeper line would go on with the scalar.
    return (this.#indent[this.#line] ?? 0) > indent ? LEAVE : value;
  }

  /** No line is left that belongs to a block of this indentation. */
  #endsAbove(indent: number): boolean {
    return this.#line >= this.#indent.length || (this.#indent[this.#line] ?? 0) < indent;
  }

  /** Offset of the colon behind a plain key; -1: there is none. */
  #keyEnd(from: number, end: number): number {
    const text = this.#text;
    if (!isLetter(text.charCodeAt(from))) return -1;
    let at = from + 1;
    while (at < end && isKeyCharacter(text.charCodeAt(at))) at++;
    if (at >= end || text.charCodeAt(at) !== COLON) return -1;
    return at + 1 >= end || text.charCodeAt(at + 1) === SPACE ? at : -1;
  }

  #isItem(at: number): boolean {
    return this.#text.charCodeAt(at) === DASH && (at + 1 >= this.#lineEnd || this.#text.charCodeAt(at + 1) === SPACE);
  }

  get #lineEnd(): number {
    return this.#end[this.#line] ?? 0;
  }

  #skipSpaces(at: number): number {
    let next = at;
    while (this.#text.charCodeAt(next) === SPACE) next++;
    return next;
  }

  #isComment(at: number): boolean {
    return this.#text.charCodeAt(at) === HASH && this.#text.charCodeAt(at - 1) === SPACE;
  }

  // --- flow ------------------------------------------------------------------------

  #at = 0;

  #isFlowStart(at: number): boolean {
    const code = this.#text.charCodeAt(at);
    return code === OPEN_BRACKET || code === OPEN_BRACE || code === DOUBLE_QUOTE || code === SINGLE_QUOTE;
  }

  #wholeFlow(from: number, depth: number): unknown {
    this.#at = from;
    const value = this.#flow(depth);
    const rest = this.#skipSpaces(this.#at);
    return rest >= this.#lineEnd || this.#isComment(rest) ? value : LEAVE;
  }

  #flow(depth: number): unknown {
    if (depth >= DEEPEST) return LEAVE;
    switch (this.#text.charCodeAt(this.#at)) {
      case OPEN_BRACKET:
        return this.#flowSequence(depth);
      case OPEN_BRACE:
        return this.#flowMapping(depth);
      case DOUBLE_QUOTE:
        return this.#quoted('"');
      case SINGLE_QUOTE:
        return this.#quoted("'");
      default:
        return this.#flowPlain();
    }
  }

  #flowSequence(depth: number): unknown[] | Leave {
    const items: unknown[] = [];
    this.#at = this.#skipSpaces(this.#at + 1);
    if (this.#took(CLOSE_BRACKET)) return items;
    for (;;) {
      const value = this.#flow(depth + 1);
      if (value === LEAVE) return LEAVE;
      items.push(value);
      this.#at = this.#skipSpaces(this.#at);
      if (this.#took(CLOSE_BRACKET)) return items;
      if (!this.#took(COMMA)) return LEAVE;
      this.#at = this.#skipSpaces(this.#at);
    }
  }

  #flowMapping(depth: number): Mapping | Leave {
    const mapping: Mapping = Object.create(null);
    this.#at = this.#skipSpaces(this.#at + 1);
    if (this.#took(CLOSE_BRACE)) return mapping;
    for (;;) {
      const colon = this.#keyEnd(this.#at, this.#lineEnd);
      if (colon === -1) return LEAVE;
      const key = this.#text.slice(this.#at, colon);
      if (key in mapping || isNoName(key)) return LEAVE;
      this.#at = this.#skipSpaces(colon + 1);
      const value = this.#flow(depth + 1);
      if (value === LEAVE) return LEAVE;
      mapping[key] = value;
      this.#at = this.#skipSpaces(this.#at);
      if (this.#took(CLOSE_BRACE)) return mapping;
      if (!this.#took(COMMA)) return LEAVE;
      this.#at = this.#skipSpaces(this.#at);
    }
  }

  #took(code: number): boolean {
    if (this.#at >= this.#lineEnd || this.#text.charCodeAt(this.#at) !== code) return false;
    this.#at++;
    return true;
  }

  // --- scalars -----------------------------------------------------------------------

  /** Without an escape in it. */
  #quoted(quote: '"' | "'"): string | Leave {
    const from = this.#at + 1;
    const to = this.#text.indexOf(quote, from);
    if (to === -1 || to >= this.#lineEnd) return LEAVE;
    this.#at = to + 1;
    const content = this.#text.slice(from, to);
    if (quote === '"' ? content.includes('\\') : this.#text.charCodeAt(to + 1) === SINGLE_QUOTE) return LEAVE;
    return content;
  }

  /** To the end of the line or to a comment. */
  #plain(from: number): unknown {
    const text = this.#text;
    const end = this.#lineEnd;
    let to = from;
    for (let at = from; at < end; at++) {
      const code = text.charCodeAt(at);
      if (code === SPACE) continue;
      if (code === HASH && text.charCodeAt(at - 1) === SPACE) break;
      if (code === COLON && (at + 1 === end || text.charCodeAt(at + 1) === SPACE)) return LEAVE;
      to = at + 1;
    }
    return resolve(text.slice(from, to));
  }

  /** To the next comma or bracket. */
  #flowPlain(): unknown {
    const text = this.#text;
    const end = this.#lineEnd;
    const from = this.#at;
    let to = from;
    let at = from;
    for (; at < end; at++) {
      const code = text.charCodeAt(at);
      if (code === SPACE) continue;
      if (isFlowIndicator(code)) break;
      if (code === HASH && text.charCodeAt(at - 1) === SPACE) return LEAVE;
      if (
        code === COLON &&
        (at + 1 === end || text.charCodeAt(at + 1) === SPACE || isFlowIndicator(text.charCodeAt(at + 1)))
      )
        return LEAVE;
      to = at + 1;
    }
    this.#at = at;
    return resolve(text.slice(from, to));
  }
}

function isFlowIndicator(code: number): boolean {
  return (
    code === COMMA || code === OPEN_BRACKET || code === CLOSE_BRACKET || code === OPEN_BRACE || code === CLOSE_BRACE
  );
}

function resolve(scalar: string): unknown {
  const first = scalar.charCodeAt(0);
  if (scalar === '' || INDICATORS.has(first)) return LEAVE;
  if (isDigitLike(first)) {
    if (WHOLE.test(scalar)) return Number(scalar);
    return NUMBER.test(scalar) ? LEAVE : scalar;
  }
  if (scalar === 'true') return true;
  if (scalar === 'false') return false;
  return RESERVED.has(scalar) ? LEAVE : scalar;
}
