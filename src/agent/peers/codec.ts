/**
 * What agents say to each other (docs/protocol.md, section 10). Integers are little-endian.
 *
 *     0         1      2            8
 *     +---------+------+------------+---------------
 *     | version | type | 6 zeros    | by type
 *     +---------+------+------------+---------------
 */

const VERSION = 1;
const HEADER_BYTES = 8;
const TYPE_NUMBERS = { 'echo-request': 1, 'echo-reply': 2, notice: 3 } as const;
export type MessageType = keyof typeof TYPE_NUMBERS;
export const messageTypes = Object.keys(TYPE_NUMBERS) as readonly MessageType[];

/** Shortest echo, bytes: header and nonce. */
export const ECHO_MIN_BYTES = HEADER_BYTES + 8;
const REVISION = /^[0-9a-z][0-9a-z:.-]{0,127}$/;

export type Message =
  /** A reply repeats the request's nonce and size. `size`: of the whole message, bytes. */
  | { readonly type: 'echo-request' | 'echo-reply'; readonly nonce: bigint; readonly size: number }
  /** The sender has this revision: `Revision.id`. */
  | { readonly type: 'notice'; readonly revision: string };

/** False: no notice can name this revision. */
export function fitsNotice(revision: string): boolean {
  return REVISION.test(revision);
}

/** Throws RangeError for an echo shorter than `ECHO_MIN_BYTES`, and a revision that does not fit. */
export function encodeMessage(message: Message): Uint8Array {
  return message.type === 'notice' ? encodeNotice(message.revision) : encodeEcho(message);
}

/** Undefined: not a message of this version. Any bytes may be given. */
export function decodeMessage(bytes: Uint8Array): Message | undefined {
  if (bytes.length < HEADER_BYTES || bytes[0] !== VERSION) return undefined;
  if (bytes.subarray(2, HEADER_BYTES).some((byte) => byte !== 0)) return undefined;
  switch (bytes[1]) {
    case TYPE_NUMBERS['echo-request']:
      return decodeEcho('echo-request', bytes);
    case TYPE_NUMBERS['echo-reply']:
      return decodeEcho('echo-reply', bytes);
    case TYPE_NUMBERS.notice:
      return decodeNotice(bytes);
    default:
      return undefined;
  }
}

function encodeEcho({ type, nonce, size }: Extract<Message, { nonce: bigint }>): Uint8Array {
  if (size < ECHO_MIN_BYTES) throw new RangeError(`an echo of ${size} bytes`);
  const bytes = withHeader(type, size);
  new DataView(bytes.buffer).setBigUint64(HEADER_BYTES, nonce, true);
  return bytes;
}

function decodeEcho(type: 'echo-request' | 'echo-reply', bytes: Uint8Array): Message | undefined {
  if (bytes.length < ECHO_MIN_BYTES) return undefined;
  const nonce = new DataView(bytes.buffer, bytes.byteOffset).getBigUint64(HEADER_BYTES, true);
  return { type, nonce, size: bytes.length };
}

function encodeNotice(revision: string): Uint8Array {
  if (!fitsNotice(revision)) throw new RangeError('a revision that no notice can name');
  const bytes = withHeader('notice', HEADER_BYTES + 1 + revision.length);
  bytes[HEADER_BYTES] = revision.length;
  bytes.set(Buffer.from(revision, 'latin1'), HEADER_BYTES + 1);
  return bytes;
}

function decodeNotice(bytes: Uint8Array): Message | undefined {
  const from = HEADER_BYTES + 1;
  const name = bytes.subarray(from, from + (bytes[HEADER_BYTES] ?? 0));
  const revision = Buffer.from(name).toString('latin1');
  const complete = name.length === bytes[HEADER_BYTES];
  return complete && fitsNotice(revision) ? { type: 'notice', revision } : undefined;
}

function withHeader(type: MessageType, size: number): Uint8Array {
  const bytes = new Uint8Array(size);
  bytes[0] = VERSION;
  bytes[1] = TYPE_NUMBERS[type];
  return bytes;
}
