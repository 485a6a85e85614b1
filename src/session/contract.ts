import type { OmniError } from '../errors.ts';
import type { IpAddress, PublicKey } from '../manifest/model.ts';
import type { Clock } from '../reconcile/clock.ts';
import type { Endpoint, SessionPlane } from '../reconcile/dataplane.ts';
import type { FailureReason } from './counts.ts';
import type { DhKeyPair } from './dh.ts';
import type { Identity } from './identity.ts';
import type { KeptText } from './kept.ts';
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
  /** A name's address, or undefined; never rejects. */
  readonly resolve: (host: string) => Promise<IpAddress | undefined>;
  readonly onEvent: (event: ManagerEvent) => void;
  /** Instead of the file in `stateDir`. */
  readonly handshakeState?: KeptText;
  readonly openTransport?: OpenTransport;
  /** 32 random bytes: of the session ids. */
  readonly bootSecret?: Uint8Array;
  /** Uniform in [0, 1): of the retries. Spreads load; no secret. */
  readonly jitter?: () => number;
  readonly generateKeyPair?: () => DhKeyPair;
}

export type ManagerEvent =
  | { readonly type: 'established'; readonly name: string; readonly peer: PublicKey; readonly initiator: boolean }
  /** Nobody answered for a whole attempt. */
  | { readonly type: 'unreachable'; readonly name: string; readonly peer: PublicKey }
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
}

export interface PeerSessionStatus {
  readonly name: string;
  readonly peer: PublicKey;
  readonly state: 'established' | 'handshaking' | 'idle';
  /** Milliseconds of `SessionPlane.now()`; absent: none since this agent knows the peer. */
  readonly lastHandshakeMs?: number;
  readonly endpoint?: Endpoint;
  /** A handshake proved the endpoint. */
  readonly observed?: boolean;
  /** Absent: none since the last session. */
  readonly unanswered?: Unanswered;
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
