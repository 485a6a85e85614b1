import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { projectRoot } from '../../lab/lab.ts';

/** Where `scripts/kernels` leaves Debian's kernels: a folder per suite. */
const CACHE = join(projectRoot, 'build/kernels/debian');

export interface Kernel {
  /** As `uname -r` will say. */
  readonly release: string;
  /** The compressed kernel, `vmlinuz`. */
  readonly image: string;
  /** Those modules of ours that are not built in, by file, uncompressed. */
  readonly modules: readonly string[];
}

/** The newest kernel of a Debian suite when it was downloaded; undefined: it was not. */
export function kernelOf(suite: string): Kernel | undefined {
  const folder = join(CACHE, suite);
  // Written last.
  const release = join(folder, 'release');
  if (!existsSync(release)) return undefined;
  return {
    release: readFileSync(release, 'utf8').trim(),
    image: join(folder, 'vmlinuz'),
    modules: readdirSync(join(folder, 'modules'))
      .sort()
      .map((name) => join(folder, 'modules', name)),
  };
}
