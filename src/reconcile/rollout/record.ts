import type { PublicKey } from '../../manifest/model.ts';

/**
 * What must outlive the agent about which revision is trusted. Plain JSON; kept whole, atomically, on disk. Times are
 * RFC 3339, of the wall clock; a robot may boot in 1970, so nothing decides by comparing them.
 */
export interface RolloutRecord {
  readonly version: 1;
  /** The last revision that passed its probes. Its files are kept beside. */
  readonly lastKnownGood?: RevisionInfo & { readonly since: string };
  /** Written before the first write of a revision, removed after its verdict: present at a start, it was interrupted. */
  readonly trial?: Trial;
  /** Newest last, at most 100. Not tried again before `until`, but by `omni retry`. */
  readonly quarantined: readonly Quarantined[];
  /** Newest last, at most 50. */
  readonly history: readonly HistoryEntry[];
  /** Keys that newer revisions took out: no rollback lets them back in. */
  readonly revoked: readonly Revocation[];
  readonly hold?: Hold;
  readonly suspension?: Suspension;
  /** Revisions whose quarantine ended without a person's word. Newest last, at most 16. */
  readonly retried?: readonly Retried[];
  /** A human accepted what a guard refuses, for this revision id alone. */
  readonly confirmed?: { readonly id: string; readonly allowPartition: boolean };
}

/** As `source/source.ts` has it. */
export interface RevisionInfo {
  readonly id: string;
  readonly label: string;
  readonly subject?: string;
  readonly author?: string;
  readonly time?: string;
  /** Who vouched for it when it was accepted. */
  readonly signature?: RevisionSignature;
}

export interface RevisionSignature {
  readonly format: 'ssh' | 'openpgp';
  readonly signer: string;
  readonly key: string;
}

export interface Trial {
  readonly revision: RevisionInfo;
  readonly startedAt: string;
  /** Of the boot in which it began. */
  readonly bootId: string;
  /** Ids of the probes that passed before it, and before revisions that it pre-empted. */
  readonly baseline: readonly string[];
  readonly confirmWithinMs: number;
  /** The agent was told to end: within the same boot, the trial goes on instead of having failed. */
  readonly stopped?: true;
}

export type QuarantineReason = 'ProbationFailed' | 'NotApplied' | 'Interrupted' | 'RolledBackByHand';

export interface Quarantined {
  readonly revision: RevisionInfo;
  readonly reason: QuarantineReason;
  /** Which probes failed, and how; or which rows. */
  readonly message: string;
  readonly at: string;
  /** Then it is tried once more; absent: only by a person's word. */
  readonly until?: string;
  /** Probes that failed it, and whose answer under what is trusted is still awaited for so long. */
  readonly recheck?: { readonly probes: readonly string[]; readonly withinMs: number };
}

/** What a further trial of a revision goes by. */
export interface Retried {
  readonly id: string;
  /** Probes that it is tried without: silent under it, and without it. Sorted. */
  readonly discounted: readonly string[];
  /** Its quarantine lapsed, which it does once. */
  readonly lapsed?: true;
}

export interface HistoryEntry {
  readonly revision: RevisionInfo;
  /** `good`: passed. `preempted`: a newer one came first. `chosen`: `omni rollback --to`. */
  readonly outcome: 'good' | 'rolled-back' | 'preempted' | 'chosen';
  readonly message: string;
  readonly at: string;
  /** From its first write to the verdict. */
  readonly tookMs: number;
}

export interface Revocation {
  readonly publicKey: PublicKey;
  /** The Peer that had it. */
  readonly name: string;
  /** Label of the revision that took it out. */
  readonly revision: string;
  /** Id of the older revision that was on trial when it was cut off: the end of that trial does not let it in. */
  readonly during?: string;
}

export interface Hold {
  readonly reason: string;
  readonly since: string;
  readonly until?: string;
}

export interface Suspension {
  readonly reason: string;
  readonly since: string;
}

export const emptyRecord: RolloutRecord = { version: 1, quarantined: [], history: [], revoked: [] };
