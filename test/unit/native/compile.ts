import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';

const FIXTURES = join(import.meta.dirname, 'fixtures');

/** As bpf/Makefile chooses: `CLANG`, else the newest clang-NN on the path, else clang. */
function clang(): string {
  if (process.env.CLANG) return process.env.CLANG;
  const found = (process.env.PATH ?? '')
    .split(':')
    .filter((folder) => existsSync(folder))
    .flatMap((folder) => readdirSync(folder))
    .flatMap((name) => /^clang-(\d+)$/.exec(name)?.[1] ?? [])
    .map(Number);
  return found.length > 0 ? `clang-${Math.max(...found)}` : 'clang';
}

/** Compiles `fixtures/<name>.bpf.c` to `<output>` for the kernel. */
export function compileFixture(name: string, output: string, ...flags: string[]): string {
  const multiarch = `/usr/include/${process.arch === 'arm64' ? 'aarch64' : 'x86_64'}-linux-gnu`;
  const result = spawnSync(
    clang(),
    [
      '-target',
      'bpf',
      '-mcpu=v3',
      '-g',
      '-O2',
      '-Wall',
      '-Werror',
      '-isystem',
      multiarch,
      ...flags,
      '-c',
      join(FIXTURES, `${name}.bpf.c`),
      '-o',
      output,
    ],
    { encoding: 'utf8' },
  );
  if (result.status !== 0) throw new Error(`clang failed on ${name}: ${result.error?.message ?? result.stderr}`);
  return output;
}
