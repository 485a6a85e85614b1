import type { Diagnostic, ObjectRef, Position, PublicKey } from '../manifest/model.ts';
import type { DataPlaneCounters, DataPlaneDescription, SessionState } from '../reconcile/dataplane.ts';
import type { HistoryEntry, Hold, Quarantined, Revocation, Suspension } from '../reconcile/rollout/record.ts';
import type { Change } from '../reconcile/rows.ts';
import type { LineOrigin, RemoteState, Revision } from '../source/source.ts';

/**
 * The control API: HTTP/JSON on a Unix socket (mode 0600). u64 travel as decimal strings (`Json<T>`).
 *
 *   GET  /v1/status                   Status
 *   GET  /v1/objects                  ObjectStatus[]
 *   GET  /v1/sessions                 SessionState[]
 *   GET  /v1/rows                     { desired: DesiredRow[], observed: ObservedRow[] }
 *   POST /v1/diff       DiffRequest   DiffReport      (nothing is written)
 *   POST /v1/apply      ApplyRequest  ApplyReport     409 where the agent follows a source
 *   POST /v1/reconcile  ReconcileRequest ApplyReport  fetches, then one whole pass; waits for the verdict on what came
 *   GET  /v1/rollout                  RolloutReport
 *   POST /v1/confirm    ConfirmRequest  ApplyReport   accepts what a guard refuses, or ends the probation under way as passed
 *   POST /v1/retry      RetryRequest  ApplyReport     lifts the quarantine of a revision (the newest) and tries it again
 *   POST /v1/rollback   RollbackRequest ApplyReport   'lkg' or a revision; the one in force is quarantined
 *   POST /v1/hold       HoldRequest   RolloutReport   409 where one is in force and `replace` is not set
 *   POST /v1/release    {}            RolloutReport
 *   POST /v1/suspend    { reason }    RolloutReport
 *   POST /v1/resume     {}            RolloutReport
 *   GET  /v1/why?q=TEXT               WhyReport[]     404 `nothing-known`
 *   GET  /v1/events?watch=1&since=N   Event per line (NDJSON); without watch the backlog only
 *   GET  /metrics                     the same as on --metrics
 *
 * Errors: status 4xx/5xx with ApiError.
 */
export type Json<T> = T extends bigint
  ? string
  : T extends string | number | boolean
    ? T
    : T extends readonly (infer U)[]
      ? readonly Json<U>[]
      : T extends ReadonlyMap<infer _K, infer V>
        ? Record<string, Json<V>>
        : T extends object
          ? { [K in keyof T]: Json<T[K]> }
          : T;

export interface ApiError {
  readonly error: {
    readonly code: string;
    readonly message: string;
    readonly fix?: string;
    readonly exitCode: number;
    readonly diagnostics?: readonly Diagnostic[];
  };
}

export type ConditionStatus = 'True' | 'False' | 'Unknown';
/** Kubernetes-shaped and kstatus-safe: `Ready` always, `Reconciling` and `Stalled` only while True. */
export interface Condition {
  readonly type:
    | 'Ready'
    | 'Reconciling'
    | 'Stalled'
    | 'SourceReady'
    /** Only where signatures are asked for. */
    | 'SourceVerified'
    /** The rest only while True. */
    | 'Probation'
    | 'Held'
    | 'Suspended'
    | 'Drifted'
    | 'Contested';
  readonly status: ConditionStatus;
  /** PascalCase. */
  readonly reason: string;
  readonly message: string;
  /** RFC 3339. */
  readonly lastTransitionTime: string;
  /** The revision that it speaks of. */
  readonly observedRevision: string;
}

export interface Status {
  readonly node: {
    readonly publicKey: string;
    /** The key that it is to go over to, which it holds as well. */
    readonly nextPublicKey?: string;
    readonly peer?: string;
    readonly clusters: readonly string[];
    readonly pid: number;
    readonly version: string;
    readonly startedAt: string;
  };
  readonly source: {
    readonly kind: string;
    readonly description: string;
    readonly lastFetch?: string;
    readonly lastError?: string;
    readonly nextFetch?: string;
    /** Where there are several: each, in the order of the configuration. */
    readonly remotes?: readonly RemoteState[];
    /** What speaks against trusting it: a sentence each. */
    readonly warnings?: readonly string[];
  };
  readonly revision: { readonly lastApplied?: Revision; readonly lastAttempted?: Revision };
  readonly rollout: RolloutReport;
  readonly conditions: readonly Condition[];
  readonly objects: { readonly total: number; readonly ready: number; readonly failed: number };
  readonly rows: { readonly desired: number; readonly observed: number; readonly pending: number };
  /** `clockMs`: `SessionPlane.now()` when this was taken, which turns the times of a `SessionState` into ages. */
  readonly sessions: { readonly active: number; readonly clockMs?: number };
  /** Since this agent runs; `failed` by the reasons of `omni_handshakes_failed_total`. */
  readonly handshakes?: { readonly completed: number; readonly failed: Readonly<Record<string, number>> };
  readonly writes: number;
  readonly dataPlane: DataPlaneDescription;
  readonly counters: DataPlaneCounters;
}

