import type { Style, Tone } from '../style.ts';
import { displayWidth, oneLine, padEnd, wrap } from '../text.ts';

/** A line `Name:  text`; undefined ones are left out. */
export type Field =
  | readonly [name: string, text: string]
  | { readonly name: string; readonly text: string; readonly tone: Tone }
  | undefined;

/** Fields under each other, their texts aligned and, on a terminal, wrapped. */
export function renderFields(
  fields: readonly Field[],
  layout: { readonly style: Style; readonly width: number | undefined; readonly indent?: string },
): string {
  const { style, width, indent = '' } = layout;
  const shown: { name: string; text: string; tone?: Tone }[] = [];
  for (const field of fields) {
    if (field !== undefined) shown.push('name' in field ? { ...field } : { name: field[0], text: field[1] });
  }
  const column = Math.max(0, ...shown.map(({ name }) => displayWidth(name))) + 3;
  return shown
    .map(({ name, text, tone }) => {
      const room = width === undefined ? Number.POSITIVE_INFINITY : Math.max(20, width - indent.length - column);
      const lines = wrap(oneLine(text), room).map((line) => (tone === undefined ? line : style.paint(tone, line)));
      return `${indent}${padEnd(`${name}:`, column)}${lines.join(`\n${indent}${' '.repeat(column)}`)}\n`;
    })
    .join('');
}
