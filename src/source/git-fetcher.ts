import { OmniError } from '../errors.ts';
import { damaged } from './git-errors.ts';
import { type Followed, GitIntake } from './git-intake.ts';
import { askRemote } from './git-remote.ts';
import { joinFailures, type Remote, type RemoteOrder } from './git-remotes.ts';
import type { GitStore } from './git-store.ts';
import type { Verifier } from './git-verify.ts';
import type { Snapshot } from './source.ts';

/**
 * Not the fault of a remote: asking another one would end the same way. None of these is told by what git printed, for a
 * remote can make it print anything, a full disk too, and must not keep this node from the others by that.
 */
const OWN_FAULTS: ReadonlySet<string> = new Set(['gpg-missing', 'ssh-keygen-missing', 'mark-damaged']);
/** Refusals by what a commit holds, which will be the same next time. Those by trust files, clock and mark may not. */
const LASTING: ReadonlySet<string> = new Set(['source-invalid', 'source-path-missing', 'source-too-large']);
const REFUSALS_KEPT = 16;

/** Asks the remotes in turn for something newer than what was accepted last. One fetch at a time. */
export class GitFetcher {
  readonly #store: GitStore;
  readonly #verifier: Verifier | undefined;
  readonly #followed: Followed;
  readonly #order: RemoteOrder;
  readonly #intake: GitIntake;
  /** The remote's value and the trust files under which it was accepted; nothing changes while they do not. */
  #settled: { readonly key: string; readonly snapshot: Snapshot } | undefined;
  readonly #refused = new Map<string, OmniError>();

  constructor(store: GitStore, verifier: Verifier | undefined, followed: Followed, order: RemoteOrder) {
    this.#store = store;
    this.#verifier = verifier;
    this.#followed = followed;
    this.#order = order;
    this.#intake = new GitIntake(store, verifier, followed);
  }

  /** As `Source.fetch`. `rewind`: a person said that the history may be left. */
  fetch(rewind: boolean, signal: AbortSignal): Promise<Snapshot> {
    return this.#fetchOnce(rewind, signal).catch((error: unknown) => this.#healed(error, rewind, signal));
  }

  async #fetchOnce(rewind: boolean, signal: AbortSignal): Promise<Snapshot> {
    const store = this.#store;
    if (store.damaged) throw damaged('cache', store.context.origin, 'something in it could not be read');
    await store.prepare();
    const trust = (await this.#verifier?.refresh(signal)) ?? '';
    const failures: OmniError[] = [];
    for (const remote of this.#order.list()) {
      try {
        const snapshot = await this.#fetchFrom(remote, { rewind, trust, failures }, signal);
        this.#order.answered(remote);
        return snapshot;
      } catch (error) {
        signal.throwIfAborted();
        if (!(error instanceof OmniError) || OWN_FAULTS.has(error.code)) throw error;
        this.#order.failed(remote, error);
        failures.push(error);
      }
    }
    // Only now, for a remote that sends rubbish looks the same: the cache is not thrown away while another one can use it.
    throw failures.find(({ code }) => code === 'source-cache-damaged') ?? joinFailures(failures);
  }

  async #fetchFrom(
    remote: Remote,
    { rewind, trust, failures }: { rewind: boolean; trust: string; failures: readonly OmniError[] },
    signal: AbortSignal,
  ): Promise<Snapshot> {
    const { names, label, limits } = this.#followed;
    const ref = await askRemote(this.#store.context, remote, names, label, limits, signal);
    const key = `${ref.name} ${ref.id} ${trust}`;
    if (this.#settled?.key === key) return this.#settled.snapshot;
    const offer = `${remote.url} ${key}`;
    const refusal = this.#refused.get(offer);
    if (refusal !== undefined && !rewind) throw refusal;
    const notes = failures.map(({ message }) => `passed over: ${message}`);
    try {
      const several = this.#order.list().length > 1;
      const snapshot = await this.#intake.take({ remote, ref, rewind, several, notes }, signal);
      this.#settled = { key, snapshot };
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
    this.#settled = undefined;
    const settle = await this.#store.setAside();
    try {
      const snapshot = await this.#fetchOnce(rewind, signal);
      await settle(false);
      return { ...snapshot, notes: [...(snapshot.notes ?? []), `${error.message}; it was fetched anew`] };
    } catch (again) {
      this.#settled = undefined;
      await settle(true);
      throw again;
    }
  }
}
