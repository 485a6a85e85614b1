import { rename, rm } from 'node:fs/promises';
import { OmniError } from '../errors.ts';
import type { Clock } from './clock.ts';
import { cacheExists, cacheFolder, openCache, removeLeftovers } from './git-cache.ts';
import { damaged, revMissing } from './git-errors.ts';
import { type GitObject, ObjectReader } from './git-objects.ts';
import { cacheContext, type GitContext, runGit } from './git-process.ts';
import { askRemote, candidates, localName, type RemoteRef, transfer } from './git-remote.ts';
import { readSnapshot } from './git-snapshot.ts';
import type { SourceLimits } from './limits.ts';
import { Poller } from './poller.ts';
import type { Snapshot, Source } from './source.ts';
import { checkPath, checkRef, checkRev, parseSourceUrl, sourceInvalid } from './url.ts';

export interface GitSourceOptions {
  readonly url: string;
  /** A branch or tag; where both exist, the branch. `refs/heads/…` and `refs/tags/…` say which. */
  readonly ref: string;
  /** Folder of the manifests below the repository's root; '' is the root. */
  readonly path: string;
  readonly intervalMs: number;
  /** Holds one bare repository per URL. One process at a time may use it. */
  readonly cacheDir: string;
  readonly limits: SourceLimits;
  /** Uniform in [0, 1): jitter. */
  readonly random: () => number;
  readonly clock: Clock;
}

/** What came of the remote's present value. It cannot change while the remote's value does not. */
interface Known {
  readonly remote: RemoteRef;
  readonly outcome: Snapshot | OmniError;
}

const GC_TIMEOUT_MS = 300_000;
const GC_PACKS = 40;

/** Follows one branch or tag of a git repository by polling; see `Source`. A quiet poll costs one process. */
export function openGitSource(options: GitSourceOptions): Source {
  return new GitSource(options);
}

class GitSource implements Source {
  readonly kind = 'git';
  readonly description: string;
  readonly #options: GitSourceOptions;
  readonly #url: string;
  readonly #path: string;
  readonly #context: GitContext;
  readonly #poller: Poller;
  readonly #objects: ObjectReader;
  #known: Known | undefined;
  #opened = false;
  /** Found when a content was read, after the snapshot was handed out. */
  #damaged = false;
  #stopping = new AbortController();
  #queue: Promise<unknown> = Promise.resolve();

