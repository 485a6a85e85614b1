import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { dumpMap } from '../../lab/bpf.ts';
import { clusterDocument, makeIdentity, ready, robotDocuments } from '../../lab/fleet.ts';
import { handshakesTo, type Recorded, randomDatagrams, wrongMac1 } from '../../lab/hostile.ts';
import { type Host, Lab } from '../../lab/lab.ts';
import { ping } from '../../lab/ping.ts';
import { sleep, until } from '../../lab/shell.ts';
import { udpCounters } from '../../lab/udp.ts';
import { OmniProtocol } from '../../src/dataplane/kernel/layout.ts';
import { dropsBy, sample, scrape } from './metrics.ts';
import { watchPath } from './onlookers.ts';

/*
 * Two robots talk. A stranger on the same wire sends what it can make up, and what it has recorded; clocks are wrong;
 * sessions end. The tests run in order.
 *
 *     robot-1 ══ session ══ robot-2        robot-3: its clock says 1970
 *        └──────── one wire ───┴──── stranger
 */
const SEND = new URL('./send.mjs', import.meta.url).pathname;
/** A clock that begins in 1970 and goes on from there; timers keep to the real one. */
const IN_1970 = [
  'env',
  'LD_PRELOAD=/usr/$LIB/faketime/libfaketime.so.1', // ld.so(8) knows $LIB
  'FAKETIME=@1970-01-01 00:00:30',
  'FAKETIME_DONT_FAKE_MONOTONIC=1',
];
const A_DAY_NS = 86_400_000_000_000n;
const VIPS = { one: '10.77.0.1', two: '10.77.0.2', three: '10.77.0.3' };

interface Keys {
  readonly value: { readonly rx_key: readonly number[]; readonly tx_key: readonly number[] };
}

let lab: Lab;
let fleet: string;
let one: Host;
let two: Host;
let three: Host;
let stranger: Host;
let recorded: { readonly toOne: Recorded; readonly toTwo: Recorded };

beforeAll(async () => {
  lab = await Lab.open({ name: 'omnifl', hosts: ['robot-1', 'robot-2', 'robot-3', 'stranger'] });
  [one, two, three, stranger] = [lab.host('robot-1'), lab.host('robot-2'), lab.host('robot-3'), lab.host('stranger')];
  fleet = join(lab.folder, 'fleet');
  await mkdir(fleet);
  await writeFile(join(fleet, 'warehouse.yaml'), clusterDocument());
  for (const [host, vip] of [
    [one, VIPS.one],
    [two, VIPS.two],
    [three, VIPS.three],
  ] as const) {
    await makeIdentity(host);
    await writeFile(join(fleet, `${host.name}.yaml`), await robotDocuments(host, [vip]));
  }
  // Whatever the two say to each other passes the wire of either.
  const pcap = await lab.capture(one, async () => {
    for (const host of [one, two]) start(host);
    await Promise.all([ready(one), ready(two)]);
    expect((await ping(one, VIPS.two, { count: 1, waitS: 5 })).received).toBe(1);
  });
  recorded = { toOne: handshakesTo(one, pcap), toTwo: handshakesTo(two, pcap) };
});
afterAll(() => lab?.close());

function start(host: Host, launcher: readonly string[] = []): void {
  host.startAgent(['--source', fleet, '--interval', '1s'], launcher);
}

/** As after a power cut: nothing is left in the kernel. */
async function losePower(host: Host): Promise<void> {
  await host.stopAgent('SIGKILL');
  await host.mustOmni(['agent', ...host.agentArguments(), '--teardown']);
}

/** From the stranger's own address; how many answers came. */
async function send(to: Host, datagrams: readonly Uint8Array[]): Promise<number> {
  const input = datagrams.map((each) => Buffer.from(each).toString('hex')).join('\n');
  const report = await stranger.must([process.execPath, SEND, 'datagrams', to.address, '51820'], { input });
  const { replies, errors } = JSON.parse(report) as { readonly replies: number; readonly errors: number };
  return replies + errors;
}

const sessionIds = async (host: Host) => (await dumpMap(host, 'session_map')).map(({ key }) => key.join('')).sort();
/** The different words of the keys of the sessions that the host sends on. */
async function currentKeys(host: Host): Promise<readonly number[]> {
  const sending = (await dumpMap(host, 'send_map')).map(({ value }) => value?.join(''));
  const sessions = await dumpMap<Keys>(host, 'session_map');
  const current = sessions.filter(({ key }) => sending.includes(key.join('')));
  return [...new Set(current.flatMap(({ formatted: { value } }) => [...value.rx_key, ...value.tx_key]))];
}
const failed = async (host: Host, reason: string) =>
  sample(await scrape(host), `omni_handshakes_failed_total{reason="${reason}"}`);

