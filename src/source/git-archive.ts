import { damaged, revMissing } from './git-errors.ts';
import { relation } from './git-history.ts';
import type { Followed } from './git-intake.ts';
import type { GitObject } from './git-objects.ts';
import { type GitStore, shelved } from './git-store.ts';
import { notAccepted } from './git-trust-errors.ts';
import type { Verifier } from './git-verify.ts';
import type { Snapshot } from './source.ts';

/** Revisions out of the cache, without any network: only such as were accepted, or are vouched for now. */
export class GitArchive {
  readonly #store: GitStore;
  readonly #verifier: Verifier | undefined;
  readonly #followed: Followed;

  constructor(store: GitStore, verifier: Verifier | undefined, followed: Followed) {
    this.#store = store;
    this.#verifier = verifier;
    this.#followed = followed;
  }

  /**
   * What was accepted last, verified again: a key may have been taken back since. Undefined: nothing was. Throws
   * `source-cache-damaged` where something was, and cannot be read any more.
   */
  async newest(signal: AbortSignal): Promise<Snapshot | undefined> {
    if (!(await this.#store.exists())) return undefined;
    await this.#store.prepare();
    const { names, path, label } = this.#followed;
    for (const name of names) {
      const object = await this.#store.ref('accepted', name);
      const commit = object && (await this.#store.commitAt(object.id));
      if (object === undefined || commit === undefined) {
        await this.#refuseLoss(name, signal);
        continue;
      }
      await this.#verifier?.refresh(signal);
      const signature = await this.#verifier?.vouch({ ref: name, object, commit, since: undefined }, signal);
      return this.#store.snapshot({ commit, path, ref: label, signature }, signal);
    }
    return undefined;
  }

  /** `rev` went through `checkRev`. Throws `source-ref-missing`, `revision-not-accepted`, or what `vouch` throws. */
  async at(rev: string, signal: AbortSignal): Promise<Snapshot> {
    const { origin } = this.#store.context;
    if (!(await this.#store.exists())) throw revMissing(origin, rev);
    await this.#store.prepare();
    const commit = await this.#resolve(rev);
    if (commit === undefined) throw revMissing(origin, rev);
    const { path } = this.#followed;
    if (await this.#wasAccepted(commit, signal)) return this.#store.snapshot({ commit, path, ref: rev }, signal);
    if (this.#verifier === undefined) throw notAccepted(origin, rev);
    await this.#verifier.refresh(signal);
    const signature = await this.#verifier.vouch({ ref: undefined, object: commit, commit, since: undefined }, signal);
    return this.#store.snapshot({ commit, path, ref: rev, signature }, signal);
  }

  /** git tells neither from the other: a ref that is not there, and one whose commit is not. */
  async #refuseLoss(name: string, signal: AbortSignal): Promise<void> {
    const id = await this.#store.target(shelved('accepted', name), signal);
    if (id === undefined) return;
    this.#store.markDamaged();
    throw damaged('cache', this.#store.context.origin, `commit ${id}, which was accepted last, cannot be read`);
  }

  /** `main~1` where main is what is followed; else whatever git takes it for. */
  async #resolve(rev: string): Promise<GitObject | undefined> {
    const [, name = rev, suffix = ''] = /^(.+?)([~^@].*)?$/.exec(rev) ?? [];
    const { names, label } = this.#followed;
    const followed = name === label || names.includes(name);
    for (const spec of followed ? names.map((full) => shelved('accepted', full)) : [name]) {
      const commit = await this.#store.commitAt(`${spec}${suffix}`);
      if (commit !== undefined) return commit;
    }
    return undefined;
  }

  /** Part of a history that passed every check once: what was transferred and refused lies in the same cache. */
  async #wasAccepted(commit: GitObject, signal: AbortSignal): Promise<boolean> {
    for (const shelf of ['accepted', 'former'] as const) {
      for (const name of this.#followed.names) {
        const tip = await this.#store.commitAt(shelved(shelf, name));
        if (tip === undefined) continue;
        const found = await relation(this.#store.context, this.#store.objects, commit.id, tip.id, signal);
        if (found === 'same' || found === 'successor') return true;
      }
    }
    return false;
  }
}
