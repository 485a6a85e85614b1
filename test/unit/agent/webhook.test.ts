import { createHmac } from 'node:crypto';
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { request } from 'node:http';
import { createConnection, createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { isLoopback, serveWebhook } from '../../../src/agent/webhook.ts';

const SECRET = 'a-secret-of-some-length';
const BODY = '{"ref":"refs/heads/main"}';

let folder: string;
let secretFile: string;
let port: number;
let now: number;
let calls: number;
let log: string[];
let stop: (() => Promise<void>) | undefined;

beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), 'omni-webhook-'));
  secretFile = join(folder, 'secret');
  writeFileSync(secretFile, `${SECRET}\n`, { mode: 0o600 });
  port = await freePort();
  now = 0;
  calls = 0;
  log = [];
});
afterEach(async () => {
  await stop?.();
  stop = undefined;
  rmSync(folder, { recursive: true, force: true });
});

function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer().once('error', reject);
    server.listen(0, '127.0.0.1', () => {
      const address = server.address();
      server.close(() => resolve(typeof address === 'object' && address !== null ? address.port : 0));
    });
  });
}

async function start(): Promise<void> {
  stop = await serveWebhook({
    config: { listen: `127.0.0.1:${port}`, secretFile },
    onCall: () => {
      calls += 1;
    },
    now: () => now,
    log: (level, message) => log.push(`${level} ${message}`),
  });
}

interface Reply {
  readonly status: number | undefined;
  readonly headers: Readonly<Record<string, unknown>>;
}

function call(
  headers: Readonly<Record<string, string>>,
  body: string | Buffer = BODY,
  method = 'POST',
): Promise<Reply> {
  return new Promise((resolve, reject) => {
    const sent = request({ host: '127.0.0.1', port, method, path: '/any', headers }, (response) => {
      response.resume().on('end', () => resolve({ status: response.statusCode, headers: response.headers }));
    });
    sent.on('error', reject).end(body);
  });
}

const hex = (body: string | Buffer = BODY, secret = SECRET): string =>
  createHmac('sha256', secret).update(body).digest('hex');

