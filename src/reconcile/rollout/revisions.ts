import { OmniError } from '../../errors.ts';
import { canonicalKey, holderOf } from '../../manifest/keys.ts';
import type { CanonicalKey, Fleet, IpAddress, ManifestFile, ObjectRef } from '../../manifest/model.ts';
import type { Block, Side } from '../block.ts';
import type { NodeKeys } from '../desired.ts';
import { guard, type PruneLimit } from '../guards.ts';
import { reasonOf } from '../ledger.ts';
import type { Reconciler } from '../loop.ts';
import type { RowKey } from '../rows.ts';
import type { Proposal } from '../target.ts';
import { factsOf } from './facts.ts';
import type { Facts, Intent, RolloutState } from './model.ts';
import type { RevisionInfo, RolloutRecord } from './record.ts';
import { type Cut, cutsOf, revokedBy } from './revocation.ts';

/** What a person accepts for one revision beforehand. */
export interface Allowance {
  readonly allowPrune: boolean;
  readonly allowPartition: boolean;
}

/** A revision that was read and validated completely. */
export interface Offer {
  readonly revision: RevisionInfo;
  readonly fleet: Fleet;
  readonly files: readonly ManifestFile[];
}

/** `cache`: of an earlier run, before any network. `archive`: an older one that a person asked for. */
export type Origin = 'source' | 'cache' | 'archive';

interface Known extends Offer {
  readonly origin: Origin;
  /** When it came, monotonic milliseconds. */
  readonly sinceMs: number;
  /** Keys that it has and that what is trusted took out. */
  readonly bars: readonly CanonicalKey[];
  /** What putting it in force would be; undefined: to be worked out. */
  readonly proposal: Proposal | undefined;
}

export interface RevisionsOptions {
  readonly reconciler: Pick<Reconciler, 'propose' | 'setDesired' | 'withdraw' | 'refresh' | 'target'>;
  readonly node: NodeKeys;
  readonly pruneLimit: PruneLimit;
  readonly sourceAddresses: () => readonly IpAddress[];
  /** Comes into force now. */
  readonly onTarget: (offer: Offer) => void;
}

/** The revisions that something still speaks of, and what each would do to this node. */
export class Revisions {
  readonly #options: RevisionsOptions;
  readonly #known = new Map<string, Known>();
  #good: (Side & Offer) | undefined;
  #accepted: (Allowance & { readonly id: string }) | undefined;
  /** Rows that the revision in force changed, and those before it that got no verdict. */
  #touched: ReadonlySet<RowKey> | 'all' = 'all';

  constructor(options: RevisionsOptions) {
    this.#options = options;
  }

  get(id: string): Known | undefined {
    return this.#known.get(id);
  }

  get touched(): ReadonlySet<RowKey> | 'all' {
    return this.#touched;
  }

