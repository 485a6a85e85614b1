import { spawn, spawnSync } from 'node:child_process';
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Event } from '../../../src/agent/api.ts';
import { EVENTS, type FakeAgent, fakeAgent } from './fixture.ts';

/* What only a process shows: the launcher, signals, pipes. */

const main = join(process.cwd(), 'dist', 'src', 'cli', 'main.js');
let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'omni-cli-process-'));
});
afterAll(() => rmSync(folder, { recursive: true }));

describe('bin/omni', () => {
  const run = (path: string, env: NodeJS.ProcessEnv = process.env) =>
    spawnSync('/bin/sh', [path, 'a b', '*'], { encoding: 'utf8', env });

  it('runs the built program of its own checkout, also through links, and passes arguments on as they are', () => {
    mkdirSync(join(folder, 'bin'));
    mkdirSync(join(folder, 'dist/src/cli'), { recursive: true });
    copyFileSync('bin/omni', join(folder, 'bin/omni'));
    expect(statSync('bin/omni').mode & 0o111).toBe(0o111);
    writeFileSync(join(folder, 'package.json'), '{ "type": "module" }');
    const program = 'console.log(JSON.stringify(process.argv.slice(2))); process.exitCode = 7;';
    writeFileSync(join(folder, 'dist/src/cli/main.js'), program);
    mkdirSync(join(folder, 'links'));
    symlinkSync('../bin/omni', join(folder, 'links/relative'));
    symlinkSync(join(folder, 'links/relative'), join(folder, 'links/absolute'));
    for (const path of ['bin/omni', 'links/relative', 'links/absolute']) {
      expect(run(join(folder, path))).toMatchObject({ status: 7, stdout: '["a b","*"]\n', stderr: '' });
    }
  });

  it('says how to build it where it is not built, and what is missing where there is no node', () => {
    rmSync(join(folder, 'dist'), { recursive: true });
    const unbuilt = run(join(folder, 'bin/omni'));
    expect(unbuilt.status).toBe(1);
    expect(unbuilt.stderr).toMatch(
      /^error: omni is not built yet: .*main\.js is missing\n {2}fix: run 'npm run build' in /,
    );
    mkdirSync(join(folder, 'path'));
    for (const tool of ['dirname', 'readlink']) symlinkSync(`/usr/bin/${tool}`, join(folder, 'path', tool));
    const nodeless = run(join(folder, 'bin/omni'), { PATH: join(folder, 'path') });
    expect(nodeless.status).toBe(1);
    expect(nodeless.stderr).toMatch(/^error: omni needs Node\.js 20\.19/);
  });
});

/** An event every few milliseconds, for as long as anybody listens. */
async function* restless(): AsyncGenerator<Event> {
  for (let sequence = 3; ; sequence++) {
    await setTimeout(5);
    yield { ...EVENTS[0], sequence } as Event;
  }
}

const built = existsSync(main);
if (!built && process.env.CI) throw new Error(`${main} is not built: under CI that is a failure`);

describe.skipIf(!built)(
  `the built program${built ? '' : ' (skipped: run npm run build first)'}`,
  { timeout: 30_000 },
  () => {
    let agent: FakeAgent;
    beforeAll(async () => {
      agent = await fakeAgent({ later: { [Symbol.asyncIterator]: restless } });
    });
    afterAll(() => agent.close());

    const omni = (...argv: readonly string[]) => spawnSync(process.execPath, [main, ...argv], { encoding: 'utf8' });

    it('exits as the verb says', () => {
      expect(omni('completion', 'bash').status).toBe(0);
      expect(omni('frobnicate').status).toBe(2);
      expect(omni('status', '--socket', '/nowhere').status).toBe(4);
    });

    it.each([
      ['SIGINT', 130],
      ['SIGTERM', 143],
    ] as const)('%s ends what waits, with exit code %d', async (signal, code) => {
      const child = spawn(process.execPath, [main, 'events', '-w', '--socket', agent.socket]);
      let stderr = '';
      child.stderr.on('data', (chunk) => {
        stderr += chunk;
      });
      child.stdout.once('data', () => child.kill(signal));
      const status = await new Promise((resolve) => child.once('close', resolve));
      expect(status, stderr).toBe(code);
      expect(stderr).toMatch(/^error: (interrupted|terminated)\n$/);
    });

    it('a signal ends a pause between two looks', async () => {
      const child = spawn(process.execPath, [main, 'wait', '--timeout', '1h', '--socket', join(folder, 'none.sock')]);
      let stderr = '';
      child.stderr.on('data', (chunk) => {
        const waited = stderr.includes('waiting for it');
        stderr += chunk;
        // Once: a second signal ends a program at once.
        if (!waited && stderr.includes('waiting for it')) child.kill('SIGTERM');
      });
      const status = await new Promise((resolve) => child.once('close', resolve));
      expect(status, stderr).toBe(143);
      expect(stderr).toMatch(/error: terminated\n$/);
    });

    it('is quiet, and ends, when the reader of its output goes away', async () => {
      const child = spawn(process.execPath, [main, 'events', '-w', '--socket', agent.socket]);
      let stderr = '';
      child.stderr.on('data', (chunk) => {
        stderr += chunk;
      });
      child.stdout.once('data', () => child.stdout.destroy());
      const status = await new Promise((resolve) => child.once('close', resolve));
      expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
    });
  },
);
