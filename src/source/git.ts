import { join } from 'node:path';
import { OmniError } from '../errors.ts';
import type { Clock } from './clock.ts';
import { Blamer } from './git-blame.ts';
import { openCache } from './git-cache.ts';
import { damaged, revMissing } from './git-errors.ts';
import { relation } from './git-history.ts';
import { type Followed, GitIntake } from './git-intake.ts';
import type { GitObject } from './git-objects.ts';
import { cacheContext, type GitContext } from './git-process.ts';
import { askRemote, pingRemote } from './git-remote.ts';
import { joinFailures, parseRemote, type Remote, type RemoteOptions, RemoteOrder } from './git-remotes.ts';
import { GitStore, shelved } from './git-store.ts';
import { notAccepted } from './git-trust-errors.ts';
import { checkVerifyOptions, Verifier, type VerifyOptions } from './git-verify.ts';
import type { SourceLimits } from './limits.ts';
import { Poller } from './poller.ts';
import type { LineOrigin, Snapshot, Source } from './source.ts';
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
  /** Absent: signatures are not looked at. */
  readonly verify?: VerifyOptions;
  /** Uniform in [0, 1): jitter. */
  readonly random: () => number;
  readonly clock: Clock;
}

interface Opened {
  readonly store: GitStore;
  readonly verifier: Verifier | undefined;
  readonly intake: GitIntake;
}

