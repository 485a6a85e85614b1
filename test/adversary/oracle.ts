import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process';
import type { Host } from '../../lab/lab.ts';
import { until } from '../../lab/shell.ts';
import { linkLocalOf } from './packets.ts';
import { compileTool } from './tools.ts';
import type { Place, World } from './world.ts';

/** What `witness` counted so far. */
export interface Counts {
  /** Datagrams with the mark of an honest frame, in mallory's own name. */
  readonly honest: number;
  /** Packets that raw sockets heard in anybody's name. */
  readonly heard: number;
}

interface Neighbour {
  readonly dst: string;
  readonly dev: string;
  readonly lladdr?: string;
}

/** As far as this kernel has them: devices that take apart what is wrapped, and so attribute it again. */
const TUNNELS: readonly (readonly string[])[] = [
  ['link', 'add', 'tun-ipip', 'type', 'ipip', 'external'],
  ['link', 'add', 'tun-sit', 'type', 'sit', 'external'],
  ['link', 'add', 'tun-gre', 'type', 'gretap', 'external'],
  ['link', 'add', 'tun-ip6', 'type', 'ip6tnl', 'external'],
  ['link', 'add', 'link', 'omni0', 'name', 'omni0.0', 'type', 'vlan', 'id', '0'],
  ['link', 'add', 'link', 'omni0', 'name', 'omni0.5', 'type', 'vlan', 'id', '5'],
];
const GULLIBLE = [
  'accept_ra=2',
  'accept_ra_defrtr=1',
  'accept_ra_pinfo=1',
  'accept_redirects=1',
  'autoconf=1',
  'seg6_enabled=1',
];
const GULLIBLE4 = [
  'accept_redirects=1',
  'secure_redirects=0',
  'accept_source_route=1',
  'arp_accept=1',
  'rp_filter=0',
  'route_localnet=1',
];

/**
 * Bravo's kernel, asked what it believes. Everything that it attributes to anybody who did not send it is a violation:
 * received packets, neighbour entries, routes and their exceptions, addresses.
 */
export class Oracle {
  /** The device types and settings that this kernel took. */
  readonly gullible: readonly string[];
  readonly #host: Host;
  readonly #mallory: Place;
  readonly #known: ReadonlyMap<string, string>;
  readonly #process: ChildProcessWithoutNullStreams;
  #baseline: ReadonlySet<string> = new Set();
  #listens = false;
  #text = '';
  #violations: string[] = [];
  #answers: Counts[] = [];

