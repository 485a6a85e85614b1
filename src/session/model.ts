import type { SessionId, SessionState } from '../reconcile/dataplane.ts';

/** The types of one peer's state machine (machine.ts). All times are milliseconds of `SessionPlane.now()`. */

/** What a cluster and a peer's manifest set. Milliseconds. */
export interface MachineSettings {
  readonly rekeyAfterMs: number;
  readonly lifetimeMs: number;
  readonly handshakeTimeoutMs: number;
  /** Persistent keepalive; also establishes a session where there is none. */
  readonly keepaliveMs: number | undefined;
  /** This node's key is the lower one: its initiation wins where both ends began at once. */
  readonly preferred: boolean;
}

/** A session in the data plane. */
export interface Slot {
  readonly localId: SessionId;
  readonly initiator: boolean;
  readonly createdMs: number;
  readonly rekeyAfterMs: number;
  readonly expiresMs: number;
  /** The data plane has it; until then its absence there means nothing. */
  readonly installed: boolean;
  /** An authentic datagram came in on it: the peer has it too. */
  readonly proven: boolean;
  /** Confirming keepalives sent by the initiator so far, and when the next is due. */
  readonly confirmations: number;
  readonly confirmAtMs: number;
  /** When it goes, if nothing was received on it lately; Infinity: not before it expires. */
  readonly removeAtMs: number;
  /** The applied revision wants another one in its place. */
  readonly unfit: boolean;
}

/** An effort to get a session: initiations, early ones and then every handshake timeout, until one is answered. */
export interface Attempt {
  /** Number of the last initiation; answers to it and to a few before it are welcome. */
  readonly pending: number | undefined;
  readonly tries: number;
  /** What its initiations are counted from, for whoever chooses between ways to make them. */
  readonly firstTry: number;
  readonly retryAtMs: number;
  readonly giveUpAtMs: number;
  /** Endpoints that the pending initiation went to beyond its first, and when the next one has its turn. */
  readonly repeats: number;
  readonly repeatAtMs: number;
}

/** When datagrams last moved, over all sessions with the peer; 0 = never. */
export interface Seen {
  readonly txMs: number;
  readonly txDataMs: number;
  readonly rxMs: number;
  readonly rxDataMs: number;
}

/** One peer. Immutable. */
export interface MachineState {
  readonly settings: MachineSettings;
  /** Endpoints that the peer may be at. */
  readonly candidates: number;
  /** Frames go out on it. */
  readonly current: Slot | undefined;
  /** Answered by us, not used by the initiator yet: receives only. */
  readonly next: Slot | undefined;
  /** Previous ones, newest first: they receive what is still under way. */
  readonly retiring: readonly Slot[];
  /** Counts the changes of the slots: a snapshot asked for before one of them says nothing about which is current. */
  readonly generation: number;
  readonly attempt: Attempt | undefined;
  /** Number of the last initiation. */
  readonly sequence: number;
  /** Frames wait for a session. */
  readonly queued: boolean;
  /** Our last initiation or response. */
  readonly handshakeSentMs: number;
  /** The last initiation that was accepted as the newest. */
  readonly initiationAcceptedMs: number;
  readonly establishedMs: number | undefined;
  readonly seen: Seen;
  readonly pollAtMs: number;
  readonly polledMs: number;
  /** Something that wants an answer went out then, and nothing came back since. */
  readonly unansweredSinceMs: number | undefined;
  /** The last attempt ended without an answer. */
  readonly gaveUpMs: number | undefined;
  /** So many attempts in a row did. */
  readonly vain: number;
  /** A persistent keepalive without a session to go on asks for one then. */
  readonly establishAtMs: number;
}

/**
 * What an initiation's time stamp says of it (timestamps.ts). `newest`: above all others. `late`: above that of the last
 * confirmed handshake, below that of one which nobody confirmed: answered, since the latter may be forged, but it
 * displaces nothing, moves nothing and holds nothing up. `timestamp`: no clock says so.
 */
export type Freshness = 'newest' | 'late' | 'replayed' | 'timestamp';

