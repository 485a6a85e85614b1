import { randomBytes } from 'node:crypto';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { clusterDocument, makeIdentity, ready, robotDocuments } from '../../lab/fleet.ts';
import { handshakesTo } from '../../lab/hostile.ts';
import { type Host, Lab } from '../../lab/lab.ts';
import { ping } from '../../lab/ping.ts';
import { must, until } from '../../lab/shell.ts';
import { datagram, mac } from '../bpf/frames.ts';
import { dropsBy, type Samples, sample, scrape } from './metrics.ts';
import { initiationTo, mac1KeyOf, macAddress, sendDatagrams, sendFrames } from './stranger.ts';

/*
 * Who gets at the handshake port of robot-2, by what way, and at whose cost. The stranger has the public keys of a cluster
 * without a secret, so its initiations have a right mac1; nothing tells them from a member's before Diffie-Hellman.
 *
 *     robot-1 ══ session ══ robot-2 ── eth1, no underlay ──┐
 *        └──── one wire, eth0 ──┴───────────────────── stranger
 *
 * robot-2 knows no endpoint of robot-1 and cannot call it, as behind a NAT. The tests run in order.
 */
const VIPS = { one: '10.77.0.1', two: '10.77.0.2' };
const SIDE = '198.51.100.2';
const COUNT = 50;

let lab: Lab;
let fleet: string;
let one: Host;
let two: Host;
let stranger: Host;
let mac1: Uint8Array;
let recorded: readonly Uint8Array[];

const start = (host: Host) => host.startAgent(['--source', fleet, '--interval', '1s']);
const initiations = (count = COUNT) => Array.from({ length: count }, () => initiationTo(mac1));

/** What handshakes the agent looked at, with whatever result. */
const looked = (samples: Samples) =>
  [...samples].reduce((sum, [name, value]) => (name.startsWith('omni_handshakes_failed_total') ? sum + value : sum), 0);

/** What datagrams that came while `during` ran were dropped for, and how many the agent looked at. */
async function outcome(during: () => Promise<unknown>, ...reasons: string[]) {
  const before = await scrape(two);
  await during();
  const after = await scrape(two);
  const dropped = reasons.map((reason) => dropsBy(after, reason) - dropsBy(before, reason));
  return { dropped: dropped.reduce((sum, each) => sum + each), looked: looked(after) - looked(before) };
}

beforeAll(async () => {
  lab = await Lab.open({ name: 'omnihp', hosts: ['robot-1', 'robot-2', 'stranger'] });
  [one, two, stranger] = [lab.host('robot-1'), lab.host('robot-2'), lab.host('stranger')];
  fleet = join(lab.folder, 'fleet');
  await mkdir(fleet);
  await writeFile(join(fleet, 'warehouse.yaml'), clusterDocument());
  for (const [host, vip] of [
    [one, VIPS.one],
    [two, VIPS.two],
  ] as const) {
    await makeIdentity(host);
    const document = await robotDocuments(host, [vip]);
    await writeFile(
      join(fleet, `${host.name}.yaml`),
      host === one ? document.replace(/ *endpoints:.*\n( *- .*51820.*\n)*/, '') : document,
    );
  }
  const peer = ['type', 'veth', 'peer', 'name', 'eth1', 'netns', stranger.namespace];
  await must(['ip', '-n', two.namespace, 'link', 'add', 'eth1', ...peer]);
  for (const [host, address] of [
    [two, SIDE],
    [stranger, '198.51.100.3'],
  ] as const) {
    await host.must(['ip', 'address', 'add', `${address}/24`, 'dev', 'eth1']);
    await host.must(['ip', 'link', 'set', 'eth1', 'up']);
  }
  mac1 = await mac1KeyOf(two);
  const pcap = await lab.capture(two, async () => {
    for (const host of [one, two]) start(host);
    await Promise.all([ready(one), ready(two)]);
    await until('they talk', async () => (await ping(one, VIPS.two, { count: 1, waitS: 5 })).received === 1);
  });
  recorded = handshakesTo(two, pcap).initiations;
  expect(recorded.length).toBeGreaterThan(0);
});
afterAll(() => lab?.close());

