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

export async function cpuMsOf(host: Host): Promise<number> {
  const text = await readFile(`/proc/${host.agent?.pid}/stat`, 'utf8');
  // utime and stime are fields 14 and 15; the name in field 2 may hold anything, and ends with the last parenthesis.
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
  return (Number(fields[11]) + Number(fields[12])) * TICK_MS;
}

/** Whether a frame is a node's answer to something sent to its port: from the port, or an ICMP error that quotes it. */
export function isReply(frame: Buffer, from: { readonly mac: Buffer }): boolean {
  if (frame.length < 34 || !frame.subarray(6, 12).equals(from.mac)) return false;
  const type = frame.readUInt16BE(12);
  if (type === 0x0800) {
    const protocol = frame[23];
    const at = 14 + ((frame[14] ?? 0) & 15) * 4;
    if (protocol === Protocol.udp && frame.length >= at + 2) return frame.readUInt16BE(at) === PORT;
    if (protocol !== Protocol.icmp || frame.length < at + 32) return false;
    const quoted = at + 8 + ((frame[at + 8] ?? 0) & 15) * 4;
    return frame.length >= quoted + 4 && frame[at + 17] === Protocol.udp && frame.readUInt16BE(quoted + 2) === PORT;
  }
  if (type !== 0x86dd || frame.length < 62) return false;
  if (frame[20] === Protocol.udp) return frame.readUInt16BE(54) === PORT;
  // ICMPv6 errors have types below 128; informational ones are not answers to datagrams.
  return frame[20] === Protocol.icmpv6 && (frame[54] ?? 255) < 128;
}