export interface ObjectStatus {
  readonly object: ObjectRef;
  readonly position: Position;
  /** `metadata.labels`, for selectors. */
  readonly labels?: Readonly<Record<string, string>>;
  readonly ready: ConditionStatus;
  readonly reason: string;
  readonly message: string;
  readonly revision: string;
  /** RFC 3339 of the last change of `ready` or `reason`. */
  readonly since: string;
  /**
   * Columns for people, comma-separated where there are several; absent where there is nothing to say.
   * peer: `publicKey`, `nextPublicKey`, `clusters`, `roles`, `endpoints` (hints), `endpoint` (in use), `vips`; vip: `cluster`, `address`, `peer`;
   * cluster: `subnets`, `interface`, `port`, `foreignSources` (where allowed), `etherTypes`, `peers` (how many).
   */
  readonly detail: Readonly<Record<string, string>>;
  /** For peers: its current session. */
  readonly session?: SessionState;
  /** For other peers: how this node gets on with reaching it. */
  readonly contact?: Contact;
  /** For other peers: how many frames of theirs were dropped, by reason; absent: none, or an agent that does not tell. */
  readonly refused?: Readonly<Record<string, bigint>>;
}

/** Times: milliseconds of `Status.sessions.clockMs`. */
export interface Contact {
  readonly state: 'established' | 'handshaking' | 'idle';
  /** Of the last handshake that was completed since this agent runs. */
  readonly lastHandshakeMs?: number;
  /** Handshakes begun here since the last session, and answered by nobody. */
  readonly unanswered?: {
    readonly tries: number;
    readonly firstMs: number;
    readonly lastMs: number;
    /** `ip:port` of the last one; absent: no endpoint is known, or its name does not resolve. */
    readonly endpoint?: string;
    /** False: the system would not send it: no route, a firewall. */
    readonly sent: boolean;
  };
  /** The session in use has a hybrid handshake behind it: ML-KEM-768 beside X25519. Absent: there is no session. */
  readonly hybrid?: boolean;
  /** Ways to the peer, the manifest's first; absent: an agent that does not tell. */
  readonly paths?: readonly PathReport[];
  /** The last time that data to it went elsewhere, since this agent runs. */
  readonly moved?: PathMove;
  /** Two machines speak as the peer, in turns: where (`ip:port`), and when that showed last. Absent: not within an hour. */
  readonly keyInUseTwice?: { readonly places: readonly [string, string]; readonly lastMs: number };
}

/** One way to a peer. Times: milliseconds of `Status.sessions.clockMs`. */
export interface PathReport {
  /** `ip:port` */
  readonly endpoint: string;
  /** Data goes there. */
  readonly active: boolean;
  /** Of the active one: since when data goes there, as far as this agent knows. */
  readonly sinceMs?: number;
  /** `live`: it carried something authentic within a minute; `dead`: it owes an answer; `unknown`: neither. */
  readonly state: 'live' | 'dead' | 'unknown';
  /** Milliseconds from a challenge to its answer, agent to agent. */
  readonly rttMs?: number;
  readonly answeredMs?: number;
  /** How it became known: the manifest, a datagram from there, a handshake from there. */
  readonly source: 'hint' | 'seen' | 'proved';
  /** This node's address that its last answer came to. */
  readonly local?: string;
}

export interface PathMove {
  /** `ip:port` */
  readonly from?: string;
  readonly to: string;
  /**
   * `peer-moved`: the peer sends from there; `silent`: nothing came back on the old path; `faster`; `too-small`: the old
   * path carries no full frames; `handshake`: one came through there.
   */
  readonly why: 'peer-moved' | 'silent' | 'faster' | 'too-small' | 'handshake';
  readonly atMs: number;
  /** Since the first sign that it had to; absent where nothing was wrong. */
  readonly tookMs?: number;
}

