import { copyFile, mkdir, readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { clusterDocument, makeIdentity, ready, robotDocuments } from '../../lab/fleet.ts';
import { type Host, Lab } from '../../lab/lab.ts';
import { parsePing, pingArguments } from '../../lab/ping.ts';
import { until } from '../../lab/shell.ts';
import type { Status } from '../../src/agent/api.ts';
import { sample, scrape } from './metrics.ts';

/*
 * A cluster's key is changed under live pings, in three commits that the robots pull one after the other. Sessions are
 * renewed every 2 s and end after 12 s, so that each pair of robots makes new ones in every mixture of revisions, and
 * pairs that could not would fall silent.
 */
const ROBOTS = ['robot-1', 'robot-2', 'robot-3'];
const TIMERS = '  sessions: { rekeyAfter: 2s, lifetime: 12s, handshakeTimeout: 1s }\n';

let lab: Lab;
let operator: string;
let robots: Host[];
const vip = (index: number) => `10.77.0.${index + 1}`;
const pulled = (host: Host) => join(host.folder, 'fleet');

async function seal(...argv: string[]): Promise<string> {
  const [robot] = robots;
  return (await robot?.mustOmni(['seal', '-f', operator, '--cluster', 'warehouse', '--write', ...argv])) ?? '';
}

/** As a poll would bring it to this robot. */
async function pull(host: Host): Promise<void> {
  await mkdir(pulled(host), { recursive: true });
  for (const name of await readdir(operator)) await copyFile(join(operator, name), join(pulled(host), name));
}

async function revision(host: Host): Promise<string> {
  const status: Pick<Status, 'revision'> = JSON.parse(await host.mustOmni(['status', '-o', 'json']));
  return status.revision.lastApplied?.label ?? '';
}

const handshakes = async () =>
  Promise.all(robots.map(async (host) => sample(await scrape(host), 'omni_handshakes_completed_total')));

beforeAll(async () => {
  lab = await Lab.open({ name: 'omnir', hosts: ROBOTS });
  robots = ROBOTS.map((name) => lab.host(name));
  operator = join(lab.folder, 'operator');
  await mkdir(operator);
  await writeFile(join(operator, 'warehouse.yaml'), clusterDocument({ spec: TIMERS }));
  for (const [index, host] of robots.entries()) {
    await makeIdentity(host);
    await writeFile(join(operator, `${host.name}.yaml`), await robotDocuments(host, [vip(index)]));
  }
  expect(await seal()).toBe('cluster/warehouse configured\n');
  for (const host of robots) {
    await pull(host);
    host.startAgent(['--source', pulled(host), '--interval', '1s']);
  }
  await Promise.all(robots.map((host) => ready(host)));
});
afterAll(() => lab?.close());

it('loses no packet, whoever pulls when', { timeout: 180_000 }, async () => {
  const pairs = robots.flatMap((from, a) => robots.flatMap((_, b) => (a === b ? [] : [{ from, to: vip(b) }])));
  for (const { from, to } of pairs) await from.must(pingArguments(to, { waitS: 3 }));
  const pings = pairs.map(({ from, to }) => from.background(pingArguments(to, { count: 100_000, intervalS: 0.05 })));

  // Each step reaches the robots in another order.
  const orders = [
    ['add', [0, 1, 2]],
    ['swap', [2, 0, 1]],
    ['drop', [1, 2, 0]],
  ] as const;
  for (const [step, order] of orders) {
    await seal('--rotate', step);
    for (const index of order) {
      const host = robots[index] ?? lab.host('robot-1');
      const before = await revision(host);
      await pull(host);
      await until(`${host.name} applies ${step}`, async () => (await revision(host)) !== before, 20_000);
      const counts = await handshakes();
      await until(
        'all have new sessions',
        async () => (await handshakes()).every((count, at) => count > (counts[at] ?? 0) + 1),
        15_000,
      );
    }
  }

  const reports = await Promise.all(
    pings.map(async (each) => {
      await each.stop('SIGINT');
      return parsePing(each.text);
    }),
  );
  for (const { sent, received } of reports) {
    expect(sent).toBeGreaterThan(200);
    // One that was under way when its ping was ended may lack its answer.
    expect(sent - received).toBeLessThanOrEqual(1);
  }
});

it('a robot that the key is not sealed for says so, goes on with what it has, and is well when it is resealed', async () => {
  const [one, two] = robots;
  if (one === undefined || two === undefined) throw new Error('two robots');
  const reseal = (fleet: string) => one.mustOmni(['reseal', '-f', fleet, '--cluster', 'warehouse', '--write']);
  const others = join(lab.folder, 'others');
  await mkdir(others);
  for (const name of await readdir(operator)) {
    if (!name.startsWith('robot-2')) await copyFile(join(operator, name), join(others, name));
  }
  await reseal(others);
  await copyFile(join(others, 'warehouse.yaml'), join(pulled(two), 'warehouse.yaml'));
  const status = await until('robot-2 says so', async () => {
    const { stdout } = await two.omni(['status']);
    return stdout.includes('SecretUnreadable') && stdout;
  });
  expect(status).toMatch(/not sealed for this node's key/);
  const counts = await handshakes();
  const { received } = parsePing(await one.must(pingArguments(vip(1), { count: 100, intervalS: 0.05 })));
  expect(received).toBe(100);
  expect((await handshakes())[1]).toBeGreaterThan(counts[1] ?? 0);
  expect(await two.mustOmni(['events'])).toMatch(
    /SecretUnreadable[\s\S]*SecretNotSealedForAll|SecretNotSealedForAll[\s\S]*SecretUnreadable/,
  );
  expect(two.agent?.text).not.toMatch(/BEGIN AGE/);

  await reseal(operator);
  await pull(two);
  await ready(two);
});
