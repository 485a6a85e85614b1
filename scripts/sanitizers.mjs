// What scripts/sanitize.mjs and scripts/fuzz-native.mjs share: the compiler, its flags, and where the runtimes are.
import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';

export const root = join(import.meta.dirname, '..');

/** Undefined behaviour ends the process, as a memory error does. */
export const FLAGS = [
  '-fsanitize=address,undefined',
  '-fno-sanitize-recover=all',
  '-fno-omit-frame-pointer',
  '-O1',
  '-g',
];

const folders = (process.env.PATH ?? '').split(':').filter((folder) => existsSync(folder));

/** The newest clang++-NN on the path, else clang++: as bpf/Makefile chooses clang. */
export function compiler() {
  const versions = folders
    .flatMap((folder) => readdirSync(folder))
    .flatMap((name) => /^clang\+\+-(\d+)$/.exec(name)?.[1] ?? [])
    .map(Number);
  return versions.length > 0 ? `clang++-${Math.max(...versions)}` : 'clang++';
}

/** addr2line comes with binutils, which every compiler needs. llvm-symbolizer may be absent. */
export function symbolizer() {
  const path = folders.map((folder) => join(folder, 'addr2line')).find((file) => existsSync(file));
  return path === undefined ? [] : [`external_symbolizer_path=${path}`];
}

/** The standard output of a command. Throws with all that it said if it fails. */
export function must(command, args, options = {}) {
  const result = spawnSync(command, args, { cwd: root, encoding: 'utf8', ...options });
  if (result.status === 0) return result.stdout;
  const said = result.error?.message ?? `${result.stdout}${result.stderr}`;
  throw new Error(`${command} ${args.join(' ')} failed (fix: scripts/setup --sanitize):\n${said}`);
}

/** The exit code of a script's `main`; what it throws is told, and is a failure. */
export async function runMain(name, main) {
  try {
    process.exitCode = await main();
  } catch (error) {
    console.error(`${name}: ${error.message}`);
    process.exitCode = 1;
  }
}
