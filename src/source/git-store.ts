import { readdir, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { cacheExists, measureCache, openCache, removeLeftovers } from './git-cache.ts';
import { unwritable } from './git-errors.ts';
import { Marks } from './git-marks.ts';
import { type GitObject, ObjectReader } from './git-objects.ts';
import { cacheContext, type GitContext, inspectGit, runGit } from './git-process.ts';
import type { Remote } from './git-remotes.ts';
import { readSnapshot, type SnapshotRequest } from './git-snapshot.ts';
import type { SourceLimits } from './limits.ts';
import type { Snapshot } from './source.ts';

/**
 * Refs of the remotes as the cache holds them, below `refs/omni/`, so that nothing looks like a branch of its own:
 * `incoming` is what was transferred last, trusted or not; `accepted` passed every check; `former` is what was accepted
 * before a person accepted a rewind.
 */
export type Shelf = 'incoming' | 'accepted' | 'former';

const GC_TIMEOUT_MS = 300_000;
const GC_PACKS = 40;
const REF_TIMEOUT_MS = 30_000;
const OUTPUT_BYTES = 1024 * 1024;

/** `refs/heads/main` on a shelf. */
export function shelved(shelf: Shelf, name: string): string {
  return name.replace(/^refs\//, `refs/omni/${shelf}/`);
}

/** The bare repository that all remotes of one source share, and the mark beside it. */
export class GitStore {
  readonly marks: Marks;
  readonly context: GitContext;
  readonly objects: ObjectReader;
  readonly #cacheDir: string;
  readonly #limits: SourceLimits;
  #ready = false;
  #damaged = false;
  #alone = false;

  private constructor(cacheDir: string, marks: Marks, origin: string, limits: SourceLimits, sandbox: string) {
    this.marks = marks;
    this.#cacheDir = cacheDir;
    this.#limits = limits;
    this.context = cacheContext(join(cacheDir, marks.cache), origin, limits.memoryBytes, sandbox);
    this.objects = new ObjectReader(this.context, limits.fileBytes);
  }

  /** `sandbox`: see `cacheContext`. */
  static async open(
    cacheDir: string,
    remotes: readonly Remote[],
    limits: SourceLimits,
    sandbox: string,
  ): Promise<GitStore> {
    const marks = await Marks.open(
      cacheDir,
      remotes.map(({ display }) => display),
    );
    return new GitStore(cacheDir, marks, remotes[0]?.display ?? '', limits, sandbox);
  }

  /** Whether an earlier fetch left something. */
  exists(): Promise<boolean> {
    return cacheExists(this.context.folder);
  }

  /** Makes the cache where it is missing; to be called before anything is read or written. */
  async prepare(): Promise<void> {
    if (this.#ready) return;
    await openCache(this.context.folder).catch((error: unknown) => {
      throw unwritable(this.context.origin, error);
    });
    this.#ready = true;
  }

  /** A commit, or an annotated tag. */
  ref(shelf: Shelf, name: string): Promise<GitObject | undefined> {
    return this.objects.read(shelved(shelf, name));
  }

  /** The id that a ref holds, whether or not there is such an object. */
  async target(ref: string, signal: AbortSignal): Promise<string | undefined> {
    const args = ['rev-parse', '--verify', '--quiet', ref];
    const command = { args, timeoutMs: REF_TIMEOUT_MS, maxOutputBytes: OUTPUT_BYTES, signal };
    const { status, stdout } = await inspectGit(this.context, command);
    return status === 0 ? stdout.trim() : undefined;
  }

  commitAt(spec: string): Promise<GitObject | undefined> {
    return this.objects.read(`${spec}^{commit}`);
  }

  /** One commit's manifests; a content that turns out to be damaged when it is read marks the whole cache as such. */
  snapshot(
    what: Pick<SnapshotRequest, 'commit' | 'path' | 'ref' | 'signature' | 'notes'>,
    signal: AbortSignal,
  ): Promise<Snapshot> {
    const onDamage = () => this.markDamaged();
    const { context, objects } = this;
    return readSnapshot({ ...what, context, objects, limits: this.#limits, signal, onDamage });
  }

  /** The next fetch makes it anew. */
  get damaged(): boolean {
    return this.#damaged;
  }
  markDamaged(): void {
    this.#damaged = true;
  }

  /** Records, mark first, that `object` is what the ref `name` is for this node. `label` names it in the mark. */
  async accept(label: string, name: string, object: GitObject, commit: string, signal: AbortSignal): Promise<void> {
    await this.marks.accept(label, commit);
    const before = await this.ref('accepted', name);
    if (before?.id !== object.id) await this.#point('accepted', name, object.id, signal);
    await this.#removeOthers();
  }

  /** Caches of sources that are followed no more, or that a mistyped URL left; once, for none can come up meanwhile. */
  async #removeOthers(): Promise<void> {
    if (this.#alone) return;
    for (const name of await readdir(this.#cacheDir)) {
      if (!/^[0-9a-f]{32}(\.damaged)?$/.test(name) || name === this.marks.cache) continue;
      await rm(join(this.#cacheDir, name), { recursive: true, force: true });
    }
    this.#alone = true;
  }

  /** Keeps what was accepted readable although the history leaves it. */
  async keepFormer(name: string, id: string, signal: AbortSignal): Promise<void> {
    await this.#point('former', name, id, signal);
  }

  async #point(shelf: Shelf, name: string, id: string, signal: AbortSignal): Promise<void> {
    await runGit(this.context, {
      args: ['update-ref', shelved(shelf, name), id],
      timeoutMs: REF_TIMEOUT_MS,
      maxOutputBytes: OUTPUT_BYTES,
      signal,
    });
  }

  /** After a transfer: within the limit, if need be without what earlier transfers left and nothing holds. */
  async fits(signal: AbortSignal): Promise<boolean> {
    if ((await measureCache(this.context.folder)).bytes <= this.#limits.totalBytes) return true;
    await this.collectGarbage(signal);
    return (await measureCache(this.context.folder)).bytes <= this.#limits.totalBytes;
  }

  /** Forgets what was transferred last, so that a remote that sent too much has not filled the cache for good. */
  async dropIncoming(name: string, signal: AbortSignal): Promise<void> {
    await runGit(this.context, {
      args: ['update-ref', '-d', shelved('incoming', name)],
      timeoutMs: REF_TIMEOUT_MS,
      maxOutputBytes: OUTPUT_BYTES,
      signal,
    });
    await this.collectGarbage(signal);
  }

  /** Many small packs slow every read. */
  async isScattered(): Promise<boolean> {
    return (await measureCache(this.context.folder)).packs > GC_PACKS;
  }

  async collectGarbage(signal: AbortSignal): Promise<void> {
    try {
      await runGit(this.context, {
        args: ['gc', '--quiet'],
        timeoutMs: GC_TIMEOUT_MS,
        maxOutputBytes: OUTPUT_BYTES,
        signal,
      });
    } finally {
      await removeLeftovers(this.context.folder);
    }
  }

  /** Moves a damaged cache out of the way; the returned function puts it back, or removes it for good. */
  async setAside(): Promise<(keep: boolean) => Promise<void>> {
    const { folder } = this.context;
    const aside = `${folder}.damaged`;
    this.reset();
    await rm(aside, { recursive: true, force: true });
    await rename(folder, aside);
    return async (keep) => {
      if (keep) {
        this.reset();
        await rm(folder, { recursive: true, force: true });
        await rename(aside, folder);
        this.markDamaged();
      } else {
        await rm(aside, { recursive: true, force: true });
      }
    };
  }

  reset(): void {
    this.objects.close();
    this.#ready = false;
    this.#damaged = false;
  }
}
