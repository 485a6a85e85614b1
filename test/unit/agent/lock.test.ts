import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { lockStateDir } from '../../../src/agent/lock.ts';

let folder: string;
const children: ChildProcess[] = [];

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'omni-lock-'));
});
afterEach(async () => {
  vi.unstubAllEnvs();
  await Promise.all(children.splice(0).map(kill));
  rmSync(folder, { recursive: true });
});

/** Says `held` (in a variable, lest the file be collected), and keeps the lock until it is killed; or why not. */
const PROGRAM = `
  import { lockStateDir } from ${JSON.stringify(pathToFileURL(join(process.cwd(), 'dist/src/agent/lock.js')).href)};
  process.stdin.once('data', async () => {
    try {
      globalThis.release = await lockStateDir(${JSON.stringify('FOLDER')});
      process.stdout.write('held');
      setInterval(() => undefined, 1_000);
    } catch (error) {
      process.stdout.write(error.code);
      process.exit();
    }
  });
  process.stdout.write('ready ');
`;

class Starter {
  readonly child: ChildProcess;
  #said = '';

  constructor() {
    this.child = spawn(process.execPath, ['--input-type=module', '-e', PROGRAM.replace('FOLDER', folder)], {
      stdio: ['pipe', 'pipe', 'inherit'],
    });
    children.push(this.child);
    this.child.stdout?.on('data', (chunk) => {
      this.#said += chunk;
    });
  }

  says(pattern: RegExp): Promise<string> {
    return vi.waitFor(
      () => {
        const [text] = pattern.exec(this.#said) ?? [];
        if (text === undefined) throw new Error(`it said ${this.#said}`);
        return text;
      },
      { timeout: 10_000, interval: 5 },
    );
  }

  start(): void {
    this.child.stdin?.write('\n');
  }
}

function kill(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return Promise.resolve();
  return new Promise((done) => {
    child.once('exit', () => done());
    child.kill('SIGKILL');
  });
}

describe('the lock of a state folder', () => {
  it('is held by just one of many processes that start at once, however the last holder ended', async () => {
    for (let round = 0; round < 3; round += 1) {
      const starters = Array.from({ length: 6 }, () => new Starter());
      await Promise.all(starters.map((starter) => starter.says(/ready/)));
      for (const starter of starters) starter.start();
      const said = await Promise.all(starters.map((starter) => starter.says(/held|state-dir-in-use/)));
      expect(said.toSorted()).toEqual(['held', ...Array<string>(5).fill('state-dir-in-use')]);
      await Promise.all(children.splice(0).map(kill)); // with SIGKILL: the next round finds a dead lock
    }
  }, 60_000);

  it('is free again when it was released, and not before', async () => {
    const release = await lockStateDir(folder);
    await expect(lockStateDir(folder)).rejects.toMatchObject({ code: 'state-dir-in-use', exitCode: 2 });
    await release();
    await (await lockStateDir(folder))();
  });

  it('is not passed on to programs that the agent runs', async () => {
    const release = await lockStateDir(folder);
    const child = spawn('sleep', ['60'], { stdio: 'ignore' });
    children.push(child);
    await new Promise((started) => child.once('spawn', started));
    await release();
    await (await lockStateDir(folder))();
  });

  it('says what is missing', async () => {
    vi.stubEnv('PATH', folder);
    await expect(lockStateDir(folder)).rejects.toMatchObject({ code: 'flock-missing', exitCode: 2 });
    writeFileSync(join(folder, 'file'), '');
    await expect(lockStateDir(join(folder, 'file'))).rejects.toMatchObject({ code: 'state-dir-unusable' });
  });
});
