import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { clusterDocument, makeIdentity, ready, robotDocuments } from '../../lab/fleet.ts';
import { type Host, Lab } from '../../lab/lab.ts';
import { ping } from '../../lab/ping.ts';
import { until } from '../../lab/shell.ts';
import { ethernet, internetChecksum, ip, ipv4 } from '../bpf/frames.ts';
import { dropsBy, sample, scrape } from './metrics.ts';
import { macAddress, sendFrames } from './stranger.ts';

/*
 * A stranger anywhere says that packets between two robots are too big: ICMP errors are not authenticated, and their source
 * may be any router. Handshakes are hybrid and must be: 1,360 bytes, in one datagram or not at all.
 *
 *     robot-1 ══ session ══ robot-2
 *        └──── one wire ────┴──── stranger: "552 bytes from there, at most"
 */
const VIPS = ['10.77.0.1', '10.77.0.2'] as const;
const SIX = ['2001:db8:2::1', '2001:db8:2::2'] as const;
const FOUR = ['192.0.2.1', '192.0.2.2'] as const;
/** Less than a full frame of the overlay needs. IPv6 has no smaller one. */
const TOO_SMALL = { 4: 552, 6: 1280 } as const;

let lab: Lab;
let robots: readonly [Host, Host];
let stranger: Host;

const be16 = (...values: number[]) => Buffer.concat(values.map((value) => Buffer.of(value >> 8, value & 255)));
const be32 = (value: number) => be16(value >>> 16, value & 0xffff);

function ip4(source: string, destination: string, protocol: number, payload: Uint8Array): Buffer {
  const head = Buffer.concat([be16(0x4500, 20 + payload.length, 0, 0x4000), Buffer.of(64, protocol)]);
  const addresses = Buffer.concat([ipv4(source), ipv4(destination)]);
  return Buffer.concat([head, be16(internetChecksum(head, Buffer.alloc(2), addresses)), addresses, payload]);
}

function ip6(source: string, destination: string, next: number, payload: Uint8Array): Buffer {
  return Buffer.concat([
    be32(0x60000000),
    be16(payload.length),
    Buffer.of(next, 64),
    ip(source),
    ip(destination),
    payload,
  ]);
}

/** "What `from` sent to `to` is too big", in the stranger's name. Quoted: a datagram of the fabric, and an echo reply. */
function tooBig(family: 4 | 6, from: string, to: string): Buffer[] {
  const udp = be16(51820, 51820, 1408, 0);
  if (family === 4) {
    return [ip4(from, to, 17, udp), ip4(from, to, 1, Buffer.concat([be16(0, 0), be32(1)]))].map((quoted) => {
      const body = Buffer.concat([be16(0, TOO_SMALL[4]), quoted]);
      const error = Buffer.concat([be16(0x0304, internetChecksum(be16(0x0304), body)), body]);
      return ip4('192.0.2.3', from, 1, error);
    });
  }
  return [ip6(from, to, 17, udp), ip6(from, to, 58, Buffer.concat([be16(0x8100, 0), be32(1)]))].map((quoted) => {
    const body = Buffer.concat([be32(TOO_SMALL[6]), quoted]);
    const pseudo = Buffer.concat([ip('2001:db8:2::3'), ip(from), be32(body.length + 4), be32(58)]);
    const error = Buffer.concat([be16(0x0200, internetChecksum(pseudo, be16(0x0200), body)), body]);
    return ip6('2001:db8:2::3', from, 58, error);
  });
}

/** Tells both robots, and waits until both kernels believe it: of routes, that is; sockets and programs are the subject. */
async function forge(family: 4 | 6): Promise<void> {
  const addresses = family === 4 ? FOUR : SIX;
  for (const [at, host] of robots.entries()) {
    const [from = '', to = ''] = [addresses[at], addresses[1 - at]];
    const source = await macAddress(stranger);
    const packets = tooBig(family, from, to);
    const type = family === 4 ? 0x0800 : 0x86dd;
    const frames = packets.map((packet) => ethernet(macOfRobot[at] ?? '', source, type, packet));
    await (await sendFrames(stranger, frames)).wait();
    await until(`${host.name} takes note of a path MTU`, async () =>
      (await host.must(['ip', 'route', 'get', to])).includes(`mtu ${TOO_SMALL[family]}`),
    );
  }
}

