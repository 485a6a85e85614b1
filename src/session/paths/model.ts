import type { IpAddress } from '../../manifest/model.ts';
import type { Endpoint, Path, PathMessage } from '../../reconcile/dataplane.ts';
import type { Seen } from '../model.ts';

/** The types of one peer's paths (machine.ts). All times are milliseconds of `SessionPlane.now()`. */

/** How a path became known: the manifest names it, an authentic datagram came from there, a handshake did. */
export type PathSource = 'hint' | 'seen' | 'proved';

/**
 * Why data goes elsewhere: the peer sends from there now; nothing came back on the old path; the new one has the shorter
 * round trip; the old one does not carry full frames; a handshake came through there.
 */
export const MOVE_REASONS = ['peer-moved', 'silent', 'faster', 'too-small', 'handshake'] as const;
export type MoveReason = (typeof MOVE_REASONS)[number];

/**
 * `seen`: a place that the peer sent from. `size`: whether it carries full frames, now that it is in use. `round`: what
 * keeps alternatives warm. `suspect`: the path in use went silent. `rescue`: another one is wanted. `source`: our own
 * address changed.
 */
export type CheckReason = 'seen' | 'size' | 'round' | 'suspect' | 'rescue' | 'source';

/** An effort to be answered on a path. */
interface Check {
  readonly why: CheckReason;
  /** Challenges sent so far. */
  readonly tries: number;
  /** The next challenge, or the end. */
  readonly atMs: number;
}

/** A challenge whose answer is welcome, once. */
interface Asked {
  readonly nonce: bigint;
  readonly sentMs: number;
  /** Bytes of its frame; the answer must be as large. */
  readonly size: number;
  /** It has the size of a full frame. */
  readonly full: boolean;
}

/** A way to the peer, by where its datagrams arrive. Where they come from here is the route's to say. */
export interface Way {
  readonly endpoint: Endpoint;
  readonly source: PathSource;
  readonly asked: readonly Asked[];
  readonly check: Check | undefined;
  /** First told of by the data plane; of seen ones. */
  readonly seenMs: number;
  /** When the last answer came, and the last one to a challenge of full size. */
  readonly answeredMs: number;
  readonly fullMs: number;
  /** Round trip of the last answer, and of the last one of full size. */
  readonly rttMs: number | undefined;
  readonly fullRttMs: number | undefined;
  /** This node's address that the last answer came to. */
  readonly local: IpAddress | undefined;
  /** A later challenge was answered, and an earlier one not. */
  readonly lossyMs: number;
  /** Checks without an answer since the last one. */
  readonly failed: number;
  /** Rounds in a row: faster than the path in use; or, of that one, carrying small frames alone. */
  readonly faster: number;
  readonly small: number;
}

/** The last time that data began to go elsewhere. */
export interface Move {
  readonly from: Endpoint | undefined;
  readonly to: Endpoint;
  readonly why: MoveReason;
  readonly atMs: number;
  /** Since the first sign that it had to; absent where nothing was wrong. */
  readonly tookMs?: number;
}

/** One peer's paths. Immutable. */
export interface PathsState {
  /** This node's key is the lower one: it stays where both ends moved at once. */
  readonly preferred: boolean;
  /** The peer has a persistent keepalive: its alternatives are kept warm without traffic, too. */
  readonly keepalive: boolean;
  /** The path in use, if any, is among them. */
  readonly ways: readonly Way[];
  /** Where data goes. */
  readonly active: Endpoint | undefined;
  /** A handshake or an answered challenge proved it. */
  readonly observed: boolean;
  readonly activeSinceMs: number | undefined;
  readonly move: Move | undefined;
  /** Left for where the peer was seen, until the new path has shown that it carries full frames. */
  readonly previous: Endpoint | undefined;
  /** Where the peer keeps sending from although we chose another path, and when that was last told. */
  readonly ignored: { readonly endpoint: Endpoint; readonly seenMs: number } | undefined;
  /** There is a session to send on. */
  readonly session: boolean;
  /** Whether the peer takes part in this: agents of an older build do not. */
  readonly answers: 'unknown' | 'yes' | 'no';
  readonly seen: Seen;
  readonly roundAtMs: number;
  /** Begin of the round under way. */
  readonly roundMs: number | undefined;
  readonly lookAtMs: number;
  /** Begin of the first suspicion that no answer has followed since the session began. */
  readonly doubtedMs: number;
  /** Begin of the last suspicion; what was heard last by then. */
  readonly suspectedMs: number;
  readonly silentSinceMs: number;
  /** The suspect is taken for dead: the first other path that answers is used. */
  readonly leaving: boolean;
  readonly suspectAgainMs: number;
  readonly suspectPauseMs: number;
  /** Challenges answered in the second that began then. */
  readonly responses: { readonly sinceMs: number; readonly count: number };
}

export type PathInput =
  /** An authentic datagram, no path message, came from elsewhere than data goes. */
  | { readonly type: 'seen'; readonly endpoint: Endpoint }
  | { readonly type: 'message'; readonly path: Path; readonly message: PathMessage }
  /** This node's own address towards the path in use is another one. */
  | { readonly type: 'source-changed' }
  /** A handshake came from there. `only`: no other path is known to be alive. */
  | { readonly type: 'proved'; readonly endpoint: Endpoint; readonly only: boolean }
  /** Where the data plane sends. */
  | { readonly type: 'found'; readonly endpoint: Endpoint; readonly observed: boolean }
  /** What the manifest's hints mean now, in their order. */
  | { readonly type: 'hints'; readonly endpoints: readonly Endpoint[] }
  /** This node's key is the lower one; the peer has a persistent keepalive. */
  | { readonly type: 'settings'; readonly preferred: boolean; readonly keepalive: boolean }
  /** There is a session, or none; `fresh`: a handshake has just made it. */
  | { readonly type: 'session'; readonly present: boolean; readonly fresh: boolean }
  | { readonly type: 'statistics'; readonly seen: Seen }
  | { readonly type: 'timer' };

export type PathEffect =
  /** `size`: bytes of the frame that carries it. */
  | { readonly type: 'challenge'; readonly endpoint: Endpoint; readonly nonce: bigint; readonly size: number }
  | { readonly type: 'respond'; readonly path: Path; readonly nonce: bigint; readonly size: number }
  /** Data goes there from now on. */
  | { readonly type: 'use'; readonly endpoint: Endpoint }
  /** `urgent`: the session is in use. */
  | { readonly type: 'keepalive'; readonly urgent: boolean }
  /** Read the statistics, and say so by `statistics`. */
  | { readonly type: 'look' }
  /** The path in use does not answer: a handshake may. */
  | { readonly type: 'handshake' }
  | { readonly type: 'moved'; readonly move: Move };

/** What a step needs of the world. */
export interface PathMoment {
  readonly nowMs: number;
  /** Uniform in [0, 1). */
  readonly jitter: number;
  /** 1 or more: intervals of what is done for many peers are this much longer. */
  readonly stretch: number;
  /** Bytes of the overlay's largest frame, Ethernet header included. */
  readonly fullSize: number;
  /** 64 unpredictable bits. */
  readonly nonce: () => bigint;
}

/** A step in the making: mutable inside `step` and nowhere else. */
export interface PathDraft extends PathMoment {
  state: PathsState;
  readonly effects: PathEffect[];
}

export function updatePaths(draft: PathDraft, changes: Partial<PathsState>): void {
  draft.state = { ...draft.state, ...changes };
}
