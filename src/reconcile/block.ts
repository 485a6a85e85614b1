import type { Cluster, Fleet, FleetObject } from '../manifest/model.ts';
import type { DesiredState } from './desired.ts';
import { refOf } from './share.ts';

/** Why a revision is not put in force. `reason` is `code` in PascalCase: `PruneBlocked`, `SeveralClusters`. */
export interface Block {
  readonly code: string;
  readonly reason: string;
  /** What, why, and what to do: for people. */
  readonly message: string;
  /** `message` without the way past it on a node that follows a source, which is another one for `omni apply`. */
  readonly cause?: string;
}

/** A fleet, and what one node makes of it. */
export interface Side {
  readonly fleet: Fleet;
  readonly state: DesiredState;
}

/** The cluster that the node is in, be it suspended there. */
export function clusterOf({ fleet, state }: Side): Cluster | undefined {
  const name = state.sessions?.cluster ?? fleet.peers.get(state.self ?? '')?.clusters[0];
  return fleet.clusters.get(name ?? '');
}

/** `peer/robot-17 (fleet/robots.yaml:12)`. */
export function located(object: FleetObject): string {
  return `${refOf(object)} (${object.position.file}:${object.position.line})`;
}

const NAMED = 3;

/** The first few, and how many more. */
export function firstOf(names: readonly string[]): string {
  const more = names.length - NAMED;
  return more > 0 ? `${names.slice(0, NAMED).join(', ')} and ${more} more` : names.join(', ');
}
