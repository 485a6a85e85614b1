import { type ClientRequest, type IncomingMessage, request } from 'node:http';
import { createInterface } from 'node:readline';
import { ExitCode, OmniError, type OmniErrorOptions } from '../errors.ts';
import type { SessionState } from '../reconcile/dataplane.ts';
import type { DesiredRow, ObservedRow } from '../reconcile/rows.ts';
import type {
  ApiError,
  ApplyReport,
  ApplyRequest,
  ConfirmRequest,
  DiffReport,
  DiffRequest,
  Event,
  HoldRequest,
  Json,
  ObjectStatus,
  ReconcileRequest,
  RetryRequest,
  RollbackRequest,
  RolloutReport,
  Status,
  WhyReport,
} from './api.ts';
import { ManifestsRefused } from './refused.ts';

/** The control API as its callers see it. Failures are `OmniError`s: the agent's own, or exit code 4 where it cannot be asked. */
export interface AgentClient {
  status(): Promise<Json<Status>>;
  objects(): Promise<Json<readonly ObjectStatus[]>>;
  sessions(): Promise<Json<readonly SessionState[]>>;
  rows(): Promise<Json<{ readonly desired: readonly DesiredRow[]; readonly observed: readonly ObservedRow[] }>>;
  diff(diff: DiffRequest): Promise<Json<DiffReport>>;
  /** This and the next four wait for the verdict on a revision, or until `timeoutMs` of the request passed. */
  apply(apply: ApplyRequest): Promise<Json<ApplyReport>>;
  reconcile(request?: ReconcileRequest): Promise<Json<ApplyReport>>;
  confirm(request: ConfirmRequest): Promise<Json<ApplyReport>>;
  retry(request: RetryRequest): Promise<Json<ApplyReport>>;
  rollback(request: RollbackRequest): Promise<Json<ApplyReport>>;
  rollout(): Promise<Json<RolloutReport>>;
  hold(request: HoldRequest): Promise<Json<RolloutReport>>;
  release(): Promise<Json<RolloutReport>>;
  suspend(request: { readonly reason: string }): Promise<Json<RolloutReport>>;
  resume(): Promise<Json<RolloutReport>>;
  /** Rejects with `nothing-known`, whose fix names what may have been meant. */
  why(query: string): Promise<Json<readonly WhyReport[]>>;
  /** The backlog after `since`, then, with `watch`, what happens until `signal`. Ends when the agent does. */
  events(options: {
    readonly watch: boolean;
    readonly since?: number;
    readonly signal: AbortSignal;
  }): AsyncIterable<Json<Event>>;
  metrics(): Promise<string>;
}

export interface ClientOptions {
  readonly socket: string;
  /** Of silence, per request. */
  readonly timeoutMs: number;
  readonly signal?: AbortSignal;
}

/** What an answer needs beyond the time that the agent itself was given. */
const GRACE_MS = 5_000;

/** Connects at each call, not here. */
export function connectAgent(options: ClientOptions): AgentClient {
  const get = async <T>(path: string): Promise<T> => JSON.parse(await call(options, { method: 'GET', path })) as T;
  const post = async <T>(path: string, body: unknown, timeoutMs = options.timeoutMs): Promise<T> =>
    JSON.parse(await call({ ...options, timeoutMs }, { method: 'POST', path, body: JSON.stringify(body) })) as T;
  const wait = <T>(path: string, body: { readonly timeoutMs: number }): Promise<T> =>
    post(path, body, Math.max(options.timeoutMs, body.timeoutMs) + GRACE_MS);
  return {
    status: () => get('/v1/status'),
    objects: () => get('/v1/objects'),
    sessions: () => get('/v1/sessions'),
    rows: () => get('/v1/rows'),
    diff: (diff) => post('/v1/diff', diff),
    apply: (apply) => wait('/v1/apply', apply),
    reconcile: (request = { timeoutMs: options.timeoutMs }) => wait('/v1/reconcile', request),
    confirm: (request) => wait('/v1/confirm', request),
    retry: (request) => wait('/v1/retry', request),
    rollback: (request) => wait('/v1/rollback', request),
    rollout: () => get('/v1/rollout'),
    hold: (request) => post('/v1/hold', request),
    release: () => post('/v1/release', {}),
    suspend: (request) => post('/v1/suspend', request),
    resume: () => post('/v1/resume', {}),
    why: (query) => get(`/v1/why?q=${encodeURIComponent(query)}`),
    events: (wanted) => events(options, wanted),
    metrics: () => call(options, { method: 'GET', path: '/metrics' }),
  };
}

