import type { PublicKey } from '../manifest/model.ts';
import type { SessionId } from '../reconcile/dataplane.ts';
import {
  type InitiationMessage,
  initiationHeader,
  macsOf,
  type ResponseMessage,
  responseHeader,
  Version,
  withoutMacs,
} from './codec.ts';
import type { DhKeyPair } from './dh.ts';
import { equalBytes, mac1Key, macBlake2s } from './hash.ts';
import type { Encapsulate, KemKeyPair } from './kem.ts';
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
import { wipe } from './symmetric.ts';

/** One of the identities of this node, and what it makes of the cluster's keys. */
export interface LocalParty {
  readonly publicKey: PublicKey;
  /** X25519, derived from the identity. */
  readonly keyPair: DhKeyPair;
  readonly psks: Psks;
}

/** A message whose mac1 verified, and what it verified under: whom of us it is to, and the cluster's key. */
export interface AuthenticHandshake<M extends InitiationMessage | ResponseMessage> {
  readonly message: M;
  readonly local: LocalParty;
  readonly psk: Psk;
}

/** A peer's public keys: Ed25519 as in the manifest, and X25519 made from it. 32 bytes each. */
export interface RemoteParty {
  readonly publicKey: Uint8Array;
  readonly staticKey: Uint8Array;
}

/** What the handshakes of a cluster begin with, by version. */
export type Prologues = Readonly<Record<Version, Uint8Array>>;

const PROLOGUE_LABELS = { [Version.classic]: 'OmniNervous v1', [Version.hybrid]: 'OmniNervous v2' } as const;

/**
 * "OmniNervous v1" or "OmniNervous v2" || u8 length || cluster name (UTF-8): nodes of two clusters, and two versions,
 * cannot understand each other.
 */
export function prologuesOf(cluster: string): Prologues {
  const name = Buffer.from(cluster, 'utf8');
  if (name.length > 255) throw new RangeError('a cluster name is at most 255 bytes');
  const prologue = (version: Version) =>
    Buffer.concat([Buffer.from(PROLOGUE_LABELS[version]), Uint8Array.of(name.length), name]);
  return { [Version.classic]: prologue(Version.classic), [Version.hybrid]: prologue(Version.hybrid) };
}

/** Checks mac1 of an initiation or a response under each identity and each of the cluster's keys; the cheap gate before any Diffie-Hellman. */
export function authenticate(
  locals: readonly LocalParty[],
  datagram: Uint8Array,
): { readonly local: LocalParty; readonly psk: Psk } | undefined {
  const { covered, mac1 } = macsOf(datagram);
  for (const local of locals) {
    const psk = local.psks.accepted.find((each) => equalBytes(macBlake2s(each.mac1Key, covered), mac1));
    if (psk !== undefined) return { local, psk };
  }
  return undefined;
}

/** Under the key in force; hybrid with `kem`. Undefined: the peer's key is of low order. */
export function createInitiation(
  between: { readonly prologues: Prologues; readonly local: LocalParty; readonly remote: RemoteParty },
  options: {
    readonly senderId: SessionId;
    readonly timestampNs: bigint;
    readonly ephemeral: DhKeyPair;
    readonly kem?: KemKeyPair;
  },
): { readonly datagram: Uint8Array; readonly state: InitiatorState; readonly psk: Psk } | undefined {
  const { prologues, local, remote } = between;
  const { senderId, timestampNs, ...ephemerals } = options;
  const version = versionOf(options.kem);
  const header = initiationHeader(version, senderId);
  const payload = Buffer.alloc(8);
  payload.writeBigUInt64LE(timestampNs);
  const written = writeMessage1({
    prologue: prologues[version],
    local: local.keyPair,
    ...ephemerals,
    remoteStatic: remote.staticKey,
    bound: header,
    payload,
  });
  if (written === undefined) return undefined;
  const psk = local.psks.current;
  return { datagram: encode(header, written.message, mac1Key(remote.publicKey, psk.bytes)), state: written.state, psk };
}

/** Who calls: the caller's X25519 key is in the result, not yet proved. */
export function openInitiation(
  prologues: Prologues,
  { message, local }: AuthenticHandshake<InitiationMessage>,
): CallerState | undefined {
  return readCaller({
    hybrid: message.version === Version.hybrid,
    prologue: prologues[message.version],
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
  if (read === undefined) return undefined;
  if (read.payload.length !== 8) {
    wipe(read.state.symmetric);
    return undefined;
  }
  return { state: read.state, timestampNs: Buffer.from(read.payload).readBigUInt64LE() };
}

/** `psk`: the one that the initiation came under. Wipes `state`. Undefined: one of the caller's keys is none. */
export function createResponse(
  remote: RemoteParty,
  state: ResponderState,
  options: {
    readonly psk: Psk;
    readonly senderId: SessionId;
    readonly receiverId: SessionId;
    readonly ephemeral: DhKeyPair;
    readonly encapsulate: Encapsulate;
  },
): { readonly datagram: Uint8Array; readonly keys: TransportKeys } | undefined {
  const header = responseHeader(versionOf(state.remoteKem), options.senderId, options.receiverId);
  const written = writeMessage2({
    state,
    ephemeral: options.ephemeral,
    encapsulate: options.encapsulate,
    psk: options.psk.bytes,
    bound: header,
    payload: new Uint8Array(0),
  });
  wipe(state.symmetric);
  if (written === undefined) return undefined;
  wipe(written.symmetric);
  const key = mac1Key(remote.publicKey, options.psk.bytes);
  return { datagram: encode(header, written.message, key), keys: written.keys };
}

/**
 * `psk`: the one that the initiation went out under. Undefined: not an answer to our message, or of another version, or
 * not by the peer that we asked, or not with that PSK.
 */
export function readResponse(psk: Psk, state: InitiatorState, message: ResponseMessage): TransportKeys | undefined {
  if (message.version !== versionOf(state.kem)) return undefined;
  const read = readMessage2({ state, psk: psk.bytes, bound: message.header, message: message.noise });
  if (read !== undefined) wipe(read.symmetric);
  return read?.keys;
}

/** Of a handshake with that KEM key. */
function versionOf(kem: KemKeyPair | Uint8Array | undefined): Version {
  return kem === undefined ? Version.classic : Version.hybrid;
}

/** header || Noise message || mac1 || mac2 = 0. `key` is the recipient's. */
function encode(header: Uint8Array, noise: Uint8Array, key: Uint8Array): Uint8Array {
  const datagram = withoutMacs(header, noise);
  const { covered, mac1 } = macsOf(datagram);
  mac1.set(macBlake2s(key, covered));
  return datagram;
}
