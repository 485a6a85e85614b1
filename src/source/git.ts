import { join } from 'node:path';
import { OmniError } from '../errors.ts';
import type { Clock } from './clock.ts';
import { GitArchive } from './git-archive.ts';
import { Blamer } from './git-blame.ts';
import { openCache } from './git-cache.ts';
import { GitFetcher } from './git-fetcher.ts';
import type { Followed } from './git-intake.ts';
import { cacheContext, type GitContext } from './git-process.ts';
import { pingRemote } from './git-remote.ts';
import {
  isUnauthenticated,
  joinFailures,
  parseRemote,
  type Remote,
  type RemoteOptions,
  RemoteOrder,
} from './git-remotes.ts';
import { GitStore } from './git-store.ts';
import { checkVerifyOptions, Verifier, type VerifyOptions } from './git-verify.ts';
import type { SourceLimits } from './limits.ts';
import { Poller } from './poller.ts';
import type { LineOrigin, RemoteState, Snapshot, Source } from './source.ts';
import { checkPath, checkRef, checkRev, sourceInvalid } from './url.ts';

export interface GitSourceOptions {
  /** Of one repository, best first; at least one. */
  readonly remotes: readonly RemoteOptions[];
  /** A branch or tag; where both exist, the branch. `refs/heads/…` and `refs/tags/…` say which. */
  readonly ref: string;
  /** Folder of the manifests below the repository's root; '' is the root. */
  readonly path: string;
  readonly intervalMs: number;
  /** See `PollerOptions`. */
  readonly phase?: number;
  /** Holds a bare repository and what this node accepted from it. One process at a time may use it. */
  readonly cacheDir: string;
  readonly limits: SourceLimits;
  /** Path of omni-sandbox, which every git of this source runs in. */
  readonly sandbox: string;
  /** Absent: signatures are not looked at. */
  readonly verify?: VerifyOptions;
  /** Uniform in [0, 1): jitter. */
  readonly random: () => number;
  readonly clock: Clock;
}

interface Opened {
  readonly store: GitStore;
  readonly fetcher: GitFetcher;
  readonly archive: GitArchive;
}

/** Follows one branch or tag of a git repository by polling; see `Source`. A quiet poll costs one process. */
export function openGitSource(options: GitSourceOptions): Source {
  return new GitSource(options);
}

class GitSource implements Source {
  readonly kind = 'git';
  readonly description: string;
  readonly hosts: readonly string[];
  readonly #options: GitSourceOptions;
  readonly #remotes: readonly Remote[];
  readonly #order: RemoteOrder;
  readonly #followed: Followed;
  readonly #poller: Poller;
  readonly #blamer = new Blamer();
  #opened: Opened | undefined;
  #probe: Promise<GitContext> | undefined;
  #rewind = false;
  #stopping = new AbortController();
  #queue: Promise<unknown> = Promise.resolve();

