import { type FSWatcher, watch } from 'node:fs';
import { basename, dirname } from 'node:path';
import { OmniError } from '../errors.ts';
import type { PublicKey } from '../manifest/model.ts';
import type { Clock } from '../reconcile/clock.ts';
import type { NodeKeys } from '../reconcile/desired.ts';
import { type Identity, readIdentity } from '../session/identity.ts';
import { nextIdentityPath, readNextIdentity } from '../session/next-identity.ts';
import { messageOf } from './lock.ts';
import type { Log } from './log.ts';

const SETTLE_MS = 100;

/**
 * Who this node is: the identity in its file and, while it goes over to another one, that as well. Follows the files: the
 * second one may come and go, and take the first one's place.
 */
export class Identities implements NodeKeys {
  readonly #path: string;
  readonly #log: Log;
  #current: Identity;
  #next: Identity | undefined;
  /** What was last said of a file that is not as it should be. */
  #complaint: string | undefined;
  #watcher: FSWatcher | undefined;
  #cancel: (() => void) | undefined;

  /** Throws as `readIdentity` does; a second file that cannot be used is only told of. */
  constructor(path: string, log: Log) {
    this.#path = path;
    this.#log = log;
    this.#current = readIdentity(path);
    this.refresh();
  }

  get publicKey(): PublicKey {
    return this.#current.publicKey;
  }

  get nextPublicKey(): PublicKey | undefined {
    return this.#next?.publicKey;
  }

  /** One or two. */
  get all(): readonly Identity[] {
    return this.#next === undefined ? [this.#current] : [this.#current, this.#next];
  }

  get current(): Identity {
    return this.#current;
  }

  /** Looks at the files; true: this node is somebody else than it was. */
  refresh(): boolean {
    const before = this.all;
    try {
      // In this order none is missed that takes the other's place meanwhile.
      const next = readNextIdentity(this.#path);
      this.#take(readIdentity(this.#path), next);
      this.#complaint = undefined;
    } catch (error) {
      this.#complain(messageOf(error), error instanceof OmniError ? error.fix : undefined);
    }
    const now = this.all;
    return now.length !== before.length || now.some((identity, at) => identity !== before[at]);
  }

  #take(found: Identity, foundNext: Identity | undefined): void {
    const known = (identity: Identity) =>
      this.all.find(({ publicKey }) => publicKey === identity.publicKey) ?? identity;
    const [current, next] = [known(found), foundNext && known(foundNext)];
    if (!this.all.includes(current)) {
      throw new OmniError(`${this.#path} holds the key of another node than this agent runs as`, {
        code: 'identity-replaced',
        class: 'stall',
        fix: 'Restart the agent to run as that one, or put the file back.',
      });
    }
    this.#next = next === current ? undefined : next;
    this.#current = current;
  }

  #complain(message: string, fix: string | undefined): void {
    if (message === this.#complaint) return;
    this.#complaint = message;
    this.#log('warn', message, fix === undefined ? {} : { fix });
  }

  /** Calls `onChange` when `refresh` found something, a moment after a change in the folder: files are not written at once. */
  start(after: Clock['setTimer'], onChange: () => void): void {
    const look = (): void => {
      this.#cancel = undefined;
      if (this.refresh()) onChange();
    };
    const names = new Set([basename(this.#path), basename(nextIdentityPath(this.#path))]);
    try {
      this.#watcher = watch(dirname(this.#path), { persistent: false }, (_event, name) => {
        if (name !== null && names.has(name)) this.#cancel ??= after(SETTLE_MS, look);
      });
      this.#watcher.on('error', (error) => this.#unwatched(error));
    } catch (error) {
      this.#unwatched(error);
    }
  }

  #unwatched(error: unknown): void {
    this.stop();
    this.#log('warn', `changes of this node's keys are noticed with the next revision only: ${messageOf(error)}`);
  }

  stop(): void {
    this.#cancel?.();
    this.#watcher?.close();
    this.#watcher = undefined;
  }
}
