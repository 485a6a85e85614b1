import { createSocket } from 'node:dgram';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { identityOf, writeIdentity } from '../../../src/session/identity.ts';
import { manifests } from './fixture.ts';
import { interruption, type Outcome, omni } from './run.ts';

/* A whole agent, started by the command line on the memory engine, and the verbs that ask it. */

let folder: string;
let fleet: string;
let stop: (() => Promise<Outcome>) | undefined;

/** Binding and letting go: nobody else asks for this port in the moment between. */
function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const socket = createSocket('udp4');
    socket.once('error', reject);
    socket.bind(0, () => {
      const { port } = socket.address();
      socket.close(() => resolve(port));
    });
  });
}

async function write(numbers: readonly number[], port: number): Promise<void> {
  for (const [path, text] of Object.entries(manifests(numbers))) {
    await writeFile(join(fleet, path), path === 'warehouse.yaml' ? `${text}  port: ${port}\n` : text);
  }
}

const ask = (...argv: readonly string[]): Promise<Outcome> => omni([...argv, '--socket', 'omni.sock'], { cwd: folder });

/** Starts an agent and waits until it answers. Its end is `stop`'s outcome. */
async function start(...argv: readonly string[]): Promise<void> {
  const { signal, press } = interruption();
  const flags = ['--engine', 'memory', '--identity', 'id.key', '--state-dir', 'state', '--socket', 'omni.sock'];
  const life = omni(['agent', ...flags, ...argv], { cwd: folder, signal });
  stop = () => {
    press();
    return life;
  };
  for (;;) {
    const { code } = await ask('status');
    if (code !== 4) return;
    const ended = await Promise.race([life, sleep(20)]);
    if (ended !== undefined) throw new Error(ended.stderr);
  }
}

/** Fails with what the status says, should it take longer than anybody would wait. */
async function untilReady(): Promise<void> {
  const deadline = performance.now() + 30_000;
  for (;;) {
    const status = await ask('status');
    if (status.code === 0) return;
    if (performance.now() > deadline || status.code === 4) throw new Error(`${status.stdout}${status.stderr}`);
    await sleep(20);
  }
}

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'omni-cli-agent-'));
  fleet = join(folder, 'fleet');
  await mkdir(fleet);
  writeIdentity(join(folder, 'id.key'), identityOf(new Uint8Array(32).fill(1)));
});
afterEach(async () => {
  await stop?.();
  stop = undefined;
  await rm(folder, { recursive: true, force: true });
});

describe('an agent that follows a folder', () => {
  it('is ready, describes its objects, and refuses a set that would be undone; SIGINT ends it with 0', async () => {
    await write([1, 2], await freePort());
    await start('--source', 'fleet');
    await untilReady();
    expect((await ask('get', 'all', '-o', 'name')).stdout).toBe(
      'cluster/warehouse\npeer/robot-1\npeer/robot-2\nvip/robot-1\nvip/robot-2\n',
    );
    expect((await ask('get', 'peers')).stdout).toMatch(/^robot-2 +True +203\.0\.113\.2:51820 +<none>/m);
    expect((await ask('describe', 'peer/robot-2')).stdout).toMatch(
      /^ {2}fdb\/omni0\/0e:71:7d:5c:a9:17 +in-sync +robot-2$/m,
    );
    expect(await ask('diff')).toMatchObject({ code: 0 });
    expect((await ask('events')).stdout).toContain('RevisionApplied');
    expect(await ask('apply', '-f', 'fleet')).toMatchObject({ code: 2 });
    const ended = await stop?.();
    expect(ended?.code, ended?.stderr).toBe(0);
    expect(await ask('status')).toMatchObject({ code: 4 });
  }, 60_000);

  it('says on reconcile what it did, and in its status where an error is', async () => {
    const port = await freePort();
    await write([1, 2], port);
    await start('--source', 'fleet');
    await untilReady();
    await write([1, 2, 3], port);
    const outcome = await ask('reconcile');
    expect(outcome.code, outcome.stderr).toBe(0);
    expect((await ask('get', 'peer', 'robot-3', '-o', 'name')).stdout).toBe('peer/robot-3\n');
    await writeFile(join(fleet, 'bad.yaml'), 'apiVersion: omni.io/v1alpha1\nkind: Pear\n');
    expect(await ask('reconcile')).toMatchObject({ code: 2, stdout: '' });
    const status = await ask('status');
    expect(status.code).toBe(1);
    expect(status.stdout).toContain('bad.yaml:2:');
  }, 60_000);
});

describe('an agent without a source', () => {
  it('takes what apply hands over: dry run, diff, apply, again, and less of it', async () => {
    const port = await freePort();
    await write([1, 2], port);
    await start();
    expect(await ask('status')).toMatchObject({ code: 1 });
    const dry = await ask('apply', '-f', 'fleet', '--dry-run=node');
    expect(dry.stdout).toContain('peer/robot-2 created (node dry run)\n');
    const diff = await ask('diff', '-f', 'fleet');
    expect(diff.code, diff.stderr).toBe(1);
    expect(diff.stdout).toContain('talk to robot-2 at 203.0.113.2:51820');
    const first = await ask('apply', '-f', 'fleet');
    expect(first.code, first.stderr).toBe(0);
    expect(first.stdout).toMatch(/^peer\/robot-2 created$/m);
    expect(first.stdout).toMatch(/\n5 added, 0 changed, 0 removed; \d+ operations on the data path\n$/);
    const again = await ask('apply', '-f', 'fleet');
    expect(again.stdout).toMatch(/0 added, 0 changed, 0 removed, 5 unchanged; nothing to do on the data path\n$/);
    expect(await ask('diff', '-f', 'fleet')).toMatchObject({ code: 0 });
    await rm(join(fleet, 'robot-2.yaml'));
    const less = await ask('apply', '-f', 'fleet');
    expect(less.stdout).toMatch(/^peer\/robot-2 pruned$/m);
  }, 60_000);
});
