import type { Cidr, IpAddress, PublicKey } from '../../../../src/manifest/model.ts';
import type { Endpoint } from '../../../../src/reconcile/dataplane.ts';
import type { PeerIntent, SessionConfig } from '../../../../src/reconcile/desired.ts';
import { decodeHandshake } from '../../../../src/session/codec.ts';
import { type Identity, identityOf } from '../../../../src/session/identity.ts';
import { generateKemKeyPair, type KemKeyPair } from '../../../../src/session/kem.ts';
import type { KeptText } from '../../../../src/session/kept.ts';
import { type ManagerEvent, SessionManager } from '../../../../src/session/manager.ts';
import type { OpenTransport } from '../../../../src/session/transport.ts';
import { endpoint, type FakeNetwork, isHandshake } from './network.ts';
import { FakePlane } from './plane.ts';
import { seeded } from './random.ts';

/** The cluster's own addresses. */
const OVERLAY = '10.77.0.0/16' as Cidr;

export interface NodeOptions {
  readonly seed: number;
  readonly address: string;
  readonly psk?: Uint8Array;
}

/** A node: identity, disk, data plane, agent. The agent may restart over the same data plane; a reboot loses both. */
export class FakeNode {
  readonly identity: Identity;
  readonly network: FakeNetwork;
  readonly events: ManagerEvent[] = [];
  readonly kept: MemoryText = new MemoryText();
  readonly names = new Map<string, readonly IpAddress[]>();
  at: Endpoint;
  psk: Uint8Array;
  plane: FakePlane;
  manager: SessionManager;
  config: SessionConfig | undefined;
  ipv6 = false;
  /** The address that datagrams to `to` leave from; undefined: there is no route. */
  route: (to: Endpoint) => Endpoint | undefined = () => this.at;

  readonly #random: () => number;

  /** KEM key pairs made, and not wiped yet. */
  readonly kemKeys = { made: 0, held: 0 };
  /** Whether a packet filter stands before the socket; what it dropped of answers. */
  filters = true;
  unexpected = 0;

  constructor(network: FakeNetwork, options: NodeOptions) {
    this.#random = seeded(options.seed);
    this.network = network;
    this.identity = identityOf(new Uint8Array(32).fill(options.seed));
    this.at = endpoint(options.address);
    this.psk = options.psk ?? new Uint8Array(32);
    this.plane = this.#newPlane();
    this.manager = this.#newManager();
  }

  get key(): PublicKey {
    return this.identity.publicKey;
  }

  async start(config: SessionConfig): Promise<void> {
    this.config = config;
    await this.manager.start();
    await this.manager.configure(config);
  }

  /** `kill -9` and a new process. */
  async restartAgent(): Promise<void> {
    await this.killAgent();
    this.manager = this.#newManager();
    if (this.config !== undefined) await this.start(this.config);
  }

  /** Nothing is said to anybody; the data plane goes on. */
  async killAgent(): Promise<void> {
    const text = this.kept.text;
    await this.manager.stop();
    this.kept.text = text; // what a clean stop saves, a killed process does not
  }

  async reboot(): Promise<void> {
    await this.killAgent();
    this.plane = this.#newPlane();
    this.manager = this.#newManager();
    if (this.config !== undefined) await this.start(this.config);
  }

  /** Has another address as well, as a node behind a port forwarding does. */
  alsoAt(address: string): Endpoint {
    const other = endpoint(address);
    this.#listen(other);
    return other;
  }

  /** Changes the underlay address, as a robot does that roams. */
  move(address: string): void {
    this.network.silence(this.at);
    this.at = endpoint(address);
    this.#listen(this.at);
  }

  /** As above, and its data plane notices. */
  roam(address: string): void {
    this.move(address);
    this.noticeSources();
  }

  /** What the data plane does after the underlay changed. */
  noticeSources(): void {
    for (const peer of this.plane.endpoints.keys()) this.plane.changeSource(peer);
  }

  sends(peer: FakeNode, text: string): void {
    this.plane.stackSends(peer.key, text);
  }

