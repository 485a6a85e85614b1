import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { clusterDocument, makeIdentity, ready, robotDocuments } from '../../lab/fleet.ts';
import { type Host, Lab } from '../../lab/lab.ts';
import { parsePing, pingArguments } from '../../lab/ping.ts';
import { until } from '../../lab/shell.ts';
import { type Samples, sample, scrape } from './metrics.ts';

/*
 * Two robots renew their session every second, while one TCP flow takes all that the path gives and 500 pings a second
 * pass beside it.
 */
const TIMERS = '  sessions: { rekeyAfter: 1s, lifetime: 10s, handshakeTimeout: 500ms }\n';
const SECONDS = 24;
const REKEYS = 20;
/** Of a machine that is busy with other things as well. */
const PATIENT = { timeoutMs: 120_000 };
const COMPLETED = 'omni_handshakes_completed_total';

let lab: Lab;
let one: Host;
let two: Host;

beforeAll(async () => {
  lab = await Lab.open({ name: 'omnirk', hosts: ['robot-1', 'robot-2'] });
  [one, two] = [lab.host('robot-1'), lab.host('robot-2')];
  const fleet = join(lab.folder, 'fleet');
  await mkdir(fleet);
  await writeFile(join(fleet, 'warehouse.yaml'), clusterDocument({ spec: TIMERS }));
  for (const [index, host] of [one, two].entries()) {
    await makeIdentity(host);
    await writeFile(join(fleet, `${host.name}.yaml`), await robotDocuments(host, [`10.77.0.${index + 1}`]));
  }
  for (const host of [one, two]) host.startAgent(['--source', fleet]);
  await Promise.all([ready(one), ready(two)]);
});
afterAll(() => lab?.close());

/** What a host dropped in between, by reason. */
function dropped(before: Samples, after: Samples): Record<string, number> {
  const more = [...after].flatMap(([name, value]) => {
    const reason = /^omni_drops_total\{reason="(.+)"\}$/.exec(name)?.[1];
    return reason === undefined ? [] : [[reason, value - (before.get(name) ?? 0)] as const];
  });
  return Object.fromEntries(more.filter(([, count]) => count > 0));
}

it('loses no packet over twenty rekeys under full traffic', { timeout: 150_000 }, async () => {
  await one.must(pingArguments('10.77.0.2', { waitS: 5 }));
  const server = two.background(['iperf3', '-s', '-1', '--forceflush']);
  await until('iperf3 listens', () => server.text.includes('listening'));
  const before = { one: await scrape(one), two: await scrape(two) };
  const [text, flow] = await Promise.all([
    one.must(pingArguments('10.77.0.2', { count: SECONDS * 500, intervalS: 0.002 }), PATIENT),
    one.must(['iperf3', '-J', '-c', '10.77.0.2', '-t', String(SECONDS)], PATIENT),
  ]);
  await server.stop();
  const after = { one: await scrape(one), two: await scrape(two) };
  const rekeys = sample(after.one, COMPLETED) - sample(before.one, COMPLETED);
  const drops = { one: dropped(before.one, after.one), two: dropped(before.two, after.two) };
  const { sent, received } = parsePing(text);
  const { bytes } = (JSON.parse(flow) as { end: { sum_received: { bytes: number } } }).end.sum_received;
  expect(rekeys).toBeGreaterThanOrEqual(REKEYS);
  expect(bytes).toBeGreaterThan(100e6);
  expect(sent).toBe(SECONDS * 500);
  expect(sent - received, JSON.stringify(drops)).toBe(0);
  for (const reason of ['session-unknown', 'session-expired', 'auth', 'replay']) {
    expect([drops.one[reason], drops.two[reason]], reason).toEqual([undefined, undefined]);
  }
  // What the agents and their programs do to the maps is never taken for somebody else's doing.
  for (const host of [one, two]) expect(await host.mustOmni(['events'])).not.toMatch(/SessionDisturbed|Drift/);
});
