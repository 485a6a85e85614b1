import { execFileSync } from 'node:child_process';
import { createSocket } from 'node:dgram';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { createMemoryDataPlane } from '../../../src/dataplane/memory/plane.ts';
import { identityOf, writeIdentity } from '../../../src/session/identity.ts';
import { manifests, robot } from './fixture.ts';
import { interruption, type Outcome, omni } from './run.ts';

/* A whole agent, started by the command line over the memory data plane, and the verbs that ask it. */
vi.mock('../../../src/agent/engine.ts', () => ({ createEngine: () => createMemoryDataPlane() }));

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

const ask = (...argv: readonly string[]): Promise<Outcome> =>
  omni([...argv, '--socket', 'omni.sock'], { cwd: folder, realTime: true });

/** Starts an agent and waits until it answers. Its end is `stop`'s outcome. */
async function start(...argv: readonly string[]): Promise<void> {
  const { signal, press } = interruption();
  const flags = ['--identity', 'id.key', '--state-dir', 'state', '--socket', 'omni.sock'];
  const life = omni(['agent', ...flags, ...argv], { cwd: folder, signal, realTime: true });
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

function git(...argv: readonly string[]): void {
  execFileSync('git', ['-C', fleet, '-c', 'user.name=Ada', '-c', 'user.email=ada@example.com', ...argv]);
}

function commit(subject: string): void {
  git('add', '--all');
  git('commit', '--quiet', '--message', subject);
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
    const peers = (await ask('get', 'peers')).stdout;
    expect(peers).toMatch(/^robot-1 +True .* this node /m);
    expect(peers).toMatch(/^robot-2 +True +203\.0\.113\.2:51820 +<none>/m);
    expect((await ask('why', '10.77.0.2')).stdout).toMatch(
      /peer\/omni0\/robot-2 at .* vip\/robot-2 robot-2\.yaml:9:1\n/s,
    );
    expect(await ask('why', 'robto-2')).toMatchObject({
      code: 1,
      stderr: expect.stringContaining('Did you mean robot-2?'),
    });
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

describe('revisions, from the command line', () => {
  it('hold keeps a newer one out, release lets it in; wait and history tell', async () => {
    const port = await freePort();
    await write([1, 2], port);
    const waited = ask('wait', '--timeout', '30s');
    await start('--source', 'fleet');
    expect(await waited).toMatchObject({ code: 0, stdout: 'node condition met\n' });
    expect((await ask('hold', '--reason', 'mission 12', '--until', '2h')).stdout).toMatch(
      /^node held until .* \(in 120m\)/,
    );
    expect(await ask('hold', '--reason', 'another')).toMatchObject({ code: 2 });
    await write([1, 2, 3], port);
    const held = await ask('reconcile');
    expect(held.code, held.stderr).toBe(2);
    expect(held.stderr).toMatch(/\(Held\): .*mission 12\n {2}fix: Run `omni release`/);
    expect((await ask('status')).stdout).toMatch(/^Waiting: .*Held: .*mission 12$/m);
    expect((await ask('history')).stdout.split('\n')[1]).toMatch(/ waiting /);
    expect((await ask('release')).stdout).toBe('node released\n');
    const arrived = await ask('wait', '--for=condition=Ready', 'peer/robot-3', '--timeout', '30s');
    expect(arrived).toMatchObject({ code: 0, stdout: 'peer/robot-3 condition met\n' });
    const [newest = ''] = (await ask('history', '-o', 'name')).stdout.split('\n');
    expect((await ask('wait', `--for=revision=${newest}`, '--timeout', '30s')).code).toBe(0);
  }, 60_000);

  it('rollback quarantines what is in force, reconcile refuses it, retry brings it back', async () => {
    const port = await freePort();
    await write([1, 2, 3], port);
    git('init', '--quiet', '--initial-branch', 'main');
    commit('fleet: three robots');
    await start('--source', `file://${fleet}`);
    await untilReady();
    await writeFile(join(fleet, 'robot-3.yaml'), robot(3, '198.51.100.3:51820'));
    commit('fleet: move robot-3');
    expect((await ask('reconcile')).code).toBe(0);
    const back = await ask('rollback');
    expect(back.code, back.stderr).toBe(0);
    expect(back.stdout).toMatch(/~ peer robot-3: endpoint 198\.51\.100\.3:51820 → 203\.0\.113\.3:51820/);
    expect((await ask('history')).stdout).toMatch(/ chosen .* quarantined /s);
    const refused = await ask('reconcile');
    expect(refused.code, refused.stderr).toBe(2);
    expect(refused.stderr).toMatch(/\(RevisionQuarantined\).*omni retry/s);
    const again = await ask('retry');
    expect(again.code, again.stderr).toBe(0);
    expect((await ask('describe', 'peer/robot-3')).stdout).toContain('198.51.100.3:51820');
  }, 60_000);

  it('suspend stops all of it, and says so to whoever asks for more', async () => {
    await write([1, 2], await freePort());
    await start('--source', 'fleet');
    await untilReady();
    expect((await ask('suspend', '--reason', 'paint')).stdout).toBe('node suspended\n');
    expect((await ask('status')).stdout).toMatch(/^Suspended: +paint; for/m);
    expect(await ask('reconcile')).toMatchObject({ code: 2, stderr: expect.stringContaining('omni resume') });
    expect((await ask('resume')).stdout).toBe('node resumed\n');
    expect((await ask('reconcile')).code).toBe(0);
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
    const refused = await ask('apply', '-f', 'fleet');
    expect(refused).toMatchObject({ code: 2, stdout: '' });
    expect(refused.stderr).toMatch(/robot-2/);
    const less = await ask('apply', '-f', 'fleet', '--allow-partition');
    expect(less.code, less.stderr).toBe(0);
    expect(less.stdout).toMatch(/^peer\/robot-2 pruned$/m);
  }, 60_000);
});
