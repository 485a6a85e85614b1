/** Whether a new revision may be tried now. `recheckMs`: ask again then; it may be sooner than the answer changes. */
export type GateAnswer =
  | { readonly open: true }
  | { readonly open: false; readonly reason: string; readonly message: string; readonly recheckMs: number };

/** What the surroundings of a node say to a change now: windows, the robot's own software. */
export interface Gates {
  /** Rejects only when `signal` is aborted, with its reason. */
  check(signal: AbortSignal): Promise<GateAnswer>;
}
