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
/** A notice of what was asked for this recently needs no asking again. */
const ASKED_MS = 3_000;
/** Rounds of telling: a series of commits is told of by its last. */
const TELLING = { perSecond: 0.5, burst: 4 };
/** Looks at the source that notices cause, whatever they say. */
const ASKING = { perSecond: 0.2, burst: 4 };

/**
 * Spreads the word of new revisions: each node that fetched one tells a few live peers, once, and they look at their own
 * source. A notice is a hint and no more: nothing of a peer is ever taken over.
 */
export class Notices {
  readonly #options: NoticesOptions;
  readonly #known = new Set<string>();
  readonly #telling: TokenBuckets<'all'>;
  readonly #asking: TokenBuckets<'all'>;
  #asked: { readonly revision: string; readonly atMs: number } | undefined;
  #running = false;
  /** To be told of when the next round may begin. */
  #next: string | undefined;
  #cancelRound: (() => void) | undefined;

  constructor(options: NoticesOptions) {
    const now = (): number => options.clock.now();
    this.#options = options;
    this.#telling = new TokenBuckets({ ...TELLING, now });
    this.#asking = new TokenBuckets({ ...ASKING, now });
    options.mailbox.on('notice', (_from, { revision }) => this.#heard(revision));
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

  #heard(revision: string): void {
    const { clock, nudge } = this.#options;
    if (!this.#running || this.#known.has(revision)) return;
    const nowMs = clock.now();
    if (this.#asked?.revision === revision && nowMs < this.#asked.atMs + ASKED_MS) return;
    if (!this.#asking.take('all')) return;
    this.#asked = { revision, atMs: nowMs };
    nudge();
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
