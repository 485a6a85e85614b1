import { PATH_MESSAGE_MIN } from '../../reconcile/dataplane.ts';

/** So many peers are watched as closely as the timers say; where there are more, each is watched less often. */
const WATCHED_CLOSELY = 1_000;
/** The overlay's MTU changes seldom. */
const FRAME_AGE_MS = 10_000;

interface WatchedOptions {
  readonly now: () => number;
  readonly fullFrame: (interfaceName: string) => Promise<number>;
  readonly report: (error: unknown) => void;
}

/** What the paths of all peers share: how many are watched, and how large a full frame is. */
export class Watched<Peer> {
  readonly #options: WatchedOptions;
  readonly #peers = new Set<Peer>();
  #frame = PATH_MESSAGE_MIN;
  #readMs = Number.NEGATIVE_INFINITY;

  constructor(options: WatchedOptions) {
    this.#options = options;
  }

  /** 1 or more: how much less often than usual. */
  watch(peer: Peer, watched: boolean): number {
    if (watched) this.#peers.add(peer);
    else this.#peers.delete(peer);
    return Math.max(1, this.#peers.size / WATCHED_CLOSELY);
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
}
