import { readFile } from 'node:fs/promises';
import type { Host } from '../../lab/lab.ts';
import { udpCounters } from '../../lab/udp.ts';
import { sample, scrape } from '../netns/metrics.ts';
import { Protocol } from './packets.ts';
import { PORT } from './world.ts';

/** Ticks a second of proc(5), on every architecture that Linux shows to user space. */
const TICK_MS = 10;

/** What an agent had to do with so far. */
export interface Notice {
  /** User and system time of the agent's process, milliseconds. */
  readonly cpuMs: number;
  /** Datagrams that its host's UDP sockets took. */
  readonly datagrams: number;
  /** Handshake messages that the programs passed to its socket. */
  readonly passed: number;
  /** Handshakes that it gave up or refused, for any reason. */
  readonly failed: number;
}

export async function noticeOf(host: Host): Promise<Notice> {
  const samples = await scrape(host);
  const failed = [...samples]
    .filter(([name]) => name.startsWith('omni_handshakes_failed_total'))
    .map(([, value]) => value);
  return {
    cpuMs: await cpuMsOf(host),
    datagrams: (await udpCounters(host)).received,
    passed: sample(samples, 'omni_control_passed_total'),
    failed: failed.reduce((sum, each) => sum + each, 0),
  };
}

async function cpuMsOf(host: Host): Promise<number> {
  const text = await readFile(`/proc/${host.agent?.pid}/stat`, 'utf8');
  // utime and stime are fields 14 and 15; the name in field 2 may hold anything, and ends with the last parenthesis.
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
  return (Number(fields[11]) + Number(fields[12])) * TICK_MS;
}

/** Type and version of a cookie reply, which a right mac1 may draw: a member's, or one that was recorded. */
const COOKIE = 3;

/**
 * What a frame says about the port to whoever sent something there: `cookie`, a cookie reply; `datagram`, any other from
 * the port; `unreachable`, ICMP that nobody listens. Undefined: nothing; other ICMP errors are the host's, and are the
 * same for every port.
 */
export function replyKind(frame: Buffer, from: Buffer): 'cookie' | 'datagram' | 'unreachable' | undefined {
  if (frame.length < 42 || !frame.subarray(6, 12).equals(from)) return undefined;
  const type = frame.readUInt16BE(12);
  const [protocol, at] = type === 0x0800 ? [frame[23], 14 + ((frame[14] ?? 0) & 15) * 4] : [frame[20], 54];
  if (type !== 0x0800 && type !== 0x86dd) return undefined;
  if (protocol === Protocol.udp && frame.length >= at + 17 && frame.readUInt16BE(at) === PORT)
    return frame[at + 16] === COOKIE ? 'cookie' : 'datagram';
  const unreachable = type === 0x0800 ? [Protocol.icmp, 3, 3] : [Protocol.icmpv6, 1, 4];
  return [protocol, frame[at], frame[at + 1]].every((value, index) => value === unreachable[index])
    ? 'unreachable'
    : undefined;
}
