import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import type { AddressInfo } from 'node:net';
import { createServer, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { OmniError } from '../../../src/errors.ts';
import { type Clock, systemClock } from '../../../src/source/clock.ts';
import { type GitSourceOptions, openGitSource } from '../../../src/source/git.ts';
import { defaultLimits } from '../../../src/source/limits.ts';
import type { Snapshot, Source } from '../../../src/source/source.ts';

/** Made by scripts/build. */
export const SANDBOX = join(import.meta.dirname, '../../../build/omni-sandbox');

/** Folders, repositories and servers of one test file; `close` removes them all. */
export class Lab {
  readonly root = mkdtempSync(join(tmpdir(), 'omni-source-'));
  readonly #children: ChildProcess[] = [];
  #caches = 0;
  readonly #servers: { server: Server; sockets: Set<Socket> }[] = [];

  folder(name: string): string {
    const path = join(this.root, name);
    mkdirSync(path, { recursive: true });
    return path;
  }

  /** A repository with a work tree on branch main. */
  repository(name: string): Repository {
    return new Repository(this.folder(name));
  }

  /** Follows `main` with a cache of its own, but for what `options` say. */
  source(options: Pick<GitSourceOptions, 'remotes'> & Partial<GitSourceOptions>): Source {
    this.#caches += 1;
    return openGitSource({
      ref: 'main',
      path: '',
      intervalMs: 30_000,
      cacheDir: join(this.root, `cache-${this.#caches}`),
      limits: defaultLimits,
      sandbox: SANDBOX,
      random: () => 0.5,
      clock: systemClock,
      ...options,
    });
  }

  /** `git daemon` on a free port of loopback that serves everything below the lab; resolves with its base URL. */
  async daemon(): Promise<string> {
    const port = await freePort();
    const child = spawn(
      'git',
      [
        'daemon',
        '--listen=127.0.0.1',
        `--port=${port}`,
        `--base-path=${this.root}`,
        '--export-all',
        '--reuseaddr',
        '--verbose',
      ],
      { stdio: ['ignore', 'ignore', 'pipe'], detached: true },
    );
    this.#children.push(child);
    await new Promise<void>((ready, failed) => {
      child.stderr.on('data', (chunk: Buffer) => {
        if (chunk.toString().includes('Ready')) ready();
      });
      child.once('exit', () => failed(new Error('git daemon ended')));
    });
    return `git://127.0.0.1:${port}`;
  }

  /** A TCP server; `onSocket` absent: accepts and never answers. Resolves with its port. */
  async listen(onSocket: (socket: Socket) => void = () => undefined): Promise<number> {
    const sockets = new Set<Socket>();
    const server = createServer((socket) => {
      sockets.add(socket);
      socket.on('error', () => undefined);
      socket.on('close', () => sockets.delete(socket));
      onSocket(socket);
    });
    this.#servers.push({ server, sockets });
    await new Promise<void>((ready) => server.listen(0, '127.0.0.1', ready));
    return (server.address() as AddressInfo).port;
  }

  close(): void {
    for (const child of this.#children) if (child.pid !== undefined) process.kill(-child.pid, 'SIGKILL');
    for (const { server, sockets } of this.#servers) {
      for (const socket of sockets) socket.destroy();
      server.close();
    }
    rmSync(this.root, { recursive: true, force: true });
  }
}

/** The one bare repository below a cache folder. */
export function cacheIn(cacheDir: string): string {
  const [name] = readdirSync(cacheDir).filter((entry) => /^[0-9a-f]{32}$/.test(entry));
  return join(cacheDir, name ?? 'no cache');
}

export async function texts(snapshot: Snapshot | undefined): Promise<Record<string, string>> {
  const result: Record<string, string> = {};
  for (const file of snapshot?.files ?? []) result[file.path] = Buffer.from(await file.read()).toString('utf8');
  return result;
}

export async function failure(promise: Promise<unknown>): Promise<OmniError> {
  const error = await promise.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  if (!(error instanceof OmniError)) throw new Error(`expected an OmniError, got ${String(error)}`);
  return error;
}

export async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((ready) => server.listen(0, '127.0.0.1', ready));
  const { port } = server.address() as AddressInfo;
  await new Promise<void>((closed) => server.close(() => closed()));
  return port;
}

export class Repository {
  readonly folder: string;

  constructor(folder: string) {
    this.folder = folder;
    this.git('init', '--quiet', '--initial-branch=main', '.');
    this.git('config', 'user.name', 'Ada Example');
    this.git('config', 'user.email', 'ada@example.org');
    this.git('config', 'gc.auto', '0');
  }

  get url(): string {
    return `file://${this.folder}`;
  }

  git(...args: string[]): string {
    return execFileSync('git', args, { cwd: this.folder, encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] }).trim();
  }

  /** A tree of `git ls-tree` lines; returns its id. */
  mktree(lines: readonly string[]): string {
    return execFileSync('git', ['mktree'], { cwd: this.folder, encoding: 'utf8', input: lines.join('\n') }).trim();
  }

  fastImport(stream: string): void {
    execFileSync('git', ['fast-import', '--quiet', '--force'], { cwd: this.folder, input: stream });
  }

  write(path: string, content: string | Uint8Array): this {
    const absolute = join(this.folder, path);
    mkdirSync(dirname(absolute), { recursive: true });
    writeFileSync(absolute, content);
    return this;
  }

  /** Commits everything in the work tree; returns the commit's id. `-S` and the like go into `options`. */
  commit(subject: string, ...options: string[]): string {
    this.git('add', '--all');
    this.git('commit', '--quiet', '--allow-empty', '-m', subject, ...options);
    return this.git('rev-parse', 'HEAD');
  }
}

/** Time that moves only when told. */
export class ManualClock implements Clock {
  #now = 1_700_000_000_000;
  #timers: { at: number; run: () => void }[] = [];

  now(): number {
    return this.#now;
  }

  after(delayMs: number, run: () => void): () => void {
    const timer = { at: this.#now + delayMs, run };
    this.#timers.push(timer);
    return () => {
      this.#timers = this.#timers.filter((other) => other !== timer);
    };
  }

  /** Somebody sets the wall clock; what is due stays as far off. */
  set(ms: number): void {
    const shift = ms - this.#now;
    for (const timer of this.#timers) timer.at += shift;
    this.#now = ms;
  }

  /** Runs what falls due, in order. */
  advance(ms: number): void {
    const end = this.#now + ms;
    for (;;) {
      const next = this.#timers.filter(({ at }) => at <= end).sort((a, b) => a.at - b.at)[0];
      if (next === undefined) break;
      this.#timers = this.#timers.filter((other) => other !== next);
      this.#now = next.at;
      next.run();
    }
    this.#now = end;
  }
}
