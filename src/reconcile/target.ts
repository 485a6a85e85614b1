import { emptyFleet } from '../manifest/fleet.ts';
import type { CanonicalKey, Fleet, ObjectRef } from '../manifest/model.ts';
import { type DesiredState, desiredState, type NodeView, updateDesired } from './desired.ts';
import type { RowKey } from './rows.ts';

/** A desired set that is in force. */
export interface Target {
  /** Label of its revision; '' where everything was withdrawn. */
  readonly revision: string;
  readonly fleet: Fleet;
  readonly state: DesiredState;
}

export interface Retarget {
  /** Rows that become different. */
  readonly touched: ReadonlySet<RowKey> | 'all';
  /** Objects whose rows were computed again. */
  readonly objects: ReadonlySet<ObjectRef> | 'all';
}

/** What putting a fleet in force would be. `touched` and `objects` are relative to `base`. */
export interface Proposal extends Retarget {
  readonly fleet: Fleet;
  readonly state: DesiredState;
  /** What was in force when it was made; undefined: nothing. */
  readonly base: Target | undefined;
}

export interface ProposalOptions {
  /** Relative to the fleet that was proposed last with `read`; of no meaning for a fleet that is neither read nor that one. */
  readonly changed: ReadonlySet<ObjectRef> | 'all';
  /** Keys that get nothing (`NodeView.barred`). */
  readonly barred?: ReadonlySet<CanonicalKey> | undefined;
  /** The fleet is the newest of a reader's, and the next `changed` will be relative to it. */
  readonly read?: boolean;
}

/** Computes desired sets at a cost in proportion to what changed, and remembers the one that is in force. */
export class Targeting {
  readonly #node: NodeView;
  /** Of the newest fleet that was read, in force or not. */
  #read: { readonly fleet: Fleet; readonly state: DesiredState } | undefined;
  #inForce: Target | undefined;

  constructor(node: NodeView) {
    this.#node = node;
  }

  get inForce(): Target | undefined {
    return this.#inForce;
  }

  /** Throws an `OmniError` of class stall where the fleet asks for more than this version can do. */
  propose(fleet: Fleet, { changed, barred, read }: ProposalOptions): Proposal {
    const known = this.#read;
    if (read) this.#read = undefined; // unless it can be computed, the next one starts from scratch
    const node = this.#nodeWith(barred);
    const update = known && (read || known.fleet === fleet) && updateDesired(known.state, fleet, changed, node);
    const state = update ? update.state : desiredState(fleet, node);
    if (read) this.#read = { fleet, state };
    const base = this.#inForce;
    const common = { fleet, state, base };
    if (base === undefined) return { ...common, touched: 'all', objects: 'all' };
    if (update && known?.state === base.state) return { ...common, touched: update.touched, objects: update.objects };
    const { touched } = updateDesired(base.state, fleet, 'all', node);
    return { ...common, touched, objects: 'all' };
  }

  /** Puts a proposal in force. What it changes is told relative to what is in force now. */
  adopt(proposal: Proposal, revision: string): Retarget {
    const { fleet, state, base } = proposal;
    const current = base === this.#inForce;
    this.#inForce = { revision, fleet, state };
    return current ? proposal : { touched: 'all', objects: 'all' };
  }

  /** Something that the fleet in force refers to changed: a name resolves to another address, other keys are barred. */
  refresh(changed: ReadonlySet<ObjectRef>, barred?: ReadonlySet<CanonicalKey>): Retarget | undefined {
    const target = this.#inForce;
    const shared = target !== undefined && this.#read?.state === target.state;
    const inForceNode = target && this.#nodeWith(barred ?? target.state.barred);
    const update = target && inForceNode && updateDesired(target.state, target.fleet, changed, inForceNode);
    if (target !== undefined && update !== undefined) this.#inForce = { ...target, state: update.state };
    if (this.#read !== undefined) {
      const { fleet, state } = this.#read;
      const node = this.#nodeWith(state.barred);
      this.#read = { fleet, state: shared && update ? update.state : updateDesired(state, fleet, changed, node).state };
    }
    return update;
  }

  /** Nothing is desired any more. */
  withdraw(): Retarget {
    this.#inForce = { revision: '', fleet: emptyFleet, state: desiredState(emptyFleet, this.#node) };
    return { touched: 'all', objects: 'all' };
  }

  #nodeWith(barred: ReadonlySet<CanonicalKey> | undefined): NodeView {
    const { publicKey, nextPublicKey } = this.#node;
    return barred === undefined
      ? this.#node
      : { publicKey, nextPublicKey, resolve: (host) => this.#node.resolve(host), barred };
  }
}