describe('a call', () => {
  beforeEach(start);

  it.each([
    ['GitHub', { 'X-Hub-Signature-256': `sha256=${hex()}`, 'X-GitHub-Event': 'push' }],
    ['Bitbucket', { 'X-Hub-Signature': `sha256=${hex()}` }],
    ['Gitea', { 'X-Gitea-Signature': hex() }],
    ['Forgejo', { 'X-Forgejo-Signature': hex() }],
    ['GitLab', { 'X-Gitlab-Token': SECRET, 'X-Gitlab-Event': 'Push Hook' }],
  ])('of %s is taken', async (_, headers) => {
    expect(await call(headers)).toMatchObject({ status: 204 });
    expect(calls).toBe(1);
  });

  it('is signed as others sign it too', async () => {
    // Python 3: hmac.new(SECRET, BODY, hashlib.sha256).hexdigest()
    const signature = 'd2f2768383fbddd857b9e05bc8616d35d282226968eebe1898769c7d436e71cc';
    expect(await call({ 'X-Hub-Signature-256': `sha256=${signature}` })).toMatchObject({ status: 204 });
  });

  it.each([
    ['nothing', {}],
    ['another secret', { 'X-Hub-Signature-256': `sha256=${hex(BODY, 'another-secret-as-long')}` }],
    ['another body', { 'X-Hub-Signature-256': `sha256=${hex('other')}` }],
    ['SHA-1', { 'X-Hub-Signature': `sha1=${'a'.repeat(40)}` }],
    ['a part of a signature', { 'X-Gitea-Signature': hex().slice(0, 62) }],
    ['an empty signature', { 'X-Hub-Signature-256': 'sha256=' }],
    ['another token', { 'X-Gitlab-Token': 'another' }],
    ['a part of the token', { 'X-Gitlab-Token': SECRET.slice(0, -1) }],
    ['an empty token', { 'X-Gitlab-Token': '' }],
  ])('that shows %s is refused', async (_, headers) => {
    expect(await call(headers)).toMatchObject({ status: 401 });
    expect(calls).toBe(0);
    expect(log).toEqual([expect.stringMatching(/^warn webhook: a call from 127\.0\.0\.1 bears /)]);
    expect(log.join()).not.toContain(SECRET);
  });

  it('is a POST', async () => {
    expect(await call({ 'X-Gitlab-Token': SECRET }, '', 'GET')).toMatchObject({
      status: 405,
      headers: { allow: 'POST' },
    });
    expect(calls).toBe(0);
  });

  it('has a body of any length up to a limit, said or not', async () => {
    const large = Buffer.alloc(20 * 1024 * 1024, 'x');
    expect(await call({ 'X-Hub-Signature-256': `sha256=${hex(large)}` }, large)).toMatchObject({ status: 204 });
    const length = String(26 * 1024 * 1024);
    expect(await head({ 'x-gitlab-token': SECRET, 'content-length': length }, '')).toContain(' 413 ');
    const chunk = Buffer.alloc(26 * 1024 * 1024, 'x');
    const chunked = Buffer.concat([Buffer.from(`${chunk.length.toString(16)}\r\n`), chunk]);
    expect(await head({ 'x-gitlab-token': SECRET, 'transfer-encoding': 'chunked' }, chunked)).toContain(' 413 ');
    expect(calls).toBe(1);
  });

  /** The first line of the answer to a request that is perhaps never finished. */
  function head(headers: Readonly<Record<string, string>>, body: string | Buffer): Promise<string> {
    return new Promise((resolve, reject) => {
      const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`);
      const socket = createConnection({ host: '127.0.0.1', port }, () => {
        socket.write(`POST / HTTP/1.1\r\nhost: a\r\n${lines.join('')}\r\n`);
        socket.write(body);
      });
      let answered = false;
      socket.on('data', (data) => {
        answered = true;
        resolve(data.toString().split('\r\n')[0] ?? '');
        socket.destroy();
      });
      socket.on('error', (error) => {
        if (!answered) reject(error);
      });
    });
  }

  /** Connects from an address of loopback, and says nothing. */
  function idle(localAddress: string): Promise<Socket> {
    return new Promise((resolve, reject) => {
      const socket = createConnection({ host: '127.0.0.1', port, localAddress }, () => resolve(socket));
      socket.on('error', reject);
    });
  }
  const closed = (socket: Socket): Promise<void> => new Promise((done) => socket.once('close', () => done()));

  it('comes through while one address, or many, hold connections open and say nothing', async () => {
    const headers = { 'X-Gitlab-Token': SECRET };
    const held: Socket[] = [];
    for (let count = 0; count < 40; count += 1) held.push(await idle('127.0.0.1'));
    expect(await call(headers)).toMatchObject({ status: 204 });
    for (let source = 2; source < 60; source += 1) held.push(await idle(`127.0.0.${source}`));
    expect(await call(headers)).toMatchObject({ status: 204 });
    expect(calls).toBe(2);
    for (const socket of held) socket.destroy();
  });

  it('lets an address hold eight connections, of which the oldest gives way', async () => {
    const first = await idle('127.0.0.2');
    const gone = closed(first);
    const others: Socket[] = [];
    for (let count = 0; count < 8; count += 1) others.push(await idle('127.0.0.2'));
    await gone;
    expect(others.every(({ destroyed }) => !destroyed)).toBe(true);
    for (const socket of others) socket.destroy();
  });

  it('that never comes ends by itself', { timeout: 20_000 }, async () => {
    const socket = await idle('127.0.0.1');
    await closed(socket.resume());
  });

  it('that comes too often waits', async () => {
    const headers = { 'X-Gitlab-Token': SECRET };
    for (let count = 0; count < 10; count += 1) expect(await call(headers)).toMatchObject({ status: 204 });
    expect(await call(headers)).toMatchObject({ status: 429, headers: { 'retry-after': '1' } });
    now = 1_000;
    expect(await call(headers)).toMatchObject({ status: 204 });
    expect(await call(headers)).toMatchObject({ status: 429 });
    expect(calls).toBe(11);
  });

  it('that is refused does not fill the log', async () => {
    for (let count = 0; count < 5; count += 1) await call({});
    expect(log).toHaveLength(1);
    now = 60_000;
    await call({});
    expect(log).toHaveLength(2);
  });

  it('is held against the secret as it is now', async () => {
    writeFileSync(secretFile, 'another-secret-as-long');
    expect(await call({ 'X-Gitlab-Token': SECRET })).toMatchObject({ status: 401 });
    expect(await call({ 'X-Gitlab-Token': 'another-secret-as-long' })).toMatchObject({ status: 204 });
    chmodSync(secretFile, 0o644);
    now = 60_000;
    expect(await call({ 'X-Gitlab-Token': 'another-secret-as-long' })).toMatchObject({ status: 503 });
    expect(log.at(-1)).toContain('has mode 0644');
    expect(log.join()).not.toContain('another-secret');
  });
});

describe('at the start', () => {
  it.each([
    ['127.0.0.1:9587', true],
    ['127.9.9.9:1', true],
    ['[::1]:9587', true],
    ['localhost:9587', true],
    ['0.0.0.0:9587', false],
    ['[::]:9587', false],
    ['10.0.0.1:9587', false],
    ['127.0.0.1.example:9587', false],
  ])('an address that others reach is warned of: %s', async (listen, loopback) => {
    expect(isLoopback(listen)).toBe(loopback);
    if (listen !== '0.0.0.0:9587') return;
    const options = { onCall: () => undefined, now: () => 0 };
    const said: string[] = [];
    stop = await serveWebhook({
      config: { listen: `0.0.0.0:${port}`, secretFile },
      ...options,
      log: (level, message) => said.push(`${level} ${message}`),
    });
    expect(said).toEqual([expect.stringMatching(/^warn the webhook listens on 0\.0\.0\.0:\d+: plain HTTP/)]);
  });

  it.each([
    ['missing', 'webhook-secret-missing', () => rmSync(secretFile)],
    ['readable by others', 'webhook-secret-exposed', () => chmodSync(secretFile, 0o640)],
    ['short', 'webhook-secret-invalid', () => writeFileSync(secretFile, 'short\n')],
    ['of two lines', 'webhook-secret-invalid', () => writeFileSync(secretFile, `${SECRET}\n${SECRET}\n`)],
    ['empty', 'webhook-secret-invalid', () => writeFileSync(secretFile, '')],
    ['a book', 'webhook-secret-invalid', () => writeFileSync(secretFile, 'x'.repeat(5_000))],
  ])('a secret that is %s is refused, and not repeated', async (_, code, spoil) => {
    spoil();
    await expect(start()).rejects.toMatchObject({ code, exitCode: 2, message: expect.not.stringContaining(SECRET) });
  });

  it('an address that is none, or taken, is refused', async () => {
    await start();
    const options = { onCall: () => undefined, now: () => 0, log: () => undefined };
    for (const listen of [`127.0.0.1:${port}`, 'nowhere', '127.0.0.1:99999']) {
      await expect(serveWebhook({ config: { listen, secretFile }, ...options })).rejects.toMatchObject({
        code: 'webhook-unusable',
        exitCode: 2,
      });
    }
  });
});
