import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { compileFixture } from '../unit/native/compile.ts';

/*
 * The addon against the kernel. A test worker cannot leave its namespaces, so each scenario of native/*.mjs is a node
 * process of its own in fresh network and mount namespaces; they go with it, and so does what it made.
 */
const runner = join(import.meta.dirname, 'native/run.mjs');
let folder: string;

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'omni-native-'));
  compileFixture('small', join(folder, 'small.bpf.o'));
  compileFixture('small', join(folder, 'other.bpf.o'), '-DOTHER_LAYOUT');
  compileFixture('refused', join(folder, 'refused.bpf.o'));
});
afterAll(() => rmSync(folder, { recursive: true }));

function run(
  file: string,
  title: string,
): { status: number | null; signal: string | null; stdout: string; stderr: string } {
  const command = ['--net', '--mount', '--propagation', 'private', process.execPath, runner, file, title];
  const { status, signal, stdout, stderr } = spawnSync('unshare', command, {
    encoding: 'utf8',
    timeout: 30_000,
    env: { ...process.env, OMNI_TEST_FOLDER: folder, NODE_OPTIONS: '' },
  });
  return { status, signal, stdout, stderr };
}

for (const file of ['netlink.mjs', 'packet.mjs', 'udp.mjs', 'bpf.mjs', 'lifecycle.mjs']) {
  const url = new URL(`native/${file}`, import.meta.url).href;
  const { scenarios } = (await import(/* @vite-ignore */ url)) as { scenarios: Record<string, unknown> };
  describe(file, () => {
    it.each(Object.keys(scenarios))('%s', (title) => {
      // Silence counts: libbpf and the kernel's messages belong into errors, not on stderr.
      expect(run(file, title)).toEqual({ status: 0, signal: null, stdout: '', stderr: '' });
    });
  });
}
