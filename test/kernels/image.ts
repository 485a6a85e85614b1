import { existsSync } from 'node:fs';
import { cp, mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { projectRoot } from '../../lab/lab.ts';
import { must } from '../../lab/shell.ts';
import type { Kernel } from './kernels.ts';

const WORK = join(projectRoot, 'build/kernels/image');
const COMPILED = join(projectRoot, 'build/kernels/compiled');
const STAGE = join(WORK, 'root');
const PROJECT = join(STAGE, 'omni');
/** What the guest runs besides busybox: by name, found on the path. */
const PROGRAMS = ['ip', 'ethtool', 'ping', 'flock'];
const ADDON = 'native/build/Release/omni_native.node';
const BASE = join(WORK, 'base.cpio');

/** The script that kernels under test run, as `stageProject` leaves it: it can be run on this machine's kernel too. */
export const guestScript = join(PROJECT, 'dist/test/kernels/guest/main.js');

/** Copies what the script needs of this checkout, as it was built, away from what others may change meanwhile. */
export async function stageProject(): Promise<void> {
  for (const folder of [WORK, COMPILED]) await rm(folder, { recursive: true, force: true });
  await must(['npx', '--no-install', 'tsc', '-p', join(import.meta.dirname, 'tsconfig.json')], { cwd: projectRoot });
  const copies = ['bin', 'build/bpf', 'dist', 'package.json', 'schema', 'test/vectors', ADDON];
  for (const path of [...copies, 'test/netns/plane-child.mjs', ...(await productionPackages())]) {
    await cp(join(projectRoot, path), join(PROJECT, path), { recursive: true, dereference: true });
  }
  await cp(join(COMPILED, 'test'), join(PROJECT, 'dist/test'), { recursive: true });
}

/**
 * Makes of the staged project what every kernel boots into: node and the programs that it runs, each with its shared
 * libraries, busybox, and `init`, the first process.
 */
export async function makeBase(): Promise<void> {
  for (const folder of ['dev', 'proc', 'sys', 'run', 'tmp', 'root', 'etc']) {
    await mkdir(join(STAGE, folder), { recursive: true });
  }
  const busybox = await find('busybox');
  await place(busybox, '/bin/busybox');
  // What #!/usr/bin/env asks for.
  await place(busybox, '/usr/bin/env');
  const programs = await Promise.all(PROGRAMS.map(find));
  for (const program of [...programs, process.execPath]) {
    await place(program, join('/usr/bin', basename(program)));
    await placeLibraries(program);
  }
  await placeLibraries(join(projectRoot, ADDON));
  await place(join(import.meta.dirname, 'init'), '/init');
  await archive(STAGE, BASE);
}

/** The whole initramfs for one kernel: the base, then its modules. */
export async function makeInitramfs(kernel: Kernel): Promise<string> {
  const stage = join(WORK, kernel.release);
  await mkdir(join(stage, 'modules'), { recursive: true });
  const names = kernel.modules.map((module) => basename(module));
  for (const module of kernel.modules) await cp(module, join(stage, 'modules', basename(module)));
  await writeFile(join(stage, 'modules/order'), names.map((name) => `/modules/${name}\n`).join(''));
  const file = join(WORK, `${kernel.release}.cpio`);
  await archive(stage, file);
  // The kernel unpacks one archive after the other.
  await writeFile(file, Buffer.concat([await readFile(BASE), await readFile(file)]));
  return file;
}

async function find(program: string): Promise<string> {
  return (await must(['sh', '-c', 'command -v "$1"', 'sh', program])).trim();
}

async function place(from: string, to: string): Promise<void> {
  await mkdir(dirname(join(STAGE, to)), { recursive: true });
  await cp(from, join(STAGE, to), { dereference: true });
}

async function placeLibraries(program: string): Promise<void> {
  const libraries = (await must(['ldd', program])).matchAll(/(?:=> )?(\/\S+) \(0x/g);
  for (const [, path = ''] of libraries) await place(path, path);
}

/** Folders below node_modules that an installation for use has. */
async function productionPackages(): Promise<readonly string[]> {
  const lock = JSON.parse(await readFile(join(projectRoot, 'package-lock.json'), 'utf8')) as {
    packages: Record<string, { dev?: boolean }>;
  };
  return Object.entries(lock.packages)
    .filter(([path, { dev }]) => path !== '' && dev !== true)
    .map(([path]) => path)
    .filter((path) => existsSync(join(projectRoot, path)));
}

async function archive(folder: string, file: string): Promise<void> {
  await must([
    'sh',
    '-c',
    'cd "$1" && find . | cpio --create --format=newc --owner=0:0 --quiet >"$2"',
    'sh',
    folder,
    file,
  ]);
}
