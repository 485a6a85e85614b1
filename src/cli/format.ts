const SECOND = 1_000;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;
const YEAR = 365 * DAY;

/** A span as kubectl prints ages: two units while the second still says something. Negative spans are 0s. */
export function humanSpan(ms: number): string {
  if (!Number.isFinite(ms)) return '<unknown>';
  const span = Math.max(0, ms);
  if (span < 2 * MINUTE) return `${Math.floor(span / SECOND)}s`;
  if (span < 10 * MINUTE) return pair(span, MINUTE, 'm', SECOND, 's');
  if (span < 3 * HOUR) return `${Math.floor(span / MINUTE)}m`;
  if (span < 8 * HOUR) return pair(span, HOUR, 'h', MINUTE, 'm');
  if (span < 2 * DAY) return `${Math.floor(span / HOUR)}h`;
  if (span < 8 * DAY) return pair(span, DAY, 'd', HOUR, 'h');
  if (span < 2 * YEAR) return `${Math.floor(span / DAY)}d`;
  if (span < 8 * YEAR) return pair(span, YEAR, 'y', DAY, 'd');
  return `${Math.floor(span / YEAR)}y`;
}

function pair(span: number, major: number, majorUnit: string, minor: number, minorUnit: string): string {
  const rest = Math.floor((span % major) / minor);
  return `${Math.floor(span / major)}${majorUnit}${rest === 0 ? '' : `${rest}${minorUnit}`}`;
}

/** How long ago an RFC 3339 time was. */
export function ageOf(time: string | undefined, nowMs: number): string {
  return time === undefined ? '<none>' : humanSpan(nowMs - Date.parse(time));
}

/** How long something took: tenths of a second while they say something. */
export function humanTook(ms: number): string {
  if (ms < SECOND) return `${Math.round(ms)}ms`;
  return ms < 10 * SECOND ? `${(ms / SECOND).toFixed(1)}s` : humanSpan(ms);
}

/** An RFC 3339 time on this machine's clock: `18:30`, with its date unless that is today's. */
export function clockTime(time: string, nowMs: number): string {
  const local = new Date(time);
  const two = (number: number): string => String(number).padStart(2, '0');
  const clock = `${two(local.getHours())}:${two(local.getMinutes())}`;
  if (local.toDateString() === new Date(nowMs).toDateString()) return clock;
  return `${local.getFullYear()}-${two(local.getMonth() + 1)}-${two(local.getDate())} ${clock}`;
}

const BINARY = ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB', 'EiB'] as const;

/** Bytes in powers of 1,024, as `wg show` prints them: `1.42 MiB`. */
export function humanBytes(bytes: bigint | string | number): string {
  let value = Number(bytes);
  let unit = 0;
  while (value >= 1024 && unit < BINARY.length - 1) {
    value /= 1024;
    unit += 1;
  }
  return `${unit === 0 ? value : value.toFixed(2)} ${BINARY[unit]}`;
}

/** Whole counts with thousands separated. */
export function humanCount(count: bigint | string | number): string {
  return BigInt(count).toLocaleString('en-US');
}

/** `main@sha1:450796dd…` to `main@sha1:450796dd`: as much of the digest as people compare. */
export function shortRevision(label: string): string {
  return label.replace(/([:@]|^)([0-9a-f]{8})[0-9a-f]{8,}$/, '$1$2');
}

/** A message with its digests shortened alike. */
export function shortDigests(message: string): string {
  return message.replace(/\b(sha1|sha256):([0-9a-f]{8})[0-9a-f]{8,}\b/g, '$1:$2');
}