describe('what a stranger makes up', () => {
  it('reaches no socket, gets no answer, and costs live traffic no packet', async () => {
    const kinds = [randomDatagrams(1000), wrongMac1(500, OmniProtocol.classic), wrongMac1(500, OmniProtocol.hybrid)];
    const path = await watchPath(one, VIPS.two);
    const [udp, samples] = [await udpCounters(two), await scrape(two)];
    for (const datagrams of kinds) expect(await send(two, datagrams)).toBe(0);
    const after = await scrape(two);
    const reasons = ['truncated', 'session-unknown', 'mac1'];
    const dropped = reasons.map((reason) => dropsBy(after, reason) - dropsBy(samples, reason));
    expect(dropped.reduce((sum, each) => sum + each)).toBe(2000);
    expect(dropped.at(-1)).toBe(1000);
    expect(await udpCounters(two)).toEqual(udp);
    expect(sample(after, 'omni_control_passed_total')).toBe(sample(samples, 'omni_control_passed_total'));
    expect(await path.lost()).toBe(0);
  });
});

describe('a recorded initiation', () => {
  // One: the second of a source within a second draws a cookie, as it would bring one who made it in.
  const initiations = () => {
    const [first] = recorded.toTwo.initiations;
    if (first === undefined) throw new Error('no initiation was recorded');
    return [first];
  };

  it('changes no session and gets no answer', async () => {
    const [ids, udp, replayed] = [await sessionIds(two), await udpCounters(two), await failed(two, 'replayed')];
    expect(await send(two, initiations())).toBe(0);
    await until('it is refused', async () => (await failed(two, 'replayed')) === replayed + 1);
    expect(await sessionIds(two)).toEqual(ids);
    expect((await udpCounters(two)).sent).toBe(udp.sent);
    // Again and again: the agent does not see it any more.
    const samples = await scrape(two);
    expect(await send(two, Array.from({ length: 100 }, () => initiations()).flat())).toBe(0);
    const after = await scrape(two);
    expect(dropsBy(after, 'recorded') - dropsBy(samples, 'recorded')).toBe(100);
    expect(sample(after, 'omni_control_passed_total')).toBe(sample(samples, 'omni_control_passed_total'));
  });

  it('nor from an agent that lost power meanwhile', async () => {
    await losePower(two);
    start(two);
    await ready(two);
    const replayed = await failed(two, 'replayed');
    expect(await send(two, initiations())).toBe(0);
    await until('it is refused', async () => (await failed(two, 'replayed')) > replayed);
  });
});

describe('recorded responses', () => {
  it('reach no socket', async () => {
    const victims = [
      { host: one, responses: recorded.toOne.responses },
      { host: two, responses: recorded.toTwo.responses },
    ].filter(({ responses }) => responses.length > 0);
    expect(victims).not.toEqual([]);
    for (const { host, responses } of victims) {
      const [udp, dropped] = [await udpCounters(host), dropsBy(await scrape(host), 'unexpected')];
      expect(await send(host, responses)).toBe(0);
      expect(dropsBy(await scrape(host), 'unexpected')).toBe(dropped + responses.length);
      expect(await udpCounters(host)).toEqual(udp);
    }
  });
});

describe('a node whose clock says 1970', () => {
  it('is heard, and heard again after it lost power', async () => {
    for (let boot = 0; boot < 2; boot++) {
      start(three, IN_1970);
      await ready(three);
      expect((await ping(three, VIPS.one, { count: 1, waitS: 5 })).received).toBe(1);
      const kept = await readFile(join(three.folder, 'state', 'handshake.json'), 'utf8');
      const { own } = JSON.parse(kept) as { readonly own: string };
      expect(BigInt(own)).toBeLessThan(A_DAY_NS);
      await losePower(three);
    }
  });
});

describe('a session at the end of its lifetime', () => {
  it('carries nothing, and its keys are gone', async () => {
    const lifetimeMs = 3_000;
    const short = '  sessions: { rekeyAfter: 1s, lifetime: 3s, handshakeTimeout: 500ms }\n';
    await writeFile(join(fleet, 'warehouse.yaml'), clusterDocument({ spec: short }));
    for (const host of [one, two]) {
      await losePower(host);
      start(host);
    }
    await Promise.all([ready(one), ready(two)]);
    // With the time of every answer, seconds since 1970.
    const pings = one.background(['ping', '-D', '-n', '-i', '0.02', VIPS.two]);
    const lastAnswerMs = () => Number([...pings.text.matchAll(/^\[([\d.]+)\] \d+ bytes from/gm)].at(-1)?.[1]) * 1000;
    await until('they talk', () => lastAnswerMs() > 0);

    // Nobody is left to renew the session with, and the traffic goes on.
    await two.stopAgent('SIGKILL');
    const killedMs = Date.now();
    const left = await sessionIds(two);
    expect((await currentKeys(two)).length).toBeGreaterThan(1);
    await until('no session is left', async () => (await sessionIds(one)).length === 0, 3 * lifetimeMs, 100);
    await sleep(500);
    await pings.stop('SIGINT');
    expect(lastAnswerMs() - killedMs).toBeGreaterThan(500);
    expect(lastAnswerMs() - killedMs).toBeLessThan(lifetimeMs + 100);

    // With no agent the program does it, at the first frame that the session is asked to carry.
    await two.exec(['ping', '-n', '-c', '1', '-W', '1', VIPS.one]);
    expect(await currentKeys(two)).toEqual([0]);

    start(two);
    await until('they talk again', async () => (await ping(one, VIPS.two, { count: 1, waitS: 1 })).received === 1);
    const ids = await sessionIds(two);
    expect(left.filter((id) => ids.includes(id))).toEqual([]);
  });
});
