import { readFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { reportError } from '../../../src/cli/errors.ts';
import type { Io } from '../../../src/cli/io.ts';
import { Flag } from '../../../src/cli/options.ts';
import { createProgram } from '../../../src/cli/program.ts';
import { renderReference } from '../../../src/cli/reference.ts';
import { createStyle } from '../../../src/cli/style.ts';
import { OmniError } from '../../../src/errors.ts';
import { NOW_MS, neverInterrupted, omni } from './run.ts';

const silent = { write: () => undefined, isTTY: false, columns: undefined };
const io: Io = {
  stdin: (async function* () {})(),
  stdout: silent,
  stderr: silent,
  env: {},
  cwd: '/',
  signal: neverInterrupted,
  stdoutClosed: neverInterrupted,
  now: () => NOW_MS,
  sleep: async () => undefined,
};
const program = createProgram({ io, exitCode: 0 });

describe('usage', () => {
  it('says which verbs there are when none is given, exit 0', async () => {
    const outcome = await omni([]);
    expect(outcome).toMatchObject({ code: 0, stderr: '' });
    for (const command of program.commands) expect(outcome.stdout).toContain(`  ${command.name()} `);
    expect(await omni(['--help'])).toEqual(outcome);
    expect(await omni(['--color', 'never'])).toEqual(outcome);
  });

  it('help fits 80 columns', async () => {
    for (const argv of [[], ...program.commands.map((command) => [command.name(), '--help'])]) {
      const { code, stdout, stderr } = await omni(argv, { columns: 80 });
      expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
      for (const line of stdout.split('\n')) expect(line.length, line).toBeLessThanOrEqual(80);
    }
  });

  it.each([
    [['gte'], "error: unknown command 'gte'\n  fix: Did you mean get? See `omni --help`.\n"],
    [
      ['get', 'peers', '--selectr', 'x'],
      "error: unknown option '--selectr'\n  fix: Did you mean --selector? See `omni get --help`.\n",
    ],
    [['get'], "error: missing required argument 'kind'\n  fix: See `omni get --help`.\n"],
    [['get', 'pears'], /^error: there is no kind 'pears'\n {2}fix: Ask for one of peers, vips/],
    [['get', 'peers', 'a', 'b'], /^error: too many arguments/],
    [['status', '-o', 'name'], /^error: .*Allowed choices are table, json, yaml/],
    [['status', '--timeout', '5'], /^error: .*It has no unit/],
    [['validate'], /^error: no manifests were named\n {2}fix: /],
    [['events', '--for', 'robot-1'], /^error: 'robot-1' names no object/],
    [['diff', '--node', 'x'], /^error: --node and -l/],
    [['diff', '--rev', 'a..b', '-f', 'x'], /^error: --rev and -f/],
    [['diff', '--rev', 'a..b..c'], /^error: --rev 'a..b..c'/],
    [['diff', '--rev', 'a...b'], /^error: --rev 'a...b'/],
    [['completion', 'tcsh'], /^error: there is no completion for the shell 'tcsh'/],
    [['doctor', '--port', '65536'], /^error: .*1 to 65535/],
    [['get', 'peers', '-l', 'a>b'], /^error: cannot read the selector 'a>b'/],
  ])('%j is refused with exit 2 and a way out', async (argv, stderr) => {
    const outcome = await omni(argv);
    expect(outcome).toMatchObject({ code: 2, stdout: '' });
    if (typeof stderr === 'string') expect(outcome.stderr).toBe(stderr);
    else expect(outcome.stderr).toMatch(stderr);
    expect(outcome.stderr).toMatch(/\n {2}fix: ./);
  });

  it('prints the version alone', async () => {
    const { version } = JSON.parse(readFileSync('package.json', 'utf8')) as { version: string };
    expect(await omni(['--version'])).toEqual({ code: 0, stdout: `${version}\n`, stderr: '' });
  });
});

describe('the environment', () => {
  it('has a variable for every flag', () => {
    for (const command of [program, ...program.commands]) {
      for (const option of command.options) {
        if (option.long === '--version') continue;
        expect(option, option.flags).toBeInstanceOf(Flag);
        expect((option as Flag).variable).toBe(`OMNI_${option.long?.slice(2).replaceAll('-', '_').toUpperCase()}`);
      }
    }
  });

  it('stands in for a flag that is not given, and gives way to one that is', async () => {
    const env = { OMNI_SOCKET: '/from/env.sock' };
    expect((await omni(['status'], { env })).stderr).toContain('/from/env.sock');
    expect((await omni(['status', '--socket', '/from/flag.sock'], { env })).stderr).toContain('/from/flag.sock');
    expect((await omni(['status'], { env: { OMNI_SOCKET: '' } })).stderr).toContain('/run/omni/omni.sock');
  });

  it('is checked like the flag', async () => {
    const wrong = await omni(['status'], { env: { OMNI_OUTPUT: 'xml' } });
    expect(wrong.code).toBe(2);
    expect(wrong.stderr).toContain("the variable OMNI_OUTPUT is 'xml'");
    expect(await omni(['status'], { env: { OMNI_TIMEOUT: 'soon' } })).toMatchObject({ code: 2 });
    expect(await omni(['validate', '-f', '.'], { env: { OMNI_RECURSIVE: 'perhaps' } })).toMatchObject({ code: 2 });
  });

  it('reaches repeatable and yes-or-no flags, and those of all verbs', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'omni-cli-env-'));
    const env = { OMNI_FILENAME: 'a.yaml, b.yaml', OMNI_RECURSIVE: '1' };
    const outcome = await omni(['validate'], { env, cwd: folder });
    expect(outcome.stderr).toContain('a.yaml: there is no such file');
    expect((await omni(['--version'], { env: { OMNI_COLOR: 'pink' } })).code).toBe(0);
    expect(await omni(['status'], { env: { OMNI_COLOR: 'pink' } })).toMatchObject({ code: 2 });
    await rm(folder, { recursive: true });
  });
});