  constructor(options: GitSourceOptions) {
    const parsed = parseSourceUrl(options.url);
    if (parsed.kind !== 'git') throw sourceInvalid(`${options.url} is not a git URL`, 'Use an https or ssh URL.');
    checkRef(options.ref);
    this.#options = options;
    this.#url = parsed.url;
    this.#path = checkPath(options.path);
    this.#context = cacheContext(cacheFolder(options.cacheDir, parsed.url), parsed.display);
    this.#objects = new ObjectReader(this.#context);
    this.#poller = new Poller(options);
    this.description = `${parsed.display} ref ${options.ref}${this.#path === '' ? '' : ` path ${this.#path}`}`;
  }

  fetch(signal: AbortSignal): Promise<Snapshot> {
    return this.#exclusively(async () => {
      this.#poller.begin();
      let answered = false;
      try {
        const snapshot = await this.#fetchOnce(signal).catch((error: unknown) => this.#healed(error, signal));
        answered = true;
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
    return this.#exclusively(async () => {
      if (!(await cacheExists(this.#context.folder))) return undefined;
      await this.#open();
      for (const name of candidates(this.#options.ref)) {
        const commit = await this.#objects.read(`${localName(name)}^{commit}`);
        if (commit !== undefined) return this.#snapshot(commit, signal);
      }
      return undefined;
    });
  }

  at(rev: string, signal: AbortSignal): Promise<Snapshot> {
    return this.#exclusively(async () => {
      checkRev(rev);
      if (!(await cacheExists(this.#context.folder))) throw revMissing(this.#context.origin, rev);
      await this.#open();
      const [, name = rev, suffix = ''] = /^(.+?)([~^@].*)?$/.exec(rev) ?? [];
      const specs = name === this.#options.ref ? candidates(name).map(localName) : [name];
      for (const spec of specs) {
        const commit = await this.#objects.read(`${spec}${suffix}^{commit}`);
        if (commit !== undefined) return this.#snapshot(commit, signal, rev);
      }
      throw revMissing(this.#context.origin, rev);
    });
  }

  watch(wake: () => void): () => Promise<void> {
    this.#stopping = new AbortController();
    const stop = this.#poller.start(wake);
    return async () => {
      stop();
      this.#stopping.abort();
      await this.#queue;
      this.#objects.close();
    };
  }

  nextFetchAt(): number | undefined {
    return this.#poller.nextAt;
  }

  /** One git writer at a time: fetches, and the collection of garbage after them. */
  #exclusively<T>(task: () => Promise<T>): Promise<T> {
    const result = this.#queue.then(task, task);
    this.#queue = result.catch(() => undefined); // reported to the task's own caller
    return result;
  }

  async #fetchOnce(signal: AbortSignal): Promise<Snapshot> {
    if (this.#damaged) throw damaged('cache', this.#context.origin, 'a manifest could not be read');
    await this.#open();
    const { limits, ref } = this.#options;
    const remote = await askRemote(this.#context, this.#url, ref, limits, signal);
    const known = this.#known;
    if (known?.remote.id === remote.id && known.remote.name === remote.name) return settled(known.outcome);
    try {
      const snapshot = await this.#bring(remote, signal);
      this.#known = { remote, outcome: snapshot };
      return snapshot;
    } catch (error) {
      if (error instanceof OmniError && error.class === 'stall') this.#known = { remote, outcome: error };
      throw error;
    }
  }

  async #bring(remote: RemoteRef, signal: AbortSignal): Promise<Snapshot> {
    const name = localName(remote.name);
    const local = await this.#objects.read(name);
    if (local?.id !== remote.id) {
      const packs = await transfer(this.#context, this.#url, remote, this.#options.limits, signal);
      if (packs > GC_PACKS) this.#collectGarbageLater();
    }
    const commit = await this.#objects.read(`${name}^{commit}`);
    if (commit === undefined) throw damaged('cache', this.#context.origin, `${remote.name} leads to no commit`);
    return this.#snapshot(commit, signal);
  }

  /** A damaged cache is fetched anew, once: nobody at a robot can run git fsck. Kept until the new one is complete. */
  async #healed(error: unknown, signal: AbortSignal): Promise<Snapshot> {
    if (!(error instanceof OmniError) || error.code !== 'source-cache-damaged') throw error;
    const { folder } = this.#context;
    const aside = `${folder}.damaged`;
    this.#reset();
    await rm(aside, { recursive: true, force: true });
    await rename(folder, aside);
    try {
      const snapshot = await this.#fetchOnce(signal);
      await rm(aside, { recursive: true, force: true });
      return snapshot;
    } catch (again) {
      this.#reset();
      await rm(folder, { recursive: true, force: true });
      await rename(aside, folder);
      throw again;
    }
  }

  #reset(): void {
    this.#objects.close();
    this.#known = undefined;
    this.#opened = false;
    this.#damaged = false;
  }

  async #open(): Promise<void> {
    if (this.#opened) return;
    await openCache(this.#context.folder);
    this.#opened = true;
  }

  /** Many small packs slow every read. Runs behind the fetch that noticed; the next fetch waits for it. */
  #collectGarbageLater(): void {
    const collect = () =>
      runGit(this.#context, {
        args: ['gc', '--quiet'],
        timeoutMs: GC_TIMEOUT_MS,
        maxOutputBytes: 1024 * 1024,
        signal: this.#stopping.signal,
      });
    // A failure costs speed only, and the next fetch tries again.
    void this.#exclusively(collect).catch(() => removeLeftovers(this.#context.folder));
  }

  #snapshot(commit: GitObject, signal: AbortSignal, ref = this.#options.ref): Promise<Snapshot> {
    return readSnapshot({
      context: this.#context,
      objects: this.#objects,
      commit,
      path: this.#path,
      ref: ref.replace(/^refs\/(heads|tags)\//, ''),
      limits: this.#options.limits,
      signal,
      onDamage: () => {
        this.#damaged = true;
      },
    });
  }
}

function settled(outcome: Snapshot | OmniError): Snapshot {
  if (outcome instanceof OmniError) throw outcome;
  return outcome;
}
