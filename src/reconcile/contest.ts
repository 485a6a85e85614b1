import type { RowKey } from './rows.ts';

/** As often as this within the window a row is written again; the next time it is left to whoever wants it otherwise. */
export const CONTEST_LIMIT = 3;
/** How long a write counts, and how long a row that was left must stay quiet before it is tried once more. */
const CONTEST_WINDOW_MS = 10 * 60_000;

interface Fight {
  /** Monotonic milliseconds of the last writes, at most `CONTEST_LIMIT`. */
  heals: readonly number[];
  /** `left`: nobody touches it here. `released`: it may be tried once. `watched`: that try is not yet a window old. */
  state: 'open' | 'left' | 'released' | 'watched';
  /** When the other side was last heard of. */
  activeMs: number;
  told: boolean;
}

/** Keeps two controllers from overwriting each other for ever: counts how often drift is healed, row by row. */
export class Contest {
  readonly #fights = new Map<RowKey, Fight>();

  /** A row that had drifted was written. */
  wrote(key: RowKey, nowMs: number): void {
    const fight = this.#fights.get(key) ?? { heals: [], state: 'open', activeMs: nowMs, told: false };
    const again = fight.state === 'released';
    fight.heals = again ? [nowMs] : [...recent(fight, nowMs), nowMs].slice(-CONTEST_LIMIT);
    if (again) fight.state = 'watched';
    this.#fights.set(key, fight);
  }

  /** Whether a row that has drifted is left alone. */
  leaves(key: RowKey, nowMs: number): boolean {
    const fight = this.#fights.get(key);
    if (fight === undefined || fight.state === 'released') return false;
    if (fight.state === 'left') return true;
    const writes = recent(fight, nowMs).length;
    if (writes < (fight.state === 'watched' ? 1 : CONTEST_LIMIT)) return false;
    fight.state = 'left';
    fight.activeMs = nowMs;
    return true;
  }

  /** As `leaves`, but decides nothing anew. */
  isLeft(key: RowKey): boolean {
    return this.#fights.get(key)?.state === 'left';
  }

  /** Something changed the row again. */
  heard(key: RowKey, nowMs: number): void {
    const fight = this.#fights.get(key);
    if (fight?.state === 'left') fight.activeMs = nowMs;
  }

  /** The row was found as desired. */
  met(key: RowKey, nowMs: number): void {
    const fight = this.#fights.get(key);
    if (fight !== undefined && isOver(fight, nowMs)) this.#fights.delete(key);
  }

  /** Forgets what is over; to be called now and then, for rows that nobody looks at one by one. */
  sweep(nowMs: number): void {
    for (const [key, fight] of this.#fights) {
      if ((fight.state === 'open' || fight.state === 'watched') && isOver(fight, nowMs)) this.#fights.delete(key);
    }
  }

  /** True once per fight: the first time that its row is left. */
  tell(key: RowKey): boolean {
    const fight = this.#fights.get(key);
    if (fight === undefined || fight.told) return false;
    fight.told = true;
    return true;
  }

  /** A person or a commit wants these rows tried: everything before is forgotten. */
  forgive(keys: Iterable<RowKey> | 'all'): void {
    if (keys === 'all') this.#fights.clear();
    else for (const key of keys) this.#fights.delete(key);
  }

  /** Rows that were quiet for long enough. Each is named once, and may be tried once. */
  release(nowMs: number): readonly RowKey[] {
    const due: RowKey[] = [];
    for (const [key, fight] of this.#fights) {
      if (fight.state !== 'left' || nowMs - fight.activeMs < CONTEST_WINDOW_MS) continue;
      fight.state = 'released';
      due.push(key);
    }
    return due;
  }

  /** Monotonic milliseconds at which `release` will name a row; Infinity: none is left. */
  nextMs(): number {
    let next = Number.POSITIVE_INFINITY;
    for (const { state, activeMs } of this.#fights.values()) {
      if (state === 'left') next = Math.min(next, activeMs + CONTEST_WINDOW_MS);
    }
    return next;
  }
}

function recent({ heals }: Fight, nowMs: number): readonly number[] {
  return heals.filter((ms) => nowMs - ms < CONTEST_WINDOW_MS);
}

function isOver(fight: Fight, nowMs: number): boolean {
  switch (fight.state) {
    case 'released':
      return true;
    case 'left':
      return nowMs - fight.activeMs >= CONTEST_WINDOW_MS;
    case 'open':
    case 'watched':
      return recent(fight, nowMs).length === 0;
  }
}
