import type { Event } from './api.ts';
import type { EventLog } from './events.ts';
import type { Metrics } from './metrics.ts';
import { Operations } from './operations.ts';
import type { Parts } from './parts.ts';
import { Pauses } from './pauses.ts';
import {
  parseApplyRequest,
  parseConfirmRequest,
  parseDiffRequest,
  parseHoldRequest,
  parseNothing,
  parseReason,
  parseReconcileRequest,
  parseRetryRequest,
  parseRollbackRequest,
  parseSince,
} from './requests.ts';
import type { Call, Handler, Reply, Routes } from './server.ts';
import { objectsOf, statusOf } from './status.ts';
import { whyOf } from './why.ts';

/** A client that reads more slowly than things happen is cut off here rather than remembered for ever. */
const MAX_BEHIND = 10_000;

/** The control API of `api.ts`. */
export function routesOf(parts: Parts, metrics: Metrics): Routes {
  const operations = new Operations(parts);
  const pauses = new Pauses(parts);
  const json =
    (read: (call: Call) => unknown) =>
    async (call: Call): Promise<Reply> => ({ json: await read(call) });
  /** What changes something waits until the start has put in force what was. */
  const act = (run: (call: Call) => Promise<unknown>) =>
    json(async (call) => {
      await parts.booted;
      return run(call);
    });
  return new Map<string, Handler>([
    ['GET /v1/status', json(() => statusOf(parts))],
    ['GET /v1/objects', json(() => objectsOf(parts))],
    ['GET /v1/sessions', json(() => parts.dataPlane.sessions.list())],
    ['GET /v1/rows', json(() => parts.reconciler.rows())],
    ['GET /v1/why', json(({ query, signal }) => whyOf(parts, query.get('q') ?? '', signal))],
    ['GET /v1/rollout', json(() => parts.rollout.report())],
    ['POST /v1/diff', json(({ body, signal }) => operations.diff(parseDiffRequest(body), signal))],
    ['POST /v1/apply', act(({ body, signal }) => operations.apply(parseApplyRequest(body), signal))],
    ['POST /v1/reconcile', act(({ body, signal }) => operations.reconcile(parseReconcileRequest(body), signal))],
    ['POST /v1/confirm', act(({ body, signal }) => operations.confirm(parseConfirmRequest(body), signal))],
    ['POST /v1/retry', act(({ body, signal }) => operations.retry(parseRetryRequest(body), signal))],
    ['POST /v1/rollback', act(({ body, signal }) => operations.rollback(parseRollbackRequest(body), signal))],
    ['POST /v1/hold', act(({ body }) => pauses.hold(parseHoldRequest(body)))],
    [
      'POST /v1/release',
      act(({ body }) => {
        parseNothing(body);
        return pauses.release();
      }),
    ],
    ['POST /v1/suspend', act(({ body }) => pauses.suspend(parseReason(body)))],
    [
      'POST /v1/resume',
      act(({ body }) => {
        parseNothing(body);
        return pauses.resume();
      }),
    ],
    ['GET /v1/events', (call: Call): Reply => ({ lines: eventLines(parts.events, call) })],
    ['GET /metrics', async (): Promise<Reply> => ({ text: await metrics.text(), contentType: metrics.contentType })],
  ]);
}

function eventLines(events: EventLog, { query, signal }: Call): AsyncIterable<Event> {
  const since = parseSince(query);
  return query.has('watch') ? follow(events, since, signal) : backlog(events, since);
}

async function* backlog(events: EventLog, since: number): AsyncGenerator<Event> {
  yield* events.after(since);
}

async function* follow(events: EventLog, since: number, signal: AbortSignal): AsyncGenerator<Event> {
  const waiting: Event[] = [];
  let wake: () => void = () => undefined;
  const stop = events.subscribe((event) => {
    waiting.push(event);
    wake();
  });
  const aborted = () => wake();
  signal.addEventListener('abort', aborted, { once: true });
  try {
    yield* events.after(since);
    while (!signal.aborted && waiting.length <= MAX_BEHIND) {
      const event = waiting.shift();
      if (event !== undefined) yield event;
      else
        await new Promise<void>((resolve) => {
          wake = resolve;
        });
    }
  } finally {
    stop();
    signal.removeEventListener('abort', aborted);
  }
}
