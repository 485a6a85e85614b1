import { afterAll, beforeAll, expect, it } from 'vitest';
import { clusterDocument, FleetRepository, makeIdentity, ready, robotDocuments } from '../../lab/fleet.ts';
import { type Host, Lab } from '../../lab/lab.ts';
import { ping } from '../../lab/ping.ts';
import { until } from '../../lab/shell.ts';
import type { Status } from '../../src/agent/api.ts';
import { sample, scrape } from './metrics.ts';

/*
 * Two agents that look at their repository every half an hour. What one of them is told by an operator, the other one
 * learns in seconds, and reads from its own source.
 */
let lab: Lab;
let fleet: FleetRepository;
let one: Host;
let two: Host;

const appliedBy = async (host: Host): Promise<string | undefined> =>
  (JSON.parse((await host.omni(['status', '-o', 'json'])).stdout) as Status).revision.lastApplied?.id;

async function commit(message: string): Promise<string> {
  await fleet.write('note.yaml', `# ${message}\n`);
  await fleet.commitAndPush(message);
  return (await fleet.git('rev-parse', 'HEAD')).trim();
}

beforeAll(async () => {
  lab = await Lab.open({ name: 'omno', hosts: ['robot-1', 'robot-2'], git: true });
  [one, two] = [lab.host('robot-1'), lab.host('robot-2')];
  fleet = await FleetRepository.create(lab);
  for (const host of [one, two]) await makeIdentity(host);
  await fleet.write('warehouse.yaml', clusterDocument());
  await fleet.write('robot-1.yaml', await robotDocuments(one, ['10.77.0.1']));
  await fleet.write('robot-2.yaml', await robotDocuments(two, ['10.77.0.2']));
  await fleet.commitAndPush('fleet: two robots');
  const interval = ['--interval', '30m', '--metrics', '127.0.0.1:9586'];
  for (const host of [one, two]) host.startAgent(['--source', fleet.url, '--path', 'fleet', ...interval]);
  await Promise.all([ready(one), ready(two)]);
  expect((await ping(one, '10.77.0.2', { count: 1, waitS: 5 })).received, one.agent?.text).toBe(1);
});
afterAll(() => lab?.close());

it('a commit that one node fetched is with its peer in seconds', async () => {
  const revision = await commit('fleet: a note');
  expect(await appliedBy(two)).not.toBe(revision);
  await one.mustOmni(['reconcile']);
  await until('robot-2 has it too', async () => (await appliedBy(two)) === revision, 5_000);
  const [ofOne, ofTwo] = await Promise.all([scrape(one), scrape(two)]);
  expect(sample(ofOne, 'omni_messages_total{type="notice",direction="tx"}')).toBe(1);
  expect(sample(ofTwo, 'omni_messages_total{type="notice",direction="rx"}')).toBe(1);
});
