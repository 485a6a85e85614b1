import { stringify } from 'yaml';
import type { Io } from './io.ts';
import { API_VERSION } from './options.ts';
import type { Style } from './style.ts';
import { type Cell, type Column, renderTable } from './table.ts';

export type OutputFormat = 'table' | 'wide' | 'json' | 'yaml' | 'name' | 'markdown';

/** Where a verb's answer goes. */
export interface Printer {
  readonly style: Style;
  /** Columns of the terminal; undefined where stdout is none, and nothing is shortened. */
  readonly width: number | undefined;
  /** Text for people. */
  write(text: string): void;
  table(columns: readonly Column[], rows: readonly (readonly Cell[])[], format?: OutputFormat): void;
  /** Plain data as it is: a JSON or YAML document, or JSON on a line of its own. */
  data(value: object, format: 'json' | 'yaml' | 'line'): void;
  /** One document with `apiVersion` and `kind` before its own fields. */
  document(format: 'json' | 'yaml', kind: string, fields: object): void;
}

export function createPrinter(io: Io, style: Style): Printer {
  const { stdout } = io;
  const width = stdout.isTTY ? stdout.columns : undefined;
  return {
    style,
    width,
    write: (text) => stdout.write(style.encode(text)),
    table: (columns, rows, format) =>
      stdout.write(style.encode(renderTable(columns, rows, { style, width: format === 'wide' ? undefined : width }))),
    data: (value, format) => stdout.write(format === 'line' ? renderJsonLine(value) : renderDocument(format, value)),
    document: (format, kind, fields) =>
      stdout.write(renderDocument(format, { apiVersion: API_VERSION, kind, ...fields })),
  };
}

/** Plain data as JSON or YAML text; u64 as decimal strings, as everywhere in the API. */
function renderDocument(format: 'json' | 'yaml', value: object): string {
  const text = JSON.stringify(value, jsonValue, 2);
  return format === 'json' ? `${text}\n` : stringify(JSON.parse(text), { lineWidth: 0 });
}

/** One JSON value on one line. */
function renderJsonLine(value: object): string {
  return `${JSON.stringify(value, jsonValue)}\n`;
}

function jsonValue(_key: string, value: unknown): unknown {
  if (typeof value === 'bigint') return value.toString();
  if (value instanceof Map) return Object.fromEntries(value);
  if (value instanceof Set) return [...value];
  return value;
}
