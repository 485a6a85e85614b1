import type { PublicKey } from '../manifest/model.ts';
import type { Refusal } from '../reconcile/dataplane.ts';
import type { EventLog } from './events.ts';
import type { Log } from './log.ts';

/** How often counts are looked at, and how often a peer is told of at most. */
const LOOK_MS = 5_000;
const INTERVAL_MS = 60_000;

export interface RefusedFramesOptions {
  readonly read: () => Promise<readonly Refusal[]>;
  /** What people call a peer. */
  readonly nameOf: (peer: PublicKey) => string;
  readonly events: EventLog;
  readonly log: Log;
  readonly after: (delayMs: number, run: () => void) => () => void;
  /** Milliseconds since 1970. */
  readonly now: () => number;
}

/** By reason. */
export type RefusedCounts = Readonly<Record<string, bigint>>;

interface Told {
  readonly counts: RefusedCounts;
  /** Undefined: counts from before this agent ran, which are no news. */
  readonly atMs?: number;
}

/** Tells of peers whose frames are dropped: a robot that speaks in another's name, or one that was configured badly. */
export class RefusedFrames {
  readonly #options: RefusedFramesOptions;
  #told: ReadonlyMap<PublicKey, Told> | undefined;
  #cancel: () => void = () => undefined;
  #stopped = false;

  constructor(options: RefusedFramesOptions) {
    this.#options = options;
  }

  /** Until `stop`. */
  start(): void {
    void this.#look();
  }

  stop(): void {
    this.#stopped = true;
    this.#cancel();
  }

  async #look(): Promise<void> {
    try {
      this.#compare(refusedByPeer(await this.#options.read()));
    } catch (error) {
      this.#options.log('warn', 'cannot read which frames of peers were dropped', { error: String(error) });
    }
    if (!this.#stopped) this.#cancel = this.#options.after(LOOK_MS, () => void this.#look());
  }

  #compare(found: ReadonlyMap<PublicKey, RefusedCounts>): void {
    const before = this.#told;
    const told = new Map<PublicKey, Told>();
    const nowMs = this.#options.now();
    for (const [peer, counts] of found) {
      const last = before?.get(peer);
      const more = growth(last?.counts ?? {}, counts);
      const due = last?.atMs === undefined || nowMs - last.atMs >= INTERVAL_MS;
      if (before === undefined) told.set(peer, { counts });
      else if (more.length === 0 || !due) told.set(peer, last ?? { counts: {} });
      else {
        this.#tell(peer, more);
        told.set(peer, { counts, atMs: nowMs });
      }
    }
    this.#told = told;
  }

  #tell(peer: PublicKey, more: readonly (readonly [reason: string, count: bigint])[]): void {
    const { events, log, nameOf } = this.#options;
    const object = `peer/${nameOf(peer)}`;
    const counts = more.map(([reason, count]) => `${reason} ${count}`).join(', ');
    const message = `frames of this peer were dropped: ${counts}`;
    log('warn', message, { object });
    events.record({ type: 'Warning', reason: 'FramesRefused', object, message });
  }
}

/** What was added to each reason; a count that became smaller began anew. */
function growth(before: RefusedCounts, after: RefusedCounts): readonly (readonly [string, bigint])[] {
  return Object.entries(after).flatMap(([reason, count]) => {
    const known = before[reason] ?? 0n;
    const added = count < known ? count : count - known;
    return added === 0n ? [] : [[reason, added] as const];
  });
}

/** Of all interfaces together. */
export function refusedByPeer(refusals: readonly Refusal[]): ReadonlyMap<PublicKey, RefusedCounts> {
  const found = new Map<PublicKey, Record<string, bigint>>();
  for (const { peer, reason, count } of refusals) {
    const counts = found.get(peer) ?? {};
    found.set(peer, counts);
    counts[reason] = (counts[reason] ?? 0n) + count;
  }
  return found;
}
