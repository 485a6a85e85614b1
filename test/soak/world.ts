import { join } from 'node:path';
import { clusterDocument, FleetRepository, makeIdentity, ready } from '../../lab/fleet.ts';
import { type Host, Lab, projectRoot } from '../../lab/lab.ts';
import { type Background, must } from '../../lab/shell.ts';

/**
 * A fleet whose hosts have two underlays each, Wi-Fi and cable so to say, and a git server:
 *
 *     eth0: 192.0.2.n, 2001:db8:0::n     eth1: 198.51.100.n, 2001:db8:1::n
 *
 * All addresses are of documentation networks (RFC 5737, RFC 3849).
 */
export class World {
  readonly lab: Lab;
  readonly repository: FleetRepository;
  readonly hosts: readonly Host[];
  readonly #agents = new Map<Host, Background>();
  /** Fleet documents by host: what rotations edit. */
  readonly documents = new Map<Host, string>();

  private constructor(lab: Lab, repository: FleetRepository) {
    this.lab = lab;
    this.repository = repository;
    this.hosts = [...lab.hosts.values()];
  }

  /** `spec`: lines below the Cluster's `spec:`. */
  static async open(name: string, hosts: readonly string[], spec: string): Promise<World> {
    const lab = await Lab.open({ name, hosts, git: true });
    try {
      const world = new World(lab, await FleetRepository.create(lab));
      await world.#build(spec);
      return world;
    } catch (error) {
      await lab.close();
      throw error;
    }
  }

  async #build(spec: string): Promise<void> {
    const net = this.lab.underlayNamespace;
    await must(['ip', '-n', net, 'link', 'add', 'br1', 'type', 'bridge']);
    await must(['ip', '-n', net, 'link', 'set', 'br1', 'up']);
    await this.repository.write('cluster.yaml', clusterDocument({ name: 'warehouse', spec }));
    for (const [index, host] of this.hosts.entries()) {
      await this.#cable(host, index + 1);
      await makeIdentity(host);
      await this.#declare(host, index + 1);
    }
    await this.repository.commitAndPush('a fleet');
    for (const host of this.hosts) this.start(host);
    await Promise.all(this.hosts.map((host) => this.ready(host)));
  }

  /** Waits until the host's agent is Ready; what it said is in the error. */
  async ready(host: Host): Promise<void> {
    try {
      await ready(host);
    } catch (cause) {
      const status = await host.omni(['status']);
      throw new Error(`${host.name} is not Ready:\n${status.stdout}${status.stderr}${this.agentText(host)}`, { cause });
    }
  }

  async #cable(host: Host, n: number): Promise<void> {
    const net = this.lab.underlayNamespace;
    const port = `${host.name}.q`;
    const link = ['link', 'add', port, 'type', 'veth', 'peer', 'name', 'eth1', 'netns', host.namespace];
    await must(['ip', '-n', net, ...link]);
    await must(['ip', '-n', net, 'link', 'set', port, 'master', 'br1', 'up']);
    await must(['ip', 'netns', 'exec', net, 'ethtool', '-K', port, 'gro', 'on']);
    for (const [device, addresses] of [
      ['eth0', [`2001:db8:0::${n}/64`]],
      ['eth1', [`198.51.100.${n}/24`, `2001:db8:1::${n}/64`]],
    ] as const) {
      for (const address of addresses) {
        const duplicates = address.includes(':') ? ['nodad'] : [];
        await must(['ip', '-n', host.namespace, 'address', 'add', address, 'dev', device, ...duplicates]);
      }
    }
    await must(['ip', '-n', host.namespace, 'link', 'set', 'eth1', 'up']);
    // As distributions that manage several networks do: a route without carrier is no route.
    await host.must(['sysctl', '-qw', 'net.ipv4.conf.all.ignore_routes_with_linkdown=1']);
    await host.must(['sysctl', '-qw', 'net.ipv6.conf.all.ignore_routes_with_linkdown=1']);
    for (const device of ['eth0', 'eth1']) {
      await host.must(['sysctl', '-qw', `net.ipv4.conf.${device}.ignore_routes_with_linkdown=1`]);
    }
  }

  async #declare(host: Host, n: number): Promise<void> {
    const endpoints = [host.address, `198.51.100.${n}`].map((address) => ['--endpoint', `${address}:51820`]);
    const about = ['--name', host.name, '--cluster', 'warehouse', '--address', this.vip(host)];
    const text = await host.mustOmni(['init', '--existing', ...about, ...endpoints.flat()]);
    await this.rewrite(host, text);
  }

  vip(host: Host): string {
    return `10.77.0.${this.hosts.indexOf(host) + 1}`;
  }

  /** Replaces a host's documents; to be committed. */
  async rewrite(host: Host, text: string): Promise<void> {
    this.documents.set(host, text);
    await this.repository.write(`${host.name}.yaml`, text);
  }

  /** Starts the host's agent from the checkout at `root`. */
  start(host: Host, root = projectRoot): void {
    const main = join(root, 'dist', 'src', 'cli', 'main.js');
    const source = ['--source', this.repository.url, '--path', 'fleet', '--interval', '1s'];
    const argv = [process.execPath, main, 'agent', ...host.agentArguments(), '--underlay', 'eth0,eth1', ...source];
    this.#agents.set(host, host.background(argv));
  }

  async stop(host: Host, signal: NodeJS.Signals): Promise<void> {
    await this.#agents.get(host)?.stop(signal);
    this.#agents.delete(host);
  }

  /** What the agents said that still run. */
  agentText(host: Host): string {
    return this.#agents.get(host)?.text ?? '';
  }

  async close(): Promise<void> {
    await Promise.all(this.hosts.map((host) => this.stop(host, 'SIGTERM')));
    await this.lab.close();
  }
}

/** The carrier of one of a host's underlays: `eth0` is port `p`, `eth1` port `q` of its switch. */
export async function carrier(world: World, host: Host, device: 'eth0' | 'eth1', up: boolean): Promise<void> {
  const port = `${host.name}.${device === 'eth0' ? 'p' : 'q'}`;
  await must(['ip', '-n', world.lab.underlayNamespace, 'link', 'set', port, up ? 'up' : 'down']);
}
