import type { PublicKey } from '../../manifest/model.ts';
import type { Clock } from '../../reconcile/clock.ts';
import { TokenBuckets } from './buckets.ts';
import { fitsNotice } from './codec.ts';
import type { Mailbox, PeerAddress } from './mailbox.ts';

export interface NoticesOptions {
  readonly mailbox: Pick<Mailbox, 'send' | 'on'>;
  /** Whom notices can reach now. */
  readonly livePeers: () => Promise<readonly PeerAddress[]>;
  /** Looks at the source soon. */
  readonly nudge: () => void;
  /** Uniform in [0, 1): spreads load, no secret. */
  readonly random: () => number;
  readonly clock: Pick<Clock, 'now' | 'setTimer'>;
  readonly report: (error: unknown) => void;
}

/** Revisions that we remember to have had. */
const REMEMBERED = 64;
/** A notice of what was asked for this recently needs no asking again, whoever sends it. */
const ASKED_MS = 3_000;
/** Rounds of telling: a series of commits is told of by its last. */
const TELLING = { perSecond: 0.5, burst: 4 };
/** Looks at the source that notices cause in vain. One that finds the revision costs nothing. */
const ASKING = { perSecond: 1 / 60, burst: 4 };
/** A nudged source has answered by then (`Poller.nudge`, `SourceLimits.pollTimeoutMs`). */
const ANSWER_MS = 15_000;
/** For how long a peer is ignored whose revision the source does not have; doubled each time in a row. */
const IGNORED_MS = 60_000;
const IGNORED_AT_MOST_MS = 3_600_000;
/** Peers that are remembered for it. */
const IGNORED_PEERS = 4_096;

/** A look at the source that a notice caused. */
interface Ask {
  readonly atMs: number;
  /** Every peer that spoke of the revision. */
  readonly from: Set<PublicKey>;
  /** How many revisions the source had given by then. */
  readonly learned: number;
}

/**
 * Spreads the word of new revisions: each node that fetched one tells a few live peers, once, and they look at their own
 * source. A notice is a hint and no more: nothing of a peer is ever taken over. A peer that names what the source does not
 * have is ignored for a growing time, so that it cannot make this node ask its git server again and again.
 */
export class Notices {
  readonly #options: NoticesOptions;
  readonly #known = new Set<string>();
  readonly #telling: TokenBuckets<'all'>;
  readonly #asking: TokenBuckets<'all'>;
  /** By revision, until the source has given it or has had the time to. */
  readonly #asks = new Map<string, Ask>();
  readonly #ignored = new Map<PublicKey, { readonly times: number; readonly untilMs: number }>();
  #learned = 0;
  #running = false;
  /** To be told of when the next round may begin. */
  #next: string | undefined;
  #cancelRound: (() => void) | undefined;

  constructor(options: NoticesOptions) {
    const now = (): number => options.clock.now();
    this.#options = options;
    this.#telling = new TokenBuckets({ ...TELLING, now });
    this.#asking = new TokenBuckets({ ...ASKING, now });
    options.mailbox.on('notice', ({ peer }, { revision }) => this.#heard(peer, revision));
  }

  /** From now on what is learned is told: what came from the disk is no news. */
  start(): void {
    this.#running = true;
  }

  stop(): void {
    this.#running = false;
    this.#cancelRound?.();
    this.#cancelRound = undefined;
  }

  /** The source gave us this revision. */
  learned(revision: string): void {
    if (this.#known.has(revision)) return;
    this.#known.add(revision);
    this.#learned += 1;
    this.#proved(revision);
    for (const oldest of this.#known) {
      if (this.#known.size <= REMEMBERED) break;
      this.#known.delete(oldest);
    }
    if (!this.#running || !fitsNotice(revision)) return;
    this.#next = revision;
    this.#schedule();
  }

  #schedule(): void {
    this.#cancelRound ??= this.#options.clock.setTimer(this.#telling.waitMs('all'), () => {
      this.#cancelRound = undefined;
      if (this.#telling.take('all')) this.#tell().catch(this.#options.report);
      else this.#schedule(); // a timer may be early by a hair
    });
  }

  async #tell(): Promise<void> {
    const { livePeers, mailbox, random } = this.#options;
    const revision = this.#next;
    this.#next = undefined;
    if (revision === undefined) return;
    const live = await livePeers();
    const told = sample(live, fanOut(live.length + 1), random);
    await Promise.all(told.map((to) => mailbox.send(to, { type: 'notice', revision })));
  }

  #heard(peer: PublicKey, revision: string): void {
    const { clock, nudge } = this.#options;
    if (!this.#running || this.#known.has(revision)) return;
    const nowMs = clock.now();
    this.#settle(nowMs);
    if (nowMs < (this.#ignored.get(peer)?.untilMs ?? nowMs)) return;
    const ask = this.#asks.get(revision);
    const repeated = ask !== undefined && (ask.from.has(peer) || nowMs < ask.atMs + ASKED_MS);
    ask?.from.add(peer);
    if (repeated || !this.#asking.take('all')) return;
    if (ask === undefined) {
      this.#asks.set(revision, { atMs: nowMs, from: new Set([peer]), learned: this.#learned });
    } else {
      this.#asks.set(revision, { ...ask, atMs: nowMs });
    }
    nudge();
  }

  /** The source has it: who spoke of it is believed as before, and the look was not in vain. */
  #proved(revision: string): void {
    const ask = this.#asks.get(revision);
    if (ask === undefined) return;
    this.#asks.delete(revision);
    this.#asking.give('all');
    for (const peer of ask.from) this.#ignored.delete(peer);
  }

  /** Judges the looks that had their time. Where the source gave something else meanwhile, the peer may just be behind. */
  #settle(nowMs: number): void {
    for (const [revision, { atMs, from, learned }] of this.#asks) {
      if (nowMs < atMs + ANSWER_MS) continue;
      this.#asks.delete(revision);
      if (learned === this.#learned) for (const peer of from) this.#ignore(peer, nowMs);
    }
  }

  #ignore(peer: PublicKey, nowMs: number): void {
    const times = this.#ignored.get(peer)?.times ?? 0;
    this.#ignored.delete(peer); // the newest comes last
    this.#ignored.set(peer, {
      times: times + 1,
      untilMs: nowMs + Math.min(IGNORED_MS * 2 ** times, IGNORED_AT_MOST_MS),
    });
    for (const oldest of this.#ignored.keys()) {
      if (this.#ignored.size <= IGNORED_PEERS) break;
      this.#ignored.delete(oldest);
    }
  }
}

/** How many of `nodes` each tells, so that with hardly any exception all are told: e^-fanOut of them are not. */
function fanOut(nodes: number): number {
  return Math.ceil(Math.log2(nodes)) + 2;
}

/** `count` different ones, or all. */
function sample<T>(items: readonly T[], count: number, random: () => number): readonly T[] {
  const left = [...items];
  const chosen: T[] = [];
  while (chosen.length < count && left.length > 0) {
    chosen.push(...left.splice(Math.floor(random() * left.length), 1));
  }
  return chosen;
}
