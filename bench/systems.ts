import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { clusterDocument, makeIdentity, robotDocuments } from '../lab/fleet.ts';
import type { Host, Lab } from '../lab/lab.ts';
import { ping } from '../lab/ping.ts';
import { must, until } from '../lab/shell.ts';

/** What is compared. `start` brings the system up on both hosts and returns the address of `b` on it. */
export interface System {
  readonly name: string;
  /** It takes GRO, and so NAPI, off the wire: no receive queue is left to give a thread. */
  readonly withoutNapi?: true;
  start(lab: Lab, a: Host, b: Host): Promise<string>;
}

const answers = (a: Host, address: string): Promise<unknown> =>
  until(`${address} answers`, async () => (await ping(a, address, { count: 1, waitS: 1 })).received === 1, 20_000);

/** Threaded NAPI on the wire of each host: its receive work runs in a thread of its own. */
export async function threadReceiveQueues(hosts: readonly Host[], threads = true): Promise<void> {
  const value = threads ? 1 : 0;
  for (const host of hosts) await host.must(['sh', '-c', `echo ${value} > /sys/class/net/eth0/threaded`]);
}

const plain: System = {
  name: 'plain veth',
  start: async (_lab, _a, b) => b.address,
};

/** The same wire with the offloads off: every frame is a frame, as on ours. */
const plainNoOffload: System = {
  name: 'plain veth, no offloads',
  withoutNapi: true,
  start: async (_lab, a, b) => {
    for (const host of [a, b])
      await host.must(['ethtool', '-K', 'eth0', 'tso', 'off', 'gso', 'off', 'gro', 'off', 'tx', 'off']);
    return b.address;
  },
};

const omni: System = {
  name: 'omninervous',
  start: async (lab, a, b) => {
    const fleet = join(lab.folder, 'fleet');
    await mkdir(fleet, { recursive: true });
    await writeFile(join(fleet, 'cluster.yaml'), clusterDocument({ name: 'bench', subnets: ['10.77.0.0/16'] }));
    for (const [host, vip] of [
      [a, '10.77.0.1'],
      [b, '10.77.0.2'],
    ] as const) {
      await makeIdentity(host);
      await writeFile(join(fleet, `${host.name}.yaml`), await robotDocuments(host, [vip], 'bench'));
    }
    for (const host of [a, b]) host.startAgent(['--source', fleet]);
    await answers(a, '10.77.0.2');
    return '10.77.0.2';
  },
};

const wireguardGo: System = {
  name: 'wireguard-go',
  start: async (lab, a, b) => {
    const keys = new Map<Host, { file: string; pub: string }>();
    for (const host of [a, b]) {
      const file = join(lab.folder, `${host.name}.key`);
      const key = await must(['wg', 'genkey']);
      await writeFile(file, key, { mode: 0o600 });
      keys.set(host, { file, pub: (await must(['wg', 'pubkey'], { input: key })).trim() });
    }
    const join2 = async (host: Host, other: Host, own: string, theirs: string): Promise<void> => {
      // In the foreground: a daemon would keep our pipe open.
      const environment = ['LOG_LEVEL=error', 'WG_I_PREFER_BUGGY_USERSPACE_TO_POLISHED_KMOD=1'];
      host.background(['env', ...environment, 'wireguard-go', '-f', `wg-${host.name}`]);
      await until(
        'the interface is there',
        async () => (await host.exec(['ip', 'link', 'show', `wg-${host.name}`])).status === 0,
      );
      const peer = [
        'peer',
        keys.get(other)?.pub ?? '',
        'allowed-ips',
        `${theirs}/32`,
        'endpoint',
        `${other.address}:51821`,
      ];
      const self = ['private-key', keys.get(host)?.file ?? '', 'listen-port', '51821'];
      await host.must(['wg', 'set', `wg-${host.name}`, ...self, ...peer]);
      await host.must(['ip', 'address', 'add', `${own}/24`, 'dev', `wg-${host.name}`]);
      await host.must(['ip', 'link', 'set', `wg-${host.name}`, 'up']);
    };
    await join2(a, b, '10.9.0.1', '10.9.0.2');
    await join2(b, a, '10.9.0.2', '10.9.0.1');
    await answers(a, '10.9.0.2');
    return '10.9.0.2';
  },
};

const nebula: System = {
  name: 'nebula',
  start: async (lab, a, b) => {
    const folder = join(lab.folder, 'nebula');
    await mkdir(folder, { recursive: true });
    await must(['nebula-cert', 'ca', '-name', 'bench'], { cwd: folder });
    const address = new Map([
      [a, '10.8.0.1'],
      [b, '10.8.0.2'],
    ]);
    for (const [host, ip] of address)
      await must(['nebula-cert', 'sign', '-name', host.name, '-ip', `${ip}/24`], { cwd: folder });
    for (const [host, other] of [
      [a, b],
      [b, a],
    ] as const) {
      const config = {
        pki: {
          ca: join(folder, 'ca.crt'),
          cert: join(folder, `${host.name}.crt`),
          key: join(folder, `${host.name}.key`),
        },
        static_host_map: { [address.get(other) ?? '']: [`${other.address}:4242`] },
        lighthouse: { am_lighthouse: false, hosts: [] },
        listen: { host: '0.0.0.0', port: 4242 },
        tun: { dev: `neb-${host.name}`, mtu: 1420 },
        firewall: {
          outbound: [{ port: 'any', proto: 'any', host: 'any' }],
          inbound: [{ port: 'any', proto: 'any', host: 'any' }],
        },
      };
      const file = join(folder, `${host.name}.yml`);
      await writeFile(file, JSON.stringify(config));
      host.background(['nebula', '-config', file]);
    }
    await answers(a, '10.8.0.2');
    return '10.8.0.2';
  },
};

export const systems: readonly System[] = [plain, plainNoOffload, omni, wireguardGo, nebula];
