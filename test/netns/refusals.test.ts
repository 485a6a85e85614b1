import { chmod, mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { clusterDocument, makeIdentity, robotDocuments } from '../../lab/fleet.ts';
import { type Host, Lab } from '../../lab/lab.ts';
import { Background, must, until } from '../../lab/shell.ts';
import { asNobody, inNobodysCheckout } from './nobody.ts';

/*
 * What an agent refuses: a clear message on stderr, exit 2, and nothing touched: no omni0, no pins, no routes of ours.
 * And what it must not refuse: a source that is away, which it waits for.
 */
let lab: Lab;
let host: Host;
let fleet: string;
const MAIN = new URL('../../dist/src/cli/main.js', import.meta.url).pathname;

beforeAll(async () => {
  lab = await Lab.open({ name: 'omniref', hosts: ['robot-1'], git: true });
  host = lab.host('robot-1');
  fleet = join(lab.folder, 'fleet');
  await mkdir(fleet);
  await makeIdentity(host);
  await writeFile(join(fleet, 'warehouse.yaml'), clusterDocument());
  await writeFile(join(fleet, 'robot-1.yaml'), await robotDocuments(host, ['10.77.0.1']));
});
afterAll(() => lab?.close());
afterEach(() => host.stopAgent());

/** Runs an agent that is expected to end by itself. */
async function refused(
  argv: readonly string[],
  as: (command: readonly string[]) => readonly string[] = (command) => command,
  main = MAIN,
): Promise<{ status: number; text: string }> {
  const agent = new Background(host.inside(as([process.execPath, main, 'agent', ...host.agentArguments(), ...argv])));
  const timer = setTimeout(() => void agent.stop('SIGKILL'), 20_000);
  const status = await agent.wait();
  clearTimeout(timer);
  return { status, text: agent.text };
}

async function untouched(): Promise<void> {
  expect((await host.exec(['ip', 'link', 'show', 'omni0x'])).status).not.toBe(0);
  expect(await host.must(['ip', 'route', 'show', 'table', 'all', 'proto', '111'])).toBe('');
  expect((await host.exec(['ls', join(host.folder, 'bpf', 'omni')])).status).not.toBe(0);
}

describe('an agent refuses to start', () => {
  it('without root or capabilities, naming those that are missing', async () => {
    await chmod(lab.folder, 0o755);
    const result = await refused(['--source', fleet], asNobody, inNobodysCheckout(MAIN));
    expect(result.status, result.text).toBe(2);
    expect(result.text).toMatch(/CAP_NET_ADMIN|identity\.key/);
    await untouched();
  });

  it('with root but without CAP_NET_ADMIN', async () => {
    const without = ['setpriv', '--bounding-set=-net_admin', '--inh-caps=-net_admin', '--'];
    const result = await refused(['--source', fleet], (command) => [...without, ...command]);
    expect(result.status, result.text).toBe(2);
    expect(result.text).toContain('CAP_NET_ADMIN');
    await untouched();
  });

  it('when the UDP port is taken', async () => {
    const holder = host.background([
      process.execPath,
      '-e',
      'require("dgram").createSocket("udp4").bind(51820, () => console.log("bound"))',
    ]);
    await until('the port is held', () => holder.text.includes('bound'));
    const result = await refused(['--source', fleet]);
    await holder.stop();
    expect(result.status, result.text).toBe(2);
    expect(result.text).toContain('51820');
    await untouched();
  });

  it('when omni0 is somebody else’s', async () => {
    await host.must(['ip', 'link', 'add', 'omni0', 'type', 'veth', 'peer', 'name', 'foreign']);
    const result = await refused(['--source', fleet]);
    expect(result.status, result.text).toBe(2);
    expect(result.text).toContain('omni0');
    expect((await host.exec(['ip', 'link', 'show', 'omni0'])).status).toBe(0);
    await host.must(['ip', 'link', 'delete', 'omni0']);
    await untouched();
  });

  it('when the key is readable by others', async () => {
    await chmod(host.identity, 0o644);
    const result = await refused(['--source', fleet]);
    await chmod(host.identity, 0o600);
    expect(result.status, result.text).toBe(2);
    expect(result.text).toContain('identity.key');
    expect(result.text).toMatch(/chmod 600/);
    await untouched();
  });

  it('when there is no key', async () => {
    const result = await refused(['--source', fleet, '--identity', join(lab.folder, 'nowhere.key')]);
    expect(result.status, result.text).toBe(2);
    expect(result.text).toMatch(/omni init/);
    await untouched();
  });

  it('when the underlay does not exist', async () => {
    const result = await refused(['--source', fleet, '--underlay', 'eth9']);
    expect(result.status, result.text).toBe(2);
    expect(result.text).toContain('eth9');
    await untouched();
  });

  it('when nobody vouches for what the source says', async () => {
    const argv = [
      ...host.agentArguments().filter((flag) => flag !== '--insecure-source'),
      '--source',
      'git://192.0.2.250/x.git',
    ];
    const result = await host.exec([process.execPath, MAIN, 'agent', ...argv], { timeoutMs: 20_000 });
    expect(result.status, result.stderr).toBe(2);
    expect(result.stderr).toMatch(/git:\/\/192\.0\.2\.250\/x\.git would be followed without authentication/);
    expect(result.stderr).toContain('--insecure-source');
    await untouched();
  });

  it.each([
    ['an option in place of a URL', ['--source', '--upload-pack=touch /tmp/x']],
    ['a transport that runs commands', ['--source', 'ext::sh -c true']],
    ['a ref that is an option', ['--source', 'git://192.0.2.250/fleet.git', '--ref', '--exec=x']],
    ['a path that leaves the repository', ['--source', 'git://192.0.2.250/fleet.git', '--path', '../etc']],
    ['an interval that is none', ['--source', 'git://192.0.2.250/fleet.git', '--interval', 'soon']],
    ['an unknown flag', ['--sauce', 'x']],
  ])('%s', async (_name, argv) => {
    const result = await refused(argv);
    expect([2, 3], result.text).toContain(result.status);
    expect(result.text).toMatch(/error:/);
    await untouched();
  });
});

describe('an agent waits for its source', () => {
  it.each([
    [
      'does not answer',
      () => 'git://192.0.2.99/fleet.git',
      [] as string[],
      /unreachable|no route|did not answer|timed out/i,
    ],
    [
      'has no such repository',
      () => 'git://192.0.2.250/nothing.git',
      [],
      /not found|no such|access denied|does not exist/i,
    ],
    ['has no such ref', () => 'git://192.0.2.250/empty.git', ['--ref', 'release'], /release/],
  ])('that %s: it stays up, says so, and touches nothing', async (_name, url, more, message) => {
    await lab.serveGit('empty');
    host.startAgent(['--source', url(), '--interval', '1s', ...more]);
    await until(
      'the status tells the reason',
      async () => message.test((await host.omni(['status'])).stdout),
      30_000,
      200,
    );
    expect(host.agent?.running).toBe(true);
    expect((await host.omni(['status'])).status).toBe(1);
    await untouched();
    expect(await host.stopAgent()).toBe(0);
    await must(['rm', '-rf', join(lab.folder, 'repos', 'empty.git')]);
  });
});
