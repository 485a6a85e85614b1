import type { IpAddress } from '../../manifest/model.ts';
import type { Clock } from '../clock.ts';
import type { NodeKeys } from '../desired.ts';
import type { ReconcileEvent } from '../events.ts';
import type { PruneLimit } from '../guards.ts';
import type { Reconciler } from '../loop.ts';
import type { Gates } from './gates.ts';
import type { Prober } from './probe.ts';
import type { RolloutRecord } from './record.ts';
import type { Offer } from './revisions.ts';
import type { RolloutStore } from './store.ts';

export interface RolloutOptions {
  readonly store: RolloutStore;
  /** What the store's `load` gave. */
  readonly record: RolloutRecord;
  readonly reconciler: Pick<
    Reconciler,
    'propose' | 'setDesired' | 'resumeVerified' | 'withdraw' | 'refresh' | 'pause' | 'resume' | 'failing' | 'target'
  >;
  readonly prober: Prober;
  readonly gates: Gates;
  readonly clock: Clock;
  /** Uniform in [0, 1). */
  readonly random: () => number;
  /** Of the system: another one after each boot. */
  readonly bootId: string;
  readonly node: NodeKeys;
  readonly pruneLimit: PruneLimit;
  /** Whether the source is somewhere else, and may become unreachable. */
  readonly probesSource: boolean;
  readonly sourceAddresses: () => readonly IpAddress[];
  readonly onEvent: (event: ReconcileEvent) => void;
  /** Comes into force now. */
  readonly onTarget: (offer: Offer) => void;
}
