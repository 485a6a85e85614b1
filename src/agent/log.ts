import { type DestinationStream, pino } from 'pino';

export type LogLevel = 'debug' | 'info' | 'warn' | 'error';
/** Scalars only: an object could drag a key along. Anything else is dropped, at run time too. */
type LogFields = Readonly<Record<string, unknown>>;
export type Log = (level: LogLevel, message: string, fields?: LogFields) => void;

export interface LogOptions {
  /** `json`: one document per line; `text`: short lines for a terminal. */
  readonly format: 'json' | 'text';
  readonly level: LogLevel;
  readonly write: (line: string) => void;
}

/** Logs to `write`, one line per call. Messages come from this project's own text and errors, which hold no secrets. */
export function createLog(options: LogOptions): Log {
  const destination: DestinationStream = {
    write: (line) => options.write(options.format === 'json' ? line : textLine(line)),
  };
  const logger = pino(
    {
      level: options.level,
      base: null,
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
    },
    destination,
  );
  return (level, message, fields = {}) => logger[level](scalars(fields), message);
}

function scalars(fields: LogFields): Record<string, string | number | boolean> {
  const kept: Record<string, string | number | boolean> = {};
  for (const [name, value] of Object.entries(fields)) {
    if (typeof value === 'bigint') kept[name] = value.toString();
    else if (typeof value === 'string' || typeof value === 'number' || typeof value === 'boolean') kept[name] = value;
  }
  return kept;
}

/** `12:34:56 warn  message  key=value`. */
function textLine(line: string): string {
  const { level, time, msg, ...fields } = JSON.parse(line) as Record<string, unknown>;
  const rest = Object.entries(fields).map(([name, value]) => `  ${name}=${String(value)}`);
  return `${String(time).slice(11, 19)} ${String(level).padEnd(5)} ${String(msg)}${rest.join('')}\n`;
}
