import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { clusterDocument, FleetRepository, makeIdentity, ready, robotDocuments } from '../../lab/fleet.ts';
import { type Host, Lab } from '../../lab/lab.ts';
import { until } from '../../lab/shell.ts';
import type { Status } from '../../src/agent/api.ts';

/*
 * The life of one agent on the kernel engine: it ends and leaves everything in place, comes back and writes nothing,
 * boots without a network, and takes itself away when it is told to. The tests run in order.
 *
 *     robot-1 ── underlay ── git
 */
let lab: Lab;
let host: Host;
let fleet: FleetRepository;

const follow = () => ['--source', fleet.url, '--path', 'fleet', '--interval', '1s'];
const status = async (): Promise<Status> => JSON.parse((await host.omni(['status', '-o', 'json'])).stdout) as Status;
const pins = () => host.must(['find', join(host.folder, 'bpf', 'omni'), '-type', 'f']);
const exists = async (name: string) => (await host.exec(['ip', 'link', 'show', name])).status === 0;

beforeAll(async () => {
  lab = await Lab.open({ name: 'omniag', hosts: ['robot-1'], git: true });
  host = lab.host('robot-1');
  await makeIdentity(host);
  fleet = await FleetRepository.create(lab);
  await fleet.write('warehouse.yaml', clusterDocument());
  await fleet.write('robot-1.yaml', await robotDocuments(host, ['10.77.0.1', 'fd77::1']));
  await fleet.commitAndPush('fleet: one robot');
  host.startAgent(follow());
  await ready(host);
});
afterAll(() => lab?.close());

describe('an agent that is told to end', () => {
  it('exits 0 and leaves links, addresses and pins; the next one adopts them without a write', async () => {
    const before = await pins();
    expect(before).not.toBe('');
    expect(await host.stopAgent('SIGTERM')).toBe(0);
    expect(await exists('omni0')).toBe(true);
    expect(await host.must(['ip', '-brief', 'address', 'show', 'omni0'])).toContain('10.77.0.1/32');
    expect(await pins()).toBe(before);
    expect((await host.omni(['status'])).status).toBe(4);

    host.startAgent(follow());
    await ready(host);
    expect((await status()).writes, host.agent?.text).toBe(0);
    expect(await host.mustOmni(['events'])).toMatch(/Adopted/);
  });

  it('exits 0 on SIGINT too', async () => {
    expect(await host.stopAgent('SIGINT')).toBe(0);
    host.startAgent(follow());
    await ready(host);
  });
});

describe('an agent without a network', () => {
  it('boots into the last revision that it fetched, and says what it misses', async () => {
    const { lastApplied } = (await status()).revision;
    await host.stopAgent();
    await lab.stopGit();
    host.startAgent(follow());
    await ready(host);
    await until('it says so', async () =>
      (await status()).conditions.some(({ type, status: value }) => type === 'SourceReady' && value === 'False'),
    );
    expect((await status()).revision.lastApplied).toEqual(lastApplied);
    lab.startGit();
    await until('it follows again', async () => (await status()).source.lastError === undefined, 30_000);
  });
});

describe('a bad moment', () => {
  it('a revision with errors leaves the node as it is, and is over with the next', async () => {
    const { writes } = await status();
    await fleet.write('broken.yaml', 'apiVersion: omni.io/v1alpha1\nkind: Robot\n');
    await fleet.commitAndPush('fleet: an unknown kind');
    await until('it is refused', async () => (await host.omni(['status'])).stdout.includes('broken.yaml:2'));
    expect((await status()).writes).toBe(writes);
    await fleet.remove('broken.yaml');
    await fleet.commitAndPush('fleet: take it back');
    await ready(host);
    expect((await status()).writes).toBe(writes);
  });

  it('a link deleted by hand is back, with all that was on it', async () => {
    await host.must(['ip', 'link', 'delete', 'omni0']);
    await until('it is back', async () =>
      (await host.exec(['ip', '-brief', 'address', 'show', 'omni0'])).stdout.includes('10.77.0.1/32'),
    );
    await ready(host);
    expect(await host.mustOmni(['events'])).toMatch(/DriftHealed/);
  });
});

describe('omni agent --teardown', () => {
  it('is refused while the agent runs', async () => {
    const result = await host.omni(['agent', ...host.agentArguments(), '--teardown']);
    expect(result.status, result.stderr).toBe(2);
    expect(result.stderr).toContain('another agent uses the state folder');
    expect(await exists('omni0')).toBe(true);
  });

  it('removes what is ours, and only that', async () => {
    await host.stopAgent();
    await host.must(['ip', 'link', 'add', 'omnifake0', 'type', 'veth', 'peer', 'name', 'foreign']);
    await host.must(['ip', 'route', 'add', '198.51.100.0/24', 'dev', 'eth0']);
    const result = await host.omni(['agent', ...host.agentArguments(), '--teardown']);
    expect(result.status, result.stderr).toBe(0);
    expect(await exists('omni0')).toBe(false);
    expect(await exists('omni0x')).toBe(false);
    expect(await exists('omnifake0')).toBe(true);
    expect(await host.must(['ip', 'route'])).toContain('198.51.100.0/24');
    expect(await host.must(['ip', 'route', 'show', 'table', 'all', 'proto', '111'])).toBe('');
    expect(await host.must(['ls', join(host.folder, 'bpf')])).not.toContain('omni');
    expect(await host.must(['ip', '-details', 'link', 'show', 'eth0'])).not.toContain('xdp');
    const again = await host.omni(['agent', ...host.agentArguments(), '--teardown']);
    expect(again.status, again.stderr).toBe(0);
  });

  it('does not miss an underlay that is gone', async () => {
    const argv = host.agentArguments().map((argument) => (argument === 'eth0' ? 'eth9' : argument));
    const result = await host.omni(['agent', ...argv, '--teardown']);
    expect(result.status, result.stderr).toBe(0);
  });

  it('and the next agent makes it all again, from what was good last; a set that says the same changes nothing', async () => {
    host.startAgent([]);
    await until('it answers', async () => (await host.omni(['status'])).stdout.includes('omni apply'));
    await until('the address is back', async () => {
      const { status, stdout } = await host.exec(['ip', '-brief', 'address', 'show', 'omni0']);
      return status === 0 && stdout.includes('10.77.0.1/32');
    });
    const set = join(lab.folder, 'set.yaml');
    await writeFile(set, `${clusterDocument()}---\n${await robotDocuments(host, ['10.77.0.1'])}`);
    const result = await host.omni(['apply', '-f', set]);
    expect(result.status, `${result.stdout}${result.stderr}`).toBe(0);
    expect(result.stdout).toContain('cluster/warehouse unchanged');
    expect((await host.omni(['diff', '-f', set])).status).toBe(0);
  });
});
