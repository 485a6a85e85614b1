/** This system is younger: a wall clock that says less was never set since the machine was switched on. Milliseconds since 1970. */
const BIRTH_MS = Date.UTC(2025, 0, 1);

/** Whether a wall clock can be believed. A robot without a battery for it boots in 1970, or when it was switched off. */
export function isClockSet(wallMs: number): boolean {
  return wallMs >= BIRTH_MS;
}
