import { spawnSync } from 'node:child_process';
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer as createHttpServer } from 'node:http';
import { type AddressInfo, createServer, type Server } from 'node:net';
import { networkInterfaces, tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, describe, expect, test } from 'vitest';
import { probeHttp } from '../../../src/agent/probes/http.ts';
import { probePing } from '../../../src/agent/probes/ping.ts';
import { probeTcp } from '../../../src/agent/probes/tcp.ts';
import type { IpAddress } from '../../../src/manifest/model.ts';

const closes: (() => void)[] = [];
afterEach(() => {
  for (const close of closes.splice(0)) close();
});

async function listen(server: Server, host = '127.0.0.1'): Promise<number> {
  await new Promise<void>((resolve) => server.listen(0, host, resolve));
  closes.push(() => server.close());
  return (server.address() as AddressInfo).port;
}

/** Some containers have no IPv6. */
const loopbacks = ['127.0.0.1', '::1'].filter((address) =>
  Object.values(networkInterfaces()).some((each) => each?.some((info) => info.address === address)),
);
const FOREVER = new AbortController().signal;
/** Aborted in a moment. */
const soon = () => AbortSignal.timeout(50);

async function outcome(result: Promise<void>): Promise<string> {
  return result.then(
    () => 'passed',
    (error: Error) => error.message,
  );
}

describe('tcp', () => {
  test.each(['127.0.0.1', '::1'])(
    'passes when a connection to %s is accepted, and leaves none behind',
    async (host) => {
      const ended = new Promise((resolve) => {
        const server = createServer((socket) => {
          socket.on('error', resolve).on('close', resolve).resume();
        });
        closes.push(() => server.close());
        void listen(server, host).then((port) => probeTcp({ host, port }, FOREVER));
      });
      await ended;
    },
  );

  test('fails when it is refused, and names the address', async () => {
    const server = createServer();
    const port = await listen(server);
    await new Promise((resolve) => server.close(resolve));
    expect(await outcome(probeTcp({ host: '127.0.0.1', port }, FOREVER))).toBe(
      `connect ECONNREFUSED 127.0.0.1:${port}`,
    );
  });

  test('is given up with its signal', async () => {
    const result = probeTcp({ host: '127.0.0.1', port: 1 }, AbortSignal.abort());
    expect(await outcome(result)).toBe('The operation was aborted');
  });
});

describe('http', () => {
  async function serve(
    status: number,
    headers: Record<string, string> = {},
  ): Promise<{ url: string; asked: string[] }> {
    const asked: string[] = [];
    const server = createHttpServer((request, response) => {
      asked.push(`${request.method} ${request.url}`);
      response.writeHead(status, headers).end('x'.repeat(1_000_000));
    });
    return { url: `http://127.0.0.1:${await listen(server)}/healthz`, asked };
  }

  test.each([200, 204, 302, 399])('passes for status %i, and follows nothing', async (status) => {
    const { url, asked } = await serve(status, { location: '/elsewhere' });
    expect(await outcome(probeHttp({ url }, FOREVER))).toBe('passed');
    expect(asked).toEqual(['GET /healthz']);
  });

  test.each([400, 404, 500, 503])('fails for status %i, and says which', async (status) => {
    const { url } = await serve(status);
    expect(await outcome(probeHttp({ url }, FOREVER))).toBe(`${new URL(url).host} answered with status ${status}`);
  });

  test('fails where nobody serves, and keeps a password to itself', async () => {
    const server = createServer();
    const port = await listen(server);
    await new Promise((resolve) => server.close(resolve));
    const reason = await outcome(probeHttp({ url: `http://user:secret@127.0.0.1:${port}/` }, FOREVER));
    expect(reason).toBe(`connect ECONNREFUSED 127.0.0.1:${port}`);
  });

  test('is given up with its signal where a server is silent', async () => {
    const port = await listen(createServer());
    expect(await outcome(probeHttp({ url: `http://127.0.0.1:${port}/` }, soon()))).toMatch(/aborted/);
  });

  test('needs TLS where the URL says so', async () => {
    const port = await listen(createServer((socket) => socket.end('not TLS')));
    expect(await outcome(probeHttp({ url: `https://127.0.0.1:${port}/` }, FOREVER))).not.toBe('passed');
  });
});

describe('ping', () => {
  /** A program that stands for `ping`. */
  function program(script: string): string {
    const folder = mkdtempSync(join(tmpdir(), 'omni-ping-'));
    const path = join(folder, 'ping');
    writeFileSync(path, `#!/bin/sh\n${script}\n`);
    chmodSync(path, 0o755);
    closes.push(() => rmSync(folder, { recursive: true }));
    return path;
  }
  const to = { address: '192.0.2.9' as IpAddress, timeoutMs: 2_500 };
  const works = spawnSync('ping', ['-n', '-c', '1', '-W', '1', '127.0.0.1']).status === 0;

  test.skipIf(!works).each(loopbacks)('passes when %s answers', async (address) => {
    expect(await outcome(probePing({ address: address as IpAddress, timeoutMs: 2_000 }, FOREVER))).toBe('passed');
  });

  test('asks once, without names, for as long as the try may take', async () => {
    const picky = program('[ "$*" = "-n -c 1 -W 3 192.0.2.9" ]');
    expect(await outcome(probePing(to, FOREVER, picky))).toBe('passed');
  });

  test('fails when nothing answers', async () => {
    expect(await outcome(probePing(to, FOREVER, program('exit 1')))).toBe('192.0.2.9 does not answer to ping');
  });

  test("repeats the program's own words when it cannot work", async () => {
    const broken = program('echo "ping: connect: Network is unreachable" >&2; exit 2');
    expect(await outcome(probePing(to, FOREVER, broken))).toBe('ping failed: ping: connect: Network is unreachable');
  });

  test('tells what to install', async () => {
    expect(await outcome(probePing(to, FOREVER, '/nonexistent/ping'))).toBe(
      'there is no program `ping` here: install iputils-ping',
    );
  });

  test('is killed with its signal', async () => {
    const startMs = performance.now();
    expect(await outcome(probePing(to, soon(), program('exec sleep 30')))).toMatch(/aborted/);
    expect(performance.now() - startMs).toBeLessThan(5_000);
  });
});