let macOfRobot: readonly string[] = [];
const completed = async (host: Host) => sample(await scrape(host), 'omni_handshakes_completed_total');
const mtuDrops = async () => Promise.all(robots.map(async (host) => dropsBy(await scrape(host), 'mtu')));

/** Full-size frames go through, both ways, and none was found too large. */
async function carriesFullFrames(): Promise<void> {
  for (const [at, host] of robots.entries()) {
    const mtu = Number(await host.must(['cat', '/sys/class/net/omni0/mtu']));
    const report = await ping(host, VIPS[1 - at] ?? '', { count: 5, intervalS: 0.1, size: mtu - 28 });
    expect(report).toMatchObject({ sent: 5, received: 5 });
  }
}

describe.each([4, 6] as const)('over IPv%i', (family) => {
  beforeAll(async () => {
    lab = await Lab.open({ name: `omnipt${family}`, hosts: ['robot-1', 'robot-2', 'stranger'] });
    robots = [lab.host('robot-1'), lab.host('robot-2')];
    stranger = lab.host('stranger');
    const fleet = join(lab.folder, 'fleet');
    await mkdir(fleet);
    const spec = '  sessions: { rekeyAfter: 2s, lifetime: 60s, handshakeTimeout: 1s, postQuantum: required }\n';
    await writeFile(join(fleet, 'warehouse.yaml'), clusterDocument({ spec }));
    for (const [at, host] of robots.entries()) {
      await host.must(['ip', 'address', 'add', `${SIX[at]}/64`, 'dev', 'eth0', 'nodad']);
      await makeIdentity(host);
      const document = await robotDocuments(host, [VIPS[at] ?? '']);
      const endpoint = family === 4 ? `${host.address}:51820` : `"[${SIX[at]}]:51820"`;
      await writeFile(join(fleet, `${host.name}.yaml`), document.replace(`${host.address}:51820`, endpoint));
    }
    for (const host of robots) host.startAgent(['--source', fleet, '--interval', '1s']);
    macOfRobot = await Promise.all(robots.map((host) => macAddress(host)));
    await Promise.all(robots.map((host) => ready(host)));
    await ping(robots[0], VIPS[1], { count: 1, waitS: 10 });
  });
  afterAll(() => lab?.close());

  it('a forged "too big" changes neither data nor handshakes', { timeout: 60_000 }, async () => {
    await carriesFullFrames();
    const before = await mtuDrops();
    await forge(family);
    const handshakes = await completed(robots[0]);
    await carriesFullFrames();
    await until(
      'two more handshakes',
      async () => {
        await ping(robots[0], VIPS[1], { count: 1 });
        return (await completed(robots[0])) > handshakes + 1;
      },
      30_000,
    );
    await carriesFullFrames();
    expect(await mtuDrops()).toEqual(before);
  });

  it('nor does one that came while no agent ran', { timeout: 60_000 }, async () => {
    const fleet = join(lab.folder, 'fleet');
    for (const host of robots) {
      await host.stopAgent('SIGKILL');
      await host.mustOmni(['agent', ...host.agentArguments(), '--teardown']);
    }
    await forge(family);
    for (const host of robots) host.startAgent(['--source', fleet, '--interval', '1s']);
    await Promise.all(robots.map((host) => ready(host)));
    await until('they talk', async () => (await ping(robots[0], VIPS[1], { count: 1 })).received === 1, 20_000);
    await carriesFullFrames();
    expect(await mtuDrops()).toEqual([0, 0]);
  });
});
