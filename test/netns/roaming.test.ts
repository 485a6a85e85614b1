import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { clusterDocument, makeIdentity, ready } from '../../lab/fleet.ts';
import { type Host, Lab } from '../../lab/lab.ts';
import { parsePing, pingArguments } from '../../lab/ping.ts';
import { must, sleep, until } from '../../lab/shell.ts';
import type { Contact, ObjectStatus } from '../../src/agent/api.ts';

/*
 *                       Wi-Fi 192.0.2.0/24                          203.0.113.0/24
 *   oroam-robot: eth0 ────────────────── br0                  br2 ───────────────── eth0 :oroam-dock
 *     omni0      eth1 ────────────────── br1  oroam-net: a    2001:db8:3::/64         omni0
 *   10.77.0.1           cable 198.51.100.0/24    router                             10.77.0.2
 *
 * The real agents. The robot has two ways to the router, cable preferred; the dock one, with IPv4 and IPv6, which the router
 * takes at the end only. The tests run in order.
 */
const ROBOT = '10.77.0.1';
const DOCK = '10.77.0.2';
const ENDPOINTS = ['203.0.113.2:51820', '[2001:db8:3::2]:51820'];
const PER_SECOND = 100;

let lab: Lab;
let robot: Host;
let dock: Host;

const onRouter = (...argv: string[]): Promise<string> => must(lab.onUnderlay(argv));

async function contact(host: Host, peer: Host): Promise<Contact> {
  const text = await host.mustOmni(['get', 'peer', peer.name, '-o', 'json']);
  const { status } = JSON.parse(text) as { status: { contact: ObjectStatus['contact'] } };
  if (status.contact === undefined) throw new Error(`${host.name} says nothing of ${peer.name}`);
  return status.contact;
}

const used = async (host: Host, peer: Host): Promise<string | undefined> =>
  (await contact(host, peer)).paths?.find(({ active }) => active)?.endpoint;

/** A carrier that comes is told up to a second later (linkwatch in the kernel). */
async function uses(host: Host, peer: Host, endpoint: string | undefined): Promise<void> {
  await until(`${host.name} sends to ${endpoint}`, async () => (await used(host, peer)) === endpoint, 5_000, 100);
}

interface Lost {
  readonly packets: number;
  /** The longest time without an answer. */
  readonly longestMs: number;
}

/** A hundred pings a second from the robot to the dock, while `change` happens and for so long after it. */
async function under(change: () => Promise<unknown>, afterMs = 1_500): Promise<Lost> {
  const argv = pingArguments(DOCK, { count: 100_000, intervalS: 1 / PER_SECOND, waitS: 1 });
  const traffic = robot.background([...argv.slice(0, -1), '-D', DOCK]);
  await until('pings are answered', () => traffic.text.includes('icmp_seq=30 '), 10_000);
  await change();
  await sleep(afterMs);
  const endMs = Date.now();
  await traffic.stop('SIGINT');
  const answers = [...traffic.text.matchAll(/^\[(\d+\.\d+)\] .*icmp_seq=(\d+) /gm)];
  const atMs = [...answers.map(([, seconds]) => Number(seconds) * 1_000), endMs];
  const silences = atMs.slice(1).map((time, index) => time - (atMs[index] ?? time));
  const { sent } = parsePing(traffic.text);
  const answered = new Set(answers.map(([, , sequence]) => sequence)).size;
  return { packets: Math.max(0, sent - answered - 1), longestMs: Math.round(Math.max(...silences)) }; // one is under way
}

