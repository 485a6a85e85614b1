import { OmniError } from '../errors.ts';
import type { Fleet, ObjectRef } from '../manifest/model.ts';
import { type DesiredState, desiredState, type NodeView, updateDesired } from './desired.ts';
import { reasonOf } from './ledger.ts';
import { pruneBlock } from './prune.ts';
import type { RowKey } from './rows.ts';

/** A desired set that is in force. */
export interface Target {
  readonly revision: string;
  readonly fleet: Fleet;
  readonly state: DesiredState;
}

/** Why the newest revision is not in force. `reason` is `code` in PascalCase: `PruneBlocked`, `SeveralClusters`. */
export interface Block {
  readonly code: string;
  readonly reason: string;
  readonly message: string;
}

export interface Retarget {
  /** Rows that became different. */
  readonly touched: ReadonlySet<RowKey> | 'all';
  /** Objects whose rows were computed again. */
  readonly objects: ReadonlySet<ObjectRef> | 'all';
}

/** Decides what is in force: the newest fleet, unless it asks for something that must wait for a human; then the one before. */
export class Targeting {
  readonly #node: NodeView;
  /** Of the newest fleet, in force or not: what `changed` is relative to. */
  #newest: DesiredState | undefined;
  #inForce: Target | undefined;
  #attempted: string | undefined;
  #block: Block | undefined;

  constructor(node: NodeView) {
    this.#node = node;
  }

  get inForce(): Target | undefined {
    return this.#inForce;
  }
  /** The newest revision, in force or not. */
  get attempted(): string | undefined {
    return this.#attempted;
  }
  get block(): Block | undefined {
    return this.#block;
  }

  /** What the new target changes in the one that was in force; undefined if it was not put in force. */
  offer(fleet: Fleet, revision: string, changed: ReadonlySet<ObjectRef> | 'all'): Retarget | undefined {
    const before = this.#inForce?.state;
    const relative = before !== undefined && this.#newest === before;
    this.#attempted = revision;
    this.#block = undefined;
    try {
      const update = this.#newest && updateDesired(this.#newest, fleet, changed, this.#node);
      const state = update?.state ?? desiredState(fleet, this.#node);
      this.#newest = state;
      this.#block = pruneBlock(fleet, state);
      if (this.#block !== undefined) return undefined;
      this.#inForce = { revision, fleet, state };
      return update !== undefined && relative ? update : { touched: 'all', objects: 'all' };
    } catch (error) {
      if (!(error instanceof OmniError)) throw error;
      const message = error.fix === undefined ? error.message : `${error.message}. ${error.fix}`;
      this.#newest = undefined;
      this.#block = { code: error.code, reason: reasonOf(error.code), message };
      return undefined;
    }
  }
}
