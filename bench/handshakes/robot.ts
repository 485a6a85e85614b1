import { createHash } from 'node:crypto';
import { createSocket, type Socket } from 'node:dgram';
import { createMemoryDataPlane, type MemoryDataPlane } from '../../src/dataplane/memory/plane.ts';
import { MemoryWire, type Receive } from '../../src/dataplane/memory/wire.ts';
import { macOf } from '../../src/manifest/keys.ts';
import type { IpAddress, PublicKey } from '../../src/manifest/model.ts';
import type { Endpoint } from '../../src/reconcile/dataplane.ts';
import type { DesiredState } from '../../src/reconcile/desired.ts';
import { diff } from '../../src/reconcile/diff.ts';
import { plan } from '../../src/reconcile/plan.ts';
import { type Identity, identityOf } from '../../src/session/identity.ts';
import type { KeptText } from '../../src/session/kept.ts';
import { SessionManager } from '../../src/session/manager.ts';
import type { Transport } from '../../src/session/transport.ts';

export const PORT = 51820;
const INTERFACE = 'omni0';
/** Nobody's: what robots say to the hub ends there. */
const ETHERTYPE = 0x88b7;

/** The same every time, and no secret: for benchmarks alone. */
export function robotIdentity(at: number): Identity {
  return identityOf(createHash('sha256').update(`bench robot ${at}`).digest());
}

/** Each robot has an address of its own: 250 to a /24 of 10.200.0.0/16. */
export function robotAddress(at: number): IpAddress {
  return `10.200.${1 + Math.floor(at / 250)}.${1 + (at % 250)}` as IpAddress;
}

/** The part of an underlay that one robot sees: its UDP socket. */
class SocketWire extends MemoryWire {
  readonly #socket: Socket;
  receive: Receive | undefined;

  constructor(socket: Socket) {
    super();
    this.#socket = socket;
  }

  override attach(_endpoint: Endpoint, receive: Receive): () => void {
    this.receive = receive;
    return () => {
      this.receive = undefined;
    };
  }

  override send(_from: Endpoint, to: Endpoint, datagram: Uint8Array): void {
    this.#socket.send(datagram, to.port, to.address);
  }
}

/** Outlives the robot's agent, as a disk does. */
function keptInMemory(): KeptText {
  let kept: string | undefined;
  return {
    path: 'memory',
    read: async () => kept,
    write: async (text) => {
      kept = text;
    },
  };
}

/** When a robot called first, and when it had a session. Milliseconds since 1970. */
export interface Times {
  readonly calledMs: number | undefined;
  readonly establishedMs: number | undefined;
}

/** A node without a kernel: the project's own session manager over the memory engine, and real UDP. */
export class Robot {
  readonly #identity: Identity;
  readonly #endpoint: Endpoint;
  readonly #share: DesiredState;
  readonly #hub: PublicKey;
  readonly #socket: Socket;
  readonly #wire: SocketWire;
  readonly #kept = keptInMemory();
  #plane: MemoryDataPlane | undefined;
  #manager: SessionManager | undefined;
  #onHandshake: ((datagram: Uint8Array, from: Endpoint) => void) | undefined;
  #called: number | undefined;
  #established: number | undefined;

  private constructor(at: number, identity: Identity, share: DesiredState, hub: PublicKey, socket: Socket) {
    this.#identity = identity;
    this.#endpoint = { address: robotAddress(at), port: PORT };
    this.#share = share;
    this.#hub = hub;
    this.#socket = socket;
    this.#wire = new SocketWire(socket);
    socket.on('message', (datagram, { address, port }) => {
      const from = { address: address as IpAddress, port };
      const control = datagram.length >= 16 && datagram.readBigUInt64LE(0) === 0n;
      if (control) this.#onHandshake?.(datagram, from);
      else this.#wire.receive?.(datagram, from);
    });
  }

  static async open(at: number, share: DesiredState, hub: PublicKey): Promise<Robot> {
    const socket = createSocket('udp4');
    await new Promise<void>((resolve, reject) => {
      socket.once('error', reject);
      socket.bind({ port: PORT, address: robotAddress(at) }, resolve);
    });
    return new Robot(at, robotIdentity(at), share, hub, socket);
  }

  /** Comes up with nothing but its key, its manifests and its handshake clock. */
  async boot(): Promise<void> {
    await this.#manager?.stop();
    await this.#plane?.close();
    this.expect();
    const plane = createMemoryDataPlane({ wire: this.#wire, endpoint: this.#endpoint });
    const signal = new AbortController().signal;
    for (const change of plan(diff(this.#share.rows, await plane.observe(signal)))) await plane.apply(change, signal);
    const manager = new SessionManager({
      sessions: plane.sessions,
      identity: this.#identity,
      psk: new Uint8Array(32),
      stateDir: '/nonexistent',
      handshakeState: this.#kept,
      clock: { wall: () => Date.now(), setTimer },
      resolve: () => [],
      fullFrame: async () => 0,
      onEvent: (event) => {
        if (event.type === 'established') this.#established ??= Date.now();
        if (event.type === 'error') throw event.error;
      },
      openTransport: async ({ onDatagram }) => this.#transport(onDatagram),
    });
    [this.#plane, this.#manager] = [plane, manager];
    await manager.start();
    await manager.configure(this.#share.sessions);
  }

  /** Times count from here on. */
  expect(): void {
    this.#called = undefined;
    this.#established = undefined;
  }

  get times(): Times {
    return { calledMs: this.#called, establishedMs: this.#established };
  }

  /** The robot's stack sends a frame to the hub. */
  speak(): void {
    const frame = Buffer.alloc(64);
    frame.set(bytesOf(macOf(this.#hub)), 0);
    frame.set(bytesOf(macOf(this.#identity.publicKey)), 6);
    frame.writeUInt16BE(ETHERTYPE, 12);
    this.#plane?.path.transmit(INTERFACE, frame);
  }

  async close(): Promise<void> {
    await this.#manager?.stop();
    await this.#plane?.close();
    this.#socket.close();
  }

  #transport(onDatagram: (datagram: Uint8Array, from: Endpoint) => void): Transport {
    this.#onHandshake = onDatagram;
    return {
      send: (datagram, to) => {
        this.#called ??= Date.now();
        return new Promise((resolve) => this.#socket.send(datagram, to.port, to.address, (error) => resolve(!error)));
      },
      reaches: (address) => !address.includes(':'),
      close: async () => {
        this.#onHandshake = undefined;
      },
    };
  }
}

function setTimer(delayMs: number, run: () => void): () => void {
  const timer = setTimeout(run, Math.max(0, delayMs));
  return () => clearTimeout(timer);
}

function bytesOf(mac: string): Uint8Array {
  return Buffer.from(mac.replaceAll(':', ''), 'hex');
}
