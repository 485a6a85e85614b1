import { randomBytes } from 'node:crypto';
import { type Host, Lab } from '../../../lab/lab.ts';
import { parsePing, pingArguments } from '../../../lab/ping.ts';
import type { IpAddress } from '../../../src/manifest/model.ts';
import { converge, freshKey, installPair, type Node, PORT, rowsOf, startPlane } from '../../netns/dataplane-fixture.ts';
import type { PingResult, TrafficReport } from '../report.ts';

/*
 *   okn-a: omni0 = omni0x ═XDP═ eth0 ─────────────── eth0 ═XDP═ omni0x = omni0 :okn-b
 *          10.77.0.1        192.0.2.1                192.0.2.2       10.77.0.2
 *          fd77::1          2001:db8:2::1            2001:db8:2::2   fd77::2
 *
 * Rows and sessions put in by hand, as in test/netns/dataplane.test.ts: no git, no handshake. First over IPv4; then both
 * ends go over to IPv6, and IPv4 is taken away.
 */
const MTU = { 4: 1426, 6: 1406 };
const IPV4_AND_ICMP = 28;
/** Block and padding borders of the cipher. */
const SIZES = [0, 1, 17, 64, 256];
const COUNT = 20;
/** Emulation is slow: far above what any kernel takes. */
const WAIT_S = 10;

type Underlay = 4 | 6;
type Mode = TrafficReport['mode'];

export async function carryTraffic(mode: Mode): Promise<TrafficReport> {
  const lab = await Lab.open({ name: 'okn', hosts: ['a', 'b'], direct: true });
  try {
    const [a, b] = await Promise.all([startNode(lab.host('a'), 1, mode), startNode(lab.host('b'), 2, mode)]);
    await Promise.all([converged(a, b), converged(b, a)]);
    await installPair(a, b);
    const four = await pingBothWays(a, b, 4);
    await goOverToSix(a, b);
    const six = await pingBothWays(a, b, 6);
    const [one, other] = await Promise.all([a.plane.counters(), b.plane.counters()]);
    const { interfaces } = await a.plane.describe();
    await Promise.all([a.plane.close(), b.plane.close()]);
    return {
      mode,
      interfaces: interfaces.flatMap(({ name, mode: found }) => (found === undefined ? [] : [`${name} ${found}`])),
      pings: [...four, ...six],
      sealed: { tx: Number(one.txPackets + other.txPackets), rx: Number(one.rxPackets + other.rxPackets) },
      drops: Object.fromEntries(
        [...Object.entries(one.drops), ...Object.entries(other.drops)]
          .filter(([, count]) => count > 0n)
          .map(([reason, count]) => [reason, Number(count)]),
      ),
    };
  } finally {
    // Ends the processes in its namespaces, too.
    await lab.close();
  }
}

async function startNode(host: Host, index: number, mode: Mode): Promise<Node> {
  const mac1Key = randomBytes(32);
  const plane = await startPlane(host, { mac1Key, mode });
  const vip4 = `10.77.0.${index}` as IpAddress;
  return { host, publicKey: freshKey(), vip4, vip6: `fd77::${index}` as IpAddress, mac1Key, plane };
}

async function converged(self: Node, other: Node): Promise<void> {
  await self.plane.adopt();
  const left = await converge(self.plane, rowsOf(self, other));
  if (left.length > 0) throw new Error(`${self.host.name} did not converge: ${JSON.stringify(left)}`);
}

async function goOverToSix(a: Node, b: Node): Promise<void> {
  const six = (node: Node) => `2001:db8:2::${node === a ? 1 : 2}` as IpAddress;
  for (const { host } of [a, b]) await host.must(['ip', 'address', 'flush', 'dev', 'eth0', 'scope', 'global']);
  for (const node of [a, b]) await node.host.must(['ip', 'address', 'add', `${six(node)}/64`, 'dev', 'eth0', 'nodad']);
  await a.plane.sessions.setEndpoint(b.publicKey, { address: six(b), port: PORT });
  await b.plane.sessions.setEndpoint(a.publicKey, { address: six(a), port: PORT });
}

async function pingBothWays(a: Node, b: Node, underlay: Underlay): Promise<readonly PingResult[]> {
  const results: PingResult[] = [];
  for (const [from, to] of [
    [a, b],
    [b, a],
  ] as const) {
    for (const address of [to.vip4, to.vip6]) {
      results.push({ underlay, ...(await ping(from.host, address, { size: 56, count: COUNT })) });
    }
  }
  for (const size of [...SIZES, MTU[underlay] - IPV4_AND_ICMP]) {
    results.push({ underlay, ...(await ping(a.host, b.vip4, { size, count: 1 })) });
  }
  return results;
}

async function ping(
  from: Host,
  to: string,
  { size, count }: { readonly size: number; readonly count: number },
): Promise<Omit<PingResult, 'underlay'>> {
  const argv = pingArguments(to, { count, size, intervalS: 0.02, waitS: WAIT_S });
  const { stdout } = await from.exec([...argv, '-M', 'do'], { timeoutMs: 60_000 });
  const { sent, received } = parsePing(stdout);
  return { from: from.name, to, size, sent, received };
}