describe('colours', () => {
  const red = '\x1b[31merror:\x1b[0m';
  it.each([
    ['on a terminal', [], { columns: 80 }, true],
    ['not in a pipe', [], {}, false],
    ['not with NO_COLOR', [], { columns: 80, env: { NO_COLOR: '1' } }, false],
    ['not on a dumb terminal', [], { columns: 80, env: { TERM: 'dumb' } }, false],
    ['always where asked for', ['--color', 'always'], { env: { NO_COLOR: '1' } }, true],
    ['never where asked for', ['--color', 'never'], { columns: 80 }, false],
    ['by the variable', [], { columns: 80, env: { OMNI_COLOR: 'never' } }, false],
  ])('%s', async (_name, flags, options, colored) => {
    const { stderr } = await omni(['status', '--socket', '/nowhere', ...flags], options);
    expect(stderr.includes(red)).toBe(colored);
  });
});

describe('errors', () => {
  const written: string[] = [];
  const stderr = { ...silent, write: (text: string) => void written.push(text) };
  function report(error: unknown, verbose = false): { code: number; text: string } {
    written.length = 0;
    const style = createStyle({ color: false, utf8: true });
    const code = reportError(error, { io: { ...io, stderr }, style, verbose, verb: 'get' });
    return { code, text: written.join('') };
  }

  it('keep their exit code and say what, where and what to do', () => {
    const error = new OmniError('the kernel refused it', {
      code: 'x',
      class: 'stall',
      object: 'link/omni0',
      fix: 'Do this.',
      exitCode: 3,
    });
    expect(report(error)).toEqual({ code: 3, text: 'error: link/omni0: the kernel refused it\n  fix: Do this.\n' });
  });

  it('that nobody foresaw are exit 1, short, and whole with --verbose', () => {
    const error = new Error('boom\nsecond line', { cause: new Error('below') });
    expect(report(error)).toMatchObject({
      code: 1,
      text: expect.stringMatching(/^error: unexpected: boom\n {2}fix: .*\n$/),
    });
    expect(report(error, true).text).toContain('caused by: Error: below');
    expect(report('text')).toMatchObject({ code: 1 });
  });

  it('show control characters instead of sending them to the terminal', () => {
    expect(report(new OmniError('a\x1b[2Jb', { code: 'x', class: 'bug' })).text).toBe('error: a\\u{1b}[2Jb\n');
  });
});

describe('the reference', () => {
  it('docs/cli.md says what the command tree says', () => {
    expect(readFileSync('docs/cli.md', 'utf8'), 'run: npm run generate').toBe(renderReference(program));
  });
});
