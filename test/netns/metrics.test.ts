import { chmod, mkdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { clusterDocument, makeIdentity, ready, robotDocuments } from '../../lab/fleet.ts';
import { type Host, Lab } from '../../lab/lab.ts';
import { ping } from '../../lab/ping.ts';
import { until } from '../../lab/shell.ts';
import { decodeGateEntry } from '../../src/dataplane/kernel/layout.ts';
import { loadNative } from '../../src/dataplane/kernel/native.ts';
import type { IpAddress } from '../../src/manifest/model.ts';
import { cookieOf, withMac2 } from '../../src/session/cookie.ts';
import { generateKeyPair } from '../../src/session/dh.ts';
import { createInitiation, prologuesOf } from '../../src/session/handshake.ts';
import { createIdentity, type Identity, readIdentity } from '../../src/session/identity.ts';
import { Psks } from '../../src/session/psks.ts';
import { dropsBy, type Samples, sample, scrape } from './metrics.ts';

/*
 * Every metric that operators are promised moves with what it names, on the kernel engine, and by how much. Two robots
 * follow one folder; robot-2 begins with another cluster secret. A third host, `caller`, has no agent: the tests speak
 * the protocol from there, as the member robot-3 and as strangers. The tests run in order.
 */
const RATE = 10;
const BURST = 50;
let lab: Lab;
let folder: string;
let one: Host;
let two: Host;
let caller: Host;
const robotThree = createIdentity();
const sendScript = new URL('./send.mjs', import.meta.url).pathname;

const write = (name: string, text: string) => writeFile(join(folder, name), text);
const start = (host: Host, ...more: string[]) => host.startAgent(['--source', folder, '--interval', '1s', ...more]);

/** How much a metric grew. */
const grown = (before: Samples, after: Samples, name: string) => sample(after, name) - sample(before, name);

/** Scrapes until the metric has grown by at least `by`. */
function growth(host: Host, before: Samples, name: string, by = 1): Promise<Samples> {
  return until(`${name} of ${host.name} grows by ${by}`, async () => {
    const after = await scrape(host);
    return grown(before, after, name) >= by && after;
  });
}

let lastTimestampNs = BigInt(Date.now()) * 1_000_000n;
let lastId = 1n;

/** A real initiation to robot-1 by `identity`, as an agent would send it. */
function initiation(identity: Identity): Buffer {
  const to = readIdentity(one.identity);
  const psks = new Psks(identity.publicKeyBytes, [new Uint8Array(32)]);
  const local = { publicKey: identity.publicKey, keyPair: identity.keyPair, psks };
  const remote = { publicKey: to.publicKeyBytes, staticKey: to.keyPair.publicKey };
  lastTimestampNs += 1n;
  lastId += 1n;
  const ephemeral = generateKeyPair();
  const between = { prologues: prologuesOf('warehouse'), local, remote };
  const made = createInitiation(between, { senderId: lastId, timestampNs: lastTimestampNs, ephemeral });
  if (made === undefined) throw new Error('no initiation');
  return Buffer.from(made.datagram);
}

/** Where the caller sends from. */
const OWN_PORT = 40_000;

/** Sends them to robot-1 in one burst; how many datagrams came back. */
async function send(datagrams: readonly Uint8Array[], from = caller): Promise<number> {
  const input = datagrams.map((datagram) => Buffer.from(datagram).toString('hex')).join('\n');
  const argv = [process.execPath, sendScript, 'datagrams', one.address, '51820', `${OWN_PORT}`];
  const report = await from.must(argv, { input });
  return (JSON.parse(report) as { replies: number }).replies;
}

/** The cookie that robot-1 would hand out to the caller. */
function cookie(): Uint8Array {
  const map = new (loadNative().BpfMap)({ pin: join(one.folder, 'bpf', 'omni', 'omni0', 'gate_map') });
  const { cookieSecrets } = decodeGateEntry(map.lookup({ key: Buffer.alloc(4) }) ?? Buffer.alloc(0));
  map.close();
  return cookieOf(cookieSecrets.subarray(0, 32), { address: caller.address as IpAddress, port: OWN_PORT });
}

/** Waits until a source that was answered a moment ago is answered again without a cookie. */
async function nextSecond(): Promise<void> {
  const startedMs = performance.now();
  await until('the next second', () => performance.now() - startedMs > 1_000);
}

const failed = (reason: string) => `omni_handshakes_failed_total{reason="${reason}"}`;
const allFailed = (samples: Samples) =>
  [...samples].reduce(
    (sum, [name, value]) => (name.startsWith('omni_handshakes_failed_total{') ? sum + value : sum),
    0,
  );

beforeAll(async () => {
  lab = await Lab.open({ name: 'omnim', hosts: ['robot-1', 'robot-2', 'caller'] });
  [one, two, caller] = [lab.host('robot-1'), lab.host('robot-2'), lab.host('caller')];
  folder = join(lab.folder, 'fleet');
  await mkdir(folder);
  for (const host of [one, two]) await makeIdentity(host);
  const spec = `  limits: { newSessionsPerSecondPerSource: ${RATE} }\n  sessions: { handshakeTimeout: 1s }\n`;
  await write('warehouse.yaml', clusterDocument({ spec }));
  await write('robot-1.yaml', await robotDocuments(one, ['10.77.0.1']));
  await write('robot-2.yaml', await robotDocuments(two, ['10.77.0.2']));
  await write('robot-3.yaml', peer('robot-3', robotThree, caller.address));
  const psk = join(two.folder, 'state', 'psk');
  await writeFile(psk, `${Buffer.alloc(32, 7).toString('base64')}\n`);
  await chmod(psk, 0o600);
  start(one);
  start(two, '--psk-file', psk);
  await Promise.all([ready(one), ready(two)]);
});
afterAll(() => lab?.close());

function peer(name: string, { publicKey }: Identity, address: string): string {
  return `apiVersion: omni.io/v1alpha1\nkind: Peer\nmetadata: { name: ${name} }\nspec:\n  clusters: [warehouse]\n  publicKey: ${publicKey}\n  endpoints: ["${address}:51820"]\n`;
}

describe('omni_handshakes_*', () => {
  it('another cluster secret: no session, mac1 drops there, and describe says what was tried', async () => {
    const before = await scrape(two);
    await ping(one, '10.77.0.2', { count: 1, waitS: 1 });
    await growth(two, before, 'omni_drops_total{reason="mac1"}', 2);
    const [ours, theirs] = [await scrape(one), await scrape(two)];
    for (const samples of [ours, theirs]) {
      expect(sample(samples, 'omni_handshakes_completed_total')).toBe(0);
      expect(sample(samples, 'omni_sessions_active')).toBe(0);
    }
    expect(grown(before, theirs, 'omni_control_passed_total')).toBe(0);
    const said = await one.mustOmni(['describe', 'peer/robot-2']);
    expect(said).toMatch(/Session: +none: [2-9]\d* handshakes unanswered, .*still trying/);
    expect(said).toContain('192.0.2.2:51820');
    expect(said).toContain('psk-file');
  });

  it('completed grows by one on both ends, sessions_active from 0 to 1', async () => {
    await two.stopAgent();
    start(two);
    await ready(two);
    const before = [await scrape(one), await scrape(two)] as const;
    expect((await ping(one, '10.77.0.2', { count: 1, waitS: 5 })).received).toBe(1);
    for (const [index, host] of [one, two].entries()) {
      const after = await growth(host, before[index] ?? new Map(), 'omni_handshakes_completed_total');
      expect(grown(before[index] ?? new Map(), after, 'omni_handshakes_completed_total')).toBe(1);
      expect(sample(after, 'omni_sessions_active')).toBe(1);
    }
  });

  it('failed names why: a stranger, and the same again', async () => {
    const before = await scrape(one);
    expect(await send([initiation(createIdentity())])).toBe(0);
    await growth(one, before, failed('unknown-peer'));
    const genuine = initiation(robotThree);
    await nextSecond();
    expect(await send([genuine])).toBe(1);
    // From the same place the packet filter knows it, from another one the agent does.
    expect(await send([genuine])).toBe(0);
    await growth(one, before, 'omni_drops_total{reason="recorded"}');
    expect(await send([genuine], two)).toBe(0);
    const after = await growth(one, before, failed('replayed'));
    expect(allFailed(after) - allFailed(before)).toBe(2);
  });
});

describe('omni_sessions_dropped_ratelimit_total', () => {
  it('counts what is over the limit of one source, which user space never sees', async () => {
    const before = await scrape(one);
    const startedMs = performance.now();
    const replies = await send(Array.from({ length: BURST }, () => withMac2(initiation(robotThree), cookie())));
    const seconds = (performance.now() - startedMs) / 1000;
    const after = await scrape(one);
    const dropped = grown(before, after, 'omni_sessions_dropped_ratelimit_total');
    const passed = grown(before, after, 'omni_control_passed_total');
    expect(dropped + passed).toBe(BURST);
    expect(dropsBy(after, 'ratelimit') - dropsBy(before, 'ratelimit')).toBe(dropped);
    expect(dropped).toBeGreaterThan(0);
    expect(passed).toBeLessThanOrEqual(RATE + RATE * seconds);
    // Of those that passed, each was answered or refused by the agent, and none but those.
    expect(replies + allFailed(after) - allFailed(before)).toBe(passed);
  });
});

describe('omni_packets_*', () => {
  it('what one end sent is what the other received', async () => {
    const before = [await scrape(one), await scrape(two)] as const;
    expect((await ping(one, '10.77.0.2', { count: 20, intervalS: 0.01, size: 1000 })).received).toBe(20);
    const after = [await scrape(one), await scrape(two)] as const;
    const sent = grown(before[0], after[0], 'omni_packets_tx_total');
    expect(sent).toBeGreaterThanOrEqual(20);
    expect(sent).toBeLessThan(30);
    expect(grown(before[1], after[1], 'omni_packets_rx_total')).toBe(sent);
    expect(grown(before[0], after[0], 'omni_packets_rx_total')).toBe(
      grown(before[1], after[1], 'omni_packets_tx_total'),
    );
    // 1,000 bytes of payload, 8 of ICMP, 20 of IPv4, 14 of Ethernet.
    expect(grown(before[0], after[0], 'omni_bytes_tx_total')).toBeGreaterThanOrEqual(20 * 1042);
  });
});

describe('omni_drops_total', () => {
  it.each([
    ['fdb-miss', ['ip', 'neigh', 'replace', '10.77.0.9', 'lladdr', '02:00:00:00:00:09', 'dev', 'omni0'], '10.77.0.9'],
    ['neigh-miss', ['true'], '10.77.0.8'],
    ['multicast', ['ip', 'route', 'replace', '239.1.1.1', 'dev', 'omni0'], '239.1.1.1'],
  ] as const)('%s', async (reason, prepare, target) => {
    await one.must(prepare);
    const before = await scrape(one);
    await one.exec(['ping', '-n', '-c', '1', '-W', '1', target]);
    await growth(one, before, `omni_drops_total{reason="${reason}"}`);
  });
});

describe('omni_reconcile_*', () => {
  it('drift: healed, changes, writes, passes and their duration', async () => {
    const before = await scrape(one);
    await one.must(['ip', 'address', 'delete', '10.77.0.1/32', 'dev', 'omni0']);
    const after = await growth(one, before, 'omni_reconcile_drift_healed_total');
    expect(grown(before, after, 'omni_reconcile_changes_total{op="create"}')).toBeGreaterThanOrEqual(1);
    expect(grown(before, after, 'omni_reconcile_writes_total')).toBeGreaterThanOrEqual(1);
    const end = await growth(one, before, 'omni_reconcile_passes_total');
    expect(grown(before, end, 'omni_reconcile_duration_seconds_count')).toBe(
      grown(before, end, 'omni_reconcile_passes_total'),
    );
    expect(grown(before, end, 'omni_reconcile_duration_seconds_sum')).toBeGreaterThan(0);
  });

  it('errors and pending rows, while the underlay has no route to a new peer', async () => {
    await one.must(['ip', 'route', 'delete', 'default']);
    const before = await scrape(one);
    expect(sample(before, 'omni_reconcile_pending_rows')).toBe(0);
    await write('far.yaml', peer('far', createIdentity(), '198.51.100.9'));
    const during = await growth(one, before, 'omni_reconcile_errors_total{class="wait"}');
    expect(sample(during, 'omni_reconcile_pending_rows')).toBeGreaterThanOrEqual(1);
    await one.must(['ip', 'route', 'add', 'default', 'via', '192.0.2.254']);
    await until('nothing is pending', async () => sample(await scrape(one), 'omni_reconcile_pending_rows') === 0);
  });

  it('a peer that is removed: deletes, and its session is active no more', async () => {
    const before = await scrape(one);
    const active = sample(before, 'omni_sessions_active');
    expect(active).toBeGreaterThanOrEqual(1);
    await rm(join(folder, 'robot-2.yaml'));
    const after = await growth(one, before, 'omni_reconcile_changes_total{op="delete"}', 2);
    expect(grown(before, after, 'omni_reconcile_changes_total{op="create"}')).toBe(0);
    await until('its session is gone', async () => sample(await scrape(one), 'omni_sessions_active') === active - 1);
  });
});