/** Not the fault of a remote: asking another one would end the same way. */
const OWN_FAULTS: ReadonlySet<string> = new Set([
  'git-missing',
  'timeout-missing',
  'prlimit-missing',
  'gpg-missing',
  'ssh-keygen-missing',
  'source-cache-unwritable',
  'mark-damaged',
]);
/** Refusals by what a commit holds, which will be the same next time. Those by trust files, clock and mark may not. */
const LASTING: ReadonlySet<string> = new Set(['source-invalid', 'source-path-missing', 'source-too-large']);
const REFUSALS_KEPT = 16;

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
  /** The remote's value and the trust files under which it was accepted; nothing changes while they do not. */
  #settled: { readonly key: string; readonly snapshot: Snapshot } | undefined;
  readonly #refused = new Map<string, OmniError>();
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
        const snapshot = await this.#fetchOnce(rewind, signal).catch((error: unknown) =>
          this.#healed(error, rewind, signal),
        );
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
      const { store, verifier } = await this.#open();
      if (!(await store.exists())) return undefined;
      await store.prepare();
      const { names, path, label } = this.#followed;
      for (const name of names) {
        const object = await store.ref('accepted', name);
        if (object === undefined) continue;
        const commit = await store.commitAt(object.id);
        if (commit === undefined) continue;
        await verifier?.refresh(signal);
        const signature = await verifier?.vouch({ ref: name, object, commit, since: undefined }, signal);
        return store.snapshot({ commit, path, ref: label, signature }, signal);
      }
      return undefined;
    });
  }

  at(rev: string, signal: AbortSignal): Promise<Snapshot> {
    return this.#exclusively(async () => {
      checkRev(rev);
      const { store, verifier } = await this.#open();
      if (!(await store.exists())) throw revMissing(store.context.origin, rev);
      await store.prepare();
      const commit = await this.#resolve(store, rev);
      if (commit === undefined) throw revMissing(store.context.origin, rev);
      const { path } = this.#followed;
      if (await this.#wasAccepted(store, commit, signal)) return store.snapshot({ commit, path, ref: rev }, signal);
      if (verifier === undefined) throw notAccepted(store.context.origin, rev);
      await verifier.refresh(signal);
      const signature = await verifier.vouch({ ref: undefined, object: commit, commit, since: undefined }, signal);
      return store.snapshot({ commit, path, ref: rev, signature }, signal);
    });
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
    const { cacheDir, limits, verify } = this.#options;
    const store = await GitStore.open(cacheDir, this.#remotes, limits);
    const verifier = verify && new Verifier(verify, store.context, store.objects, join(cacheDir, 'gnupg'));
    this.#opened ??= { store, verifier, intake: new GitIntake(store, verifier, this.#followed) };
    return this.#opened;
  }

  async #openProbe(): Promise<GitContext> {
    const folder = join(this.#options.cacheDir, 'probe');
    await openCache(folder);
    return cacheContext(folder, this.description, this.#options.limits.memoryBytes);
  }

  async #fetchOnce(rewind: boolean, signal: AbortSignal): Promise<Snapshot> {
    const opened = await this.#open();
    const { store } = opened;
    if (store.damaged) throw damaged('cache', store.context.origin, 'a manifest could not be read');
    await store.prepare();
    const trust = (await opened.verifier?.refresh(signal)) ?? '';
    const failures: OmniError[] = [];
    for (const remote of this.#order.list()) {
      try {
        const snapshot = await this.#fetchFrom(opened, remote, { rewind, trust, failures }, signal);
        this.#order.answered(remote);
        return snapshot;
      } catch (error) {
        signal.throwIfAborted();
        if (!(error instanceof OmniError) || OWN_FAULTS.has(error.code)) throw error;
        this.#order.failed(remote);
        failures.push(error);
      }
    }
    // Only now, for a remote that sends rubbish looks the same: the cache is not thrown away while another one can use it.
    throw failures.find(({ code }) => code === 'source-cache-damaged') ?? joinFailures(failures);
  }

  async #fetchFrom(
    { store, intake }: Opened,
    remote: Remote,
    { rewind, trust, failures }: { rewind: boolean; trust: string; failures: readonly OmniError[] },
    signal: AbortSignal,
  ): Promise<Snapshot> {
    const { names, label, limits } = this.#followed;
    const ref = await askRemote(store.context, remote, names, label, limits, signal);
    const key = `${ref.name} ${ref.id} ${trust}`;
    if (this.#settled?.key === key) return this.#settled.snapshot;
    const offer = `${remote.url} ${key}`;
    const refusal = this.#refused.get(offer);
    if (refusal !== undefined && !rewind) throw refusal;
    const notes = failures.map(({ message }) => `passed over: ${message}`);
    try {
      const several = this.#remotes.length > 1;
      const snapshot = await intake.take({ remote, ref, rewind, several, notes }, signal);
      this.#settled = { key, snapshot };
      if (await store.isScattered()) this.#collectGarbageLater(store);
      return snapshot;
    } catch (error) {
      if (error instanceof OmniError && LASTING.has(error.code)) this.#refuse(offer, error);
      throw error;
    }
  }

  #refuse(offer: string, error: OmniError): void {
    if (this.#refused.size >= REFUSALS_KEPT) this.#refused.clear();
    this.#refused.set(offer, error);
  }

  /** A damaged cache is fetched anew, once: nobody at a robot can run git fsck. Kept until the new one is complete. */
  async #healed(error: unknown, rewind: boolean, signal: AbortSignal): Promise<Snapshot> {
    if (!(error instanceof OmniError) || error.code !== 'source-cache-damaged') throw error;
    const { store } = await this.#open();
    this.#settled = undefined;
    const settle = await store.setAside();
    try {
      const snapshot = await this.#fetchOnce(rewind, signal);
      await settle(false);
      return snapshot;
    } catch (again) {
      this.#settled = undefined;
      await settle(true);
      throw again;
    }
  }

  /** Runs behind the fetch that noticed; the next fetch waits for it. */
  #collectGarbageLater(store: GitStore): void {
    // A failure costs speed only, and the next fetch tries again.
    void this.#exclusively(() => store.collectGarbage(this.#stopping.signal)).catch(() => undefined);
  }

  /** `main~1` where main is what is followed; else whatever git takes it for. */
  async #resolve(store: GitStore, rev: string): Promise<GitObject | undefined> {
    const [, name = rev, suffix = ''] = /^(.+?)([~^@].*)?$/.exec(rev) ?? [];
    const { names, label } = this.#followed;
    const followed = name === label || name === this.#options.ref;
    for (const spec of followed ? names.map((full) => shelved('accepted', full)) : [name]) {
      const commit = await store.commitAt(`${spec}${suffix}`);
      if (commit !== undefined) return commit;
    }
    return undefined;
  }

  /** Part of a history that passed every check once: what was transferred and refused lies in the same cache. */
  async #wasAccepted(store: GitStore, commit: GitObject, signal: AbortSignal): Promise<boolean> {
    for (const shelf of ['accepted', 'former'] as const) {
      for (const name of this.#followed.names) {
        const tip = await store.commitAt(shelved(shelf, name));
        if (tip === undefined) continue;
        const found = await relation(store.context, store.objects, commit.id, tip.id, signal);
        if (found === 'same' || found === 'successor') return true;
      }
    }
    return false;
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
