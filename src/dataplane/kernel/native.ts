import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import type * as addon from '../../../native/index.d.ts';
import { OmniError } from '../../errors.ts';

export type * from '../../../native/index.d.ts';
/** The addon's functions and classes (`native/index.d.ts`). */
export type Native = typeof addon;

const ADDON = 'native/build/Release/omni_native.node';
let loaded: Native | undefined;

/** This module runs from `src/` (tests) and from `dist/src/`: the package's root is the next folder up with a package.json. */
function packageRoot(start: string): string {
  let folder = start;
  while (!existsSync(join(folder, 'package.json')) && dirname(folder) !== folder) folder = dirname(folder);
  return folder;
}

/**
 * Loads the addon, once per thread. Throws OmniError `native-missing` where it was not built, `native-unloadable`
 * where it does not fit this system (another Node ABI, a missing libbpf.so).
 */
export function loadNative(): Native {
  if (loaded === undefined) {
    const path = join(packageRoot(import.meta.dirname), ADDON);
    loaded = requireAddon(path);
  }
  return loaded;
}

/** `loadNative` for a given path. */
export function requireAddon(path: string): Native {
  const fix = 'Run `npm run setup && npm run build`.';
  if (!existsSync(path)) {
    throw new OmniError(`The native addon is not built: ${path} does not exist.`, {
      code: 'native-missing',
      class: 'stall',
      fix,
    });
  }
  try {
    return createRequire(import.meta.url)(path) as Native;
  } catch (cause) {
    throw new OmniError(`The native addon cannot be loaded: ${path}: ${messageOf(cause)}`, {
      code: 'native-unloadable',
      class: 'stall',
      fix,
      cause,
    });
  }
}

function messageOf(cause: unknown): string {
  return cause instanceof Error ? cause.message : String(cause);
}
