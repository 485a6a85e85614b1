import { execFileSync, spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { createServer, type Server } from 'node:https';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import type { Lab } from './lab.ts';

export interface HttpsGitOptions {
  /** Called first; true: it answered by itself. */
  readonly intercept?: (request: IncomingMessage, response: ServerResponse) => boolean;
}

/** `git http-backend` behind TLS on a free port of loopback; serves everything below the lab. */
export class HttpsGit {
  readonly url: string;
  readonly #server: Server;

  private constructor(server: Server) {
    this.#server = server;
    this.url = `https://127.0.0.1:${(server.address() as AddressInfo).port}`;
  }

  static async start(lab: Lab, certificate: Certificate, options: HttpsGitOptions = {}): Promise<HttpsGit> {
    const server = createServer(
      { key: readFileSync(certificate.keyFile), cert: readFileSync(certificate.file) },
      (request, response) => {
        if (options.intercept?.(request, response) !== true) backend(lab.root, request, response);
      },
    );
    await new Promise<void>((ready) => server.listen(0, '127.0.0.1', ready));
    return new HttpsGit(server);
  }

  close(): void {
    this.#server.close();
    this.#server.closeAllConnections();
  }
}

export interface Certificate {
  readonly file: string;
  readonly keyFile: string;
}

/** Self-signed, for 127.0.0.1. */
export function makeCertificate(folder: string): Certificate {
  const [file, keyFile] = [join(folder, 'cert.pem'), join(folder, 'key.pem')];
  const args = ['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '30'];
  const names = ['-subj', '/CN=127.0.0.1', '-addext', 'subjectAltName=IP:127.0.0.1'];
  execFileSync('openssl', [...args, ...names, '-keyout', keyFile, '-out', file], { stdio: 'ignore' });
  return { file, keyFile };
}

/** CGI (RFC 3875), as far as git-http-backend(1) uses it. */
function backend(root: string, request: IncomingMessage, response: ServerResponse): void {
  const [path = '', query = ''] = (request.url ?? '').split('?', 2);
  const child = spawn('git', ['http-backend'], {
    env: {
      PATH: process.env.PATH,
      GIT_PROJECT_ROOT: root,
      GIT_HTTP_EXPORT_ALL: '1',
      PATH_INFO: path,
      QUERY_STRING: query,
      REQUEST_METHOD: request.method,
      CONTENT_TYPE: request.headers['content-type'] ?? '',
      HTTP_CONTENT_ENCODING: request.headers['content-encoding'] ?? '',
      HTTP_GIT_PROTOCOL: String(request.headers['git-protocol'] ?? ''),
      GIT_CONFIG_COUNT: '1',
      GIT_CONFIG_KEY_0: 'safe.directory',
      GIT_CONFIG_VALUE_0: '*',
    },
    stdio: ['pipe', 'pipe', 'ignore'],
  });
  request.pipe(child.stdin);
  const chunks: Buffer[] = [];
  child.stdout.on('data', (chunk: Buffer) => chunks.push(chunk));
  child.on('close', () => {
    const output = Buffer.concat(chunks);
    const end = output.indexOf('\r\n\r\n');
    const headers = output
      .toString('latin1', 0, end)
      .split('\r\n')
      .map((line): [string, string] => [line.slice(0, line.indexOf(':')), line.slice(line.indexOf(':') + 1).trim()]);
    const status = Number(headers.find(([name]) => name === 'Status')?.[1].slice(0, 3) ?? 200);
    response.writeHead(status, Object.fromEntries(headers.filter(([name]) => name !== 'Status')));
    response.end(output.subarray(end + 4));
  });
}
