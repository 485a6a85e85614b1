import type { IpAddress } from '../manifest/model.ts';
import type { Endpoint, SessionId, SessionPlane } from '../reconcile/dataplane.ts';
import type { Stamp } from './callers.ts';
import type { CookieSecrets } from './cookie-secrets.ts';
import type { FailureReason } from './counts.ts';
import type { DhKeyPair } from './dh.ts';
import type { SessionIds } from './ids.ts';
import type { Encapsulate, KemKeyPair } from './kem.ts';
import type { Twice } from './key-use.ts';
import type { Freshness } from './model.ts';
import type { Parties } from './parties.ts';
import type { Move } from './paths/model.ts';
import type { SharedPaths } from './paths/shared.ts';
import type { PeerSessions } from './peer.ts';
import type { FrameQueues } from './queue.ts';

/** What a peer's sessions need of the rest of the agent. */
export interface PeerServices {
  readonly plane: SessionPlane;
  readonly interface: string;
  readonly queues: FrameQueues<PeerSessions>;
  readonly paths: SharedPaths<PeerSessions>;
  jitter(): number;
  /** Calls `run` when an initiation may be made, and not before. */
  pace(run: () => void): void;
  /** The time stamp of the next initiation. */
  timestampNs(): Promise<bigint>;
  /** What the time stamp says of an initiation that authenticated. */
  judge(stamp: Stamp): Freshness;
  /** It was answered. */
  accepted(stamp: Stamp): void;
  /** The session that it asked for is in use. */
  confirmed(stamp: Stamp): void;
  /** Whether an address is one of the cluster's own: no endpoint is there, whoever says so. */
  isOverlay(address: IpAddress): boolean;
  /** Where the manifest's hints lead now, in their order. */
  endpoints(peer: PeerSessions): readonly Endpoint[];
  /** False: the system would not send. */
  send(datagram: Uint8Array, to: Endpoint): Promise<boolean>;
  /** Data to the peer goes elsewhere. */
  moved(peer: PeerSessions, move: Move): void;
  /** Two machines speak as the peer. */
  keyInUseTwice(peer: PeerSessions, twice: Twice): void;
  setDeadline(peer: PeerSessions, atMs: number): void;
  /** Asks for statistics together with whatever else is asked for now. */
  poll(peer: PeerSessions, generation: number, ids: readonly SessionId[]): void;
  established(peer: PeerSessions, initiator: boolean): void;
  failed(peer: PeerSessions, reason: FailureReason): void;
  /** Somebody else changed its sessions in the data plane; so many are gone. */
  disturbed(peer: PeerSessions, lost: number): void;
  report(error: unknown): void;
}

/** What the peers of a cluster share. */
export interface ClusterServices extends PeerServices {
  readonly cluster: string;
  readonly parties: Parties;
  readonly cookieSecrets: CookieSecrets;
  readonly ids: SessionIds;
  generateKeyPair(): DhKeyPair;
  generateKemKeyPair(): KemKeyPair;
  readonly encapsulate: Encapsulate;
  /** A message that came to nothing before any peer was known. */
  refused(reason: FailureReason): void;
  /** A frame that no peer's queue takes. */
  frameDropped(): void;
}
