import type { ApplyRequest, DiffRequest, FileSet } from './api.ts';
import { isFileList } from './applied.ts';
import { badRequest } from './server.ts';

/** A day: longer waits are mistakes. */
const MAX_TIMEOUT_MS = 86_400_000;

/** Bodies and queries of the control API: parsed once, unknown fields refused. */
export function parseDiffRequest(body: unknown): DiffRequest {
  const { against } = fieldsOf(body, ['against']);
  return { against: against === 'source' ? against : parseFileSet(against) };
}

export function parseApplyRequest(body: unknown): ApplyRequest {
  const { set, dryRun, timeoutMs } = fieldsOf(body, ['set', 'dryRun', 'timeoutMs']);
  if (typeof dryRun !== 'boolean') throw badRequest('dryRun is not a boolean');
  if (typeof timeoutMs !== 'number' || !(timeoutMs > 0 && timeoutMs <= MAX_TIMEOUT_MS)) {
    throw badRequest('timeoutMs is not a number between 0 and a day');
  }
  return { set: parseFileSet(set), dryRun, timeoutMs };
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
