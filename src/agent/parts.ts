import type { PublicKey } from '../manifest/model.ts';
import type { DataPlane } from '../reconcile/dataplane.ts';
import type { Reconciler } from '../reconcile/loop.ts';
import type { SessionManager } from '../session/manager.ts';
import type { Source } from '../source/source.ts';
import type { AgentConfig } from './config.ts';
import type { EventLog } from './events.ts';
import type { Fleets } from './fleets.ts';
import type { Follower } from './follower.ts';
import type { Peers } from './peers/peers.ts';
import type { SessionShell } from './session-shell.ts';

/** A running agent's parts, as status, metrics and the control API see them. */
export interface Parts {
  readonly config: AgentConfig;
  readonly publicKey: PublicKey;
  /** Milliseconds since 1970. */
  readonly startedAtMs: number;
  readonly now: () => number;
  readonly source: Source;
  readonly follower: Follower;
  readonly fleets: Fleets;
  readonly reconciler: Reconciler;
  readonly dataPlane: DataPlane;
  readonly manager: SessionManager;
  readonly peers: Peers;
  readonly sessions: SessionShell;
  readonly events: EventLog;
}