  private constructor(
    host: Host,
    places: readonly Place[],
    mallory: Place,
    program: string,
    gullible: readonly string[],
  ) {
    this.#host = host;
    this.#mallory = mallory;
    this.#known = new Map(
      places.flatMap(({ ipv4, ipv6, mac }) => [
        [ipv4, mac] as const,
        [ipv6, mac] as const,
        [linkLocalOf(mac), mac] as const,
      ]),
    );
    this.gullible = gullible;
    const { ipv4, ipv6, mac } = mallory;
    const [command = '', ...rest] = host.inside([program, ipv4, ipv6, linkLocalOf(mac), '--', 'eth0', 'lo']);
    this.#process = spawn(command, rest, { stdio: ['pipe', 'pipe', 'pipe'] });
    this.#process.stderr.pipe(process.stderr);
    this.#process.stdout.on('data', (chunk: Buffer) => this.#take(chunk.toString()));
  }

  static async open(world: World): Promise<Oracle> {
    const host = world.host('bravo');
    const taken: string[] = [];
    for (const argv of TUNNELS)
      if ((await host.exec(['ip', ...argv])).status === 0) taken.push(argv.slice(-4).join(' '));
    for (const setting of GULLIBLE) {
      for (const scope of ['all', 'omni0']) {
        const name = `net.ipv6.conf.${scope}.${setting}`;
        if ((await host.exec(['sysctl', '-qw', name])).status === 0) taken.push(name);
      }
    }
    for (const setting of GULLIBLE4) {
      for (const scope of ['all', 'omni0']) {
        const name = `net.ipv4.conf.${scope}.${setting}`;
        if ((await host.exec(['sysctl', '-qw', name])).status === 0) taken.push(name);
      }
    }
    const { alpha, charlie, mallory } = world.places;
    const program = await compileTool('witness', world.lab.folder);
    const oracle = new Oracle(host, [alpha, charlie, mallory], mallory, program, taken);
    await until('the witness listens', () => oracle.#listens);
    oracle.#baseline = new Set(await oracle.#state());
    return oracle;
  }

  /** What was attributed wrongly since the last look; empty: nothing. */
  async look(): Promise<readonly string[]> {
    await this.counts();
    const heard = this.#violations;
    this.#violations = [];
    const state = await this.#state();
    const changed = state.filter((each) => !this.#baseline.has(each));
    return [...heard, ...(await this.#wrongNeighbours()), ...changed.map((each) => `new: ${each}`)];
  }

  async counts(): Promise<Counts> {
    const wanted = this.#answers.length + 1;
    this.#process.stdin.write('counts\n');
    return await until('the witness counts', () => this.#answers[wanted - 1], 30_000, 2);
  }

  /** Takes back what a violation left, so that frames can be tried again one by one. */
  async forget(): Promise<void> {
    for (const family of ['-4', '-6']) {
      await this.#host.exec(['ip', family, 'neigh', 'flush', 'dev', 'omni0']);
      await this.#host.exec(['ip', family, 'route', 'flush', 'cache']);
    }
    for (const each of await this.#state()) {
      const route = /^route (-[46]) (.*)$/.exec(each);
      if (route?.[1] !== undefined && route[2] !== undefined && !this.#baseline.has(each))
        await this.#host.exec(['ip', route[1], 'route', 'del', ...route[2].split(' ').slice(0, 3)]);
      const address = /^address (\S+) (\S+)/.exec(each);
      if (address?.[1] !== undefined && address[2] !== undefined && !this.#baseline.has(each))
        await this.#host.exec(['ip', 'address', 'del', address[2], 'dev', address[1]]);
    }
    // An advertisement moves an entry that is there, and makes none.
    for (const address of this.#known.keys())
      if (!address.startsWith('fe80') && address !== this.#mallory.ipv4 && address !== this.#mallory.ipv6)
        await this.#host.exec(['ping', '-n', '-c', '1', '-W', '2', address]);
  }

  async close(): Promise<void> {
    const ended = new Promise((resolve) => this.#process.once('close', resolve));
    this.#process.stdin.end();
    await ended;
  }

  #take(chunk: string): void {
    const lines = (this.#text + chunk).split('\n');
    this.#text = lines.pop() ?? '';
    for (const line of lines) {
      if (line === 'ready') this.#listens = true;
      if (line.startsWith('violation ')) this.#violations.push(line.slice(10));
      const counts = /^counts (\d+) (\d+) (\d+) (\d+)$/.exec(line);
      if (counts !== null) this.#answers.push({ honest: Number(counts[1]), heard: Number(counts[4]) });
    }
  }

  async #json<T>(...argv: readonly string[]): Promise<readonly T[]> {
    const text = await this.#host.must(['ip', '-j', ...argv]);
    return text.trim() === '' ? [] : (JSON.parse(text) as T[]);
  }

  async #wrongNeighbours(): Promise<readonly string[]> {
    const all = await this.#json<Neighbour>('neigh', 'show');
    return all
      .filter(({ dst, dev, lladdr }) => {
        if (lladdr === undefined || dst.startsWith('224.') || dst.startsWith('ff')) return false;
        return dev.startsWith('omni0') ? this.#known.get(dst) !== lladdr : lladdr === this.#mallory.mac;
      })
      .map(({ dst, dev, lladdr }) => `neighbour: ${dst} dev ${dev} lladdr ${lladdr}`);
  }

  /** Routes, exceptions of routes, addresses: what nobody but the agent and the operator may change. */
  async #state(): Promise<readonly string[]> {
    const { ipv4, ipv6 } = this.#mallory;
    const found: string[] = [];
    for (const family of ['-4', '-6']) {
      const lines = async (...argv: readonly string[]) =>
        (await this.#host.must(['ip', '-o', family, ...argv]))
          .split('\n')
          .map((line) => line.trim())
          .filter(Boolean);
      for (const line of await lines('route', 'show', 'table', 'all'))
        if (!line.startsWith('multicast ')) found.push(`route ${family} ${line.replace(/expires \d+sec/, 'expires')}`);
      for (const line of await lines('route', 'show', 'cache'))
        if (/mtu|redirect|via/.test(line) && !line.startsWith(`${ipv4} `) && !line.startsWith(`${ipv6} `))
          found.push(`exception ${family} ${line.replace(/expires \d+sec/, 'expires').replace(/ age \d+sec/, '')}`);
    }
    interface Address {
      readonly ifname: string;
      readonly addr_info: readonly {
        readonly local: string;
        readonly prefixlen: number;
        readonly dadfailed?: boolean;
      }[];
    }
    for (const { ifname, addr_info } of await this.#json<Address>('address', 'show'))
      for (const { local, prefixlen, dadfailed } of addr_info)
        found.push(`address ${ifname} ${local}/${prefixlen}${dadfailed ? ' dadfailed' : ''}`);
    for (const name of ['hop_limit', 'mtu'])
      found.push(`${name} ${(await this.#host.must(['cat', `/proc/sys/net/ipv6/conf/omni0/${name}`])).trim()}`);
    return found;
  }
}
