const UNIT_MS: Readonly<Record<string, number>> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000 };

export type DurationResult =
  | { readonly ok: true; readonly ms: number }
  | { readonly ok: false; readonly problem: string };

/**
 * Go's notation (`time.ParseDuration`): decimal numbers with units, in a row: `90s`, `1h30m`, `1.5h`.
 * Units are ms, s, m and h; the result is whole milliseconds.
 */
export function parseDuration(text: string): DurationResult {
  if (/^[+-]?\d+(\.\d+)?$/.test(text)) return { ok: false, problem: `it has no unit; ${text}s would be seconds` };
  if (text.startsWith('-')) return { ok: false, problem: 'it is negative' };
  if (!/^(\d+(\.\d+)?[a-zµ]+)+$/.test(text)) return { ok: false, problem: 'it is not numbers with units' };
  let ms = 0;
  for (const [, number, unit] of text.matchAll(/(\d+(?:\.\d+)?)([a-zµ]+)/g)) {
    const factor = UNIT_MS[unit ?? ''];
    if (factor === undefined) return { ok: false, problem: `there is no unit "${unit}": use ms, s, m or h` };
    ms += Number(number) * factor;
  }
  const rounded = Math.round(ms);
  if (!Number.isSafeInteger(rounded)) return { ok: false, problem: 'it is too long' };
  if (Math.abs(ms - rounded) > 1e-6) return { ok: false, problem: 'it is not a whole number of milliseconds' };
  return { ok: true, ms: rounded };
}

/** The shortest notation: `1h30m`, `100ms`. `ms` is a whole number >= 0. */
export function formatDuration(ms: number): string {
  if (ms === 0) return '0s';
  let rest = ms;
  let text = '';
  for (const unit of ['h', 'm', 's', 'ms']) {
    const factor = UNIT_MS[unit] ?? 1;
    const count = Math.floor(rest / factor);
    if (count > 0) text += `${count}${unit}`;
    rest -= count * factor;
  }
  return text;
}
