import { randomBytes } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { robotDocuments } from '../../lab/fleet.ts';
import type { Host } from '../../lab/lab.ts';
import type { Background } from '../../lab/shell.ts';
import { mac1Key } from '../../src/session/hash.ts';
import { control } from '../bpf/frames.ts';

/** What somebody on the wire sends who has no session, but knows more than nothing. */

const SEND = fileURLToPath(new URL('./send.mjs', import.meta.url));
const INITIATION = 160;

/** The key of mac1 in messages to the robot, of a cluster without a secret: anybody who has its public key knows it. */
export async function mac1KeyOf(host: Host): Promise<Uint8Array> {
  const [, key = ''] = /publicKey: "?([A-Za-z0-9+/=]+)/.exec(await robotDocuments(host, ['10.77.0.99'])) ?? [];
  return mac1Key(Buffer.from(key, 'base64'), new Uint8Array(32));
}

/** An initiation with a right mac1, and nothing else that is right: no two are the same. */
export const initiationTo = (mac1: Uint8Array): Buffer => control(1, INITIATION, mac1, randomBytes(96));

/** From a UDP socket of the host; how many answers and ICMP errors came. */
export async function sendDatagrams(from: Host, to: string, datagrams: readonly Uint8Array[], port = 51820) {
  const input = datagrams.map((each) => Buffer.from(each).toString('hex')).join('\n');
  const report = await from.must([process.execPath, SEND, 'datagrams', to, `${port}`], { input });
  return JSON.parse(report) as { readonly replies: number; readonly errors: number };
}

/** Raw frames out of the host's `device`, each once. */
export async function sendFrames(
  from: Host,
  frames: readonly Uint8Array[],
  { perSecond = 1_000, device = 'eth0' }: { readonly perSecond?: number; readonly device?: string } = {},
): Promise<Background> {
  const file = join(from.folder, `frames-${randomBytes(4).toString('hex')}`);
  await writeFile(file, frames.map((each) => Buffer.from(each).toString('hex')).join('\n'));
  return from.background([process.execPath, SEND, 'frames', device, `${perSecond}`, file]);
}

export async function macAddress(host: Host, device = 'eth0'): Promise<string> {
  return (await host.must(['cat', `/sys/class/net/${device}/address`])).trim();
}