interface Message {
  readonly method: 'GET' | 'POST';
  readonly path: string;
  readonly body?: string;
}

async function call(options: ClientOptions, message: Message): Promise<string> {
  const response = await open(options, message, options.signal);
  const text = await read(response, options);
  if (response.statusCode === 200) return text;
  throw agentError(text, response.statusCode ?? 0);
}

async function* events(
  options: ClientOptions,
  { watch, since = 0, signal }: { readonly watch: boolean; readonly since?: number; readonly signal: AbortSignal },
): AsyncGenerator<Json<Event>> {
  const path = `/v1/events?since=${since}${watch ? '&watch=1' : ''}`;
  const response = await open(options, { method: 'GET', path }, signal);
  if (response.statusCode !== 200) throw agentError(await read(response, options), response.statusCode ?? 0);
  response.socket.setTimeout(0); // nothing may happen for days
  try {
    for await (const line of createInterface({ input: response, crlfDelay: Number.POSITIVE_INFINITY })) {
      yield JSON.parse(line) as Json<Event>;
    }
  } catch (error) {
    signal.throwIfAborted();
    throw unreachable(options.socket, error as NodeJS.ErrnoException);
  } finally {
    response.destroy();
  }
}

function open(options: ClientOptions, message: Message, signal: AbortSignal | undefined): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => {
    const { socket, timeoutMs } = options;
    const sent: ClientRequest = request({
      socketPath: socket,
      method: message.method,
      path: message.path,
      timeout: timeoutMs,
      agent: false, // a kept connection would outlive the agent
      headers: message.body === undefined ? {} : { 'content-type': 'application/json' },
      ...(signal === undefined ? {} : { signal }),
    });
    sent.once('response', resolve);
    sent.once('timeout', () => sent.destroy(timedOut(socket, timeoutMs)));
    sent.once('error', (error: NodeJS.ErrnoException) => {
      reject(signal?.aborted ? signal.reason : error instanceof OmniError ? error : unreachable(socket, error));
    });
    sent.end(message.body);
  });
}

async function read(response: IncomingMessage, { socket }: ClientOptions): Promise<string> {
  const chunks: Buffer[] = [];
  try {
    for await (const chunk of response as AsyncIterable<Buffer>) chunks.push(chunk);
  } catch (error) {
    if (error instanceof OmniError) throw error;
    throw unreachable(socket, error as NodeJS.ErrnoException);
  }
  return Buffer.concat(chunks).toString('utf8');
}

function agentError(text: string, status: number): OmniError {
  let parsed: Partial<ApiError> = {};
  try {
    parsed = JSON.parse(text) as Partial<ApiError>;
  } catch {
    // not ours: reported with its status below
  }
  const { error } = parsed;
  if (error === undefined) {
    return stale(`the agent answered with HTTP status ${status}`, 'agent-odd', 'Check what listens on the socket.');
  }
  const options: OmniErrorOptions = {
    code: error.code,
    class: 'stall',
    exitCode: error.exitCode as ExitCode,
    ...(error.fix === undefined ? {} : { fix: error.fix }),
  };
  if (error.diagnostics === undefined) return new OmniError(error.message, options);
  return new ManifestsRefused(error.message, options, error.diagnostics);
}

function unreachable(socket: string, error: NodeJS.ErrnoException): OmniError {
  switch (error.code) {
    case 'ENOENT':
    case 'ECONNREFUSED':
      return stale(
        `no agent answers on ${socket}`,
        'agent-not-running',
        'Start it with omni agent, or name its socket with --socket.',
        error,
      );
    case 'EACCES':
    case 'EPERM':
      return stale(`this user may not use ${socket}`, 'agent-denied', 'Run as root, or as the agent’s user.', error);
    default:
      return stale(
        `the agent on ${socket} broke off: ${error.message}`,
        'agent-lost',
        'Look at its log: it may have been stopped.',
        error,
      );
  }
}

function timedOut(socket: string, timeoutMs: number): OmniError {
  return stale(
    `the agent on ${socket} gave no answer within ${timeoutMs / 1000} s`,
    'agent-timeout',
    'It may still be at work: see omni status, or wait longer with --timeout.',
  );
}

function stale(message: string, code: string, fix: string, cause?: unknown): OmniError {
  return new OmniError(message, { code, class: 'retry', exitCode: ExitCode.stale, fix, cause });
}
