import { parseDuration } from '../manifest/duration.ts';
import { usageError } from './errors.ts';

const RFC3339 = /^(\d{4})-(\d{2})-(\d{2})T(\d{2}):(\d{2}):(\d{2})(?:\.\d+)?(?:Z|[+-]\d{2}:\d{2})$/i;
const CLOCK = /^(\d{1,2}):(\d{2})$/;

/**
 * A moment to come, milliseconds since 1970: in `2h`, at the next `18:30` of this machine's clock, or at a time as RFC 3339
 * has it. Anything that may be read in two ways, and what is over already, is a usage error.
 */
export function parseUntil(text: string, nowMs: number): number {
  const timeMs = momentOf(text, nowMs);
  if (timeMs > nowMs) return timeMs;
  throw usageError(`'${text}' is over already: the clock says ${new Date(nowMs).toISOString()}`, 'Name a later time.');
}

function momentOf(text: string, nowMs: number): number {
  const clock = CLOCK.exec(text);
  if (clock) return nextClock(Number(clock[1]), Number(clock[2]), text, nowMs);
  if (RFC3339.test(text)) return rfc3339(text);
  const duration = parseDuration(text);
  if (duration.ok) return nowMs + duration.ms;
  throw unreadable(text, /^\d{4}-/.test(text) ? 'it has no time, or no offset from UTC' : duration.problem);
}

function nextClock(hour: number, minute: number, text: string, nowMs: number): number {
  if (hour > 23 || minute > 59) throw unreadable(text, 'there is no such time of day');
  const time = new Date(nowMs);
  time.setHours(hour, minute, 0, 0);
  if (time.getTime() <= nowMs) {
    time.setDate(time.getDate() + 1);
    time.setHours(hour, minute, 0, 0);
  }
  // Clocks go forward past it that night.
  if (time.getHours() !== hour || time.getMinutes() !== minute) throw unreadable(text, 'the clock skips it');
  return time.getTime();
}

/** `Date.parse` takes the 30th of February for a day in March. */
function rfc3339(text: string): number {
  const [, year = 0, month = 0, day = 0, hour = 0, minute = 0, second = 0] = (RFC3339.exec(text) ?? []).map(Number);
  const date = new Date(Date.UTC(year, month - 1, day));
  const timeMs = Date.parse(text.toUpperCase());
  const real = date.getUTCMonth() === month - 1 && date.getUTCDate() === day && !Number.isNaN(timeMs);
  if (!real || hour > 23 || minute > 59 || second > 59) throw unreadable(text, 'there is no such time');
  return timeMs;
}

function unreadable(text: string, problem: string): Error {
  return usageError(
    `the time '${text}' cannot be read: ${problem}`,
    'Write a duration (2h, 90m), a time of day (18:30), or RFC 3339 (2026-03-01T18:30:00+01:00).',
  );
}
