import type { SessionId } from '../reconcile/dataplane.ts';
import { MAC_LEN } from './hash.ts';
import { KEM_KEY_LEN, KEM_TEXT_LEN } from './kem.ts';
import { TAG_LEN } from './symmetric.ts';

/** What a handshake is made of, and the `version` byte of its messages: X25519; or X25519 and ML-KEM-768. */
export const Version = { classic: 1, hybrid: 2 } as const;
export type Version = (typeof Version)[keyof typeof Version];

/** Datagram sizes, bytes of UDP payload; the packet filter knows the same (bpf/omni_types.h). docs/protocol.md */
export const INITIATION_LEN = 160;
export const RESPONSE_LEN = 112;
export const HYBRID_INITIATION_LEN = INITIATION_LEN + KEM_KEY_LEN + TAG_LEN;
export const HYBRID_RESPONSE_LEN = RESPONSE_LEN + KEM_TEXT_LEN + TAG_LEN;
export const COOKIE_REPLY_LEN = 112;

export const ControlType = {
  initiation: 1,
  response: 2,
  cookie: 3,
  pathChallenge: 4,
  pathResponse: 5,
  discovery: 6,
} as const;

/** Bytes before the Noise message, which the Noise hash covers: control header and session ids. */
const INITIATION_HEADER_LEN = 24;
const RESPONSE_HEADER_LEN = 32;
const COOKIE_HEADER_LEN = 24;
/** mac1 and mac2 end every handshake message. */
const MACS_LEN = 2 * MAC_LEN;
/** What mac1 covers from the first byte on, in every version. mac2 covers the same, then mac1. */
const INITIATION_COVERED = 128;
const RESPONSE_COVERED = 80;
/** XChaCha20's nonce; and a cookie with its tag. */
const COOKIE_NONCE_LEN = 24;

export interface InitiationMessage {
  readonly type: 'initiation';
  readonly version: Version;
  /** The initiator's receiving id; never 0. */
  readonly senderId: SessionId;
  /** Bytes 0..23, bound into the Noise hash. */
  readonly header: Uint8Array;
  /** Noise message 1, 104 bytes; hybrid 1,304. */
  readonly noise: Uint8Array;
}

export interface ResponseMessage {
  readonly type: 'response';
  readonly version: Version;
  /** The responder's receiving id; never 0. */
  readonly senderId: SessionId;
  /** Echo of the initiation's `senderId`. */
  readonly receiverId: SessionId;
  /** Bytes 0..31, bound into the Noise hash. */
  readonly header: Uint8Array;
  /** Noise message 2, 48 bytes; hybrid 1,152. */
  readonly noise: Uint8Array;
}

/** Instead of an answer, by a node that has more to do than it can: prove that you are where you say. */
export interface CookieMessage {
  readonly type: 'cookie';
  /** The initiation's. */
  readonly version: Version;
  /** The initiation's `senderId`. */
  readonly receiverId: SessionId;
  /** 24 bytes. */
  readonly nonce: Uint8Array;
  /** The cookie, sealed: 32 bytes. */
  readonly sealed: Uint8Array;
}

export type HandshakeMessage = InitiationMessage | ResponseMessage | CookieMessage;

/** Control header and id of an initiation; what the Noise hash covers. Little-endian. */
export function initiationHeader(version: Version, senderId: SessionId): Uint8Array {
  const header = controlHeader(ControlType.initiation, version, INITIATION_HEADER_LEN);
  header.writeBigUInt64LE(senderId, 16);
  return header;
}

/** Control header and ids of a response; what the Noise hash covers. Little-endian. */
export function responseHeader(version: Version, senderId: SessionId, receiverId: SessionId): Uint8Array {
  const header = controlHeader(ControlType.response, version, RESPONSE_HEADER_LEN);
  header.writeBigUInt64LE(senderId, 16);
  header.writeBigUInt64LE(receiverId, 24);
  return header;
}

/** Control header and id of a cookie reply. Little-endian. */
export function cookieHeader(version: Version, receiverId: SessionId): Uint8Array {
  const header = controlHeader(ControlType.cookie, version, COOKIE_HEADER_LEN);
  header.writeBigUInt64LE(receiverId, 16);
  return header;
}

/** What mac1 and mac2 of a message cover, where they stand, and what they are: views of `datagram`. Of a decoded one only. */
export function macsOf(datagram: Uint8Array): {
  /** mac1's: 128 bytes of an initiation, 80 of any other. */
  readonly covered: Uint8Array;
  readonly mac1: Uint8Array;
  readonly mac2: Uint8Array;
} {
  const end = datagram.length - MACS_LEN;
  const length = datagram[8] === ControlType.initiation ? INITIATION_COVERED : RESPONSE_COVERED;
  return {
    covered: datagram.subarray(0, length),
    mac1: datagram.subarray(end, end + MAC_LEN),
    mac2: datagram.subarray(end + MAC_LEN),
  };
}

/** header || body || 32 zeros, for `macsOf` to write into. */
export function withoutMacs(header: Uint8Array, body: Uint8Array): Uint8Array {
  return Buffer.concat([header, body], header.length + body.length + MACS_LEN);
}

/**
 * Strict: exact length of type and version, id 0, reserved bytes zero, ids not zero; else undefined. The parts are views
 * of `datagram`.
 */
export function decodeHandshake(datagram: Uint8Array): HandshakeMessage | undefined {
  if (datagram.length < RESPONSE_LEN) return undefined;
  const bytes = Buffer.from(datagram.buffer, datagram.byteOffset, datagram.byteLength);
  if (bytes.readBigUInt64LE(0) !== 0n || bytes.readUIntLE(10, 6) !== 0) return undefined;
  const [type, version] = [bytes[8], bytes[9]];
  if (version !== Version.classic && version !== Version.hybrid) return undefined;
  const hybrid = version === Version.hybrid;
  const id = bytes.readBigUInt64LE(16);
  if (id === 0n) return undefined;
  const end = bytes.length - MACS_LEN;
  if (type === ControlType.initiation && bytes.length === (hybrid ? HYBRID_INITIATION_LEN : INITIATION_LEN)) {
    const header = bytes.subarray(0, INITIATION_HEADER_LEN);
    return { type: 'initiation', version, senderId: id, header, noise: bytes.subarray(INITIATION_HEADER_LEN, end) };
  }
  if (type === ControlType.response && bytes.length === (hybrid ? HYBRID_RESPONSE_LEN : RESPONSE_LEN)) {
    const receiverId = bytes.readBigUInt64LE(24);
    if (receiverId === 0n) return undefined;
    const header = bytes.subarray(0, RESPONSE_HEADER_LEN);
    const noise = bytes.subarray(RESPONSE_HEADER_LEN, end);
    return { type: 'response', version, senderId: id, receiverId, header, noise };
  }
  if (type === ControlType.cookie && bytes.length === COOKIE_REPLY_LEN) {
    const nonceEnd = COOKIE_HEADER_LEN + COOKIE_NONCE_LEN;
    const nonce = bytes.subarray(COOKIE_HEADER_LEN, nonceEnd);
    return { type: 'cookie', version, receiverId: id, nonce, sealed: bytes.subarray(nonceEnd, end) };
  }
  return undefined;
}

function controlHeader(type: number, version: Version, length: number): Buffer {
  const header = Buffer.alloc(length);
  header[8] = type;
  header[9] = version;
  return header;
}