  /** The id that frames to the peer go out on, as the peer knows it. */
  sendsOn(peer: FakeNode): bigint | undefined {
    const row = this.plane.sessions.get(this.plane.sendOn.get(peer.key) ?? 0n);
    return row?.remoteId;
  }

  #newPlane(): FakePlane {
    return new FakePlane(this.network.clock, 'omni0', (datagram, to, local) => {
      const from = local === undefined ? this.route(to) : endpoint(local, this.at.port);
      if (from !== undefined) this.network.send(datagram, from, to);
    });
  }

  #newManager(): SessionManager {
    const { clock } = this.network;
    return new SessionManager({
      sessions: this.plane,
      identity: this.identity,
      psk: this.psk,
      stateDir: '/nonexistent',
      handshakeState: this.kept,
      clock,
      resolve: (host) => this.names.get(host) ?? [],
      fullFrame: async () => 1414,
      jitter: this.#random,
      nonce: () => BigInt(Math.floor(this.#random() * 2 ** 52)),
      onEvent: (event) => this.events.push(event),
      openTransport: this.#openTransport,
      generateKemKeyPair: () => this.#kemKeyPair(),
    });
  }

  #toManager: ((datagram: Uint8Array, from: Endpoint) => void) | undefined;

  #listen(at: Endpoint): void {
    this.network.listen(at, (datagram, from) => {
      if (!isHandshake(datagram)) this.plane.receive(datagram, { remote: from, local: at.address });
      else if (this.#passes(datagram)) this.#toManager?.(datagram, from);
      else this.unexpected++;
    });
  }

  #kemKeyPair(): KemKeyPair {
    const pair = generateKemKeyPair();
    this.kemKeys.made++;
    this.kemKeys.held++;
    let wiped = false;
    return {
      ...pair,
      wipe: () => {
        if (!wiped) this.kemKeys.held--;
        wiped = true;
        pair.wipe();
      },
    };
  }

  /** As the packet filter: answers must be to an initiation that is under way. */
  #passes(datagram: Uint8Array): boolean {
    const message = decodeHandshake(datagram);
    if (!this.filters || message === undefined || message.type === 'initiation') return true;
    return this.plane.expects(message.receiverId);
  }

  readonly #openTransport: OpenTransport = async ({ onDatagram }) => {
    this.#toManager = onDatagram;
    this.#listen(this.at);
    return {
      send: async (datagram, to) => {
        const from = this.route(to);
        if (from !== undefined) this.network.send(datagram, from, to);
        return from !== undefined;
      },
      reaches: (address) => this.ipv6 || !address.includes(':'),
      close: async () => {
        if (this.#toManager === onDatagram) this.#toManager = undefined;
      },
    };
  };
}

export class MemoryText implements KeptText {
  readonly path = 'memory';
  text: string | undefined;
  writes = 0;

  async read(): Promise<string | undefined> {
    return this.text;
  }

  async write(text: string): Promise<void> {
    this.writes++;
    this.text = text;
  }
}

export interface ConfigOptions extends Partial<Omit<SessionConfig, 'peers'>> {
  readonly peers: readonly FakeNode[];
  /** Endpoint hints by node; default its address. */
  readonly hints?: ReadonlyMap<FakeNode, readonly Endpoint[]>;
  readonly keepaliveMs?: number;
}

export function configOf({ peers, hints, keepaliveMs, ...rest }: ConfigOptions): SessionConfig {
  const intents = peers.map((peer): [PublicKey, PeerIntent] => [
    peer.key,
    {
      name: `node-${peer.at.address}`,
      publicKey: peer.key,
      endpoints: (hints?.get(peer) ?? [peer.at]).map(({ address, port }) => ({ host: address, port })),
      ...(keepaliveMs === undefined ? {} : { keepaliveMs }),
    },
  ]);
  return {
    cluster: 'warehouse',
    interface: 'omni0',
    port: 51820,
    rekeyAfterMs: 120_000,
    lifetimeMs: 3_600_000,
    handshakeTimeoutMs: 5_000,
    postQuantum: 'off',
    newSessionsPerSecondPerSource: 10,
    subnets: [OVERLAY],
    ...rest,
    peers: new Map(intents),
  };
}
