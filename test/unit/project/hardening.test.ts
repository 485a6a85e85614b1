import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { projectRoot } from '../../../lab/lab.ts';

const addon = join(projectRoot, 'native/build/Release/omni_native.node');

function readelf(...options: string[]): string {
  const { status, stdout, stderr } = spawnSync('readelf', ['--wide', ...options, addon], { encoding: 'utf8' });
  expect(status, stderr).toBe(0);
  return stdout;
}

it('the addon is bound when it is loaded, and its relocations are read-only from then on', () => {
  expect(readelf('--dynamic')).toMatch(/\(FLAGS\).*BIND_NOW/);
  expect(readelf('--program-headers')).toMatch(/GNU_RELRO/);
});

it('the addon has no executable stack and no relocations in its code', () => {
  expect(readelf('--program-headers')).toMatch(/GNU_STACK(?:\s+0x[0-9a-f]+){5}\s+RW\s/);
  expect(readelf('--dynamic')).not.toMatch(/TEXTREL/);
});

it('the addon has stack protectors and fortified functions', () => {
  const symbols = readelf('--dyn-syms');
  expect(symbols).toMatch(/UND __stack_chk_fail/);
  expect(symbols).toMatch(/UND __(?!stack)\w+_chk/);
});
