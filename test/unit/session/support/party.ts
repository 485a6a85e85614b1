import type { PostQuantum } from '../../../../src/manifest/model.ts';
import { decodeHandshake, type InitiationMessage, type ResponseMessage } from '../../../../src/session/codec.ts';
import { type DhKeyPair, generateKeyPair } from '../../../../src/session/dh.ts';
import { Exchange } from '../../../../src/session/exchange.ts';
import {
  type AuthenticHandshake,
  authenticate,
  createInitiation,
  type LocalParty,
  openInitiation,
  type Prologues,
  prologuesOf,
  type RemoteParty,
  readInitiation,
} from '../../../../src/session/handshake.ts';
import { identityOf } from '../../../../src/session/identity.ts';
import { encapsulate, generateKemKeyPair, type KemKeyPair } from '../../../../src/session/kem.ts';
import type { CallerState, ResponderState } from '../../../../src/session/noise.ts';
import { Psks } from '../../../../src/session/psks.ts';

/** A node as the handshake's functions see it, from both sides. */
export interface Party {
  readonly local: LocalParty;
  readonly remote: RemoteParty;
  readonly prologues: Prologues;
}

export function partyOf(
  seed: number | Uint8Array,
  psks: readonly Uint8Array[] = [new Uint8Array(32)],
  cluster = 'warehouse',
): Party {
  const { publicKey, publicKeyBytes, keyPair } = identityOf(
    typeof seed === 'number' ? new Uint8Array(32).fill(seed) : seed,
  );
  return {
    local: { publicKey, keyPair, psks: new Psks(publicKeyBytes, psks) },
    remote: { publicKey: publicKeyBytes, staticKey: keyPair.publicKey },
    prologues: prologuesOf(cluster),
  };
}

export function must<T>(value: T | undefined): T {
  if (value === undefined) throw new Error('it cannot be made');
  return value;
}

export function initiationOf(
  from: Party,
  to: Party,
  options: {
    readonly senderId: bigint;
    readonly timestampNs: bigint;
    readonly ephemeral: DhKeyPair;
    readonly kem?: KemKeyPair;
  },
) {
  return must(createInitiation({ prologues: from.prologues, local: from.local, remote: to.remote }, options));
}

/** As the receiver reads an initiation or a response: shape and mac1. */
export function authentic(
  to: Party,
  datagram: Uint8Array,
): AuthenticHandshake<InitiationMessage> | AuthenticHandshake<ResponseMessage> | 'malformed' | 'mac1' | 'cookie' {
  const message = decodeHandshake(datagram);
  if (message === undefined) return 'malformed';
  if (message.type === 'cookie') return 'cookie';
  const under = authenticate([to.local], datagram);
  if (under === undefined) return 'mac1';
  return message.type === 'initiation' ? { message, ...under } : { message, ...under };
}

export function authenticInitiation(to: Party, datagram: Uint8Array): AuthenticHandshake<InitiationMessage> {
  const read = authentic(to, datagram);
  if (typeof read === 'string' || read.message.type !== 'initiation') throw new Error('not an authentic initiation');
  return { ...read, message: read.message };
}

export function authenticResponse(to: Party, datagram: Uint8Array): AuthenticHandshake<ResponseMessage> {
  const read = authentic(to, datagram);
  if (typeof read === 'string' || read.message.type !== 'response') throw new Error('not an authentic response');
  return { ...read, message: read.message };
}

/** As the receiver reads an initiation, to the end. */
export function opened(
  to: Party,
  handshake: AuthenticHandshake<InitiationMessage>,
): { readonly caller: CallerState; readonly state: ResponderState; readonly timestampNs: bigint } | undefined {
  const caller = openInitiation(to.prologues, handshake);
  const read = caller && readInitiation(to.local, caller);
  return caller && read && { caller, ...read };
}

/** What `from` holds of its handshakes with `to`. */
export function exchangeOf(from: Party, to: Party, postQuantum: PostQuantum, now: () => number = () => 0): Exchange {
  let id = BigInt(from.remote.publicKey[0] ?? 0) << 32n;
  return new Exchange(
    { prologues: from.prologues, caller: () => from.local, generateKeyPair, generateKemKeyPair, encapsulate, now },
    { postQuantum, remotes: [to.remote] },
    { allocate: () => ++id, release: () => undefined, settled: () => undefined },
  );
}
