import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { manifests, robot } from './fixture.ts';
import { omni } from './run.ts';

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'omni-cli-validate-'));
  for (const [path, text] of Object.entries(manifests([1, 2]))) await writeFile(join(folder, path), text);
});
afterEach(() => rm(folder, { recursive: true }));

const validate = (...argv: string[]) => omni(['validate', ...argv], { cwd: folder });

describe('validate', () => {
  it('a valid fleet: a line on stdout, nothing on stderr, exit 0', async () => {
    expect(await validate('-f', '.')).toEqual({ code: 0, stdout: '5 objects valid\n', stderr: '' });
  });

  it('names every error at once, with file:line:column and the fix, exit 2', async () => {
    await writeFile(join(folder, 'robot-2.yaml'), robot(2).replace('10.77.0.2', '10.99.0.2'));
    await writeFile(join(folder, 'robot-3.yaml'), robot(3).replace('spec:', 'colour: red\nspec:'));
    const outcome = await validate('-f', '.');
    expect(outcome).toMatchObject({ code: 2, stdout: 'invalid: 2 errors\n' });
    expect(outcome.stderr).toMatch(/^robot-2\.yaml:12:38: error: 10\.99\.0\.2 .* \[vip-outside-subnets\]\n {4}fix: /m);
    expect(outcome.stderr).toMatch(/^robot-3\.yaml:4:1: error: .*colour.*\n {4}fix: /m);
    const report = JSON.parse((await validate('-f', '.', '-o', 'json')).stdout);
    expect(report).toMatchObject({ kind: 'ValidationReport', valid: false });
    expect(report.diagnostics).toHaveLength(2);
  });

  it('reads files, folders, folders below them with -R, and stdin', async () => {
    await mkdir(join(folder, 'north'));
    await writeFile(join(folder, 'north', 'robot-3.yaml'), robot(3));
    expect((await validate('-f', '.')).stdout).toBe('5 objects valid\n');
    expect((await validate('-R', '-f', '.')).stdout).toBe('7 objects valid\n');
    expect((await validate('-f', '.', '-f', 'north')).stdout).toBe('7 objects valid\n');
    expect((await omni(['validate', '-f', '.', '-f', '-'], { cwd: folder, stdin: robot(4) })).stdout).toBe(
      '7 objects valid\n',
    );
  });

  it.each([
    ['a path that is not there', ['-f', 'nowhere'], /^error: nowhere: there is no such file/],
    ['an empty folder', ['-f', 'empty'], /error: /],
    ['broken YAML', ['-f', 'broken.yaml'], /^broken\.yaml:1:\d+: error: /],
    ['text that is not UTF-8', ['-f', 'latin1.yaml'], /^latin1\.yaml:.*UTF-8/],
    ['documents of others alone', ['-f', 'foreign.yaml'], /error: .*\[no-objects\]/],
  ])('refuses %s with exit 2', async (_what, argv, message) => {
    await mkdir(join(folder, 'empty'));
    await writeFile(join(folder, 'broken.yaml'), 'a: [b');
    await writeFile(join(folder, 'latin1.yaml'), Buffer.from([0x61, 0xe4, 0x62]));
    await writeFile(join(folder, 'foreign.yaml'), 'apiVersion: v1\nkind: Pod\n');
    const outcome = await validate(...argv);
    expect(outcome.code, outcome.stdout).toBe(2);
    expect(outcome.stderr).toMatch(message);
  });
});