async function build(): Promise<void> {
  const net = lab.underlayNamespace;
  await onRouter('sysctl', '-qw', 'net.ipv4.ip_forward=1');
  for (const [bridge, ...addresses] of [
    ['br0', '192.0.2.254/24', '2001:db8:1::254/64'],
    ['br1', '198.51.100.254/24', '2001:db8:2::254/64'],
    ['br2', '203.0.113.254/24', '2001:db8:3::254/64'],
  ] as const) {
    if (bridge !== 'br0') await onRouter('ip', 'link', 'add', bridge, 'up', 'type', 'bridge');
    for (const address of addresses) await onRouter('ip', 'address', 'add', address, 'dev', bridge, ...noDad(address));
  }
  const veth = ['link', 'add', 'robot.q', 'type', 'veth', 'peer', 'name', 'eth1', 'netns', robot.namespace];
  await must(['ip', '-n', net, ...veth]);
  await onRouter('ip', 'link', 'set', 'robot.q', 'master', 'br1', 'up');
  await onRouter('ethtool', '-K', 'robot.q', 'gro', 'on');
  await onRouter('ip', 'link', 'set', 'dock.p', 'master', 'br2');
  await robot.must(['ip', 'link', 'set', 'eth1', 'up']);
  await robot.must(['ip', 'route', 'replace', 'default', 'via', '192.0.2.254', 'metric', '600']);
  await robot.must(['ip', 'route', 'delete', 'default', 'via', '192.0.2.254', 'metric', '0']);
  await robot.must(['ip', 'address', 'add', '2001:db8:1::1/64', 'dev', 'eth0', 'nodad']);
  await robot.must(['ip', 'route', 'add', 'default', 'via', '2001:db8:1::254', 'dev', 'eth0', 'metric', '600']);
  await cable();
  await dock.must(['ip', 'address', 'flush', 'dev', 'eth0']);
  await dock.must(['ip', 'address', 'add', '203.0.113.2/24', 'dev', 'eth0']);
  await dock.must(['ip', 'address', 'add', '2001:db8:3::2/64', 'dev', 'eth0', 'nodad']);
  await dock.must(['ip', 'route', 'add', 'default', 'via', '203.0.113.254']);
  await dock.must(['ip', 'route', 'add', 'default', 'via', '2001:db8:3::254', 'dev', 'eth0']);
}

/** What a DHCP client does when the cable is plugged in. */
async function cable(address = '198.51.100.1'): Promise<void> {
  await robot.must(['ip', 'address', 'add', `${address}/24`, 'dev', 'eth1']);
  await robot.must(['ip', 'route', 'add', 'default', 'via', '198.51.100.254', 'dev', 'eth1', 'metric', '100']);
}

const noDad = (address: string): string[] => (address.includes(':') ? ['nodad'] : []);

async function fleet(): Promise<string> {
  const folder = join(lab.folder, 'fleet');
  await mkdir(folder);
  const documents = [clusterDocument({ subnets: ['10.77.0.0/16'] })];
  for (const [host, vip, endpoints] of [
    [robot, ROBOT, []],
    [dock, DOCK, ENDPOINTS],
  ] as const) {
    const publicKey = (await makeIdentity(host)).trim();
    const spec = JSON.stringify({ clusters: ['warehouse'], publicKey, endpoints });
    documents.push(`apiVersion: omni.io/v1alpha1\nkind: Peer\nmetadata: { name: ${host.name} }\nspec: ${spec}\n`);
    const place = JSON.stringify({ cluster: 'warehouse', address: vip, peer: host.name });
    documents.push(`apiVersion: omni.io/v1alpha1\nkind: VIP\nmetadata: { name: ${host.name} }\nspec: ${place}\n`);
  }
  await writeFile(join(folder, 'fleet.yaml'), documents.join('---\n'));
  return folder;
}

