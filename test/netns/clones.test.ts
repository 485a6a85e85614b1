import { copyFile, mkdir, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { clusterDocument, makeIdentity, ready } from '../../lab/fleet.ts';
import { type Host, Lab } from '../../lab/lab.ts';
import { pingArguments } from '../../lab/ping.ts';
import { until } from '../../lab/shell.ts';
import type { Event } from '../../src/agent/api.ts';

/*
 *   oclone-hub ── br0 ── oclone-first     the robot
 *   192.0.2.1      └──── oclone-second    booted from the same image: the same key
 */
const HUB = '10.77.0.1';
const ROBOT = '10.77.0.2';

let lab: Lab;
let hub: Host;
let machines: readonly Host[];

async function fleet(): Promise<string> {
  const folder = join(lab.folder, 'fleet');
  await mkdir(folder);
  const documents = [clusterDocument({ subnets: ['10.77.0.0/16'] })];
  const [first] = machines;
  if (first === undefined) throw new Error('two machines');
  for (const [name, host, vip, endpoints] of [
    ['hub', hub, HUB, ['192.0.2.1:51820']],
    ['robot', first, ROBOT, []],
  ] as const) {
    const publicKey = (await makeIdentity(host)).trim();
    const spec = JSON.stringify({ clusters: ['warehouse'], publicKey, endpoints });
    documents.push(`apiVersion: omni.io/v1alpha1\nkind: Peer\nmetadata: { name: ${name} }\nspec: ${spec}\n`);
    const place = JSON.stringify({ cluster: 'warehouse', address: vip, peer: name });
    documents.push(`apiVersion: omni.io/v1alpha1\nkind: VIP\nmetadata: { name: ${name} }\nspec: ${place}\n`);
  }
  await writeFile(join(folder, 'fleet.yaml'), documents.join('---\n'));
  for (const copy of machines.slice(1)) {
    await mkdir(dirname(copy.identity), { recursive: true });
    await copyFile(first.identity, copy.identity);
  }
  return folder;
}

beforeAll(async () => {
  lab = await Lab.open({ name: 'oclone', hosts: ['hub', 'first', 'second'] });
  hub = lab.host('hub');
  machines = [lab.host('first'), lab.host('second')];
  const source = await fleet();
  for (const host of [hub, ...machines]) host.startAgent(['--source', source]);
  for (const host of [hub, ...machines]) await ready(host);
});
afterAll(() => lab?.close());

const eventsOf = async (host: Host): Promise<readonly Event[]> => {
  const { items }: { items: readonly Event[] } = JSON.parse(await host.mustOmni(['events', '-o', 'json']));
  return items;
};
const warnings = async () => (await eventsOf(hub)).filter(({ reason }) => reason === 'KeyInUseTwice');

it('two machines with one key are named, with both their addresses', { timeout: 200_000 }, async () => {
  const pings = machines.map((machine) =>
    machine.background(pingArguments(HUB, { count: 1_000, intervalS: 0.5, waitS: 1 })),
  );
  await until('the hub says so', async () => (await warnings()).length > 0, 180_000, 1_000);
  const [warning] = await warnings();
  expect(warning).toMatchObject({ type: 'Warning', object: 'peer/robot' });
  for (const address of ['192.0.2.2:51820', '192.0.2.3:51820']) expect(warning?.message).toContain(address);
  expect(warning?.message).toContain('omni init');
  expect(await hub.mustOmni(['describe', 'peer/robot'])).toMatch(/Key in use: +by two machines in turns/);
  for (const traffic of pings) await traffic.stop('SIGINT');
});