export type MachineInput =
  /** A frame to the peer waits in the queue. */
  | { readonly type: 'frame' }
  /** An initiation that authenticated. `localId`: the id that our response would offer. */
  | { readonly type: 'initiation'; readonly freshness: Freshness; readonly localId: SessionId }
  /** The answer to initiation number `sequence` authenticated. */
  | { readonly type: 'response'; readonly sequence: number; readonly localId: SessionId }
  /** The answer to an initiation that went to a given endpoint, beside any attempt, authenticated. */
  | { readonly type: 'called'; readonly localId: SessionId }
  /** The data plane holds the session that an `install` or `respond` asked for. */
  | { readonly type: 'installed'; readonly localId: SessionId }
  /** The data plane would not take it, or the response could not be made. */
  | { readonly type: 'lost'; readonly localId: SessionId }
  /** The data plane saw the first authentic datagram on an unconfirmed session and sends on it now. */
  | { readonly type: 'confirmed'; readonly localId: SessionId }
  | { readonly type: 'rekey-due'; readonly localId: SessionId }
  /** Somebody else deleted these from the data plane. */
  | { readonly type: 'vanished'; readonly ids: readonly SessionId[] }
  /** What the data plane said of the `asked` sessions of that `generation`; those that it does not know are left out. */
  | {
      readonly type: 'snapshot';
      readonly generation: number;
      readonly asked: readonly SessionId[];
      readonly sessions: readonly SessionState[];
    }
  /** The applied revision no longer wants these sessions: they end within that time. */
  | {
      readonly type: 'renew';
      readonly sessions: readonly { readonly localId: SessionId; readonly withinMs: number }[];
    }
  | { readonly type: 'timer' }
  /** Statistics are wanted now. */
  | { readonly type: 'look' }
  /** The path in use does not answer. */
  | { readonly type: 'unreachable' }
  | { readonly type: 'candidates'; readonly count: number }
  | { readonly type: 'settings'; readonly settings: MachineSettings }
  /** No session and no handshake may go on; where there was one, another one is wanted. */
  | { readonly type: 'ended' }
  | { readonly type: 'removed' };

type RejectReason = 'replayed' | 'timestamp' | 'rate-limited';

export type MachineEffect =
  /**
   * Make and send initiation `sequence`. `tries` counts those of this attempt from 0, and where an attempt has but one, the
   * attempts: choose the way and the endpoint by it.
   */
  | { readonly type: 'initiate'; readonly sequence: number; readonly tries: number }
  /** Send the same initiation to the endpoint that is `nth` after its first as well. */
  | { readonly type: 'repeat'; readonly sequence: number; readonly tries: number; readonly nth: number }
  /** Forget the attempt's initiations: answers to them are no longer welcome. */
  | { readonly type: 'abandon' }
  /**
   * Install as unconfirmed, then send the response to where the initiation came from. `moveEndpoint`: no session
   * shows that another path is alive, so data may go there at once.
   */
  | { readonly type: 'respond'; readonly localId: SessionId; readonly moveEndpoint: boolean }
  /** The initiation is not answered. */
  | { readonly type: 'reject'; readonly reason: RejectReason }
  /** Install as initiator: sending moves to it. */
  | { readonly type: 'install'; readonly localId: SessionId }
  /** The handshake of this session proved the address that it came from. */
  | { readonly type: 'endpoint'; readonly localId: SessionId }
  | { readonly type: 'keepalive' }
  | { readonly type: 'remove'; readonly localId: SessionId }
  /** Send the queued frames again, in order. */
  | { readonly type: 'flush' }
  /** Drop the queued frames. */
  | { readonly type: 'discard' }
  /** Read the statistics of `ids` and say so by a `snapshot`. */
  | { readonly type: 'poll'; readonly generation: number; readonly ids: readonly SessionId[] }
  | { readonly type: 'established'; readonly initiator: boolean }
  | { readonly type: 'gave-up' };

/** A step in the making: mutable inside `step` and nowhere else. */
export interface Draft {
  state: MachineState;
  readonly effects: MachineEffect[];
  readonly nowMs: number;
  /** Uniform in [0, 1). */
  readonly jitter: number;
}

export function update(draft: Draft, changes: Partial<MachineState>): void {
  draft.state = { ...draft.state, ...changes };
}
