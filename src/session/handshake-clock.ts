import type { PublicKey } from '../manifest/model.ts';
import type { Clock } from '../reconcile/clock.ts';
import { CallerStamps, type Stamp } from './callers.ts';
import type { KeptText } from './kept.ts';
import type { Freshness } from './model.ts';
import { Timestamps } from './timestamps.ts';

/** Confirmed time stamps reach the disk this much later: those of one moment at once. */
const SAVE_DELAY_MS = 100;
/** And this much later where something was written just before: a large fleet must not wear the disk out. */
const SAVE_INTERVAL_MS = 10_000;
const NS_PER_MS = 1e6;

/** The time stamps of handshakes (timestamps.ts), with a clock and a disk that may refuse. */
export class HandshakeClock {
  readonly #clock: Pick<Clock, 'wall' | 'setTimer'>;
  readonly #timestamps: Timestamps;
  readonly #callers: CallerStamps;
  readonly #report: (error: unknown) => void;
  /** Of the timer that saves, or that keeps the next save waiting. */
  #cancelTimer: (() => void) | undefined;

  private constructor(
    timestamps: Timestamps,
    clock: Pick<Clock, 'wall' | 'setTimer'>,
    report: (error: unknown) => void,
  ) {
    this.#timestamps = timestamps;
    this.#callers = new CallerStamps(timestamps);
    this.#clock = clock;
    this.#report = report;
  }

  /** What is wrong with the disk is reported, and keeps nobody from calling. `identities`: the one to call as first. */
  static async open(
    kept: KeptText,
    identities: readonly [PublicKey, ...PublicKey[]],
    clock: Pick<Clock, 'wall' | 'setTimer'>,
    report: (error: unknown) => void,
  ): Promise<HandshakeClock> {
    const { timestamps, problem } = await Timestamps.open(kept, identities);
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

  setIdentities(identities: readonly [PublicKey, ...PublicKey[]]): void {
    this.#timestamps.setIdentities(identities);
  }

  /** Of an initiation that authenticated. */
  judge(stamp: Stamp): Freshness {
    return this.#callers.judge(stamp);
  }

  /** It was answered: it is refused from now on, while this process lives. */
  accepted(stamp: Stamp): void {
    this.#callers.accepted(stamp);
  }

  /** Its handshake is through: it and all older ones are refused for good. */
  confirmed(stamp: Stamp): void {
    this.#callers.confirmed(stamp);
    this.#cancelTimer ??= this.#clock.setTimer(SAVE_DELAY_MS, () => this.#saveThenRest());
  }

  #saveThenRest(): void {
    void this.#save();
    this.#cancelTimer = this.#clock.setTimer(SAVE_INTERVAL_MS, () => {
      this.#cancelTimer = undefined;
      if (this.#timestamps.dirty) this.#saveThenRest();
    });
  }

  /** What was confirmed is on disk when it resolves. */
  async stop(): Promise<void> {
    this.#cancelTimer?.();
    await this.#save();
  }

  async #save(): Promise<void> {
    const problem = await this.#timestamps.save();
    if (problem !== undefined) this.#report(problem);
  }
}
