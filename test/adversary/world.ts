import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { dumpMap } from '../../lab/bpf.ts';
import { clusterDocument, makeIdentity, ready, robotDocuments } from '../../lab/fleet.ts';
import { type Host, Lab } from '../../lab/lab.ts';
import { macOf } from '../../src/manifest/keys.ts';
import type { Identity } from '../../src/session/identity.ts';
import { handshake, type Sealer, stolen } from './member.ts';
import { compileTool } from './tools.ts';
import { Wire } from './wire.ts';

/** Overlay addresses and MAC of a robot. */
export interface Place {
  readonly ipv4: string;
  readonly ipv6: string;
  readonly mac: string;
}

/** An overlay address of `10.77.0.0/16` and `fd77::/64` per robot, in this order. */
const ROBOTS = ['alpha', 'bravo', 'charlie', 'dave', 'mallory'] as const;
export type Robot = (typeof ROBOTS)[number];
/** Their agents run. Mallory's machine runs what the attacker likes; dave is suspended and switched off. */
const AGENTS = ['alpha', 'bravo', 'charlie'] as const;
export const PORT = 51820;

/**
 * A fleet with a traitor in it, and a stranger on its wire.
 *
 *     alpha    bravo    charlie           honest: agents and programs as shipped
 *       └────────┼─────────┴───┬─────────┐
 *             mallory       stranger      (dave: declared, suspended)
 *
 * Mallory is a member whose machine the attacker owns: it has mallory's identity and no kernel that checks what leaves.
 * So its network stack is the test (`Wire`): handshakes, encryption and addresses are the attacker's own.
 */
export class World {
  readonly lab: Lab;
  readonly fleet: string;
  readonly places: Readonly<Record<Robot, Place>>;
  readonly identities: ReadonlyMap<Robot, Identity>;
  readonly #wires: Wire[] = [];
  readonly #wireTool: string;

  private constructor(
    lab: Lab,
    fleet: string,
    places: Record<Robot, Place>,
    identities: Map<Robot, Identity>,
    tool: string,
  ) {
    this.lab = lab;
    this.fleet = fleet;
    this.places = places;
    this.identities = identities;
    this.#wireTool = tool;
  }

  /** `spec`: more lines of the Cluster's. */
  static async open(name: string, options: { readonly spec?: string; readonly ipv6?: boolean } = {}): Promise<World> {
    const lab = await Lab.open({ name, hosts: [...ROBOTS, 'stranger'] });
    try {
      const fleet = join(lab.folder, 'fleet');
      await mkdir(fleet);
      await writeFile(join(fleet, 'warehouse.yaml'), clusterDocument({ ...(options.spec && { spec: options.spec }) }));
      const places: Partial<Record<Robot, Place>> = {};
      const identities = new Map<Robot, Identity>();
      for (const [at, robot] of ROBOTS.entries()) {
        const host = lab.host(robot);
        const number = robot === 'mallory' ? 9 : at + 1;
        const [ipv4, ipv6] = [`10.77.0.${number}`, `fd77::${number}`];
        await makeIdentity(host);
        const identity = stolen(await readFile(host.identity, 'utf8'));
        identities.set(robot, identity);
        places[robot] = { ipv4, ipv6, mac: macOf(identity.publicKey) };
        const documents = await robotDocuments(host, [ipv4, ipv6]);
        const suspended = documents.replace(/^kind: Peer$([\s\S]*?)^spec:$/m, 'kind: Peer$1spec:\n  suspended: true');
        await writeFile(join(fleet, `${robot}.yaml`), robot === 'dave' ? suspended : documents);
      }
      for (const host of [lab.host('mallory'), lab.host('stranger')]) await withoutStack(host);
      const world = new World(
        lab,
        fleet,
        places as Record<Robot, Place>,
        identities,
        await compileTool('wire', lab.folder),
      );
      for (const robot of AGENTS) world.startAgent(robot);
      await Promise.all(AGENTS.map((robot) => ready(lab.host(robot))));
      return world;
    } catch (error) {
      await lab.close();
      throw error;
    }
  }

  host(name: Robot | 'stranger'): Host {
    return this.lab.host(name);
  }
  identity(robot: Robot): Identity {
    const identity = this.identities.get(robot);
    if (identity === undefined) throw new Error(`no identity of ${robot}`);
    return identity;
  }

  startAgent(robot: Robot, launcher: readonly string[] = []): void {
    this.host(robot).startAgent(['--source', this.fleet, '--interval', '1s'], launcher);
  }

  /** The attacker's own stack on a host's wire, with that host's address; it knows where the honest ones are. */
  async wire(name: 'mallory' | 'stranger'): Promise<Wire> {
    const host = this.host(name);
    const wire = new Wire(host.inside([this.#wireTool, 'eth0']), await underlayMac(host));
    this.#wires.push(wire);
    await wire.ready();
    wire.answerFor(host.address);
    for (const robot of AGENTS) wire.neighbour(this.host(robot).address, await underlayMac(this.host(robot)));
    return wire;
  }

  /** Raw frames out of an interface of an honest robot, as somebody sends them who may there. */
  async wireInside(robot: Robot, name: string): Promise<Wire> {
    const host = this.host(robot);
    const wire = new Wire(host.inside([this.#wireTool, name]), this.places[robot].mac);
    this.#wires.push(wire);
    await wire.ready();
    return wire;
  }

  /** Mallory's session with a robot, over the underlay, in user space. */
  async session(wire: Wire, victim: Robot, as: Robot = 'mallory'): Promise<Sealer> {
    const [from, to] = [this.host('mallory').address, this.host(victim).address];
    const heard: Buffer[] = [];
    wire.onDatagram = ({ source, payload }) => {
      if (source === to) heard.push(payload);
    };
    const send = (payload: Uint8Array) => wire.send(wire.datagramFrame(from, PORT, to, PORT, payload));
    const sealer = await handshake(this.identity(as), this.identity(victim).publicKeyBytes, { send, heard });
    wire.onDatagram = () => undefined;
    return sealer;
  }

  async close(): Promise<void> {
    for (const wire of this.#wires) await wire.close();
    await this.lab.close();
  }
}

/** The kernel answers nothing there: addresses are the test's. */
async function withoutStack(host: Host): Promise<void> {
  await host.must(['ip', 'address', 'flush', 'dev', 'eth0']);
  await host.must(['sysctl', '-qw', 'net.ipv6.conf.eth0.disable_ipv6=1']);
}

export async function underlayMac(host: Host): Promise<string> {
  const [link] = JSON.parse(await host.must(['ip', '-j', 'link', 'show', 'dev', 'eth0'])) as { address: string }[];
  if (link === undefined) throw new Error(`${host.name} has no eth0`);
  return link.address;
}

interface Row {
  readonly value: { readonly rx_packets: number };
}

/** Datagrams that the host authenticated, in all its sessions. */
export async function authenticated(host: Host): Promise<number> {
  const sessions = await dumpMap<Row>(host, 'session_map');
  return sessions.reduce((sum, { formatted }) => sum + formatted.value.rx_packets, 0);
}
