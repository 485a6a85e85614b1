import { createHash } from 'node:crypto';
import * as fs from 'node:fs/promises';
import { join } from 'node:path';
import { type Disk, replaceFile, syncFolder } from '../durable.ts';
import { ExitCode, OmniError } from '../errors.ts';
import { emptyRecord, type RolloutRecord } from '../reconcile/rollout/record.ts';
import type { KeptRevision, RolloutStore } from '../reconcile/rollout/store.ts';
import { decodeKept, encodeKept } from './kept-revision.ts';
import { isErrno, messageOf } from './lock.ts';
import { parseRecord } from './rollout-record.ts';

const RECORD = 'rollout.json';
const REVISIONS = 'revisions';
/** Damaged records that are left for people to look at; the last place is written over. */
const MAX_DAMAGED = 3;
/** More than any record has: 100,000 revoked keys. Bytes. */
const MAX_RECORD_BYTES = 32 * 1024 * 1024;

const FIXES: Readonly<Record<string, string>> = {
  ENOSPC: 'Free space on its file system.',
  EDQUOT: 'Free space on its file system, or raise the quota.',
  EROFS: 'Mount its file system writable: mount -o remount,rw.',
  EIO: 'Look at dmesg: the disk fails.',
  EACCES: 'Run as the user who owns it.',
};

/**
 * Keeps the rollout's state in a node's state folder:
 *
 *     rollout.json                     the record
 *     rollout.json.damaged-<n>         records that could not be read, set aside
 *     revisions/<SHA-256 of id>.gz     the files of a revision (`kept-revision.ts`)
 *
 * One write at a time, in the order of the calls. Asks nothing of the folder until the first call.
 */
export function openRolloutStore(stateDir: string, disk: Disk = fs): RolloutStore {
  return new FolderStore(stateDir, disk);
}

class FolderStore implements RolloutStore {
  readonly #stateDir: string;
  readonly #record: string;
  readonly #revisions: string;
  readonly #disk: Disk;
  #turn: Promise<unknown> = Promise.resolve();

  constructor(stateDir: string, disk: Disk) {
    this.#stateDir = stateDir;
    this.#record = join(stateDir, RECORD);
    this.#revisions = join(stateDir, REVISIONS);
    this.#disk = disk;
  }

  async load(): Promise<{ readonly record: RolloutRecord; readonly problem?: string }> {
    try {
      return { record: parseRecord(await readBounded(this.#record)) };
    } catch (error) {
      if (isErrno(error, 'ENOENT')) return { record: emptyRecord };
      if (!isDamage(error)) throw notReadable(this.#record, error);
      const aside = await this.#setAside();
      const lost = 'what is quarantined, on hold, revoked and last known good is forgotten';
      return {
        record: emptyRecord,
        problem: `${this.#record} cannot be used: ${messageOf(error)}; ${lost}; ${aside}`,
      };
    }
  }

  save(record: RolloutRecord): Promise<void> {
    const text = `${JSON.stringify(record)}\n`;
    return this.#inTurn(() => replaceFile(this.#record, text, this.#disk));
  }

  keep(kept: KeptRevision): Promise<void> {
    return this.#inTurn(async () => {
      const packed = await encodeKept(kept);
      const made = await fs.mkdir(this.#revisions, { recursive: true, mode: 0o700 });
      if (made !== undefined) await syncFolder(this.#stateDir, this.#disk);
      await replaceFile(this.#pathOf(kept.revision.id), packed, this.#disk);
    });
  }

  async kept(id: string): Promise<KeptRevision | undefined> {
    const path = this.#pathOf(id);
    try {
      const kept = await decodeKept(await fs.readFile(path));
      if (kept.revision.id !== id) throw new TypeError(`it holds ${kept.revision.id}`);
      return kept;
    } catch (error) {
      if (isErrno(error, 'ENOENT')) return undefined;
      throw new OmniError(`the files of revision ${id} in ${path} cannot be used: ${messageOf(error)}`, {
        code: 'kept-revision-damaged',
        class: 'stall',
        object: `file/${path}`,
        fix: 'Let the node reach its source, which has the revision too; look at dmesg for a failing disk.',
        cause: error,
      });
    }
  }

  /** What a crash left half written goes too. */
  forget(except: readonly string[]): Promise<void> {
    return this.#inTurn(async () => {
      const wanted = new Set(except.map((id) => this.#pathOf(id)));
      for (const name of await namesIn(this.#revisions)) {
        const path = join(this.#revisions, name);
        if (!wanted.has(path)) await this.#disk.unlink(path);
      }
    });
  }

  #pathOf(id: string): string {
    return join(this.#revisions, `${createHash('sha256').update(id).digest('hex')}.gz`);
  }

  async #inTurn(write: () => Promise<void>): Promise<void> {
    const done = this.#turn.then(write);
    // A failed write is its caller's; the next one starts all the same.
    this.#turn = done.catch(() => undefined);
    try {
      await done;
    } catch (error) {
      // A file that its source did not hand over is told as the source tells it.
      throw error instanceof OmniError ? error : notSaved(this.#stateDir, error);
    }
  }

  /** Where a damaged record is now, in words. */
  async #setAside(): Promise<string> {
    try {
      const names = new Set(await namesIn(this.#stateDir));
      let number = 1;
      while (number < MAX_DAMAGED && names.has(`${RECORD}.damaged-${number}`)) number += 1;
      const aside = `${this.#record}.damaged-${number}`;
      await this.#disk.rename(this.#record, aside);
      return `it is now ${aside}`;
    } catch (error) {
      return `it could not be set aside: ${messageOf(error)}`;
    }
  }
}

async function readBounded(path: string): Promise<string> {
  const file = await fs.open(path, 'r');
  try {
    const { size } = await file.stat();
    if (size > MAX_RECORD_BYTES) throw new RangeError(`it is larger than ${MAX_RECORD_BYTES / 1024 / 1024} MiB`);
    return await file.readFile('utf8');
  } finally {
    await file.close();
  }
}

async function namesIn(folder: string): Promise<string[]> {
  try {
    return await fs.readdir(folder);
  } catch (error) {
    if (isErrno(error, 'ENOENT')) return [];
    throw error;
  }
}

/** Content that is not a record, or sectors that do not read: trying again helps neither. */
function isDamage(error: unknown): boolean {
  return !(error instanceof Error && 'syscall' in error) || isErrno(error, 'EIO') || isErrno(error, 'EISDIR');
}

function notReadable(path: string, cause: unknown): OmniError {
  return new OmniError(`${path} cannot be read: ${messageOf(cause)}`, {
    code: 'state-not-readable',
    class: 'stall',
    object: `file/${path}`,
    fix: FIXES[errnoOf(cause)] ?? 'Run as the user who owns it; ls -l says who that is.',
    exitCode: ExitCode.usage,
    cause,
  });
}

function errnoOf(error: unknown): string {
  return error instanceof Error && 'code' in error ? String(error.code) : '';
}

function notSaved(stateDir: string, cause: unknown): OmniError {
  return new OmniError(`the state in ${stateDir} is not saved: ${messageOf(cause)}`, {
    code: 'state-not-saved',
    class: 'retry',
    object: `file/${stateDir}`,
    fix: FIXES[errnoOf(cause)] ?? 'Make the folder writable; ls -ld and dmesg say more.',
    cause,
  });
}
