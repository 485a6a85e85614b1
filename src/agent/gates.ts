import type { GateAnswer, Gates as RolloutGates } from '../reconcile/rollout/gates.ts';
import { askBusy, type BusyAnswer, type BusyHook } from './busy.ts';
import { isClockSet } from './clock-set.ts';
import { isOpen, nextOpening, type Window } from './windows.ts';

const BUSY_RECHECK_MS = 5_000;
/** How long a hook's answer holds: it is a program, and several may ask. */
const BUSY_CACHE_MS = 1_000;
/** Wall clocks are set: a long wait is cut into short ones. */
const MAX_WINDOW_WAIT_MS = 600_000;
const CLOCK_RECHECK_MS = 10_000;

export interface GatesOptions {
  /** None: always open. */
  readonly windows: readonly Window[];
  readonly busy?: BusyHook;
  /** Milliseconds since 1970. */
  readonly wall: () => number;
  /** Milliseconds, monotonic. */
  readonly now: () => number;
}

/** Whether a new revision may be adopted now, by the configuration's windows and by what the robot's software says. */
export class Gates implements RolloutGates {
  readonly #options: GatesOptions;
  #asking: Promise<BusyAnswer> | undefined;
  #answered: { readonly atMs: number; readonly answer: BusyAnswer } | undefined;

  constructor(options: GatesOptions) {
    this.#options = options;
  }

  /** Rejects only when `signal` is aborted, with its reason. */
  async check(signal: AbortSignal): Promise<GateAnswer> {
    signal.throwIfAborted();
    return this.#outsideWindows() ?? (await this.#busy(signal)) ?? { open: true };
  }

  #outsideWindows(): GateAnswer | undefined {
    const { windows, wall } = this.#options;
    const nowMs = wall();
    if (windows.length === 0) return undefined;
    if (!isClockSet(nowMs)) {
      const message = `the clock says ${new Date(nowMs).toISOString()}, so nobody knows whether a window is open; set it, or wait for NTP (timedatectl)`;
      return { open: false, reason: 'ClockNotSet', message, recheckMs: CLOCK_RECHECK_MS };
    }
    if (windows.some((window) => isOpen(window, nowMs))) return undefined;
    const next = nextOpening(windows, nowMs);
    const message =
      next === undefined
        ? 'no window for changes opens within a week'
        : `outside the windows for changes; the next one opens at ${new Date(next).toISOString()}`;
    const recheckMs = Math.min((next ?? Number.POSITIVE_INFINITY) - nowMs, MAX_WINDOW_WAIT_MS);
    return { open: false, reason: 'OutsideWindow', message, recheckMs };
  }

  async #busy(signal: AbortSignal): Promise<GateAnswer | undefined> {
    const { busy: hook } = this.#options;
    if (hook === undefined) return undefined;
    const { busy, message } = await untilAborted(this.#ask(hook, signal), signal);
    return busy ? { open: false, reason: 'Busy', message, recheckMs: BUSY_RECHECK_MS } : undefined;
  }

  async #ask(hook: BusyHook, signal: AbortSignal): Promise<BusyAnswer> {
    const { now } = this.#options;
    if (this.#answered !== undefined && now() - this.#answered.atMs < BUSY_CACHE_MS) return this.#answered.answer;
    this.#asking ??= askBusy(hook, signal);
    const answer = await this.#asking;
    this.#asking = undefined;
    this.#answered = { atMs: now(), answer };
    return answer;
  }
}

function untilAborted<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    const abort = (): void => reject(signal.reason);
    signal.addEventListener('abort', abort, { once: true });
    work.then(resolve, reject).finally(() => signal.removeEventListener('abort', abort));
  });
}
