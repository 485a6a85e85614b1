import { randomBytes } from 'node:crypto';
import { blake2s } from '@noble/hashes/blake2.js';
import { ip } from './frames.ts';

/** Handshake messages as docs/protocol.md has them, by rules that owe nothing to the programs under test. */

/** Exact lengths, and how many bytes from the first one on mac1 covers. */
export const SHAPES = [
  { name: 'initiation', type: 1, version: 1, length: 160, covered: 128 },
  { name: 'hybrid initiation', type: 1, version: 2, length: 1360, covered: 128 },
  { name: 'response', type: 2, version: 1, length: 112, covered: 80 },
  { name: 'hybrid response', type: 2, version: 2, length: 1216, covered: 80 },
  { name: 'cookie reply', type: 3, version: 1, length: 112, covered: 80 },
  { name: 'cookie reply to a hybrid initiation', type: 3, version: 2, length: 112, covered: 80 },
] as const;
export type Shape = (typeof SHAPES)[number];

const [INITIATION, HYBRID_INITIATION] = SHAPES;
export const INITIATIONS: readonly Shape[] = [INITIATION, HYBRID_INITIATION];
export const ANSWERS: readonly Shape[] = SHAPES.filter(({ type }) => type !== 1);

/** Where an answer repeats the sender id of the initiation that it is to. */
const RECEIVER = { 2: 24, 3: 16 };

export interface Message {
  readonly mac1Key: Uint8Array;
  /** Of an answer. */
  readonly receiver?: bigint;
  /** What mac2 is keyed with; none: zeros. */
  readonly cookie?: Uint8Array | undefined;
}

/** A message of this shape, random where the gate does not look. */
export function handshake(shape: Shape, { mac1Key, receiver = 0n, cookie }: Message): Buffer {
  const message = randomBytes(shape.length);
  message.fill(0, 0, 16);
  message[8] = shape.type;
  message[9] = shape.version;
  if (shape.type !== 1) message.writeBigUInt64LE(receiver, RECEIVER[shape.type]);
  const covered = message.subarray(0, shape.covered);
  const mac1 = blake2s(covered, { key: mac1Key, dkLen: 16 });
  message.set(mac1, shape.length - 32);
  message.set(cookie ? mac2(cookie, covered, mac1) : new Uint8Array(16), shape.length - 16);
  return message;
}

/** The same message, with mac2 under this cookie. */
export function withCookie(message: Uint8Array, covered: number, cookie: Uint8Array): Buffer {
  const proved = Buffer.from(message);
  const mac1 = proved.subarray(-32, -16);
  proved.set(mac2(cookie, proved.subarray(0, covered), mac1), proved.length - 16);
  return proved;
}

function mac2(cookie: Uint8Array, covered: Uint8Array, mac1: Uint8Array): Uint8Array {
  const key = Buffer.concat([cookie], 32);
  return blake2s(Buffer.concat([covered, mac1]), { key, dkLen: 16 });
}

/** What a node with this secret hands out to a source. */
export function cookieFor(secret: Uint8Array, address: string, port: number): Uint8Array {
  const from = Buffer.alloc(18);
  from.set(ip(address));
  from.writeUInt16BE(port, 16);
  return blake2s(from, { key: secret, dkLen: 16 });
}
