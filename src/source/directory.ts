import { createHash } from 'node:crypto';
import { resolve } from 'node:path';
import { watch as watchFiles } from 'chokidar';
import { ExitCode, OmniError } from '../errors.ts';
import type { ManifestFile } from '../manifest/model.ts';
import type { Clock } from './clock.ts';
import { checkFolder, type HashCache, type Scan, ScanDisturbed, scan } from './directory-scan.ts';
import type { SourceLimits } from './limits.ts';
import { Poller } from './poller.ts';
import type { Snapshot, Source } from './source.ts';
import { sourceInvalid } from './url.ts';

export interface DirectorySourceOptions {
  readonly path: string;
  /** A slow look besides the file events: network file systems and full watch queues send none. */
  readonly intervalMs: number;
  /** See `PollerOptions`. */
  readonly phase?: number;
  readonly limits: SourceLimits;
  /** Uniform in [0, 1): jitter. */
  readonly random: () => number;
  readonly clock: Clock;
}

/** Editors write, truncate and rename in bursts: wait for this much silence, but not for ever. */
const QUIET_MS = 50;
const QUIET_LIMIT_MS = 1_000;
const ATTEMPTS = 10;

/** Follows a folder on this machine; see `Source`. */
export function openDirectorySource(options: DirectorySourceOptions): Source {
  return new DirectorySource(options);
}

class DirectorySource implements Source {
  readonly kind = 'directory';
  readonly description: string;
  readonly #options: DirectorySourceOptions;
  readonly #root: string;
  readonly #poller: Poller;
  readonly #cache: HashCache = new Map();
  #last: Snapshot | undefined;
  /** As the last scan found it. */
  #exposure: string | undefined;
  #queue: Promise<unknown> = Promise.resolve();

  constructor(options: DirectorySourceOptions) {
    this.#options = options;
    this.#root = resolve(options.path);
    this.#poller = new Poller(options);
    this.description = this.#root;
  }

  fetch(signal: AbortSignal): Promise<Snapshot> {
    // One scan at a time: they share the cache of hashes.
    const result = this.#queue.then(() => this.#read(signal));
    this.#queue = result.catch(() => undefined); // reported to the caller
    return result;
  }

  /** The folder itself is the copy on disk. */
  async cached(signal: AbortSignal): Promise<Snapshot | undefined> {
    try {
      return await this.fetch(signal);
    } catch (error) {
      if (error instanceof OmniError && error.code === 'source-path-missing') return undefined;
      throw error;
    }
  }

  async at(rev: string, signal: AbortSignal): Promise<Snapshot> {
    const snapshot = await this.fetch(signal);
    if (snapshot.revision.id === rev || snapshot.revision.label === rev) return snapshot;
    throw notKept(this.description, rev);
  }

  watch(wake: () => void): () => Promise<void> {
    const burst = new Burst(this.#options.clock, wake);
    const watcher = watchFiles(this.#root, {
      ignoreInitial: true,
      followSymlinks: false,
      // `..data` is the link that Kubernetes swaps when a mounted ConfigMap changes.
      ignored: (path) => /\/\.(?!\.data)[^/]*$/.test(path.slice(this.#root.length)),
    });
    watcher.on('all', () => burst.event());
    // Without events (watches used up, folder not there yet) the slow look below still finds every change.
    watcher.on('error', () => undefined);
    const stopPolling = this.#poller.start(wake);
    return async () => {
      stopPolling();
      burst.cancel();
      await watcher.close();
    };
  }

  async reachable(signal: AbortSignal): Promise<void> {
    await checkFolder(this.#root, signal);
  }

  warnings(): readonly string[] {
    return this.#exposure === undefined ? [] : [`the source can be changed by others: ${this.#exposure}`];
  }

  nextFetchAt(): number | undefined {
    return this.#poller.nextAt;
  }

  async #read(signal: AbortSignal): Promise<Snapshot> {
    const found = await this.#undisturbed(signal);
    this.#exposure = found.exposure;
    if (found.files.length === 0) {
      throw sourceInvalid(
        `${this.#root} holds no .yaml, .yml or .json file`,
        'Put the manifests there; for a bare git repository on this machine write file:///path/to/it.',
      );
    }
    const id = contentId(found.files);
    if (this.#last?.revision.id !== id) {
      const notes = found.notes.length === 0 ? {} : { notes: found.notes };
      this.#last = { revision: { id, label: `dir@${id}` }, files: found.files, ...notes };
    }
    return this.#last;
  }

  async #undisturbed(signal: AbortSignal): Promise<Scan> {
    const { limits, clock } = this.#options;
    for (let attempt = 0; attempt < ATTEMPTS; attempt += 1) {
      if (attempt > 0) await new Promise<void>((done) => clock.after(QUIET_MS, done));
      try {
        return await scan(this.#root, this.#cache, limits, clock.now(), signal);
      } catch (error) {
        if (!(error instanceof ScanDisturbed)) throw error;
      }
    }
    throw new OmniError(`${this.#root} does not come to rest: files change faster than they can be read`, {
      code: 'source-changed',
      class: 'retry',
      exitCode: ExitCode.source,
      fix: 'Write new versions elsewhere and rename them into the folder.',
    });
  }
}

/** Calls `wake` once the events paused, or after a limit. */
class Burst {
  readonly #clock: Clock;
  readonly #wake: () => void;
  #since: number | undefined;
  #cancel: (() => void) | undefined;

  constructor(clock: Clock, wake: () => void) {
    this.#clock = clock;
    this.#wake = wake;
  }

  event(): void {
    const now = this.#clock.now();
    this.#since ??= now;
    this.#cancel?.();
    const delay = Math.max(0, Math.min(QUIET_MS, this.#since + QUIET_LIMIT_MS - now));
    this.#cancel = this.#clock.after(delay, () => {
      this.cancel();
      this.#wake();
    });
  }

  cancel(): void {
    this.#cancel?.();
    this.#cancel = undefined;
    this.#since = undefined;
  }
}

/** SHA-256 over names and contents in byte order; renaming a file makes another revision. */
function contentId(files: readonly ManifestFile[]): string {
  const hash = createHash('sha256');
  for (const { path, blob } of files) hash.update(`${path}\0${blob}\n`);
  return `sha256:${hash.digest('hex')}`;
}

function notKept(folder: string, rev: string): OmniError {
  return new OmniError(`${folder} has its present content only, and this node keeps no copy of ${rev}`, {
    code: 'source-ref-missing',
    class: 'stall',
    exitCode: ExitCode.source,
    fix: 'Put the older manifests back into the folder; a git repository as the source has a history.',
  });
}
