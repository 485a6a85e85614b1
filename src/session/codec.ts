import type { SessionId } from '../reconcile/dataplane.ts';
import { MAC_LEN, macBlake2s } from './hash.ts';

/** Datagram sizes, bytes of UDP payload; the packet filter knows the same (bpf/omni_types.h). docs/protocol.md */
export const INITIATION_LEN = 160;
export const RESPONSE_LEN = 112;
const PROTOCOL_VERSION = 1;

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
/** mac1 and mac2 end every handshake message. */
const MACS_LEN = 2 * MAC_LEN;

export interface InitiationMessage {
  readonly type: 'initiation';
  /** The initiator's receiving id; never 0. */
  readonly senderId: SessionId;
  /** Bytes 0..23, bound into the Noise hash. */
  readonly header: Uint8Array;
  /** Noise message 1, 104 bytes. */
  readonly noise: Uint8Array;
}

export interface ResponseMessage {
  readonly type: 'response';
  /** The responder's receiving id; never 0. */
  readonly senderId: SessionId;
  /** Echo of the initiation's `senderId`. */
  readonly receiverId: SessionId;
  /** Bytes 0..31, bound into the Noise hash. */
  readonly header: Uint8Array;
  /** Noise message 2, 48 bytes. */
  readonly noise: Uint8Array;
}

export type HandshakeMessage = InitiationMessage | ResponseMessage;

/** Control header and id of an initiation; what the Noise hash covers. Little-endian. */
export function initiationHeader(senderId: SessionId): Uint8Array {
  const header = controlHeader(ControlType.initiation, INITIATION_HEADER_LEN);
  header.writeBigUInt64LE(senderId, 16);
  return header;
}

/** Control header and ids of a response; what the Noise hash covers. Little-endian. */
export function responseHeader(senderId: SessionId, receiverId: SessionId): Uint8Array {
  const header = controlHeader(ControlType.response, RESPONSE_HEADER_LEN);
  header.writeBigUInt64LE(senderId, 16);
  header.writeBigUInt64LE(receiverId, 24);
  return header;
}

/** header || Noise message || mac1 || mac2 = 0. `mac1Key` is the recipient's. */
export function encodeHandshake(header: Uint8Array, noise: Uint8Array, mac1Key: Uint8Array): Uint8Array {
  const authenticated = Buffer.concat([header, noise]);
  return Buffer.concat([authenticated, macBlake2s(mac1Key, authenticated)], authenticated.length + MACS_LEN);
}

/** mac1 as received, and the bytes that it covers. */
export function mac1Of(datagram: Uint8Array): { readonly covered: Uint8Array; readonly mac1: Uint8Array } {
  const end = datagram.length - MACS_LEN;
  return { covered: datagram.subarray(0, end), mac1: datagram.subarray(end, end + MAC_LEN) };
}

/**
 * Strict: exact length, id 0, known type, this version, reserved bytes zero, ids not zero; else undefined. mac2 is not
 * looked at: it is the business of cookies. The parts are views of `datagram`.
 */
export function decodeHandshake(datagram: Uint8Array): HandshakeMessage | undefined {
  if (datagram.length !== INITIATION_LEN && datagram.length !== RESPONSE_LEN) return undefined;
  const bytes = Buffer.from(datagram.buffer, datagram.byteOffset, datagram.byteLength);
  if (bytes.readBigUInt64LE(0) !== 0n || bytes[9] !== PROTOCOL_VERSION || bytes.readUIntLE(10, 6) !== 0) {
    return undefined;
  }
  const senderId = bytes.readBigUInt64LE(16);
  if (senderId === 0n) return undefined;
  const end = bytes.length - MACS_LEN;
  if (bytes[8] === ControlType.initiation && bytes.length === INITIATION_LEN) {
    const header = bytes.subarray(0, INITIATION_HEADER_LEN);
    return { type: 'initiation', senderId, header, noise: bytes.subarray(INITIATION_HEADER_LEN, end) };
  }
  if (bytes[8] === ControlType.response && bytes.length === RESPONSE_LEN) {
    const receiverId = bytes.readBigUInt64LE(24);
    if (receiverId === 0n) return undefined;
    const header = bytes.subarray(0, RESPONSE_HEADER_LEN);
    return { type: 'response', senderId, receiverId, header, noise: bytes.subarray(RESPONSE_HEADER_LEN, end) };
  }
  return undefined;
}

function controlHeader(type: number, length: number): Buffer {
  const header = Buffer.alloc(length);
  header[8] = type;
  header[9] = PROTOCOL_VERSION;
  return header;
}
