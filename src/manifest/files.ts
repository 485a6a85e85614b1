import { createHash } from 'node:crypto';
import { createReadStream, type Dirent } from 'node:fs';
import { readdir, stat } from 'node:fs/promises';
import { isAbsolute, join, posix, resolve, sep } from 'node:path';
import { ExitCode, OmniError } from '../errors.ts';
import { limits } from './limits.ts';
import type { ManifestFile } from './model.ts';

/** What `-` is called in messages. */
const STDIN_PATH = '<stdin>';

export interface PathOptions {
  /** Read folders below the named ones too. */
  readonly recursive?: boolean;
  readonly stdin: AsyncIterable<Uint8Array | string>;
  /** What relative paths are relative to; the process's own directory by default. */
  readonly cwd?: string;
}

function fileOf(path: string, bytes: Uint8Array): ManifestFile {
  const blob = `sha256:${createHash('sha256').update(bytes).digest('hex')}`;
  return { path, blob, size: bytes.length, read: async () => bytes };
}

/** Too large to be looked at: what is there is not read, and the reader of fleets says so. */
function hugeFile(path: string, size: number): ManifestFile {
  const error = () =>
    new OmniError(`${path} has more than ${limits.fileBytes} bytes`, {
      code: 'file-too-large',
      class: 'stall',
      exitCode: ExitCode.usage,
      fix: 'Split it into smaller files.',
    });
  return { path, blob: `large:${path}:${size}`, size, read: () => Promise.reject(error()) };
}

/** Files whose texts are at hand. */
export function filesFromTexts(files: readonly { readonly path: string; readonly text: string }[]): ManifestFile[] {
  return files.map(({ path, text }) => fileOf(path, Buffer.from(text)));
}

/** Reads one byte more than a manifest may have, and then no further. */
async function fromStream(path: string, stream: AsyncIterable<Uint8Array | string>): Promise<ManifestFile> {
  const chunks: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of stream) {
    const bytes = typeof chunk === 'string' ? Buffer.from(chunk) : chunk;
    chunks.push(bytes);
    size += bytes.length;
    if (size > limits.fileBytes) return hugeFile(path, size);
  }
  return fileOf(path, Buffer.concat(chunks));
}

function unreadable(path: string, cause: unknown): OmniError {
  const code = cause instanceof Error && 'code' in cause ? String(cause.code) : '';
  const why =
    { ENOENT: 'there is no such file or folder', EACCES: 'it may not be read', EPERM: 'it may not be read' }[code] ??
    `it cannot be read${code === '' ? '' : ` (${code})`}`;
  return new OmniError(`${path}: ${why}`, {
    code: 'path-unreadable',
    class: 'stall',
    exitCode: ExitCode.usage,
    object: path,
    fix: 'Check the path that was given with -f.',
    cause,
  });
}

const MANIFEST = /\.(ya?ml|json)$/i;

/** Messages show paths as they were typed, with `/`. */
function shownPath(path: string): string {
  return posix.normalize(path.split(sep).join('/'));
}

class Collector {
  readonly files = new Map<string, ManifestFile>();
  readonly #cwd: string;
  readonly #recursive: boolean;

  constructor({ cwd, recursive }: PathOptions) {
    this.#cwd = cwd ?? process.cwd();
    this.#recursive = recursive ?? false;
  }

  #absolute(path: string): string {
    return isAbsolute(path) ? path : resolve(this.#cwd, path);
  }

  async add(path: string): Promise<void> {
    const state = await stat(this.#absolute(path)).catch((cause: unknown) => {
      throw unreadable(path, cause);
    });
    if (state.isDirectory()) await this.#folder(path);
    else await this.#file(path, state.isFile() ? state.size : 0);
  }

  /** Pipes are read as well: `-f <(omni init …)`. */
  async #file(path: string, size: number): Promise<void> {
    const shown = shownPath(path);
    if (this.files.has(shown)) return;
    if (size > limits.fileBytes) {
      this.files.set(shown, hugeFile(shown, size));
      return;
    }
    const stream = createReadStream(this.#absolute(path));
    const file = await fromStream(shown, stream).catch((cause: unknown) => {
      throw unreadable(path, cause);
    });
    this.files.set(shown, file);
  }

  async #folder(path: string): Promise<void> {
    const entries = await readdir(this.#absolute(path), { withFileTypes: true }).catch((cause: unknown) => {
      throw unreadable(path, cause);
    });
    for (const entry of entries) await this.#entry(join(path, entry.name), entry);
  }

  /** Links to files are followed, links to folders are not: they may lead in circles. */
  async #entry(path: string, entry: Dirent): Promise<void> {
    if (entry.isDirectory()) {
      if (this.#recursive && entry.name !== '.git') await this.#folder(path);
      return;
    }
    if (!MANIFEST.test(entry.name)) return;
    const state = await stat(this.#absolute(path)).catch((cause: unknown) => {
      throw unreadable(path, cause);
    });
    if (state.isFile()) await this.#file(path, state.size);
  }
}

/**
 * What `-f` names: files whatever their name, the `.yaml`, `.yml` and `.json` files of folders, and `-` for stdin.
 * A file that is named twice counts once. Throws `OmniError` (exit code 2) for what is not there or may not be read.
 */
export async function filesFromPaths(paths: readonly string[], options: PathOptions): Promise<ManifestFile[]> {
  if (paths.filter((path) => path === '-').length > 1) {
    throw new OmniError('stdin (-) was named twice, and can be read once', {
      code: 'stdin-twice',
      class: 'stall',
      exitCode: ExitCode.usage,
      fix: 'Name - once.',
    });
  }
  const collector = new Collector(options);
  for (const path of paths) {
    if (path === '-') collector.files.set(STDIN_PATH, await fromStream(STDIN_PATH, options.stdin));
    else await collector.add(path);
  }
  return [...collector.files.values()];
}
