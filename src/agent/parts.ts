import type { DataPlane } from '../reconcile/dataplane.ts';
import type { NodeKeys } from '../reconcile/desired.ts';
import type { Reconciler } from '../reconcile/loop.ts';
import type { Rollout } from '../reconcile/rollout/rollout.ts';
import type { RolloutStore } from '../reconcile/rollout/store.ts';
import type { SessionManager } from '../session/manager.ts';
import type { Source } from '../source/source.ts';
import type { AgentConfig } from './config.ts';
import type { EventLog } from './events.ts';
import type { Fleets } from './fleets.ts';
import type { Follower } from './follower.ts';
import type { Passes } from './passes.ts';
import type { Peers } from './peers/peers.ts';
import type { SessionShell } from './session-shell.ts';

/** A running agent's parts, as status, metrics and the control API see them. */
export interface Parts {
  readonly config: AgentConfig;
  /** Who this node is, now. */
  readonly node: NodeKeys;
  /** Milliseconds since 1970. */
  readonly startedAtMs: number;
  readonly now: () => number;
  /** What was in force last is in force again: commands may come. */
  readonly booted: Promise<void>;
  readonly source: Source;
  readonly follower: Follower;
  readonly fleets: Fleets;
  readonly reconciler: Reconciler;
  readonly rollout: Rollout;
  readonly store: RolloutStore;
  readonly passes: Passes;
  readonly dataPlane: DataPlane;
  readonly manager: SessionManager;
  readonly peers: Peers;
  readonly sessions: SessionShell;
  readonly events: EventLog;
}
