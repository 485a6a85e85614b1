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
import type { Psk, Psks } from './psks.ts';

/** What stays the same for every handshake of a node in a cluster. */
export interface LocalParty {
  /** X25519, derived from the identity. */
  readonly keyPair: DhKeyPair;
  readonly psks: Psks;
  readonly prologue: Uint8Array;
}

/** A message whose mac1 verified, and the key that it did under. */
export interface AuthenticHandshake<M extends HandshakeMessage = HandshakeMessage> {
  readonly message: M;
  readonly psk: Psk;
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

/** The node's own half. */
export function localParty(keyPair: DhKeyPair, psks: Psks, cluster: string): LocalParty {
  return { keyPair, psks, prologue: prologueOf(cluster) };
}

/** Parses and checks mac1; the cheap gate before any Diffie-Hellman. */
export function authenticateHandshake(
  local: LocalParty,
  datagram: Uint8Array,
): AuthenticHandshake | 'malformed' | 'mac1' {
  const message = decodeHandshake(datagram);
  if (message === undefined) return 'malformed';
  const { covered, mac1 } = mac1Of(datagram);
  const psk = local.psks.accepted.find((each) => equalBytes(macBlake2s(each.mac1Key, covered), mac1));
  return psk === undefined ? 'mac1' : { message, psk };
}

/** Under the key in force. Undefined: the peer's key is of low order. */
export function createInitiation(
  local: LocalParty,
  remote: RemoteParty,
  options: { readonly senderId: SessionId; readonly timestampNs: bigint; readonly ephemeral: DhKeyPair },
): { readonly datagram: Uint8Array; readonly state: InitiatorState; readonly psk: Psk } | undefined {
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
  const psk = local.psks.current;
  const key = mac1Key(remote.publicKey, psk.bytes);
  return { datagram: encodeHandshake(header, written.message, key), state: written.state, psk };
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

/** `psk`: the one that the initiation came under. Undefined: one of the caller's keys is of low order. */
export function createResponse(
  remote: RemoteParty,
  state: ResponderState,
  options: {
    readonly psk: Psk;
    readonly senderId: SessionId;
    readonly receiverId: SessionId;
    readonly ephemeral: DhKeyPair;
  },
): { readonly datagram: Uint8Array; readonly keys: TransportKeys } | undefined {
  const header = responseHeader(options.senderId, options.receiverId);
  const written = writeMessage2({
    state,
    ephemeral: options.ephemeral,
    psk: options.psk.bytes,
    bound: header,
    payload: new Uint8Array(0),
  });
  if (written === undefined) return undefined;
  const key = mac1Key(remote.publicKey, options.psk.bytes);
  return { datagram: encodeHandshake(header, written.message, key), keys: written.keys };
}

/** `psk`: the one that the initiation went out under. Undefined: not an answer to our message, or not by the peer that we asked, or not with that PSK. */
export function readResponse(psk: Psk, state: InitiatorState, message: ResponseMessage): TransportKeys | undefined {
  return readMessage2({ state, psk: psk.bytes, bound: message.header, message: message.noise })?.keys;
}
