import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process';
import { once } from 'node:events';
import { until } from '../../lab/shell.ts';
import {
  advertisement,
  arp,
  EtherType,
  ethernet,
  icmpv6,
  ip,
  ipv4,
  ipv6,
  linkLayerOption,
  Protocol,
  udp,
} from './packets.ts';

const SET_RATE = 0xffffffff;
const REQUEST = 1;
const REPLY = 2;

/** An IPv4 or IPv6 UDP datagram that came in. */
export interface Heard {
  readonly source: string;
  readonly destination: string;
  readonly sourcePort: number;
  readonly port: number;
  readonly payload: Buffer;
}

/**
 * A node whose network stack is the test: raw frames out of and into one interface. It answers for the addresses that
 * it is given (ARP and neighbour solicitations), so it may be as many hosts as it likes.
 */
export class Wire {
  readonly mac: string;
  /** UDP datagrams to any address of ours. */
  onDatagram: (heard: Heard) => void = () => undefined;
  /** Every frame. */
  onFrame: (frame: Buffer) => void = () => undefined;
  readonly #process: ChildProcessWithoutNullStreams;
  readonly #addresses = new Set<string>();
  readonly #neighbours = new Map<string, string>();
  #input: Buffer = Buffer.alloc(0);
  #flushed = 0;
  #flushesAsked = 0;

  /** `argv`: the tool `wire` on an interface, in its namespace. `address`: the MAC to speak with. */
  constructor(argv: readonly string[], address: string) {
    const [command = '', ...rest] = argv;
    this.mac = address;
    this.#process = spawn(command, rest, { stdio: ['pipe', 'pipe', 'pipe'] });
    this.#process.stdin.on('error', () => undefined);
    this.#process.stdout.on('data', (chunk: Buffer) => this.#take(chunk));
  }

