import { randomBytes } from 'node:crypto';
import { PATH_MESSAGE_MIN } from '../../reconcile/dataplane.ts';
import { Pacer } from '../pacer.ts';
import { MOVE_REASONS, type MoveReason } from './model.ts';

/** So many peers are watched as closely as the timers say; where there are more, each is watched less often. */
const WATCHED_CLOSELY = 1_000;
/** The overlay's MTU changes seldom. */
const FRAME_AGE_MS = 10_000;
/** Keepalives that tell idle peers of a new address: a sealed empty datagram each. */
const KEEPALIVES_PER_SECOND = 2_000;
const KEEPALIVE_BURST = 256;

interface SharedPathsOptions {
  /** Milliseconds of a clock that never jumps. */
  readonly now: () => number;
  readonly setTimer: (delayMs: number, run: () => void) => () => void;
  /** Bytes of the largest frame that an interface sends, Ethernet header included; 0 while there is none. */
  readonly fullFrame: (interfaceName: string) => Promise<number>;
  readonly nonce: (() => bigint) | undefined;
  readonly report: (error: unknown) => void;
}

/** What the paths of all peers have in common: how many are watched, how large a full frame is, who is told first. */
export class SharedPaths<Peer> {
  readonly #options: SharedPathsOptions;
  readonly #keepalives: Pacer;
  readonly #watched = new Set<Peer>();
  readonly #moves = new Map<MoveReason, number>(MOVE_REASONS.map((reason) => [reason, 0]));
  #frame = PATH_MESSAGE_MIN;
  #readMs = Number.NEGATIVE_INFINITY;

  constructor(options: SharedPathsOptions) {
    const { now, setTimer } = options;
    this.#options = options;
    this.#keepalives = new Pacer({ perSecond: KEEPALIVES_PER_SECOND, burst: KEEPALIVE_BURST, now, setTimer });
  }

  /** Whether statistics are read for the peer's paths. */
  watch(peer: Peer, watched: boolean): void {
    if (watched) this.#watched.add(peer);
    else this.#watched.delete(peer);
  }

  /** 1 or more: how much less often than usual whatever is done for all watched peers may be done. */
  get stretch(): number {
    return Math.max(1, this.#watched.size / WATCHED_CLOSELY);
  }

  /** Bytes, as of some seconds ago. */
  fullFrame(interfaceName: string): number {
    const nowMs = this.#options.now();
    if (nowMs - this.#readMs >= FRAME_AGE_MS) {
      this.#readMs = nowMs;
      this.#read(interfaceName).catch(this.#options.report);
    }
    return this.#frame;
  }

  async #read(interfaceName: string): Promise<void> {
    this.#frame = Math.max(PATH_MESSAGE_MIN, await this.#options.fullFrame(interfaceName));
  }

  /** Unpredictable. */
  nonce(): bigint {
    return this.#options.nonce?.() ?? randomBytes(8).readBigUInt64LE();
  }

  /** Calls `send` in its turn: a node that moved tells all its peers. */
  paceKeepalive(send: () => Promise<void>): void {
    this.#keepalives.run(() => void send().catch(this.#options.report));
  }

  moved(why: MoveReason): void {
    this.#moves.set(why, (this.#moves.get(why) ?? 0) + 1);
  }

  /** How often data to a peer went elsewhere, by reason; every reason is present. */
  get moves(): Readonly<Record<MoveReason, number>> {
    return Object.fromEntries(this.#moves) as Record<MoveReason, number>;
  }

  stop(): void {
    this.#keepalives.stop();
  }
}
