import { spawnSync } from 'node:child_process';
import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { omni } from './run.ts';

/* The bash script in a real bash, with an `omni` on the path that knows two peers and two revisions. */

let folder: string;
let script: string;
beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'omni-cli-completion-'));
  script = join(folder, 'omni.bash');
  writeFileSync(script, (await omni(['completion', 'bash'])).stdout);
  writeFileSync(
    join(folder, 'omni'),
    `#!/bin/sh
case "$*" in
  "history -o name") printf "450796dd\\n45ffffff\\n" ;;
  "get $2 -o name") printf "peer/robot-1\\npeer/robot-2\\n" ;;
  *) exit 1 ;;
esac
`,
  );
  chmodSync(join(folder, 'omni'), 0o755);
  mkdirSync(join(folder, 'fleet of mine'));
  writeFileSync(join(folder, 'robot.yaml'), '');
});
afterAll(() => rmSync(folder, { recursive: true }));

/** What bash offers for the last of these words. */
function complete(...words: readonly string[]): string[] {
  const program = `
    set -u
    source "$1"; shift
    COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); COMPREPLY=()
    compopt() { :; }
    _omni
    ((\${#COMPREPLY[@]} == 0)) || printf '%s\\n' "\${COMPREPLY[@]}"`;
  const run = spawnSync('bash', ['--norc', '-c', program, 'bash', script, ...words], {
    cwd: folder,
    encoding: 'utf8',
    env: { PATH: `${folder}:${process.env.PATH}` },
  });
  expect(run.stderr).toBe('');
  expect(run.status).toBe(0);
  return run.stdout.split('\n').filter((line) => line !== '');
}

describe('bash', () => {
  it('accepts the script, and binds it to omni', () => {
    const run = spawnSync('bash', ['--norc', '-c', `source ${script} && complete -p omni`], { encoding: 'utf8' });
    expect(run).toMatchObject({ status: 0, stderr: '' });
    expect(run.stdout).toContain('-F _omni omni');
  });

  it('offers verbs, also after a global flag and its value', () => {
    expect(complete('omni', 'rec')).toEqual(['reconcile']);
    expect(complete('omni', '')).toEqual(expect.arrayContaining(['agent', 'diff', 'get', 'help', 'init']));
    expect(complete('omni', '--color', 'never', 'va')).toEqual(['validate']);
    expect(complete('omni', 'help', 'val')).toEqual(['validate']);
  });

  it('offers flags of the verb and of all verbs', () => {
    expect(complete('omni', 'get', '--se')).toEqual(['--selector']);
    expect(complete('omni', 'get', 'peers', '--co')).toEqual(['--color']);
    expect(complete('omni', '--ver')).toEqual(['--version', '--verbose']);
    expect(complete('omni', 'status', '--rev')).toEqual([]);
  });

  it('offers values: choices, after a space or an equals sign, and files', () => {
    expect(complete('omni', 'get', 'peers', '-o', 'y')).toEqual(['yaml']);
    expect(complete('omni', 'get', '--output', '=', 'j')).toEqual(['json']);
    expect(complete('omni', 'get', '--output', '=')).toContain('table');
    expect(complete('omni', '--color', 'a')).toEqual(['auto', 'always']);
    expect(complete('omni', 'apply', '-f', 'fl')).toEqual(['fleet of mine']);
    expect(complete('omni', 'apply', '-f', 'ro')).toEqual(['robot.yaml']);
    expect(complete('omni', 'agent', '--state-dir', 'ro')).toEqual([]);
    expect(complete('omni', 'agent', '--interval', '')).toEqual([]);
  });

  it('offers arguments: kinds, names that the agent knows, shells', () => {
    expect(complete('omni', 'get', 'pe')).toEqual(['peers']);
    expect(complete('omni', 'get', '-o', 'json', 'se')).toEqual(['sessions']);
    expect(complete('omni', 'get', 'peers', 'robot-')).toEqual(['robot-1', 'robot-2']);
    expect(complete('omni', 'describe', 'peer/')).toEqual(['peer/robot-1', 'peer/robot-2']);
    expect(complete('omni', 'why', 'peer/robot-2')).toEqual(['peer/robot-2']);
    expect(complete('omni', 'wait', '--timeout', '1m', 'peer/')).toEqual(['peer/robot-1', 'peer/robot-2']);
    expect(complete('omni', 'completion', 'z')).toEqual(['zsh']);
  });

  it('offers revisions and objects that the agent knows, for arguments and for values', () => {
    expect(complete('omni', 'retry', '')).toEqual(['450796dd', '45ffffff']);
    expect(complete('omni', 'confirm', '--allow-partition', '45f')).toEqual(['45ffffff']);
    expect(complete('omni', 'rollback', '--to', '450')).toEqual(['450796dd']);
    expect(complete('omni', 'events', '--for', '=', 'peer/robot-1')).toEqual(['peer/robot-1']);
  });
});

describe.each(['zsh', 'fish'])('%s', (shell) => {
  it('has a script that names every verb and flag', async () => {
    const { stdout } = await omni(['completion', shell]);
    for (const word of ['reconcile', 'rollback', 'completion', 'selector', 'dry-run', 'state-dir'])
      expect(stdout).toContain(word);
  });

  const installed = spawnSync(shell, ['-c', 'exit 0']).status === 0;
  it.skipIf(!installed)(`is accepted by ${shell}${installed ? '' : ' (skipped: not installed)'}`, async () => {
    const path = join(folder, `omni.${shell}`);
    writeFileSync(path, (await omni(['completion', shell])).stdout);
    const run = spawnSync(shell, ['-n', path], { encoding: 'utf8' });
    expect(run).toMatchObject({ status: 0, stderr: '' });
  });
});
