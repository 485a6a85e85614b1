import { createHash, createHmac, timingSafeEqual } from 'node:crypto';
import { createServer, type IncomingHttpHeaders, type IncomingMessage, type Server } from 'node:http';
import type { Socket } from 'node:net';
import { ExitCode, OmniError } from '../errors.ts';
import { readSecretText } from '../session/secrets.ts';
import type { WebhookConfig } from './config.ts';
import { listenTcp } from './listen.ts';
import { messageOf } from './lock.ts';
import type { Log } from './log.ts';
import { TokenBuckets } from './peers/buckets.ts';
import { closeServer } from './server.ts';

/** GitHub sends no more; the body is hashed as it comes and never kept. Bytes. */
const BODY_LIMIT = 25 * 1024 * 1024;
const HEADERS_TIMEOUT_MS = 5_000;
const RECEIVE_TIMEOUT_MS = 10_000;
/** How often connections are held against those; node looks every 30 s unless told. */
const TIMEOUT_CHECK_MS = 1_000;
const MAX_CONNECTIONS = 32;
/** Of one address. Proxies hold several. */
const MAX_CONNECTIONS_OF_ONE = 8;
/** Of one address: a server that pushes tags one by one calls in bursts. */
const CALLS_PER_SECOND = 1;
const BURST = 10;
/** Shorter ones can be guessed by whoever saw a signature. */
const MIN_SECRET = 16;
const MAX_SECRET = 512;
/** Between two lines of the log about calls that were refused. */
const LOG_EVERY_MS = 60_000;

export interface WebhookOptions {
  readonly config: WebhookConfig;
  /** There may be something new. */
  readonly onCall: () => void;
  /** Milliseconds of a clock that never jumps. */
  readonly now: () => number;
  readonly log: Log;
}

/** How a caller shows that it knows the secret. */
type Proof =
  /** Hexadecimal HMAC-SHA256 of the body. */
  | { readonly kind: 'hmac'; readonly signature: string }
  /** The secret itself. */
  | { readonly kind: 'token'; readonly token: string };

/**
 * Takes calls of git servers: `POST` to any path, authenticated as GitHub, Gitea, Forgejo, Bitbucket or GitLab do it.
 * 204: the source is looked at soon; 401: no proof or a wrong one; 405, 413, 429 as usual; 503: the secret cannot be
 * read. What a body says decides nothing. Throws at the start what is wrong with the secret (`webhook-secret-missing`,
 * `-unreadable`, `-exposed`, `-invalid`) or the address (`webhook-unusable`), exit code 2. Returns what ends it.
 */
export async function serveWebhook(options: WebhookOptions): Promise<() => Promise<void>> {
  const { config } = options;
  readWebhookSecret(config.secretFile);
  const receiver = new Receiver(options);
  const server: Server = createServer({ connectionsCheckingInterval: TIMEOUT_CHECK_MS }, (request, response) => {
    receiver.answer(request).then(
      ({ status, headers }) => response.writeHead(status, headers).end(),
      () => response.destroy(), // the caller has gone in the middle of its body
    );
  });
  server.requestTimeout = RECEIVE_TIMEOUT_MS;
  server.headersTimeout = HEADERS_TIMEOUT_MS;
  const connections = new Connections();
  server.on('connection', (socket) => connections.add(socket));
  await listenTcp(server, config.listen, {
    what: 'webhook',
    fix: 'Name a free address in spec.source.webhook.listen.',
  });
  if (!isLoopback(config.listen)) {
    options.log(
      'warn',
      `the webhook listens on ${config.listen}: plain HTTP, so who is on the path reads GitLab's token`,
      {
        fix: 'Listen on 127.0.0.1, behind a proxy that does TLS, unless nobody else is on that network.',
      },
    );
  }
  return () => closeServer(server);
}

/** Whether `host:port` is reached from this machine alone. */
export function isLoopback(listen: string): boolean {
  return /^(?:127(?:\.[0-9]{1,3}){3}|localhost|\[::1\]):[0-9]+$/.test(listen);
}

/**
 * A call takes milliseconds, so what is open longest is nobody's call: it gives way to a new connection. Those who only
 * hold connections open keep no git server out.
 */
class Connections {
  /** By remote address, oldest first. */
  readonly #open = new Map<string, Set<Socket>>();
  #count = 0;

  add(socket: Socket): void {
    const from = socket.remoteAddress ?? '';
    const own = this.#open.get(from) ?? new Set();
    if (own.size >= MAX_CONNECTIONS_OF_ONE) this.#drop(from, own);
    else if (this.#count >= MAX_CONNECTIONS) this.#dropOfMost();
    this.#open.set(from, own.add(socket));
    this.#count += 1;
    socket.once('close', () => this.#forget(from, socket));
  }

  #dropOfMost(): void {
    const [most] = [...this.#open].sort(([, a], [, b]) => b.size - a.size);
    if (most !== undefined) this.#drop(...most);
  }

  #drop(from: string, sockets: ReadonlySet<Socket>): void {
    const [oldest] = sockets;
    if (oldest === undefined) return;
    this.#forget(from, oldest);
    oldest.destroy();
  }

  #forget(from: string, socket: Socket): void {
    const own = this.#open.get(from);
    if (own?.delete(socket) !== true) return;
    this.#count -= 1;
    if (own.size === 0) this.#open.delete(from);
  }
}