  /**
   * The newest of a reader's fleets, with what differs from the one that the reader returned before; or, without `changed`,
   * one from elsewhere.
   */
  add(
    offer: Offer,
    about: Pick<Known, 'origin' | 'sinceMs'>,
    state: RolloutState,
    changed?: ReadonlySet<ObjectRef> | 'all',
  ): void {
    const known: Known = { ...offer, ...about, bars: [], proposal: undefined };
    const proposal = changed && attempt(() => this.#propose(known, 'follow', state, { changed, read: true }));
    this.#known.set(offer.revision.id, { ...known, proposal: proposal && 'state' in proposal ? proposal : undefined });
  }

  /** What it would do, or why it must not. */
  examine(id: string, intent: Intent, state: RolloutState): { readonly block: Block } | { readonly facts: Facts } {
    const known = this.#known.get(id);
    if (known === undefined) throw forgotten(id);
    if (intent === 'return') this.#known.set(id, { ...known, bars: this.#takenSince(known) });
    const proposal = attempt(() => this.proposal(id, intent, state));
    if (!('state' in proposal)) return { block: proposal };
    const block = this.#guard(proposal, this.#allowance(id, state), state);
    if (block !== undefined) return { block };
    const good = this.#good && { ...this.#good, label: this.#good.revision.label };
    const { label } = known.revision;
    const { node } = this.#options;
    return { facts: factsOf({ proposal, intent, label, good, node }) };
  }

  /** Keys that it names in `revokedKeys`, and that what is trusted or what is in force does not. */
  cutsOf(id: string): readonly Cut[] {
    const { reconciler, node } = this.#options;
    const known = this.#known.get(id);
    if (known === undefined) throw forgotten(id);
    const sides = [this.#good, reconciler.target].filter((side) => side !== undefined);
    return cutsOf(sides, known.fleet, node, known.revision.label);
  }

  /** Why a fleet must not be put in force; undefined: nothing speaks against it. */
  objection(fleet: Fleet, allowance: Allowance, state: RolloutState): Block | undefined {
    const barred = this.#options.reconciler.target?.state.barred;
    const proposal = attempt(() => this.#options.reconciler.propose(fleet, { changed: 'all', barred }));
    return 'state' in proposal ? this.#guard(proposal, allowance, state) : proposal;
  }

  /** For this one alone; whoever comes next is guarded again. */
  accept(id: string, { allowPrune, allowPartition }: Allowance): void {
    this.#accepted = { id, allowPrune, allowPartition };
  }

  #allowance(id: string, { record: { confirmed } }: RolloutState): Allowance {
    const beforehand = this.#accepted?.id === id ? this.#accepted : undefined;
    const later = confirmed?.id === id ? confirmed : undefined;
    return {
      allowPrune: beforehand?.allowPrune === true || later !== undefined,
      allowPartition: beforehand?.allowPartition === true || later?.allowPartition === true,
    };
  }

  #guard(after: Side, allowance: Allowance, state: RolloutState): Block | undefined {
    const { pruneLimit, sourceAddresses } = this.#options;
    return guard(this.#before(state), after, { pruneLimit, ...allowance }, sourceAddresses());
  }

  /** Relative to what is in force now. Throws where the fleet asks for more than this version can do. */
  proposal(id: string, intent: Intent, state: RolloutState): Proposal {
    const known = this.#known.get(id);
    if (known === undefined) throw forgotten(id);
    const { proposal } = known;
    if (proposal !== undefined && proposal.base === this.#options.reconciler.target) {
      if (sameKeys(proposal.state.barred, barredFor(known, intent, state))) return proposal;
    }
    const next = this.#propose(known, intent, state, { changed: new Set() });
    this.#known.set(id, { ...known, proposal: next });
    return next;
  }

  apply(id: string, intent: Intent, state: RolloutState): void {
    const { reconciler, onTarget } = this.#options;
    const known = this.#known.get(id);
    if (known === undefined) throw forgotten(id);
    const proposal = this.proposal(id, intent, state);
    const trusted = proposal.base !== undefined && proposal.base.fleet === this.#good?.fleet;
    this.#touched = trusted ? proposal.touched : union(this.#touched, proposal.touched);
    onTarget(known);
    reconciler.setDesired(proposal, known.revision.label);
  }

  /** What is trusted comes back, without the keys that were taken out since. */
  restore({ record }: RolloutState): void {
    const { reconciler, onTarget } = this.#options;
    const good = this.#good;
    if (good === undefined) {
      reconciler.withdraw();
      return;
    }
    const barred = new Set(revokedIn(good.fleet, record));
    onTarget(good);
    reconciler.setDesired(reconciler.propose(good.fleet, { changed: 'all', barred }), good.revision.label);
    this.#touched = new Set();
  }

  /** Other keys are taken out than before. What is on trial goes without those that it was tried without. */
  bar({ record, trial }: RolloutState): void {
    const { reconciler } = this.#options;
    if (reconciler.target === undefined) return;
    const { fleet, state } = reconciler.target;
    const keys = revokedIn(fleet, record);
    const barred = new Set(trial === undefined ? keys : [...state.barred, ...keys]);
    if (!sameKeys(state.barred, barred)) reconciler.refresh(new Set(), barred);
  }

  /** Keeps only what the state speaks of; what it trusts and has in force is what to go back to. */
  settle({ record, inForce, candidate, trial, reverting }: RolloutState): void {
    const { lastKnownGood } = record;
    const { target } = this.#options.reconciler;
    const known = this.#known.get(lastKnownGood?.id ?? '');
    if (lastKnownGood === undefined) this.#good = undefined;
    if (known !== undefined && target !== undefined && trial === undefined && inForce?.id === known.revision.id) {
      if (this.#good?.fleet !== known.fleet || this.#good.state !== target.state) {
        this.#good = { ...known, state: target.state };
      }
    }
    const spokenOf = [lastKnownGood, inForce, candidate?.revision, trial?.revision, reverting?.revision];
    const wanted = new Set(spokenOf.map((revision) => revision?.id));
    for (const id of this.#known.keys()) if (!wanted.has(id)) this.#known.delete(id);
  }

  #takenSince({ fleet }: Offer): readonly CanonicalKey[] {
    const older = attempt(() => this.#options.reconciler.propose(fleet, { changed: 'all' }));
    if (!('state' in older) || this.#good === undefined) return [];
    const taken = revokedBy(older, this.#good.fleet, this.#options.node, '');
    return taken.map(({ publicKey }) => canonicalKey(publicKey));
  }

  #propose(
    known: Known,
    intent: Intent,
    state: RolloutState,
    options: { readonly changed: ReadonlySet<ObjectRef> | 'all'; readonly read?: true },
  ): Proposal {
    const barred = barredFor(known, intent, state);
    return this.#options.reconciler.propose(known.fleet, { ...options, barred });
  }

  /** What a revision is compared with by the guards: what is trusted, before what is only on trial. */
  #before({ trial, reverting }: RolloutState): Side | undefined {
    const { target } = this.#options.reconciler;
    if ((trial !== undefined || reverting !== undefined) && this.#good !== undefined) return this.#good;
    return target?.revision === '' ? undefined : target;
  }
}

/** Keys of a revision's own that it must not let in. One that follows may have again what was taken out before. */
function barredFor({ fleet, bars }: Known, intent: Intent, { record }: RolloutState): ReadonlySet<CanonicalKey> {
  return new Set(intent === 'return' ? [...revokedIn(fleet, record), ...bars] : []);
}

/** Those that a fleet has at all: the others make no difference. */
function revokedIn(fleet: Fleet, { revoked }: RolloutRecord): readonly CanonicalKey[] {
  return revoked.map(({ publicKey }) => canonicalKey(publicKey)).filter((key) => holderOf(fleet, key) !== undefined);
}

function sameKeys(a: ReadonlySet<CanonicalKey>, b: ReadonlySet<CanonicalKey>): boolean {
  return a.size === b.size && [...a].every((key) => b.has(key));
}

function union(a: ReadonlySet<RowKey> | 'all', b: ReadonlySet<RowKey> | 'all'): ReadonlySet<RowKey> | 'all' {
  return a === 'all' || b === 'all' ? 'all' : new Set([...a, ...b]);
}

function attempt(propose: () => Proposal): Proposal | Block {
  try {
    return propose();
  } catch (error) {
    if (!(error instanceof OmniError)) throw error;
    const message = error.fix === undefined ? error.message : `${error.message}. ${error.fix}`;
    return { code: error.code, reason: reasonOf(error.code), message };
  }
}

function forgotten(id: string): OmniError {
  return new OmniError(`revision ${id} was forgotten while something spoke of it`, { code: 'internal', class: 'bug' });
}
