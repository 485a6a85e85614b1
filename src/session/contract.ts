import type { OmniError } from '../errors.ts';
import type { IpAddress, PublicKey } from '../manifest/model.ts';
import type { Clock } from '../reconcile/clock.ts';
import type { Endpoint, SessionPlane } from '../reconcile/dataplane.ts';
import type { FailureReason } from './counts.ts';
import type { DhKeyPair } from './dh.ts';
import type { Identity } from './identity.ts';
import type { KemKeyPair } from './kem.ts';
import type { KeptText } from './kept.ts';
import type { Twice } from './key-use.ts';
import type { Move, MoveReason, PathSource } from './paths/model.ts';
import type { OpenTransport } from './transport.ts';

/** What the session manager takes, and what it tells. */

export interface SessionManagerOptions {
  readonly sessions: SessionPlane;
  readonly identity: Identity;
  /** 32 bytes; of the cluster until `setPsks` says otherwise. Copied. */
  readonly psk: Uint8Array;
  /** Exists; `handshake.json` is kept there. */
  readonly stateDir: string;
  readonly clock: Pick<Clock, 'wall' | 'setTimer'>;
  /** A name's addresses as far as they are known, best first; `addressesChanged` tells of other ones. */
  readonly resolve: (host: string) => readonly IpAddress[];
  /** Bytes of the largest frame that the overlay interface sends, Ethernet header included; 0 while there is none. */
  readonly fullFrame: (interfaceName: string) => Promise<number>;
  readonly onEvent: (event: ManagerEvent) => void;
  /** Instead of the file in `stateDir`. */
  readonly handshakeState?: KeptText;
  readonly openTransport?: OpenTransport;
  /** 32 random bytes: of the session ids. */
  readonly bootSecret?: Uint8Array;
  /** Uniform in [0, 1): of the retries. Spreads load; no secret. */
  readonly jitter?: () => number;
  /** 64 unpredictable bits: of path challenges. */
  readonly nonce?: () => bigint;
  readonly generateKeyPair?: () => DhKeyPair;
  readonly generateKemKeyPair?: () => KemKeyPair;
}

export type ManagerEvent =
  | { readonly type: 'established'; readonly name: string; readonly peer: PublicKey; readonly initiator: boolean }
  /** Nobody answered for a whole attempt. */
  | { readonly type: 'unreachable'; readonly name: string; readonly peer: PublicKey }
  /** Somebody else changed its sessions in the data plane; `lost` of them are gone. */
  | { readonly type: 'disturbed'; readonly name: string; readonly peer: PublicKey; readonly lost: number }
  /** Data to the peer goes to another endpoint. */
  | { readonly type: 'path-moved'; readonly name: string; readonly peer: PublicKey; readonly move: Move }
  /** Two machines speak as the peer, in turns; once an hour. */
  | {
      readonly type: 'key-in-use-twice';
      readonly name: string;
      readonly peer: PublicKey;
      readonly places: readonly [Endpoint, Endpoint];
    }
  /** This machine goes on from a snapshot: so many sessions ended, and new ones are made. */
  | { readonly type: 'new-generation'; readonly ended: number }
  | { readonly type: 'error'; readonly error: OmniError };

export interface ManagerStats {
  readonly handshakesCompleted: number;
  readonly handshakesFailed: Readonly<Record<FailureReason, number>>;
  /** Peers with a session that frames can use now. */
  readonly sessionsActive: number;
  /** Ever taken into a queue; ever lost there; and waiting now. */
  readonly framesQueued: number;
  readonly framesDropped: number;
  readonly framesWaiting: number;
  /** How often data to a peer went elsewhere, by reason; every reason is present. */
  readonly pathMoves: Readonly<Record<MoveReason, number>>;
}

export interface PeerSessionStatus {
  readonly name: string;
  readonly peer: PublicKey;
  readonly state: 'established' | 'handshaking' | 'idle';
  /** Milliseconds of `SessionPlane.now()`; absent: none since this agent knows the peer. */
  readonly lastHandshakeMs?: number;
  readonly endpoint?: Endpoint;
  /** A handshake or an answered challenge proved the endpoint. */
  readonly observed?: boolean;
  /** The session in use has a hybrid handshake behind it: ML-KEM-768 beside X25519. Absent: there is none. */
  readonly hybrid?: boolean;
  /** All ways to the peer that are known, the manifest's first. */
  readonly paths: readonly PathStatus[];
  /** The last time that data to it went elsewhere, since this agent runs. */
  readonly moved?: Move;
  /** Two machines speak as the peer: where, and when that showed last. Absent: not within an hour. */
  readonly keyInUseTwice?: Pick<Twice, 'places' | 'lastMs'>;
  /** Absent: none since the last session. */
  readonly unanswered?: Unanswered;
}

/** One way to a peer. Times: milliseconds of `SessionPlane.now()`. */
export interface PathStatus {
  readonly endpoint: Endpoint;
  /** Data goes there. */
  readonly active: boolean;
  /** Of the active one: since when data goes there; absent: since before this agent. */
  readonly sinceMs?: number;
  /** `live`: it carried something authentic within a minute; `dead`: it owes an answer; `unknown`: neither, nobody asked. */
  readonly state: 'live' | 'dead' | 'unknown';
  /** Round trip of the last answered challenge, agent to agent. */
  readonly rttMs?: number;
  readonly answeredMs?: number;
  readonly source: PathSource;
  /** This node's address that its last answer came to. */
  readonly local?: IpAddress;
}

/** Handshakes that this node began since its last session with a peer, and that nobody answered. */
export interface Unanswered {
  readonly tries: number;
  /** Milliseconds of `SessionPlane.now()`. */
  readonly firstMs: number;
  readonly lastMs: number;
  /** Where the last one went; absent: there was nowhere to send it to. */
  readonly to?: Endpoint;
  /** The system would not send the last one. */
  readonly sent: boolean;
}
