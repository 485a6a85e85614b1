import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { clusterDocument, makeIdentity, ready, robotDocuments } from '../../lab/fleet.ts';
import { type Host, Lab } from '../../lab/lab.ts';
import { parsePing, pingArguments } from '../../lab/ping.ts';
import { until } from '../../lab/shell.ts';
import type { Status } from '../../src/agent/api.ts';
import { sample, scrape } from './metrics.ts';

/*
 * A cluster goes over to hybrid handshakes under live pings, in two commits that its robots apply one after the other.
 * Sessions are renewed every 2 s, so each mixture of revisions makes new ones.
 */
const VIPS = ['10.77.0.1', '10.77.0.2'] as const;
/** Longer than anything takes where both processors are busy with other things: each look starts processes. */
const BUSY_MS = 60_000;

let lab: Lab;
let robots: readonly [Host, Host];
const folderOf = (host: Host) => join(host.folder, 'fleet');

/** As a poll would bring it to this robot. */
async function commit(host: Host, postQuantum: string): Promise<void> {
  const spec = `  sessions: { rekeyAfter: 2s, lifetime: 60s, handshakeTimeout: 1s, postQuantum: ${postQuantum} }\n`;
  await writeFile(join(folderOf(host), 'warehouse.yaml'), clusterDocument({ spec }));
}

async function revision(host: Host): Promise<string> {
  const status: Pick<Status, 'revision'> = JSON.parse(await host.mustOmni(['status', '-o', 'json']));
  return status.revision.lastApplied?.label ?? '';
}

/** What `host` says of its session with the other robot. */
async function isHybrid(host: Host, peer: Host): Promise<boolean | undefined> {
  const object = JSON.parse(await host.mustOmni(['get', 'peer', peer.name, '-o', 'json'])) as {
    readonly status: { readonly contact?: { readonly hybrid?: boolean } };
  };
  return object.status.contact?.hybrid;
}

const handshakes = () =>
  Promise.all(robots.map(async (host) => sample(await scrape(host), 'omni_handshakes_completed_total')));

async function newSessions(): Promise<void> {
  const before = await handshakes();
  await until(
    'new sessions',
    async () => (await handshakes()).every((count, at) => count > (before[at] ?? 0) + 1),
    BUSY_MS,
  );
}

beforeAll(async () => {
  lab = await Lab.open({ name: 'omnipq', hosts: ['robot-1', 'robot-2'] });
  robots = [lab.host('robot-1'), lab.host('robot-2')];
  for (const host of robots) await makeIdentity(host);
  const documents = await Promise.all(robots.map((host, index) => robotDocuments(host, [VIPS[index] ?? ''])));
  for (const host of robots) {
    await mkdir(folderOf(host));
    await commit(host, 'off');
    for (const [index, robot] of robots.entries()) {
      await writeFile(join(folderOf(host), `${robot.name}.yaml`), documents[index] ?? '');
    }
    host.startAgent(['--source', folderOf(host), '--interval', '1s']);
  }
  await Promise.all(robots.map((host) => ready(host)));
});
afterAll(() => lab?.close());

it('off, preferred, required: no packet is lost, whoever pulls first', { timeout: 240_000 }, async () => {
  const [one, two] = robots;
  await one.must(pingArguments(VIPS[1], { waitS: 3 }));
  expect(await isHybrid(one, two)).toBe(false);
  const pings = [one.background(pingArguments(VIPS[1], { count: 100_000, intervalS: 0.02 }))];
  pings.push(two.background(pingArguments(VIPS[0], { count: 100_000, intervalS: 0.02 })));
  for (const [host, postQuantum] of [
    [one, 'preferred'],
    [two, 'preferred'],
    [two, 'required'],
    [one, 'required'],
  ] as const) {
    const before = await revision(host);
    await commit(host, postQuantum);
    await until(`${host.name} applies ${postQuantum}`, async () => (await revision(host)) !== before, BUSY_MS);
    await newSessions();
  }
  expect([await isHybrid(one, two), await isHybrid(two, one)]).toEqual([true, true]);
  for (const ping of pings) {
    await ping.stop('SIGINT');
    const { sent, received } = parsePing(ping.text);
    expect(sent).toBeGreaterThan(200);
    // One that was under way when its ping was ended may lack its answer.
    expect(sent - received).toBeLessThanOrEqual(1);
  }
});

it('a path that does not carry a hybrid initiation: required cannot renew, preferred falls back to a classic one', {
  timeout: 180_000,
}, async () => {
  const [one, two] = robots;
  for (const host of robots) await host.must(['ip', 'link', 'set', 'eth0', 'mtu', '1300']);
  // A session is renewed only while it is in use.
  const use = one.background(pingArguments(VIPS[1], { count: 100_000, intervalS: 0.2 }));
  // It goes on. A new one does not come, whichever robot initiates it: the system sends no fragments of it.
  const failed = async (host: Host) => sample(await scrape(host), 'omni_handshakes_failed_total{reason="send"}');
  await until(
    'a handshake fails',
    async () => (await Promise.all(robots.map(failed))).some((count) => count > 0),
    BUSY_MS,
  );
  for (const host of robots) await commit(host, 'preferred');
  await until('classic sessions', async () => !(await isHybrid(one, two)) && !(await isHybrid(two, one)), BUSY_MS);
  await use.stop('SIGINT');
  const { received } = parsePing(await one.must(pingArguments(VIPS[1], { count: 50, intervalS: 0.02 })));
  expect(received).toBe(50);
});
