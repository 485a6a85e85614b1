import type {
  ApplyRequest,
  ConfirmRequest,
  DiffRequest,
  FileSet,
  HoldRequest,
  ReconcileRequest,
  RetryRequest,
  RollbackRequest,
} from './api.ts';
import { isFileList } from './applied.ts';
import { badRequest } from './server.ts';

/** A day: longer waits are mistakes. */
const MAX_TIMEOUT_MS = 86_400_000;
const MAX_TEXT = 1_000;
const TIME = /^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}(:\d{2}(\.\d+)?)?(Z|[+-]\d{2}:\d{2})$/i;

/** Bodies and queries of the control API: parsed once, unknown fields refused. */
export function parseDiffRequest(body: unknown): DiffRequest {
  const { against } = fieldsOf(body, ['against']);
  return { against: against === 'source' ? against : parseFileSet(against) };
}

export function parseApplyRequest(body: unknown): ApplyRequest {
  const names = ['set', 'dryRun', 'timeoutMs', 'allowPartition', 'allowPrune'];
  const { set, dryRun, timeoutMs, allowPartition, allowPrune } = fieldsOf(body, names);
  return {
    set: parseFileSet(set),
    dryRun: parseFlag(dryRun, 'dryRun'),
    timeoutMs: parseTimeout(timeoutMs),
    allowPartition: parseFlag(allowPartition, 'allowPartition'),
    allowPrune: parseFlag(allowPrune, 'allowPrune'),
  };
}

export function parseReconcileRequest(body: unknown): ReconcileRequest {
  const { timeoutMs, acceptRewind } = fieldsOf(body, ['timeoutMs', 'acceptRewind']);
  return {
    timeoutMs: parseTimeout(timeoutMs),
    ...(acceptRewind === undefined ? {} : { acceptRewind: parseFlag(acceptRewind, 'acceptRewind') }),
  };
}

export function parseConfirmRequest(body: unknown): ConfirmRequest {
  const { revision, allowPartition, timeoutMs } = fieldsOf(body, ['revision', 'allowPartition', 'timeoutMs']);
  return {
    ...(revision === undefined ? {} : { revision: parseText(revision, 'revision') }),
    allowPartition: parseFlag(allowPartition, 'allowPartition'),
    timeoutMs: parseTimeout(timeoutMs),
  };
}

export function parseRetryRequest(body: unknown): RetryRequest {
  const { revision, timeoutMs } = fieldsOf(body, ['revision', 'timeoutMs']);
  return {
    ...(revision === undefined ? {} : { revision: parseText(revision, 'revision') }),
    timeoutMs: parseTimeout(timeoutMs),
  };
}

export function parseRollbackRequest(body: unknown): RollbackRequest {
  const { to, timeoutMs } = fieldsOf(body, ['to', 'timeoutMs']);
  return { to: parseText(to, 'to'), timeoutMs: parseTimeout(timeoutMs) };
}

export function parseHoldRequest(body: unknown): HoldRequest {
  const { reason, until, replace } = fieldsOf(body, ['reason', 'until', 'replace']);
  return {
    reason: parseText(reason, 'reason'),
    ...(until === undefined ? {} : { until: parseTime(until) }),
    replace: parseFlag(replace, 'replace'),
  };
}

export function parseReason(body: unknown): string {
  return parseText(fieldsOf(body, ['reason']).reason, 'reason');
}

/** Of a request that says nothing more than its path. */
export function parseNothing(body: unknown): void {
  fieldsOf(body, []);
}

function parseTimeout(value: unknown): number {
  if (typeof value === 'number' && value > 0 && value <= MAX_TIMEOUT_MS) return value;
  throw badRequest('timeoutMs is not a number between 0 and a day');
}

function parseFlag(value: unknown, name: string): boolean {
  if (typeof value === 'boolean') return value;
  throw badRequest(`${name} is not a boolean`);
}

function parseText(value: unknown, name: string): string {
  if (typeof value === 'string' && value.trim() !== '' && value.length <= MAX_TEXT) return value;
  throw badRequest(`${name} is not a text of 1 to ${MAX_TEXT} characters`);
}

/** RFC 3339, as UTC to the millisecond. */
function parseTime(value: unknown): string {
  const ms = typeof value === 'string' && TIME.test(value) ? Date.parse(value) : Number.NaN;
  if (!Number.isNaN(ms)) return new Date(ms).toISOString();
  throw badRequest('until is not a time such as 2026-01-31T18:00:00Z');
}

function parseFileSet(value: unknown): FileSet {
  const { files } = fieldsOf(value, ['files']);
  if (!isFileList(files)) throw badRequest('files is not a list of { path, text }');
  return { files };
}

function fieldsOf(value: unknown, known: readonly string[]): Record<string, unknown> {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw badRequest('an object was expected');
  const unknown = Object.keys(value).find((name) => !known.includes(name));
  if (unknown !== undefined) throw badRequest(`unknown field ${JSON.stringify(unknown.slice(0, 40))}`);
  return value as Record<string, unknown>;
}

export function parseSince(query: URLSearchParams): number {
  const text = query.get('since') ?? '0';
  if (!/^[0-9]{1,15}$/.test(text)) throw badRequest('since is not the number of an event');
  return Number(text);
}