describe('a robot under way', () => {
  beforeAll(async () => {
    lab = await Lab.open({ name: 'oroam', hosts: ['robot', 'dock'] });
    robot = lab.host('robot');
    dock = lab.host('dock');
    await build();
    const source = await fleet();
    robot.startAgent(['--source', source, '--underlay', 'eth0,eth1']);
    dock.startAgent(['--source', source]);
    await ready(robot);
    await ready(dock);
    await until(
      'there is a session',
      async () => (await robot.exec(['ping', '-c', '1', '-W', '1', DOCK])).status === 0,
    );
  }, 60_000);
  afterAll(() => lab?.close());

  it('is on the cable', async () => {
    expect((await under(async () => undefined, 500)).packets).toBe(0);
    await uses(dock, robot, '198.51.100.1:51820');
  });

  it('goes to Wi-Fi when the cable is unplugged, and back when it is plugged in', async () => {
    const unplugged = await under(() => robot.must(['ip', 'link', 'set', 'eth1', 'down']));
    expect(unplugged.longestMs).toBeLessThan(2_000);
    await uses(dock, robot, '192.0.2.1:51820');
    expect((await contact(dock, robot)).moved).toMatchObject({ from: '198.51.100.1:51820', why: 'peer-moved' });
    const plugged = await under(async () => {
      await robot.must(['ip', 'address', 'flush', 'dev', 'eth1']);
      await robot.must(['ip', 'link', 'set', 'eth1', 'up']);
      await cable();
    });
    expect(plugged.longestMs).toBeLessThan(500); // Wi-Fi serves meanwhile
    await uses(dock, robot, '198.51.100.1:51820');
    report('cable to Wi-Fi', unplugged);
    report('Wi-Fi to cable', plugged);
  });

  it('goes to Wi-Fi when the cable loses its carrier', async () => {
    await robot.must(['sysctl', '-qw', 'net.ipv4.conf.all.ignore_routes_with_linkdown=1']);
    const lost = await under(() => onRouter('ip', 'link', 'set', 'robot.q', 'down'));
    expect(lost.longestMs).toBeLessThan(2_000);
    await uses(dock, robot, '192.0.2.1:51820');
    expect((await under(() => onRouter('ip', 'link', 'set', 'robot.q', 'up'))).longestMs).toBeLessThan(500);
    await uses(dock, robot, '198.51.100.1:51820');
    report('carrier lost', lost);
  });

  it('is followed when the cable has another address', async () => {
    const lost = await under(async () => {
      await robot.must(['ip', 'address', 'delete', '198.51.100.1/24', 'dev', 'eth1']);
      await cable('198.51.100.7');
    });
    expect(lost.longestMs).toBeLessThan(2_000);
    await uses(dock, robot, '198.51.100.7:51820');
    report('another address', lost);
  });

  it('follows its peer to another address', async () => {
    const lost = await under(async () => {
      await dock.must(['ip', 'address', 'add', '203.0.113.3/24', 'dev', 'eth0']);
      await dock.must(['ip', 'address', 'delete', '203.0.113.2/24', 'dev', 'eth0']);
      await dock.must(['ip', 'address', 'replace', '203.0.113.3/24', 'dev', 'eth0']);
      await dock.must(['ip', 'route', 'replace', 'default', 'via', '203.0.113.254']);
    });
    expect(lost.longestMs).toBeLessThan(2_000);
    await uses(robot, dock, '203.0.113.3:51820');
    expect((await contact(robot, dock)).moved).toMatchObject({ why: 'peer-moved' });
    report('a peer with another address', lost);
  });

  it('reaches a dual-stack peer by IPv6 when IPv4 leads nowhere, though no route says so', async () => {
    await onRouter('sysctl', '-qw', 'net.ipv6.conf.all.forwarding=1');
    await robot.must(['ping', '-c', '1', '-W', '5', '2001:db8:3::2']);
    const lost = await under(() => onRouter('sysctl', '-qw', 'net.ipv4.ip_forward=0'), 2_500);
    expect(lost.longestMs).toBeLessThan(2_000);
    await uses(robot, dock, ENDPOINTS[1]);
    await uses(dock, robot, '[2001:db8:1::1]:51820');
    expect((await contact(robot, dock)).moved).toMatchObject({ from: '203.0.113.3:51820', why: 'silent' });
    report('IPv4 to IPv6', lost);
  });

  it('tells what happened', async () => {
    const events = await dock.mustOmni(['events', '--for', 'peer/robot']);
    expect(events).toMatch(
      /PathMoved .*data goes to 192\.0\.2\.1:51820 instead of 198\.51\.100\.1:51820: the peer sends from there/,
    );
    const described = await dock.mustOmni(['describe', 'peer/robot']);
    expect(described).toMatch(/Path: +\[2001:db8:1::1\]:51820 for \d+s: live/);
    expect(described).toMatch(
      /Path moved: +\d+s ago, from [\d.]+:51820: (the peer sends from there|nothing came back)/,
    );
  });
});

/** For whoever reads the log of a run: the numbers are this machine's. */
function report(what: string, { packets, longestMs }: Lost): void {
  process.stdout.write(
    `roaming: ${what}: ${packets} packets lost at ${PER_SECOND}/s, ${longestMs} ms without an answer\n`,
  );
}