interface Answer {
  readonly status: 204 | 401 | 405 | 413 | 429 | 503;
  readonly headers: Readonly<Record<string, string>>;
}

/** The rest of the body is not waited for. */
const TOO_LARGE: Answer = { status: 413, headers: { connection: 'close' } };

class Receiver {
  readonly #options: WebhookOptions;
  readonly #buckets: TokenBuckets<string>;
  #loggedMs = Number.NEGATIVE_INFINITY;

  constructor(options: WebhookOptions) {
    this.#options = options;
    this.#buckets = new TokenBuckets({ perSecond: CALLS_PER_SECOND, burst: BURST, now: options.now });
  }

  /** Rejects when the caller does not finish. */
  async answer(request: IncomingMessage): Promise<Answer> {
    if (request.method !== 'POST') return { status: 405, headers: { allow: 'POST' } };
    const from = request.socket.remoteAddress ?? '';
    const waitMs = this.#buckets.waitMs(from);
    if (waitMs > 0) return { status: 429, headers: { 'retry-after': String(Math.ceil(waitMs / 1_000)) } };
    this.#buckets.take(from);
    const proof = proofIn(request.headers);
    if (proof === undefined) return this.#refuse(401, `a call from ${from} bears no signature`);
    if (Number(request.headers['content-length'] ?? 0) > BODY_LIMIT) return TOO_LARGE;
    let secret: string;
    try {
      secret = readWebhookSecret(this.#options.config.secretFile);
    } catch (error) {
      return this.#refuse(503, messageOf(error));
    }
    const hmac = createHmac('sha256', secret);
    if (!(await readBody(request, (chunk) => hmac.update(chunk)))) return TOO_LARGE;
    if (!holds(proof, secret, hmac.digest())) {
      return this.#refuse(401, `a call from ${from} bears a signature by another secret`);
    }
    this.#options.log('debug', `the webhook was called from ${from}`);
    this.#options.onCall();
    return { status: 204, headers: {} };
  }

  #refuse(status: 401 | 503, message: string): Answer {
    const { now, log } = this.#options;
    if (now() - this.#loggedMs >= LOG_EVERY_MS) {
      this.#loggedMs = now();
      log('warn', `webhook: ${message}`);
    }
    return { status, headers: {} };
  }
}

/** False: it is larger than the limit, and the rest is not read. Rejects when the caller goes before its end. */
function readBody(request: IncomingMessage, take: (chunk: Buffer) => void): Promise<boolean> {
  return new Promise((resolve, reject) => {
    let size = 0;
    request.on('data', (chunk: Buffer) => {
      size += chunk.length;
      if (size <= BODY_LIMIT) return take(chunk);
      request.pause();
      resolve(false);
    });
    request.on('end', () => resolve(true));
    request.on('error', reject);
  });
}

/**
 * GitHub, Gitea, Forgejo: `X-Hub-Signature-256: sha256=<hex>`; Bitbucket: the same without `-256`; Gitea and Forgejo
 * also plain `<hex>` under their own names; GitLab: the secret in `X-Gitlab-Token`.
 */
function proofIn(headers: IncomingHttpHeaders): Proof | undefined {
  for (const name of ['x-hub-signature-256', 'x-hub-signature']) {
    const [, signature] = /^sha256=([0-9a-f]{64})$/i.exec(single(headers[name])) ?? [];
    if (signature !== undefined) return { kind: 'hmac', signature };
  }
  for (const name of ['x-forgejo-signature', 'x-gitea-signature']) {
    const signature = single(headers[name]);
    if (/^[0-9a-f]{64}$/i.test(signature)) return { kind: 'hmac', signature };
  }
  const token = single(headers['x-gitlab-token']);
  return token === '' ? undefined : { kind: 'token', token };
}

function single(value: string | string[] | undefined): string {
  return typeof value === 'string' ? value : '';
}

/** Takes as long whether it holds or not. */
function holds(proof: Proof, secret: string, expected: Uint8Array): boolean {
  if (proof.kind === 'hmac') return timingSafeEqual(Buffer.from(proof.signature, 'hex'), expected);
  return timingSafeEqual(digest(proof.token), digest(secret));
}

/** Makes texts of any length comparable. */
function digest(text: string): Uint8Array {
  return createHash('sha256').update(text).digest();
}

/** Read for each call: a secret is replaced without a restart. */
function readWebhookSecret(path: string): string {
  const missingFix = `Make it with (umask 077; openssl rand -hex 32 > ${path}), and give it to the git server too.`;
  const secret = readSecretText(path, 'webhook-secret', missingFix).trim();
  const usable = secret.length >= MIN_SECRET && secret.length <= MAX_SECRET && /^[\x21-\x7e]+$/.test(secret);
  if (usable) return secret;
  throw new OmniError(
    `${path} does not hold one line of ${MIN_SECRET} to ${MAX_SECRET} ASCII characters without blanks`,
    {
      code: 'webhook-secret-invalid',
      class: 'stall',
      object: `file/${path}`,
      exitCode: ExitCode.usage,
      fix: missingFix,
    },
  );
}
