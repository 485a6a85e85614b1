import type { SessionId } from '../reconcile/dataplane.ts';
import {
  decodeHandshake,
  encodeHandshake,
  type HandshakeMessage,
  type InitiationMessage,
  initiationHeader,
  mac1Of,
  type ResponseMessage,
  responseHeader,
} from './codec.ts';
import type { DhKeyPair } from './dh.ts';
import { equalBytes, mac1Key, macBlake2s } from './hash.ts';
import {
  type CallerState,
  type InitiatorState,
  type ResponderState,
  readCaller,
  readMessage2,
  readPayload,
  type TransportKeys,
  writeMessage1,
  writeMessage2,
} from './noise.ts';

/** What stays the same for every handshake of a node in a cluster. */
export interface LocalParty {
  /** X25519, derived from the identity. */
  readonly keyPair: DhKeyPair;
  /** 32 bytes; zeros where the cluster has no secret. */
  readonly psk: Uint8Array;
  readonly prologue: Uint8Array;
  /** Key of mac1 in messages to this node. */
  readonly mac1Key: Uint8Array;
}

/** A peer's public keys: Ed25519 as in the manifest, and X25519 made from it. 32 bytes each. */
export interface RemoteParty {
  readonly publicKey: Uint8Array;
  readonly staticKey: Uint8Array;
}

const PROLOGUE_LABEL = Buffer.from('OmniNervous v1');

/** "OmniNervous v1" || u8 length || cluster name (UTF-8): nodes of two clusters cannot understand each other. */
export function prologueOf(cluster: string): Uint8Array {
  const name = Buffer.from(cluster, 'utf8');
  if (name.length > 255) throw new RangeError('a cluster name is at most 255 bytes');
  return Buffer.concat([PROLOGUE_LABEL, Uint8Array.of(name.length), name]);
}

/** The node's own half. `publicKey`: its Ed25519 key, 32 bytes. */
export function localParty(publicKey: Uint8Array, keyPair: DhKeyPair, psk: Uint8Array, cluster: string): LocalParty {
  return { keyPair, psk, prologue: prologueOf(cluster), mac1Key: mac1Key(publicKey, psk) };
}

/** Parses and checks mac1; the cheap gate before any Diffie-Hellman. */
export function authenticateHandshake(
  local: LocalParty,
  datagram: Uint8Array,
): HandshakeMessage | 'malformed' | 'mac1' {
  const message = decodeHandshake(datagram);
  if (message === undefined) return 'malformed';
  const { covered, mac1 } = mac1Of(datagram);
  return equalBytes(macBlake2s(local.mac1Key, covered), mac1) ? message : 'mac1';
}

/** Undefined: the peer's key is of low order. */
export function createInitiation(
  local: LocalParty,
  remote: RemoteParty,
  options: { readonly senderId: SessionId; readonly timestampNs: bigint; readonly ephemeral: DhKeyPair },
): { readonly datagram: Uint8Array; readonly state: InitiatorState } | undefined {
  const header = initiationHeader(options.senderId);
  const payload = Buffer.alloc(8);
  payload.writeBigUInt64LE(options.timestampNs);
  const written = writeMessage1({
    prologue: local.prologue,
    local: local.keyPair,
    ephemeral: options.ephemeral,
    remoteStatic: remote.staticKey,
    bound: header,
    payload,
  });
  if (written === undefined) return undefined;
  const key = mac1Key(remote.publicKey, local.psk);
  return { datagram: encodeHandshake(header, written.message, key), state: written.state };
}

/** Who calls: the caller's X25519 key is in the result, not yet proved. */
export function openInitiation(local: LocalParty, message: InitiationMessage): CallerState | undefined {
  return readCaller({
    prologue: local.prologue,
    local: local.keyPair,
    bound: message.header,
    message: message.noise,
  });
}

/** Proves the caller; the timestamp is nanoseconds since the Unix epoch, as the caller believes. */
export function readInitiation(
  local: LocalParty,
  caller: CallerState,
): { readonly state: ResponderState; readonly timestampNs: bigint } | undefined {
  const read = readPayload(caller, local.keyPair);
  if (read === undefined || read.payload.length !== 8) return undefined;
  return { state: read.state, timestampNs: Buffer.from(read.payload).readBigUInt64LE() };
}

/** Undefined: one of the caller's keys is of low order. */
export function createResponse(
  local: LocalParty,
  remote: RemoteParty,
  state: ResponderState,
  options: { readonly senderId: SessionId; readonly receiverId: SessionId; readonly ephemeral: DhKeyPair },
): { readonly datagram: Uint8Array; readonly keys: TransportKeys } | undefined {
  const header = responseHeader(options.senderId, options.receiverId);
  const written = writeMessage2({
    state,
    ephemeral: options.ephemeral,
    psk: local.psk,
    bound: header,
    payload: new Uint8Array(0),
  });
  if (written === undefined) return undefined;
  const key = mac1Key(remote.publicKey, local.psk);
  return { datagram: encodeHandshake(header, written.message, key), keys: written.keys };
}

/** Undefined: not an answer to our message, or not by the peer that we asked, or not with our PSK. */
export function readResponse(
  local: LocalParty,
  state: InitiatorState,
  message: ResponseMessage,
): TransportKeys | undefined {
  return readMessage2({ state, psk: local.psk, bound: message.header, message: message.noise })?.keys;
}
