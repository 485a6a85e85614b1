import type { Style, Tone } from './style.ts';
import { displayWidth, oneLine, padEnd, truncate } from './text.ts';

export type Cell = string | { readonly text: string; readonly tone: Tone };

export interface Column {
  readonly header: string;
  /** May be shortened on a narrow terminal: messages, keys. */
  readonly flexible?: boolean;
  /** Left out on a terminal that is too narrow even so; the last such column goes first. */
  readonly optional?: boolean;
}

export interface TableOptions {
  readonly style: Style;
  /** Columns of the terminal; undefined: nothing is shortened. */
  readonly width: number | undefined;
}

const GAP = 2;
const FLEXIBLE_MIN = 12;

/** Rows under headers, as wide as their content; ends in a newline. Every row has one cell per column. */
export function renderTable(
  columns: readonly Column[],
  rows: readonly (readonly Cell[])[],
  options: TableOptions,
): string {
  return tableWriter(columns, options)(rows);
}

/** A table in parts, for what comes by and by: headers before the first, and columns never get narrower. */
export function tableWriter(
  columns: readonly Column[],
  options: TableOptions,
): (rows: readonly (readonly Cell[])[]) => string {
  let natural = columns.map(({ header }) => displayWidth(header));
  let headed = false;
  return (rows) => {
    const texts = rows.map((row) =>
      row.map((cell) => options.style.encode(oneLine(typeof cell === 'string' ? cell : cell.text))),
    );
    natural = natural.map((width, i) => texts.reduce((most, row) => Math.max(most, displayWidth(row[i] ?? '')), width));
    const shown = chooseWidths(columns, natural, options.width);
    const heading = columns.map(({ header }): Cell => ({ text: header, tone: 'bold' }));
    const lines = rows.map((row, r) => renderLine(shown, texts[r] ?? [], row, options.style));
    const headers = columns.map(({ header }) => header);
    if (!headed) lines.unshift(renderLine(shown, headers, heading, options.style));
    headed = true;
    return lines.map((line) => `${line}\n`).join('');
  };
}

function renderLine(
  shown: readonly Shown[],
  texts: readonly string[],
  cells: readonly Cell[],
  { paint, symbols }: Style,
): string {
  return shown
    .map(({ index, width }, position) => {
      const text = truncate(texts[index] ?? '', width, symbols.ellipsis);
      const padded = position === shown.length - 1 ? text : padEnd(text, width + GAP);
      const cell = cells[index];
      return cell === undefined || typeof cell === 'string'
        ? padded
        : paint(cell.tone, text) + padded.slice(text.length);
    })
    .join('')
    .trimEnd();
}

interface Shown {
  readonly index: number;
  readonly width: number;
}

/** Shortens flexible columns, the widest first; if that is not enough, leaves optional ones out. */
function chooseWidths(
  columns: readonly Column[],
  natural: readonly number[],
  available: number | undefined,
): readonly Shown[] {
  let shown = natural.map((width, index) => ({ index, width }));
  if (available === undefined) return shown;
  for (;;) {
    const fitted = shrink(columns, shown, available);
    if (total(fitted) <= available) return fitted;
    const victim = shown.findLast(({ index }) => columns[index]?.optional);
    if (victim === undefined) return fitted;
    shown = shown.filter((column) => column !== victim);
  }
}

function shrink(columns: readonly Column[], shown: readonly Shown[], available: number): Shown[] {
  const widths = shown.map((column) => ({ ...column }));
  let excess = total(widths) - available;
  while (excess > 0) {
    const widest = widths
      .filter(({ index, width }) => columns[index]?.flexible && width > FLEXIBLE_MIN)
      .sort((a, b) => b.width - a.width)[0];
    if (widest === undefined) break;
    widest.width -= 1;
    excess -= 1;
  }
  return widths;
}

function total(shown: readonly Shown[]): number {
  return shown.reduce((sum, { width }) => sum + width, 0) + GAP * Math.max(0, shown.length - 1);
}
