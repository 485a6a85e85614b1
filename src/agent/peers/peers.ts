import { randomBytes } from 'node:crypto';
import type { Clock } from '../../reconcile/clock.ts';
import type { DataPlane, Stop } from '../../reconcile/dataplane.ts';
import type { Source } from '../../source/source.ts';
import { messageOf } from '../lock.ts';
import type { Log } from '../log.ts';
import { Echo } from './echo.ts';
import { livePeers } from './live.ts';
import { Mailbox, type MessageCounts } from './mailbox.ts';
import { Notices } from './notices.ts';

export interface PeersOptions {
  readonly dataPlane: Pick<DataPlane, 'messages' | 'sessions'>;
  readonly source: Pick<Source, 'nudge'>;
  readonly clock: Pick<Clock, 'now' | 'setTimer'>;
  /** Uniform in [0, 1): which peers are told. */
  readonly random: () => number;
  readonly log: Log;
}

/** What this agent says to those of its peers, and hears from them. */
export class Peers {
  readonly echo: Echo;
  readonly #mailbox: Mailbox;
  readonly #notices: Notices | undefined;
  readonly #stops: Stop[] = [];

  constructor({ dataPlane, source, clock, random, log }: PeersOptions) {
    const setTimer = clock.setTimer.bind(clock);
    this.#mailbox = new Mailbox({ messages: dataPlane.messages, now: () => clock.now(), log });
    const nonce = (): bigint => randomBytes(8).readBigUInt64LE();
    this.echo = new Echo({ mailbox: this.#mailbox, nonce, setTimer });
    const nudge = source.nudge?.bind(source);
    // A folder, or what was applied by hand, is this node's own affair.
    this.#notices = nudge && this.#newNotices({ dataPlane, clock, random, log }, nudge);
  }

  #newNotices({ dataPlane, clock, random, log }: Omit<PeersOptions, 'source'>, nudge: () => void): Notices {
    return new Notices({
      mailbox: this.#mailbox,
      livePeers: () => livePeers(dataPlane.sessions),
      nudge,
      random,
      clock,
      report: (error) => log('warn', `peers were not told of a new revision: ${messageOf(error)}`),
    });
  }

  /** From now on peers are answered, and told of revisions that are `learned`. */
  start(): void {
    this.#stops.push(this.#mailbox.start());
    this.#notices?.start();
  }

  async stop(): Promise<void> {
    this.#notices?.stop();
    for (const stop of this.#stops.splice(0)) await stop();
  }

  /** The source gave us this revision (`Revision.id`); before `start`: the disk. */
  learned(revision: string): void {
    this.#notices?.learned(revision);
  }

  counts(): MessageCounts {
    return this.#mailbox.counts();
  }
}
