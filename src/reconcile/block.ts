/** Why a revision is not put in force. `reason` is `code` in PascalCase: `PruneBlocked`, `SeveralClusters`. */
export interface Block {
  readonly code: string;
  readonly reason: string;
  /** What, why, and what to do: whole sentences for people. */
  readonly message: string;
}
