import type { EndpointHint, Fleet, IpAddress, ObjectRef, PublicKey } from '../manifest/model.ts';
import type { DesiredRow, RowKey, RowSet } from './rows.ts';

/** What of this node, besides git, decides its desired state. */
export interface NodeView {
  readonly publicKey: PublicKey;
  /** DNS results gathered outside; undefined while a name does not resolve. IP literals never ask. */
  resolve(host: string): IpAddress | undefined;
}

/** A peer as the sessions need it. */
export interface PeerIntent {
  readonly name: string;
  readonly publicKey: PublicKey;
  readonly nextPublicKey?: PublicKey;
  readonly endpoints: readonly EndpointHint[];
  readonly keepaliveMs?: number;
}

/** What the session manager needs of an applied revision. */
export interface SessionConfig {
  readonly cluster: string;
  readonly interface: string;
  readonly port: number;
  readonly rekeyAfterMs: number;
  readonly lifetimeMs: number;
  readonly handshakeTimeoutMs: number;
  readonly newSessionsPerSecondPerSource: number;
  readonly peers: ReadonlyMap<PublicKey, PeerIntent>;
}

/** One node's share of a fleet. `member` false: this node is in no cluster of the fleet, and `rows` is empty. */
export interface DesiredState {
  readonly member: boolean;
  readonly self?: string;
  readonly rows: RowSet<DesiredRow>;
  readonly sessions?: SessionConfig;
  /** Rows by the object that they come from, for incremental updates. */
  readonly rowsOf: ReadonlyMap<ObjectRef, readonly RowKey[]>;
}

export type DesiredStateOf = (fleet: Fleet, node: NodeView) => DesiredState;