describe('the agent is reached by way of the ingress program alone', () => {
  it('on the underlay a stranger with the public key is heard: what follows is no matter of mac1', async () => {
    const [initiation] = initiations(1);
    if (initiation === undefined) throw new Error('no initiation');
    const before = looked(await scrape(two));
    expect(await sendDatagrams(stranger, two.address, [initiation])).toEqual({ replies: 0, errors: 0 });
    await until('the agent looks at it', async () => looked(await scrape(two)) === before + 1);
  });

  it.each<[string, () => Promise<unknown>]>([
    ['an interface that is no underlay', () => sendDatagrams(stranger, SIDE, initiations())],
    ['the loopback', () => sendDatagrams(two, '127.0.0.1', initiations())],
    ['the loopback, IPv6', () => sendDatagrams(two, '::1', initiations())],
    ['the overlay', () => sendDatagrams(one, VIPS.two, initiations())],
  ])('not by way of %s: nothing is looked at, nothing answered', async (_, send) => {
    let report: unknown;
    const during = async () => {
      report = await send();
    };
    expect(await outcome(during, 'bypass', 'inner-agent')).toEqual({ dropped: COUNT, looked: 0 });
    expect(report).toEqual({ replies: 0, errors: 0 });
  });

  it('nor behind a priority tag, which the stack would take off', async () => {
    // Else the tag travels beside the frame, and the ingress program sees, and judges, the frame without it.
    await must(lab.onUnderlay(['ethtool', '-K', 'robot-2.p', 'txvlan', 'off', 'tx-vlan-stag-hw-insert', 'off']));
    const [to, from] = [await macAddress(two), await macAddress(stranger)];
    const frames = initiations().map((payload) => {
      const packet = datagram({ source: stranger.address, destination: two.address, port: 51820, payload });
      const tag = Buffer.from('81000000', 'hex');
      return Buffer.concat([mac(to), mac(from), tag, packet.subarray(12)]);
    });
    const during = async () => {
      await (await sendFrames(stranger, frames)).wait();
    };
    expect(await outcome(during, 'tagged')).toEqual({ dropped: COUNT, looked: 0 });
  });
});

it('what is to another host’s address is no business of ours, whoever’s MAC it bears', async () => {
  const [to, from] = [await macAddress(two), await macAddress(stranger)];
  const junk = (destination: string) =>
    Array.from({ length: COUNT }, () => {
      const packet = datagram({ source: stranger.address, destination, port: 51820, payload: randomBytes(100) });
      return Buffer.concat([mac(to), mac(from), packet.subarray(12)]);
    });
  const sending = (destination: string) => async () => {
    await (await sendFrames(stranger, junk(destination))).wait();
  };
  expect(await outcome(sending('192.0.2.99'), 'session-unknown')).toEqual({ dropped: 0, looked: 0 });
  expect(await outcome(sending(two.address), 'session-unknown')).toEqual({ dropped: COUNT, looked: 0 });
});

describe('somebody who sends in the name of robot-1', () => {
  it.each<[string, (frame: (payload: Uint8Array) => Buffer) => Buffer[]]>([
    [
      'a recording, over and over',
      (frame) => Array.from({ length: 10_000 }, () => frame(recorded[0] ?? Buffer.alloc(0))),
    ],
    ['initiations that it made', (frame) => initiations(10_000).map(frame)],
  ])('does not keep it out: %s', { timeout: 60_000 }, async (_, framesOf) => {
    await one.stopAgent('SIGKILL');
    await one.mustOmni(['agent', ...one.agentArguments(), '--teardown']);
    const [to, from] = [await macAddress(two), await macAddress(stranger)];
    const frames = framesOf((payload) => {
      const packet = datagram({ source: one.address, destination: two.address, port: 51820, payload });
      return Buffer.concat([mac(to), mac(from), packet.subarray(12)]);
    });
    const before = await scrape(two);
    const dropsOf = (samples: Samples) => dropsBy(samples, 'recorded') + sample(samples, 'omni_control_passed_total');
    const flood = await sendFrames(stranger, frames);
    await until('the flood is there', async () => dropsOf(await scrape(two)) > dropsOf(before) + 500);
    start(one);
    await until('robot-1 is in', async () => (await ping(one, VIPS.two, { count: 1, waitS: 1 })).received === 1, 9_000);
    expect(flood.running).toBe(true);
    const after = await scrape(two);
    expect(dropsBy(after, 'ratelimit')).toBe(dropsBy(before, 'ratelimit'));
    expect(sample(after, 'omni_handshakes_completed_total')).toBeGreaterThan(
      sample(before, 'omni_handshakes_completed_total'),
    );
    await flood.stop();
  });
});

describe('while no agent runs', () => {
  it('nothing tells that somebody is here: neither a right mac1 nor a recording draws an ICMP error', async () => {
    const before = dropsBy(await scrape(two), 'no-agent');
    await two.stopAgent('SIGKILL');
    // A port that no program stands in front of answers so: the test would see it.
    expect((await sendDatagrams(stranger, two.address, initiations(3), 51999)).errors).toBeGreaterThan(0);
    const datagrams = [...initiations(5), ...recorded];
    expect(await sendDatagrams(stranger, two.address, datagrams)).toEqual({ replies: 0, errors: 0 });
    start(two);
    await until(
      'the agent runs',
      async () => (await two.omni(['status'])).status !== 5 && two.agent?.text.includes(' runs'),
    );
    const after = await until('it counts', () => scrape(two).catch(() => undefined));
    expect(dropsBy(after, 'no-agent')).toBe(before + datagrams.length);
  });
});
