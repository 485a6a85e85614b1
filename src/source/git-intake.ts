import { OmniError } from '../errors.ts';
import { damaged, remoteShallow } from './git-errors.ts';
import { type Relation, relation } from './git-history.ts';
import type { GitObject } from './git-objects.ts';
import { type RemoteRef, tooLargeWithHistory, transfer } from './git-remote.ts';
import type { Remote } from './git-remotes.ts';
import { type GitStore, shelved } from './git-store.ts';
import { historyRewound, markDamaged, remoteBehind } from './git-trust-errors.ts';
import type { Verifier } from './git-verify.ts';
import type { SourceLimits } from './limits.ts';
import type { Snapshot } from './source.ts';

/** What is followed, checked. */
export interface Followed {
  /** Without `refs/heads/` and `refs/tags/`: the name in labels and in the mark. */
  readonly label: string;
  /** Fully qualified names that it may have, best first. */
  readonly names: readonly string[];
  /** Below the repository's root; '' is the root. */
  readonly path: string;
  readonly limits: SourceLimits;
}

export interface Offer {
  readonly remote: Remote;
  readonly ref: RemoteRef;
  /** A person said that the history may be left. */
  readonly rewind: boolean;
  /** There are other remotes: one that lags is no rewind. */
  readonly several: boolean;
  /** To be told with the snapshot. */
  readonly notes: readonly string[];
}

/**
 * The way of a remote's value to a snapshot: transferred, found to continue what was accepted before, vouched for, read,
 * and only then recorded as accepted. Whatever fails on the way leaves the accepted state as it was.
 */
export class GitIntake {
  readonly #store: GitStore;
  readonly #verifier: Verifier | undefined;
  readonly #followed: Followed;

  constructor(store: GitStore, verifier: Verifier | undefined, followed: Followed) {
    this.#store = store;
    this.#verifier = verifier;
    this.#followed = followed;
  }

  /** Fetches at most once. Throws as `Source.fetch` does. */
  async take(offer: Offer, signal: AbortSignal): Promise<Snapshot> {
    const { remote, ref } = offer;
    const { label, path } = this.#followed;
    const object = await this.#bring(offer, signal);
    const commit = await this.#store.commitAt(object.id);
    if (commit === undefined) throw damaged('cache', remote.display, `${ref.name} leads to no commit`);
    const mark = await this.#mark(offer);
    const step = mark === undefined ? undefined : await this.#step(mark, commit, signal);
    if (!offer.rewind && mark !== undefined && step !== undefined) this.#refuseRewind(offer, mark, commit.id, step);
    // Where a person accepted a rewind, the newest commit speaks for whatever leads to it.
    const since = step === 'successor' && !offer.rewind ? mark : undefined;
    const signature = await this.#verifier?.vouch({ ref: ref.name, object, commit, since }, signal);
    const notes = [...offer.notes, ...this.#notes(mark, step, commit.id)];
    const snapshot = await this.#store.snapshot({ commit, path, ref: label, signature, notes }, signal);
    if (mark !== undefined && (step === 'ancestor' || step === 'diverged')) {
      await this.#store.keepFormer(ref.name, mark, signal);
    }
    await this.#store.accept(label, ref.name, object, commit.id, signal);
    return snapshot;
  }

  /** The newest commit that was accepted: by the mark, or where that was lost alone, by the cache. */
  async #mark(offer: Offer): Promise<string | undefined> {
    const { label, names } = this.#followed;
    const mark = this.#store.marks.accepted(label);
    if (mark !== undefined) return mark;
    for (const name of names) {
      const commit = await this.#store.commitAt(shelved('accepted', name));
      if (commit !== undefined) return commit.id;
    }
    if (this.#store.marks.damaged && !offer.rewind) throw markDamaged(this.#store.marks.path);
    return undefined;
  }

  #step(mark: string, commit: GitObject, signal: AbortSignal): Promise<Relation> {
    return relation(this.#store.context, this.#store.objects, mark, commit.id, signal);
  }

  #refuseRewind({ remote, ref, several }: Offer, mark: string, offered: string, step: Relation): void {
    if (step === 'same' || step === 'successor') return;
    if (step === 'ancestor' && several) throw remoteBehind(remote.display, ref.name, mark, offered);
    const how = step === 'ancestor' ? 'is older than' : 'does not descend from';
    throw historyRewound(remote.display, ref.name, mark, offered, how);
  }

  #notes(mark: string | undefined, step: Relation | undefined, commit: string): readonly string[] {
    const { replaces } = this.#store.marks;
    if (mark === undefined && replaces !== undefined) {
      return [`another repository was followed before (${replaces.join(', ')}): this one starts without a history`];
    }
    if (mark === undefined || step === undefined || step === 'same' || step === 'successor') return [];
    return [`the history was rewound from ${mark.slice(0, 12)} to ${commit.slice(0, 12)}, as a person accepted`];
  }

  /** The object that the remote's ref holds; what the cache has already is not transferred again. */
  async #bring({ remote, ref }: Offer, signal: AbortSignal): Promise<GitObject> {
    const store = this.#store;
    const { limits } = this.#followed;
    const accepted = await store.ref('accepted', ref.name);
    if (accepted?.id === ref.id) return accepted;
    const before = await store.ref('incoming', ref.name).catch(absentIfTooLarge);
    if (before?.id === ref.id) return before;
    await transfer(store.context, remote, ref, shelved('incoming', ref.name), limits, signal);
    if (!(await store.fits(signal))) {
      await store.dropIncoming(ref.name, signal);
      throw tooLargeWithHistory(remote.display, limits);
    }
    const object = await store.ref('incoming', ref.name);
    // Another id than was offered is fine where somebody pushed meanwhile.
    if (object !== undefined && object.id !== before?.id) return object;
    // git takes the objects, and leaves the ref where it was.
    throw remoteShallow(remote.display);
  }
}

/** What was refused for its size lies there until the next transfer replaces it. */
function absentIfTooLarge(error: unknown): undefined {
  if (error instanceof OmniError && error.code === 'source-too-large') return undefined;
  throw error;
}
