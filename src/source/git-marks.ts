import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { replaceFile } from '../durable.ts';
import { unwritable } from './git-errors.ts';

/** What this node accepted from one repository, wherever it was fetched from. */
interface SourceRecord {
  /** Name of the cache below the cache folder. */
  readonly cache: string;
  /** As configured last; without credentials. */
  readonly remotes: readonly string[];
  /** Branch or tag (without `refs/heads/`, `refs/tags/`) -> the newest commit that was accepted. */
  readonly accepted: Readonly<Record<string, string>>;
}

const FILE = 'mark.json';
const KEPT = 8;

/**
 * The high-water marks, in `<cacheDir>/mark.json`: `{"version":1,"sources":[{"cache":"…","remotes":["…"],
 * "accepted":{"main":"<commit>"}}]}`, newest source first. Beside the caches, so that losing one loses no mark. Remotes
 * that share one URL with those of a record are the same source: order and number may change, the mark stays.
 */
export class Marks {
  /** The file is there and cannot be read: what was accepted is not known. */
  readonly damaged: boolean;
  /** Another repository was followed before, and none of its remotes is configured now. */
  readonly replaces: readonly string[] | undefined;
  readonly #path: string;
  readonly #others: readonly SourceRecord[];
  #record: SourceRecord;
  #written: SourceRecord | undefined;

  private constructor(path: string, remotes: readonly string[], records: readonly SourceRecord[] | undefined) {
    const known = records?.find((record) => record.remotes.some((remote) => remotes.includes(remote)));
    this.#path = path;
    this.damaged = records === undefined;
    this.#others = records?.filter((record) => record !== known) ?? [];
    this.replaces = known === undefined ? this.#others[0]?.remotes : undefined;
    const cache = known?.cache ?? freeCacheName(remotes[0] ?? '', this.#others);
    this.#record = { cache, remotes, accepted: known?.accepted ?? {} };
    this.#written = known;
  }

  /** `remotes` holds at least one. */
  static async open(cacheDir: string, remotes: readonly string[]): Promise<Marks> {
    const path = join(cacheDir, FILE);
    try {
      return new Marks(path, remotes, decode(await readFile(path, 'utf8')));
    } catch (error) {
      const missing = error instanceof Error && 'code' in error && error.code === 'ENOENT';
      return new Marks(path, remotes, missing ? [] : undefined);
    }
  }

  get path(): string {
    return this.#path;
  }

  /** Folder name of the cache that belongs to these remotes. */
  get cache(): string {
    return this.#record.cache;
  }

  accepted(ref: string): string | undefined {
    return Object.hasOwn(this.#record.accepted, ref) ? this.#record.accepted[ref] : undefined;
  }

  /** Durable once it resolves. Throws `source-cache-unwritable`; the old mark is in place then. */
  async accept(ref: string, commit: string): Promise<void> {
    if (this.accepted(ref) === commit && this.#record.remotes.join() === this.#written?.remotes.join()) return;
    const record = { ...this.#record, accepted: { ...this.#record.accepted, [ref]: commit } };
    const sources = [record, ...this.#others].slice(0, KEPT);
    try {
      await replaceFile(this.#path, `${JSON.stringify({ version: 1, sources }, undefined, 2)}\n`);
    } catch (error) {
      throw unwritable(this.#record.remotes[0] ?? '', error);
    }
    this.#record = record;
    this.#written = record;
  }
}

/** The same for the same first remote, lest a lost mark file lose the cache too; but never that of another source. */
function freeCacheName(remote: string, others: readonly SourceRecord[]): string {
  const taken = new Set(others.map(({ cache }) => cache));
  for (let number = 0; ; number += 1) {
    const text = number === 0 ? remote : `${remote} ${number}`;
    const name = createHash('sha256').update(text).digest('hex').slice(0, 32);
    if (!taken.has(name)) return name;
  }
}

function decode(text: string): readonly SourceRecord[] | undefined {
  const { version, sources } = JSON.parse(text) as Record<string, unknown>;
  return version === 1 && Array.isArray(sources) && sources.every(isRecord) ? sources : undefined;
}

function isRecord(value: unknown): value is SourceRecord {
  if (typeof value !== 'object' || value === null) return false;
  const { cache, remotes, accepted } = value as Record<string, unknown>;
  return (
    typeof cache === 'string' &&
    /^[0-9a-f]{32}$/.test(cache) &&
    Array.isArray(remotes) &&
    remotes.every((remote) => typeof remote === 'string') &&
    typeof accepted === 'object' &&
    accepted !== null &&
    Object.values(accepted).every((commit) => typeof commit === 'string' && /^[0-9a-f]{40}$/.test(commit))
  );
}
