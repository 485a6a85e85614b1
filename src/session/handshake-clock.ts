import type { PublicKey } from '../manifest/model.ts';
import type { Clock } from '../reconcile/clock.ts';
import type { KeptText } from './kept.ts';
import { Timestamps } from './timestamps.ts';

/** Accepted time stamps reach the disk this much later: those of one moment at once. */
const SAVE_DELAY_MS = 100;
/** And this much later where something was written just before: a large fleet must not wear the disk out. */
const SAVE_INTERVAL_MS = 10_000;
const NS_PER_MS = 1e6;

/** The time stamps of handshakes (timestamps.ts), with a clock and a disk that may refuse. */
export class HandshakeClock {
  readonly #clock: Pick<Clock, 'wall' | 'setTimer'>;
  readonly #timestamps: Timestamps;
  readonly #report: (error: unknown) => void;
  /** Of the timer that saves, or that keeps the next save waiting. */
  #cancelTimer: (() => void) | undefined;

  private constructor(
    timestamps: Timestamps,
    clock: Pick<Clock, 'wall' | 'setTimer'>,
    report: (error: unknown) => void,
  ) {
    this.#timestamps = timestamps;
    this.#clock = clock;
    this.#report = report;
  }

  /** What is wrong with the disk is reported, and keeps nobody from calling. */
  static async open(
    kept: KeptText,
    clock: Pick<Clock, 'wall' | 'setTimer'>,
    report: (error: unknown) => void,
  ): Promise<HandshakeClock> {
    const { timestamps, problem } = await Timestamps.open(kept);
    if (problem !== undefined) report(problem);
    return new HandshakeClock(timestamps, clock, report);
  }

  /** Of the next initiation. */
  async next(): Promise<bigint> {
    const wallNs = BigInt(Math.floor(this.#clock.wall() * NS_PER_MS));
    const { timestampNs, problem } = await this.#timestamps.next(wallNs);
    if (problem !== undefined) this.#report(problem);
    return timestampNs;
  }

  /** Greatest accepted one; 0 = none. */
  greatest(peer: PublicKey): bigint {
    return this.#timestamps.greatest(peer);
  }

  accepted(peer: PublicKey, timestampNs: bigint): void {
    this.#timestamps.accepted(peer, timestampNs);
    this.#cancelTimer ??= this.#clock.setTimer(SAVE_DELAY_MS, () => this.#saveThenRest());
  }

  #saveThenRest(): void {
    void this.#save();
    this.#cancelTimer = this.#clock.setTimer(SAVE_INTERVAL_MS, () => {
      this.#cancelTimer = undefined;
      if (this.#timestamps.dirty) this.#saveThenRest();
    });
  }

  /** What was accepted is on disk when it resolves. */
  async stop(): Promise<void> {
    this.#cancelTimer?.();
    await this.#save();
  }

  async #save(): Promise<void> {
    const problem = await this.#timestamps.save();
    if (problem !== undefined) this.#report(problem);
  }
}
