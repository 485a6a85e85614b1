/** Time as an argument, so that tests own it. */
export interface Clock {
  /** Milliseconds of a clock that never jumps: schedules and durations. */
  now(): number;
  /** Milliseconds since 1970, UTC: time stamps for people, nothing else; robots boot with a wrong one. */
  wall(): number;
  /** Calls `run` once, `delayMs` from now, never before this call returned; returns what cancels it. */
  setTimer(delayMs: number, run: () => void): () => void;
}
