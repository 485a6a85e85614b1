import type { Event, Json } from '../../agent/api.ts';
import { ageOf, shortDigests } from '../format.ts';
import type { Printer } from '../output.ts';
import type { Cell, Column } from '../table.ts';
import { oneLine, padEnd, truncate } from '../text.ts';

export type EventView = Json<Event>;

export const EVENT_COLUMNS: readonly Column[] = [
  { header: 'AGE' },
  { header: 'TYPE' },
  { header: 'REASON' },
  { header: 'OBJECT' },
  { header: 'MESSAGE', flexible: true },
];

export function eventCells(event: EventView, nowMs: number): Cell[] {
  const warning = event.type === 'Warning';
  return [
    ageOf(event.time, nowMs),
    warning ? { text: event.type, tone: 'warn' } : event.type,
    event.reason,
    event.object,
    shortDigests(event.message),
  ];
}

const TYPE_WIDTH = 7;
const REASON_WIDTH = 18;

/** One line of `omni events -w`: a stream cannot know its widest cell, so the time of day comes first and columns are fixed. */
export function eventLine(event: EventView, { style, width }: Pick<Printer, 'style' | 'width'>): string {
  const type = padEnd(event.type, TYPE_WIDTH);
  const time = event.time.slice(11, 19);
  const start = `${time}  ${type}  ${padEnd(oneLine(event.reason), REASON_WIDTH)}  `;
  const rest = oneLine(`${event.object}: ${shortDigests(event.message)}`);
  const shown = width === undefined ? rest : truncate(rest, Math.max(20, width - start.length), style.symbols.ellipsis);
  return `${event.type === 'Warning' ? start.replace(type, style.paint('warn', type)) : start}${shown}\n`;
}
