import type { Stats } from 'node:fs';
import { realpath, stat } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';

const STICKY = 0o1000;

/**
 * Why others than root and this user can change what `path` holds, for people: it or a folder above it may be written
 * by others. Undefined: they cannot. Throws as `stat` does.
 */
export async function exposureOf(path: string): Promise<string | undefined> {
  const named = resolve(path);
  const real = await realpath(named);
  const own = writersOf(await stat(real));
  if (own !== undefined) return `${path} ${own}`;
  for (const folder of new Set([...ancestors(named), ...ancestors(real)])) {
    const info = await stat(folder);
    const writers = writersOf(info);
    // In a sticky folder (/tmp) nobody else can replace what is another's.
    const sticky = (info.mode & STICKY) !== 0 && isTrusted(info.uid);
    if (writers !== undefined && !sticky) return `${folder}, which ${path} lies in, ${writers}`;
  }
  return undefined;
}

/** The same of a file or folder by itself. */
export function writersOf({ mode, uid }: Pick<Stats, 'mode' | 'uid'>): string | undefined {
  if ((mode & 0o022) !== 0) {
    const octal = (mode & 0o777).toString(8).padStart(4, '0');
    return `has mode ${octal}: others than its owner may write it`;
  }
  return isTrusted(uid) ? undefined : `belongs to user id ${uid}, neither root nor the agent's user`;
}

function isTrusted(uid: number): boolean {
  return uid === 0 || uid === process.geteuid?.();
}

function ancestors(path: string): string[] {
  const parent = dirname(path);
  return parent === path ? [] : [parent, ...ancestors(parent)];
}