/** Files as texts, for nodes that do not follow a source, and for `omni diff -f`. */
export interface FileSet {
  readonly files: readonly { readonly path: string; readonly text: string }[];
}
export interface DiffRequest {
  readonly against: 'source' | FileSet;
}
export interface DiffReport {
  readonly revision: Revision;
  readonly changes: readonly Change[];
  readonly sessionsCut: readonly string[];
  /** Names of the peers that `changes` speak of, by public key: new ones are no objects of the node yet. */
  readonly peers?: Readonly<Record<PublicKey, string>>;
}
export interface ApplyRequest {
  readonly set: FileSet;
  readonly dryRun: boolean;
  readonly timeoutMs: number;
  /** Accepts what the guard against partitions refuses. */
  readonly allowPartition: boolean;
  /** Accepts what the guard against mass deletion refuses. */
  readonly allowPrune: boolean;
}
export interface ReconcileRequest {
  readonly timeoutMs: number;
  /** Follows the source's history from here on although it no longer holds the newest revision that this node accepted. */
  readonly acceptRewind?: boolean;
}
export interface ConfirmRequest {
  /** Absent: the newest revision. */
  readonly revision?: string;
  readonly allowPartition: boolean;
  readonly timeoutMs: number;
}
export interface RetryRequest {
  /** Absent: the one that was quarantined last. */
  readonly revision?: string;
  readonly timeoutMs: number;
}
export interface RollbackRequest {
  /** `lkg`, or a revision: its id, its label, or what the source knows it by. */
  readonly to: string;
  readonly timeoutMs: number;
}
export interface HoldRequest {
  readonly reason: string;
  /** RFC 3339. */
  readonly until?: string;
  readonly replace: boolean;
}
/**
 * What became of a revision. `waiting`: something keeps it from being tried, and `message` says what.
 * `refused`: a guard or a quarantine. `trial`: the time of the caller was up before the verdict.
 */
export interface Verdict {
  readonly outcome: 'good' | 'rolled-back' | 'refused' | 'waiting' | 'preempted' | 'trial';
  /** PascalCase, as in conditions: `ProbationFailed`, `PruneBlocked`, `PartitionBlocked`, `RevisionQuarantined`, `Held`, … */
  readonly reason: string;
  readonly message: string;
}

/** Which revision this node trusts, and why not another. */
export interface RolloutReport {
  readonly lastKnownGood?: Revision & { readonly since: string };
  readonly trial?: {
    readonly revision: Revision;
    readonly startedAt: string;
    /** Milliseconds until it counts as failed. */
    readonly remainingMs: number;
    readonly probes: readonly ProbeReport[];
  };
  /** A valid newer revision that is not tried now, and what keeps it. */
  readonly waiting?: {
    readonly revision: Revision;
    /** A guard, a quarantine or an error in it keeps it out; else it waits for its time. */
    readonly refused: boolean;
    readonly reason: string;
    readonly message: string;
  };
  /** Newest first, like `history`. */
  readonly quarantined: readonly Omit<Quarantined, 'recheck'>[];
  readonly history: readonly HistoryEntry[];
  readonly revoked: readonly Revocation[];
  readonly hold?: Hold;
  readonly suspension?: Suspension;
}
interface ProbeReport {
  readonly id: string;
  readonly state: 'pending' | 'passed' | 'failing';
  readonly message?: string;
}

/** From something that the kernel holds back to who asked for it. */
export interface WhyReport {
  /** What was asked for, as `omni` prints it: `peer/robot-17`, `address/omni0/10.77.0.17`. */
  readonly subject: string;
  /** Rows of the data path that follow from it, how each stands, and when a pass last saw it as desired. */
  readonly rows: readonly {
    readonly key: string;
    readonly text: string;
    readonly state: 'verified' | 'pending' | 'failed' | 'undesired';
    /** RFC 3339. */
    readonly verifiedAt?: string;
    readonly message?: string;
  }[];
  readonly sessions: readonly SessionState[];
  /** The manifest objects behind it, nearest first, each with the commit that wrote its place. */
  readonly objects: readonly {
    readonly object: ObjectRef;
    readonly position: Position;
    readonly commit?: LineOrigin;
  }[];
  readonly revision?: Revision;
  /** Why it is not there, or is there although nobody asks for it. */
  readonly notes: readonly string[];
}
export interface ApplyReport {
  readonly revision: Revision;
  readonly objects: readonly {
    readonly object: ObjectRef;
    readonly verb: 'created' | 'configured' | 'unchanged' | 'pruned' | 'failed';
    readonly message?: string;
  }[];
  readonly changes: readonly Change[];
  /** Names of the peers that `changes` speak of, by public key: those that are gone are no objects of the node any more. */
  readonly peers?: Readonly<Record<PublicKey, string>>;
  readonly ready: boolean;
  /** Absent: nothing was to be tried (a dry run). */
  readonly verdict?: Verdict;
}

export interface Event {
  readonly sequence: number;
  readonly time: string;
  readonly type: 'Normal' | 'Warning';
  /** PascalCase: `RevisionApplied`, `DriftHealed`, `SessionEstablished`, `FetchFailed`, … */
  readonly reason: string;
  readonly object: string;
  readonly message: string;
}
