import { mkdir, stat, unlink } from 'node:fs/promises';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { dirname } from 'node:path';
import { ExitCode, OmniError } from '../errors.ts';
import type { Diagnostic } from '../manifest/model.ts';
import type { ApiError } from './api.ts';
import { encodeJson } from './json.ts';
import { isErrno, messageOf } from './lock.ts';
import type { Log } from './log.ts';
import { isListening, listenPrivately } from './unix-socket.ts';

/** What a handler answers. */
export type Reply =
  | { readonly json: unknown }
  | { readonly text: string; readonly contentType: string }
  /** One JSON document per line until `lines` ends or the client goes. */
  | { readonly lines: AsyncIterable<unknown> };

export interface Call {
  readonly query: URLSearchParams;
  /** The parsed body of a POST; undefined for GET. */
  readonly body: unknown;
  /** Aborted when the client goes or the server closes. */
  readonly signal: AbortSignal;
}

export type Handler = (call: Call) => Promise<Reply> | Reply;
/** By `METHOD /path`. */
export type Routes = ReadonlyMap<string, Handler>;

/** A refused request. `diagnostics` go along for manifests with errors. */
export class ApiFailure extends OmniError {
  readonly status: number;
  readonly diagnostics: readonly Diagnostic[] | undefined;

  constructor(status: number, error: OmniError, diagnostics?: readonly Diagnostic[]) {
    super(error.message, {
      code: error.code,
      class: error.class,
      exitCode: error.exitCode,
      cause: error,
      ...(error.fix === undefined ? {} : { fix: error.fix }),
    });
    this.status = status;
    this.diagnostics = diagnostics;
  }
}

/** A fleet of 100,000 small documents, as JSON text. */
const BODY_LIMIT_BYTES = 64 * 1024 * 1024;
const RECEIVE_TIMEOUT_MS = 30_000;
const MAX_CONNECTIONS = 64;

export interface ControlServer {
  close(): Promise<void>;
}

/**
 * Serves the control API on a Unix socket, mode 0600. A socket file that nobody listens on is replaced.
 * Throws `socket-in-use` or `socket-unusable`, exit 2.
 */
export async function serveControl(path: string, routes: Routes, log: Log): Promise<ControlServer> {
  const closing = new AbortController();
  const server = createServer((request, response) => void answer(request, response, routes, closing.signal, log));
  server.requestTimeout = RECEIVE_TIMEOUT_MS;
  server.headersTimeout = RECEIVE_TIMEOUT_MS;
  server.maxConnections = MAX_CONNECTIONS;
  try {
    await mkdir(dirname(path), { recursive: true, mode: 0o755 });
    await clearStale(path);
    await listenPrivately(server, path);
  } catch (error) {
    if (error instanceof OmniError) throw error;
    throw socketError(`the control socket ${path} cannot be made: ${messageOf(error)}`, 'socket-unusable', error);
  }
  return {
    close: () => {
      closing.abort();
      return closeServer(server);
    },
  };
}

/** Ends a server and its connections. */
export function closeServer(server: Server): Promise<void> {
  return new Promise((done) => {
    server.close(() => done());
    // Replies that `closing` just cut short still leave; whoever does not read is cut off.
    setTimeout(() => server.closeAllConnections(), 100).unref();
    server.closeIdleConnections();
  });
}

async function clearStale(path: string): Promise<void> {
  const found = await stat(path).catch(() => undefined);
  if (found === undefined) return;
  if (!found.isSocket()) throw socketError(`${path} is there and is no socket`, 'socket-unusable');
  if (await isListening(path)) throw socketError(`another agent answers on ${path}`, 'socket-in-use');
  await unlink(path).catch((error: unknown) => {
    if (!isErrno(error, 'ENOENT')) throw error;
  });
}

function socketError(message: string, code: string, cause?: unknown): OmniError {
  const fix = 'Stop the other agent, or name another socket with --socket.';
  return new OmniError(message, { code, class: 'stall', exitCode: ExitCode.usage, fix, cause });
}

async function answer(
  request: IncomingMessage,
  response: ServerResponse,
  routes: Routes,
  closing: AbortSignal,
  log: Log,
): Promise<void> {
  const gone = new AbortController();
  response.once('close', () => gone.abort());
  const signal = AbortSignal.any([gone.signal, closing]);
  try {
    const url = new URL(request.url ?? '/', 'http://agent');
    const handler = routes.get(`${request.method} ${url.pathname}`);
    if (handler === undefined) throw notFound(request.method, url.pathname);
    const body = request.method === 'POST' ? await readBody(request) : undefined;
    await send(response, await handler({ query: url.searchParams, body, signal }), signal);
  } catch (error) {
    if (gone.signal.aborted) return;
    sendError(response, error, log);
  }
}

function notFound(method: string | undefined, path: string): ApiFailure {
  return new ApiFailure(
    404,
    new OmniError(`the agent has no ${method} ${path}`, {
      code: 'no-such-endpoint',
      class: 'stall',
      exitCode: ExitCode.usage,
      fix: 'Use an omni of the same version as the agent; omni version shows both.',
    }),
  );
}

export function badRequest(message: string): ApiFailure {
  return new ApiFailure(
    400,
    new OmniError(message, { code: 'bad-request', class: 'stall', exitCode: ExitCode.usage, fix: 'See the API.' }),
  );
}

async function readBody(request: IncomingMessage): Promise<unknown> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of request as AsyncIterable<Buffer>) {
    size += chunk.length;
    if (size > BODY_LIMIT_BYTES) {
      throw new ApiFailure(413, badRequest('the request is larger than 64 MiB'));
    }
    chunks.push(chunk);
  }
  try {
    return JSON.parse(Buffer.concat(chunks).toString('utf8')) as unknown;
  } catch {
    throw badRequest('the body is not JSON');
  }
}

async function send(response: ServerResponse, reply: Reply, signal: AbortSignal): Promise<void> {
  if ('json' in reply) {
    response.writeHead(200, { 'content-type': 'application/json' }).end(encodeJson(reply.json));
  } else if ('text' in reply) {
    response.writeHead(200, { 'content-type': reply.contentType }).end(reply.text);
  } else {
    response.writeHead(200, { 'content-type': 'application/x-ndjson' });
    response.flushHeaders();
    for await (const line of reply.lines) {
      if (!response.write(`${encodeJson(line)}\n`)) await drained(response, signal);
      if (signal.aborted) break;
    }
    response.end();
  }
}

function drained(response: ServerResponse, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const done = () => {
      response.off('drain', done);
      signal.removeEventListener('abort', done);
      resolve();
    };
    response.once('drain', done);
    signal.addEventListener('abort', done, { once: true });
  });
}

function sendError(response: ServerResponse, error: unknown, log: Log): void {
  const known = error instanceof OmniError;
  if (!known) log('error', `a request failed unexpectedly: ${messageOf(error)}`);
  if (response.headersSent) {
    response.destroy();
    return;
  }
  const body: ApiError = {
    error: {
      code: known ? error.code : 'internal',
      message: known ? error.message : `the agent failed: ${messageOf(error)}`,
      ...(known && error.fix !== undefined ? { fix: error.fix } : {}),
      exitCode: known ? error.exitCode : ExitCode.failed,
      ...(error instanceof ApiFailure && error.diagnostics !== undefined ? { diagnostics: error.diagnostics } : {}),
    },
  };
  const status = error instanceof ApiFailure ? error.status : known && error.class !== 'bug' ? 422 : 500;
  response.writeHead(status, { 'content-type': 'application/json' }).end(encodeJson(body));
}
