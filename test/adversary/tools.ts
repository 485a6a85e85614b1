import { join } from 'node:path';
import { must } from '../../lab/shell.ts';

/** The programs of this folder's `tools/`, compiled for one test run into the lab's folder. */
export async function compileTool(name: 'wire' | 'witness', folder: string): Promise<string> {
  const source = new URL(`./tools/${name}.c`, import.meta.url).pathname;
  const program = join(folder, name);
  await must(['cc', '-O2', '-Wall', '-Werror', '-o', program, source]);
  return program;
}
