import type { ManifestFile } from '../../manifest/model.ts';
import type { RevisionInfo, RolloutRecord } from './record.ts';

export interface KeptRevision {
  readonly revision: RevisionInfo;
  readonly files: readonly ManifestFile[];
}

/** Where a node keeps what it must find again after a crash. A write that rejects has left what was there before. */
export interface RolloutStore {
  /**
   * `emptyRecord` on a new node. A damaged record is set aside, and `problem` (for people) says so. Rejects with
   * `state-not-readable`, class stall, where reading itself is refused: what is there may be whole.
   */
  load(): Promise<{ readonly record: RolloutRecord; readonly problem?: string }>;
  /** Durable when it resolves. Rejects with `state-not-saved`, class retry: a full disk, a read-only one. */
  save(record: RolloutRecord): Promise<void>;
  /** Keeps a revision's files under its id, beside others; to be called before a record names it. Durable. Reads every file. */
  keep(kept: KeptRevision): Promise<void>;
  /** What `keep` kept, checked against its own hash; undefined: never kept. Rejects with `kept-revision-damaged`, class stall. */
  kept(id: string): Promise<KeptRevision | undefined>;
  /** Removes kept revisions other than these. */
  forget(except: readonly string[]): Promise<void>;
}
