/** A weekly time in which new revisions are adopted. */
export interface Window {
  /** On which it opens, 0 = Sunday; absent: on each. */
  readonly days?: readonly number[];
  /** Minutes since midnight by the zone's wall clock, 0 to 1439. */
  readonly from: number;
  /** 1 to 1440; at or before `from`: of the next day. */
  readonly to: number;
  /** IANA name. */
  readonly timeZone: string;
}

const MINUTE_MS = 60_000;
const DAY_MS = 24 * 60 * MINUTE_MS;
const WEEK = 7;

/**
 * A zone's wall clock, as if it were UTC: milliseconds since 1970, whole minutes. Where summer time begins an hour is
 * skipped, where it ends one comes twice.
 */
function wallClock(timeZone: string, nowMs: number): number {
  const parts: Partial<Record<Intl.DateTimeFormatPartTypes, number>> = {};
  for (const { type, value } of formatOf(timeZone).formatToParts(nowMs)) parts[type] = Number(value);
  const { year = 0, month = 1, day = 1, hour = 0, minute = 0 } = parts;
  return Date.UTC(year, month - 1, day, hour, minute);
}

const formats = new Map<string, Intl.DateTimeFormat>();

function formatOf(timeZone: string): Intl.DateTimeFormat {
  const known = formats.get(timeZone);
  if (known !== undefined) return known;
  const made = new Intl.DateTimeFormat('en-US', {
    timeZone,
    calendar: 'gregory',
    numberingSystem: 'latn',
    hourCycle: 'h23',
    year: 'numeric',
    month: '2-digit',
    day: '2-digit',
    hour: '2-digit',
    minute: '2-digit',
  });
  formats.set(timeZone, made);
  return made;
}

/** An IANA time zone that this system knows. */
export function isTimeZone(name: string): boolean {
  try {
    new Intl.DateTimeFormat('en-US', { timeZone: name });
    return true;
  } catch {
    return false;
  }
}

/** `nowMs`: milliseconds since 1970. Open from the first moment of the minute `from` to the last before `to`. */
export function isOpen({ days, from, to, timeZone }: Window, nowMs: number): boolean {
  const wall = wallClock(timeZone, nowMs);
  const minute = (((wall % DAY_MS) + DAY_MS) % DAY_MS) / MINUTE_MS;
  const opensOn = (wallMs: number): boolean => days?.includes(new Date(wallMs).getUTCDay()) ?? true;
  if (from < to) return minute >= from && minute < to && opensOn(wall);
  return (minute >= from && opensOn(wall)) || (minute < to && opensOn(wall - DAY_MS));
}

/** When the first of these opens after now, milliseconds since 1970; undefined: not within a week. */
export function nextOpening(windows: readonly Window[], nowMs: number): number | undefined {
  const openings = windows.flatMap((window) => openingOf(window, nowMs) ?? []);
  return openings.length === 0 ? undefined : Math.min(...openings);
}

function openingOf(window: Window, nowMs: number): number | undefined {
  const today = Math.floor(wallClock(window.timeZone, nowMs) / DAY_MS) * DAY_MS;
  for (let day = 0; day <= WEEK; day += 1) {
    const opening = firstOpen(window, today + day * DAY_MS + window.from * MINUTE_MS, nowMs);
    if (opening !== undefined) return opening;
  }
  return undefined;
}

/**
 * The first moment after now at which the wall clock shows `wallMs`, or has skipped it, if the window is open then.
 * What the zone is off UTC a day before and a day after are all that it can be off between.
 */
function firstOpen(window: Window, wallMs: number, nowMs: number): number | undefined {
  const { timeZone } = window;
  const offsets = [-DAY_MS, DAY_MS].map((shift) => wallClock(timeZone, wallMs + shift) - (wallMs + shift));
  const [early = 0, late = 0] = offsets.map((offset) => wallMs - offset).sort((a, b) => a - b);
  const skipped = wallClock(timeZone, early) < wallMs && wallClock(timeZone, late) > wallMs;
  const moments = skipped ? [firstNotBefore(timeZone, wallMs, early, late)] : [early, late];
  return moments.find((moment) => moment > nowMs && isOpen(window, moment));
}

/** The first whole minute after `before`, and at most `until`, at which the wall clock shows `wallMs` or later. */
function firstNotBefore(timeZone: string, wallMs: number, before: number, until: number): number {
  let low = before;
  let high = until;
  while (high - low > MINUTE_MS) {
    const middle = low + Math.floor((high - low) / MINUTE_MS / 2) * MINUTE_MS;
    if (wallClock(timeZone, middle) < wallMs) low = middle;
    else high = middle;
  }
  return high;
}
