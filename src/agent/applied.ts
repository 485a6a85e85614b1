import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { replaceFile } from '../durable.ts';
import { ExitCode, OmniError } from '../errors.ts';
import type { ManifestFile } from '../manifest/model.ts';
import type { Snapshot, Source } from '../source/source.ts';
import type { FileSet } from './api.ts';
import { isErrno, messageOf } from './lock.ts';

const FILE = 'applied.json';

/**
 * The source of a node that follows none: the set that `omni apply` handed over last, kept in
 * `<stateDir>/applied.json` as `{"version":1,"time":"…","files":[{"path":"…","text":"…"}]}`.
 */
export class AppliedSource implements Source {
  readonly kind = 'applied';
  readonly description = 'sets handed over by omni apply';
  readonly #path: string;
  #current: Snapshot | undefined;
  #wake: (() => void) | undefined;

  constructor(stateDir: string) {
    this.#path = join(stateDir, FILE);
  }

  async fetch(): Promise<Snapshot> {
    const snapshot = await this.cached();
    if (snapshot !== undefined) return snapshot;
    throw new OmniError('no set was applied to this node yet', {
      code: 'nothing-applied',
      class: 'wait',
      exitCode: ExitCode.source,
      fix: 'Run omni apply -f FOLDER, or start the agent with --source.',
    });
  }

  async cached(): Promise<Snapshot | undefined> {
    this.#current ??= await this.#load();
    return this.#current;
  }

  async at(rev: string): Promise<Snapshot> {
    const snapshot = await this.fetch();
    if (snapshot.revision.id === rev || snapshot.revision.label === rev) return snapshot;
    throw new OmniError(`nobody applied ${rev} last, and this node keeps no copy of it`, {
      code: 'source-ref-missing',
      class: 'stall',
      exitCode: ExitCode.source,
      fix: 'Apply the older set again: omni apply -f FOLDER; a git repository as the source has a history.',
    });
  }

  /** Handed over by a person on this machine: there is no origin to lose. */
  async reachable(): Promise<void> {}

  watch(wake: () => void): () => Promise<void> {
    this.#wake = wake;
    wake();
    return async () => {
      this.#wake = undefined;
    };
  }

  /** Makes a set the source's newest, durably, and wakes whoever watches. */
  async replace(set: FileSet, nowMs: number): Promise<Snapshot> {
    const time = new Date(nowMs).toISOString();
    await replaceFile(this.#path, JSON.stringify({ version: 1, time, files: set.files }));
    this.#current = snapshotOf(set, time);
    this.#wake?.();
    return this.#current;
  }

  async #load(): Promise<Snapshot | undefined> {
    try {
      const { version, time, files } = JSON.parse(await readFile(this.#path, 'utf8')) as Record<string, unknown>;
      if (version !== 1 || typeof time !== 'string' || !isFileList(files)) throw new TypeError('unknown form');
      return snapshotOf({ files }, time);
    } catch (error) {
      if (isErrno(error, 'ENOENT')) return undefined;
      throw new OmniError(`${this.#path} cannot be read: ${messageOf(error)}`, {
        code: 'source-cache-damaged',
        class: 'stall',
        exitCode: ExitCode.source,
        fix: 'Apply the set again: omni apply -f FOLDER.',
        cause: error,
      });
    }
  }
}

export function isFileList(value: unknown): value is FileSet['files'] {
  return (
    Array.isArray(value) &&
    value.every((file: unknown) => {
      if (typeof file !== 'object' || file === null) return false;
      const { path, text, ...rest } = file as Record<string, unknown>;
      return typeof path === 'string' && typeof text === 'string' && Object.keys(rest).length === 0;
    })
  );
}

/** A set as a snapshot; its id is that of its content. */
export function snapshotOf(set: FileSet, time?: string): Snapshot {
  const files = set.files.map(({ path, text }): ManifestFile => {
    const bytes = Buffer.from(text, 'utf8');
    const blob = createHash('sha256').update(bytes).digest('hex');
    return { path, blob, size: bytes.length, read: async () => bytes };
  });
  files.sort((a, b) => (a.path < b.path ? -1 : a.path > b.path ? 1 : 0));
  const hash = createHash('sha256');
  for (const { path, blob } of files) hash.update(`${path}\0${blob}\n`);
  const id = `sha256:${hash.digest('hex')}`;
  return { revision: { id, label: `applied@${id}`, ...(time === undefined ? {} : { time }) }, files };
}