  constructor(options: GitSourceOptions) {
    const { path, limits, verify } = options;
    const ref = checkRef(options.ref);
    if (verify !== undefined) checkVerifyOptions(verify);
    this.#options = options;
    this.#remotes = options.remotes.map(parseRemote);
    const [first] = this.#remotes;
    if (first === undefined) throw sourceInvalid('the source names no remote', 'Give at least one URL.');
    this.#order = new RemoteOrder(this.#remotes, options.clock);
    const label = ref.replace(/^refs\/(heads|tags)\//, '');
    this.#followed = { label, names: candidates(ref, verify?.tag === true), path: checkPath(path), limits };
    this.#poller = new Poller(options);
    this.hosts = [...new Set(this.#remotes.flatMap(({ host }) => (host === undefined ? [] : [host])))];
    const others = this.#remotes.length === 1 ? '' : ` (and ${this.#remotes.length - 1} more)`;
    this.description = `${first.display}${others} ref ${ref}${this.#followed.path === '' ? '' : ` path ${this.#followed.path}`}`;
  }

  fetch(signal: AbortSignal): Promise<Snapshot> {
    return this.#exclusively(async () => {
      this.#poller.begin();
      const rewind = this.#rewind;
      this.#rewind = false;
      let answered = false;
      try {
        const { store, fetcher } = await this.#open();
        const snapshot = await fetcher.fetch(rewind, signal);
        answered = true;
        if (await store.isScattered()) this.#collectGarbageLater(store);
        return snapshot;
      } catch (error) {
        // A remote that answers with what we must refuse is polled as ever: the next commit may mend it.
        const refused = error instanceof OmniError && error.class === 'stall' && error.code !== 'source-auth';
        answered = refused || signal.aborted;
        throw error;
      } finally {
        this.#poller.end(answered);
      }
    });
  }

  cached(signal: AbortSignal): Promise<Snapshot | undefined> {
    return this.#exclusively(async () => (await this.#open()).archive.newest(signal));
  }

  at(rev: string, signal: AbortSignal): Promise<Snapshot> {
    return this.#exclusively(async () => (await this.#open()).archive.at(checkRev(rev), signal));
  }

  watch(wake: () => void): () => Promise<void> {
    this.#stopping = new AbortController();
    const stop = this.#poller.start(wake);
    return async () => {
      stop();
      this.#stopping.abort();
      await this.#queue;
      this.#opened?.store.objects.close();
    };
  }

  nextFetchAt(): number | undefined {
    return this.#poller.nextAt;
  }

  remotes(): readonly RemoteState[] {
    return this.#remotes.length === 1 ? [] : this.#order.states();
  }

  warnings(): readonly string[] {
    if (this.#options.verify !== undefined) return [];
    return this.#remotes
      .filter(({ url }) => isUnauthenticated(url))
      .map(({ display }) => `${display} is followed without authentication: whoever is on the path decides`);
  }

  nudge(): void {
    this.#poller.nudge();
  }

  acceptRewind(): void {
    this.#rewind = true;
  }

  /** In a folder of its own, for it must not wait for a fetch, nor fail with a cache that is damaged. */
  async reachable(signal: AbortSignal): Promise<void> {
    this.#probe ??= this.#openProbe();
    const context = await this.#probe.catch((error: unknown) => {
      this.#probe = undefined;
      throw error;
    });
    const failures: OmniError[] = [];
    for (const remote of this.#order.list()) {
      try {
        await pingRemote(context, remote, this.#options.limits, signal);
        return;
      } catch (error) {
        signal.throwIfAborted();
        if (!(error instanceof OmniError)) throw error;
        failures.push(error);
      }
    }
    throw joinFailures(failures);
  }

  async blame(id: string, file: string, line: number, signal: AbortSignal): Promise<LineOrigin | undefined> {
    const { store } = await this.#open();
    if (!(await store.exists())) return undefined;
    const { path } = this.#followed;
    return this.#blamer.origin(store, { commit: id, path: path === '' ? file : `${path}/${file}`, line }, signal);
  }

  /** One git writer at a time: fetches, and the collection of garbage after them. */
  #exclusively<T>(task: () => Promise<T>): Promise<T> {
    const result = this.#queue.then(task, task);
    this.#queue = result.catch(() => undefined); // reported to the task's own caller
    return result;
  }

  async #open(): Promise<Opened> {
    if (this.#opened !== undefined) return this.#opened;
    const { cacheDir, limits, verify, sandbox } = this.#options;
    const store = await GitStore.open(cacheDir, this.#remotes, limits, sandbox);
    const verifier = verify && new Verifier(verify, store.context, store.objects, join(cacheDir, 'gnupg'));
    this.#opened ??= {
      store,
      fetcher: new GitFetcher(store, verifier, this.#followed, this.#order),
      archive: new GitArchive(store, verifier, this.#followed),
    };
    return this.#opened;
  }

  async #openProbe(): Promise<GitContext> {
    const folder = join(this.#options.cacheDir, 'probe');
    await openCache(folder);
    const { limits, sandbox } = this.#options;
    return cacheContext(folder, this.description, limits.memoryBytes, sandbox);
  }

  /** Runs behind the fetch that noticed; the next fetch waits for it. */
  #collectGarbageLater(store: GitStore): void {
    // A failure costs speed only, and the next fetch tries again.
    void this.#exclusively(() => store.collectGarbage(this.#stopping.signal)).catch(() => undefined);
  }
}

/** Fully qualified names that `ref` may mean, best first. A branch must not pass for the signed tag that is asked for. */
function candidates(ref: string, tagsOnly: boolean): readonly string[] {
  if (tagsOnly && ref.startsWith('refs/heads/')) {
    throw sourceInvalid(`verify.tag asks for a signed tag, but ${ref} is a branch`, 'Name a tag as the ref.');
  }
  if (ref.startsWith('refs/')) return [ref];
  return tagsOnly ? [`refs/tags/${ref}`] : [`refs/heads/${ref}`, `refs/tags/${ref}`];
}
