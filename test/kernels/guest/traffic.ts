import { randomBytes } from 'node:crypto';
import { type Host, Lab } from '../../../lab/lab.ts';
import { parsePing, pingArguments } from '../../../lab/ping.ts';
import type { IpAddress } from '../../../src/manifest/model.ts';
import { converge, freshKey, installPair, type Node, rowsOf, startPlane } from '../../netns/dataplane-fixture.ts';
import type { PingResult, TrafficReport } from '../report.ts';

/*
 *   okn-a: omni0 = omni0x ═XDP═ eth0 ───── eth0 ═XDP═ omni0x = omni0 :okn-b
 *
 * Rows and sessions put in by hand, as in test/netns/dataplane.test.ts: no git, no handshake.
 */
const MTU = 1426;
const IPV4_AND_ICMP = 28;
/** Block and padding borders of the cipher, and the largest that omni0 takes whole. */
const SIZES = [0, 1, 17, 64, 256, MTU - IPV4_AND_ICMP];
/** Emulation is slow: far above what any kernel takes. */
const WAIT_S = 10;
const COUNT = 20;

type Mode = TrafficReport['mode'];

export async function carryTraffic(mode: Mode): Promise<TrafficReport> {
  const lab = await Lab.open({ name: 'okn', hosts: ['a', 'b'], direct: true });
  const nodes: Node[] = [];
  try {
    const a = await startNode(lab.host('a'), 1, mode);
    nodes.push(a);
    const b = await startNode(lab.host('b'), 2, mode);
    nodes.push(b);
    await connect(a, b);
    const pings = await pingBothWays(a, b);
    const [one, other] = await Promise.all([a.plane.counters(), b.plane.counters()]);
    const { interfaces } = await a.plane.describe();
    return {
      mode,
      interfaces: interfaces.flatMap(({ name, mode: found }) => (found === undefined ? [] : [`${name} ${found}`])),
      pings,
      sealed: { tx: Number(one.txPackets + other.txPackets), rx: Number(one.rxPackets + other.rxPackets) },
      drops: Object.fromEntries(
        [...Object.entries(one.drops), ...Object.entries(other.drops)]
          .filter(([, count]) => count > 0n)
          .map(([reason, count]) => [reason, Number(count)]),
      ),
    };
  } finally {
    for (const { plane } of nodes) await plane.kill();
    await lab.close();
  }
}

async function startNode(host: Host, index: number, mode: Mode): Promise<Node> {
  const mac1Key = randomBytes(32);
  const plane = await startPlane(host, { mac1Key, mode });
  const vip4 = `10.77.0.${index}` as IpAddress;
  return { host, publicKey: freshKey(), vip4, vip6: `fd77::${index}` as IpAddress, mac1Key, plane };
}

async function connect(a: Node, b: Node): Promise<void> {
  for (const [self, other] of [
    [a, b],
    [b, a],
  ] as const) {
    await self.plane.adopt();
    const left = await converge(self.plane, rowsOf(self, other));
    if (left.length > 0) throw new Error(`${self.host.name} did not converge: ${JSON.stringify(left)}`);
  }
  await installPair(a, b);
}

async function pingBothWays(a: Node, b: Node): Promise<readonly PingResult[]> {
  const results: PingResult[] = [];
  for (const [from, to] of [
    [a, b],
    [b, a],
  ] as const) {
    for (const address of [to.vip4, to.vip6]) results.push(await ping(from.host, address, 56, COUNT));
  }
  for (const size of SIZES) results.push(await ping(a.host, b.vip4, size, 1));
  return results;
}

async function ping(from: Host, to: string, size: number, count: number): Promise<PingResult> {
  const argv = pingArguments(to, { count, size, intervalS: 0.02, waitS: WAIT_S });
  const { stdout } = await from.exec([...argv, '-M', 'do'], { timeoutMs: 60_000 });
  const { sent, received } = parsePing(stdout);
  return { from: from.name, to, size, sent, received };
}
