import { cp, mkdir, symlink } from 'node:fs/promises';
import { join } from 'node:path';
import { projectRoot } from '../../lab/lab.ts';
import { must } from '../../lab/shell.ts';

const COPIED = ['dist', 'build', 'native/build', 'bin', 'bpf', 'package.json'];

/**
 * An installation in `folder` whose programs are another build's: an agent from there finds programs that are not its own
 * and replaces them under way. The code is the same; the object files differ by what they say of their origin.
 */
export async function otherBuild(folder: string): Promise<string> {
  await mkdir(join(folder, 'native'), { recursive: true });
  for (const each of COPIED) await cp(join(projectRoot, each), join(folder, each), { recursive: true });
  await symlink(join(projectRoot, 'node_modules'), join(folder, 'node_modules'));
  const found = await must(['make', '-s', '-C', join(projectRoot, 'bpf'), '--eval=which:;@echo $(CLANG)', 'which']);
  const compiler = `${found.trim()} -fdebug-compilation-dir=/another`;
  const objects = `OUT=${join(folder, 'build', 'bpf')}`;
  await must(['make', '-s', '-B', '-C', join(folder, 'bpf'), `CLANG=${compiler}`, objects]);
  return folder;
}