  async ready(): Promise<void> {
    await until('the wire listens', () => this.#flushed > 0);
    this.#flushed = 0;
  }

  /** Answers for these addresses from now on. */
  answerFor(...addresses: readonly string[]): void {
    for (const address of addresses) this.#addresses.add(address);
  }

  /** Where frames to an address go. */
  neighbour(address: string, at: string): void {
    this.#neighbours.set(address, at);
  }

  send(frame: Uint8Array): void {
    const header = Buffer.alloc(4);
    header.writeUInt32LE(frame.length);
    this.#process.stdin.write(Buffer.concat([header, frame]));
  }

  /** All of them, at most `perSecond` (0: as fast as it goes), and waits until they have left. */
  async sendAll(frames: readonly Uint8Array[], perSecond = 0): Promise<void> {
    const rate = Buffer.alloc(8);
    rate.writeUInt32LE(SET_RATE);
    rate.writeUInt32LE(perSecond, 4);
    const parts: Uint8Array[] = [rate];
    for (const frame of frames) {
      const header = Buffer.alloc(4);
      header.writeUInt32LE(frame.length);
      parts.push(header, frame);
    }
    if (!this.#process.stdin.write(Buffer.concat(parts))) await once(this.#process.stdin, 'drain');
    await this.flush();
  }

  async flush(): Promise<void> {
    const wanted = ++this.#flushesAsked;
    this.#process.stdin.write(Buffer.alloc(4));
    await until('the frames have left', () => this.#flushed >= wanted, 120_000, 2);
  }

  /** A UDP datagram from any address of ours, or of anybody's, to a known neighbour. */
  datagramFrame(from: string, sourcePort: number, to: string, port: number, payload: Uint8Array): Buffer {
    const destination = this.#neighbours.get(to);
    if (destination === undefined) throw new Error(`no neighbour ${to}`);
    const text = udp({ source: from, destination: to, sourcePort, port, payload });
    return to.includes(':')
      ? ethernet(
          destination,
          this.mac,
          EtherType.ipv6,
          ipv6({ source: from, destination: to, next: Protocol.udp, payload: text }),
        )
      : ethernet(
          destination,
          this.mac,
          EtherType.ipv4,
          ipv4({ source: from, destination: to, protocol: Protocol.udp, payload: text }),
        );
  }

  async close(): Promise<void> {
    if (this.#process.exitCode !== null) return;
    const ended = once(this.#process, 'close');
    this.#process.stdin.end();
    await ended;
  }

  #take(chunk: Buffer): void {
    this.#input = this.#input.length === 0 ? chunk : Buffer.concat([this.#input, chunk]);
    let at = 0;
    while (this.#input.length - at >= 4) {
      const length = this.#input.readUInt32LE(at);
      if (this.#input.length - at < 4 + length) break;
      if (length === 0) this.#flushed++;
      else this.#receive(this.#input.subarray(at + 4, at + 4 + length));
      at += 4 + length;
    }
    this.#input = Buffer.from(this.#input.subarray(at));
  }

  #receive(frame: Buffer): void {
    this.onFrame(frame);
    if (frame.length < 14) return;
    const type = frame.readUInt16BE(12);
    if (type === EtherType.arp) this.#answerArp(frame);
    if (type === EtherType.ipv4) this.#receiveIpv4(frame.subarray(14));
    if (type === EtherType.ipv6) this.#receiveIpv6(frame);
  }

  #answerArp(frame: Buffer): void {
    if (frame.length < 42 || frame.readUInt16BE(20) !== REQUEST) return;
    const wanted = [...frame.subarray(38, 42)].join('.');
    if (!this.#addresses.has(wanted)) return;
    const asker = { mac: macText(frame.subarray(22, 28)), ip: [...frame.subarray(28, 32)].join('.') };
    const reply = arp({
      operation: REPLY,
      senderMac: this.mac,
      senderIp: wanted,
      targetMac: asker.mac,
      targetIp: asker.ip,
    });
    this.send(ethernet(asker.mac, this.mac, EtherType.arp, reply));
  }

  #receiveIpv4(packet: Buffer): void {
    if (packet.length < 28 || packet[9] !== Protocol.udp) return;
    const at = ((packet[0] ?? 0) & 15) * 4;
    const [source, destination] = [12, 16].map((from) => [...packet.subarray(from, from + 4)].join('.'));
    this.#hear(source, destination, packet.subarray(at, packet.readUInt16BE(2)));
  }

  #receiveIpv6(frame: Buffer): void {
    const packet = frame.subarray(14);
    if (packet.length < 48) return;
    if (packet[6] === Protocol.icmpv6 && packet[40] === 135) this.#answerSolicitation(frame);
    if (packet[6] !== Protocol.udp) return;
    this.#hear(ipv6Text(packet.subarray(8, 24)), ipv6Text(packet.subarray(24, 40)), packet.subarray(40));
  }

  #answerSolicitation(frame: Buffer): void {
    const wanted = [...this.#addresses].find(
      (address) => address.includes(':') && ip(address).equals(frame.subarray(62, 78)),
    );
    if (wanted === undefined) return;
    const asker = ipv6Text(frame.subarray(22, 38));
    const body = icmpv6(wanted, asker, advertisement(wanted, 0x60, linkLayerOption(2, this.mac)));
    const packet = ipv6({ source: wanted, destination: asker, next: Protocol.icmpv6, hopLimit: 255, payload: body });
    this.send(ethernet(macText(frame.subarray(6, 12)), this.mac, EtherType.ipv6, packet));
  }

  #hear(source: string | undefined, destination: string | undefined, text: Buffer): void {
    if (source === undefined || destination === undefined || text.length < 8) return;
    const payload = text.subarray(8, text.readUInt16BE(4));
    this.onDatagram({ source, destination, sourcePort: text.readUInt16BE(0), port: text.readUInt16BE(2), payload });
  }
}

function macText(bytes: Uint8Array): string {
  return Buffer.from(bytes)
    .toString('hex')
    .replace(/(..)(?=.)/g, '$1:');
}

/** Without compression of zeros beyond what comparison needs: the form of `canonical`. */
function ipv6Text(bytes: Buffer): string {
  return new URL(
    `http://[${Array.from({ length: 8 }, (_, at) => bytes.readUInt16BE(2 * at).toString(16)).join(':')}]/`,
  ).hostname.slice(1, -1);
}
