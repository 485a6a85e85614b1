import { randomBytes } from 'node:crypto';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { Child } from './child.ts';
import { ethernet, inner, mac, opened, sealed } from './frames.ts';
import { HOST, Lab, PORT, UNRESOLVED, words } from './lab.ts';

/**
 * The programs where they run, in both modes:
 *
 *   lab.child                                  neighbour
 *   omni0 ══ omni0x  egress, slow path         UDP socket
 *            u0      ingress ═════════════════ u1  UNRESOLVED
 */

const MINE = '02:00:00:00:00:01';
const OUTER_MAC = '02:00:00:00:00:0f';
const THEIRS = '02:00:00:00:00:02';
const MACS = [MINE, OUTER_MAC, THEIRS];
const PEER = 7n;
const ID = 5n;
const KEY = randomBytes(32);
const JUMBO = 9000;

describe.each(['native', 'generic'] as const)('%s', (mode) => {
  let lab: Lab;
  let neighbour: Child;

  beforeAll(async () => {
    lab = await Lab.open({}, ['omni_slowpath']);
    neighbour = await Child.start();
    const { child } = lab;
    const mtu = mode === 'native' ? 1500 : JUMBO;
    await child.sh(
      `ip link set u1 netns ${neighbour.pid}`,
      `ip link add omni0 address ${MINE} mtu ${mtu} type veth peer name omni0x address ${OUTER_MAC} mtu ${mtu}`,
      'sysctl -qw net.ipv6.conf.all.disable_ipv6=1',
      'ip link set omni0 up',
      'ip link set omni0x arp off up',
      'sysctl -qw net.ipv4.conf.omni0x.forwarding=1',
      'ethtool -K omni0 gro on tso off gso off tx off',
    );
    await neighbour.sh('ip link set u1 up', `ip addr add ${UNRESOLVED}/24 dev u1`, 'ethtool -K u1 gro on');
    const ifindexOuter = await child.ifindex('omni0x');
    await lab.load('omni_egress', { ifindexOuter });
    await lab.load('omni_ingress', { ifindexOuter });
    await child.attachXdp(lab.pin('omni_egress'), 'omni0x', mode);
    await child.attachXdp(lab.pin('omni_ingress'), 'u0', mode);
    await child.attachTcIngress(lab.pin('omni_slowpath'), 'omni0x');
    await child.openPacketSocket('omni0');
    await child.openPacketSocket('omni0x');
    await child.openUdp(PORT + 1);
    await neighbour.openUdp(PORT);
  });
  afterAll(async () => {
    await neighbour?.close();
    await lab?.close();
  });
  beforeEach(async () => {
    lab.clear();
    lab.setFdb(THEIRS, PEER);
    lab.setPeer(PEER, { address: UNRESOLVED });
    lab.setSession(ID, { peer: PEER, remoteId: 9n, txKey: words(KEY), rxKey: words(KEY) });
    lab.setSend(PEER, ID);
    await lab.child.sh('ip neigh flush dev u0');
  });

  const frame = () => inner(THEIRS, MINE, '10.77.0.1', '10.77.0.2', randomBytes(100));

  it('a datagram whose neighbour must be resolved first arrives; the next takes the fast path', async () => {
    const frames = [frame(), frame()];
    for (const [i, sent] of frames.entries()) {
      const { result, stats, drops } = await lab.counted(async () => {
        await lab.child.sendFrame('omni0', sent);
        return neighbour.next('udp');
      });
      expect(opened(KEY, result)).toEqual({ id: 9n, counter: BigInt(i), frame: sent });
      expect({ stats, drops }).toEqual({
        stats: { txPackets: 1, txBytes: sent.length, ...(i === 0 && { neighResolve: 1 }) },
        drops: {},
      });
    }
    // The packet socket saw the first one on its way to the stack; no MAC of the overlay is in it.
    const seen = await lab.child.next('omni0x');
    expect(MACS.filter((overlay) => seen.subarray(0, 12).includes(Buffer.from(mac(overlay))))).toEqual([]);
  });

  it('a frame without a session reaches the packet socket, and nothing else', async () => {
    lab.clear();
    // A ping to this very host, which would be answered if it went up.
    lab.setFdb(OUTER_MAC, PEER);
    lab.setPeer(PEER, { address: UNRESOLVED });
    const echo = inner(OUTER_MAC, MINE, UNRESOLVED, HOST, Buffer.from('0800f7ff00000000', 'hex'));
    const icmpBefore = await icmpReceived();
    const { stats, drops } = await lab.counted(async () => {
      await lab.child.sendFrame('omni0', echo);
      expect(await lab.child.next('omni0x')).toEqual(echo);
    });
    expect({ stats, drops }).toEqual({ stats: { queued: 1 }, drops: {} });
    expect(await icmpReceived()).toBe(icmpBefore);
  });

  it('an arriving datagram’s frame comes out of omni0', async () => {
    lab.setNeighbour('10.77.0.2', THEIRS);
    // An echo answer: other types have contents that are looked at.
    const text = Buffer.concat([Buffer.alloc(8), randomBytes(192)]);
    const sent = inner(MINE, THEIRS, '10.77.0.2', '10.77.0.1', text);
    const { stats, drops } = await lab.counted(async () => {
      await neighbour.sendUdp(sealed(KEY, ID, 0n, sent), PORT, HOST);
      expect(await lab.child.next('omni0')).toEqual(sent);
    });
    expect({ stats, drops }).toEqual({ stats: { rxPackets: 1, rxBytes: sent.length }, drops: {} });
  });

  it('an ARP question on omni0 is answered on omni0', async () => {
    lab.setNeighbour('10.77.0.2', THEIRS);
    await lab.child.sh('ip addr replace 10.77.0.1/24 dev omni0');
    const { stats } = await lab.counted(async () => {
      await lab.child.sendUdp(Buffer.from('hello'), PORT, '10.77.0.2');
      await neighbour.next('udp');
    });
    expect(stats.txPackets).toBe(1);
    expect((await lab.child.next('omni0')).subarray(6, 14)).toEqual(
      Buffer.concat([mac(THEIRS), Buffer.from('0806', 'hex')]),
    );
    await lab.child.sh('ip addr flush dev omni0');
  });

  // Native XDP takes no larger MTU than a program can seal.
  const jumbo = mode === 'generic' ? it : undefined;
  jumbo?.('a jumbo frame that no program can seal is dropped', async () => {
    const { drops } = await lab.counted(async () => {
      await lab.child.sendFrame('omni0', ethernet(THEIRS, MINE, 0x88b6, Buffer.alloc(4000)));
      // What is sent after it leaves after it.
      await lab.child.sendFrame('omni0', frame());
      await neighbour.next('udp');
    });
    expect(drops).toEqual({ frameMalformed: 1 });
  });

  async function icmpReceived(): Promise<string | undefined> {
    const lines = (await lab.child.read('/proc/net/snmp')).split('\n').filter((line) => line.startsWith('Icmp:'));
    return lines[1]?.split(' ')[1];
  }
});
