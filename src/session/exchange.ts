import type { Endpoint, SessionId } from '../reconcile/dataplane.ts';
import type { InitiationMessage, ResponseMessage } from './codec.ts';
import type { DhKeyPair } from './dh.ts';
import {
  type AuthenticHandshake,
  createInitiation,
  createResponse,
  type LocalParty,
  type RemoteParty,
  readInitiation,
  readResponse,
} from './handshake.ts';
import type { CallerState, InitiatorState, ResponderState, TransportKeys } from './noise.ts';
import type { Psk } from './psks.ts';

/** Gives out session ids and takes them back. */
export interface IdSource {
  allocate(): SessionId;
  release(id: SessionId): void;
}

/** A handshake that is through, as far as this node is concerned. */
export interface Completed {
  readonly remoteId: SessionId;
  /** The caller wipes them. */
  readonly keys: TransportKeys;
  /** For responders: what to send, once the session is installed. */
  readonly response?: Uint8Array;
  readonly from: Endpoint;
}

interface Pending {
  /** Undefined: it went to a given endpoint, beside any attempt. */
  readonly sequence: number | undefined;
  readonly localId: SessionId;
  readonly state: InitiatorState;
  readonly psk: Psk;
}

interface Authenticated {
  readonly remoteId: SessionId;
  readonly handshake: { readonly keys: TransportKeys } | { readonly responder: ResponderState; readonly psk: Psk };
}

/** The handshake messages that pass between this node and one peer, and the secrets in between. No I/O, no timers. */
export class Exchange {
  readonly #local: LocalParty;
  readonly #remote: RemoteParty;
  readonly #ids: IdSource;
  readonly #generateKeyPair: () => DhKeyPair;
  #pending: Pending | undefined;
  readonly #calls = new Map<SessionId, Pending>();
  readonly #authenticated = new Map<SessionId, Authenticated>();
  readonly #origins = new Map<SessionId, Endpoint>();

  constructor(local: LocalParty, remote: RemoteParty, ids: IdSource, generateKeyPair: () => DhKeyPair) {
    this.#local = local;
    this.#remote = remote;
    this.#ids = ids;
    this.#generateKeyPair = generateKeyPair;
  }

  /** The datagram of initiation `sequence`; it takes the place of an earlier one. Undefined: the peer's key is of low order. */
  initiate(sequence: number, timestampNs: bigint): Uint8Array | undefined {
    this.abandon();
    const made = this.#create(sequence, timestampNs);
    this.#pending = made?.pending;
    return made?.datagram;
  }

  /** An initiation that takes no other one's place: its answer is welcome until `release`. Undefined: as above. */
  call(timestampNs: bigint): { readonly localId: SessionId; readonly datagram: Uint8Array } | undefined {
    const made = this.#create(undefined, timestampNs);
    if (made === undefined) return undefined;
    const { localId } = made.pending;
    this.#calls.set(localId, made.pending);
    return { localId, datagram: made.datagram };
  }

  #create(
    sequence: number | undefined,
    timestampNs: bigint,
  ): { readonly pending: Pending; readonly datagram: Uint8Array } | undefined {
    const localId = this.#ids.allocate();
    const ephemeral = this.#generateKeyPair();
    const made = createInitiation(this.#local, this.#remote, { senderId: localId, timestampNs, ephemeral });
    if (made !== undefined) {
      return { pending: { sequence, localId, state: made.state, psk: made.psk }, datagram: made.datagram };
    }
    this.#ids.release(localId);
    return undefined;
  }

  /** An answer to the pending initiation is no longer welcome. */
  abandon(): void {
    if (this.#pending !== undefined) this.release(this.#pending.localId);
    this.#pending = undefined;
  }

  /** Undefined: the caller cannot prove to be this peer. Else the id that a response would offer, held until `release`. */
  readInitiation(
    { message, psk }: AuthenticHandshake<InitiationMessage>,
    caller: CallerState,
    from: Endpoint,
  ): { readonly localId: SessionId; readonly timestampNs: bigint } | undefined {
    const read = readInitiation(this.#local, caller);
    if (read === undefined) return undefined;
    const localId = this.#ids.allocate();
    this.#authenticated.set(localId, { remoteId: message.senderId, handshake: { responder: read.state, psk } });
    this.#origins.set(localId, from);
    return { localId, timestampNs: read.timestampNs };
  }

  /** A wrong response changes nothing: the right one may follow. */
  readResponse(
    { message, psk }: AuthenticHandshake<ResponseMessage>,
    from: Endpoint,
  ): { readonly sequence: number | undefined; readonly localId: SessionId } | 'unexpected-response' | 'decrypt' {
    const { receiverId } = message;
    const pending = this.#pending?.localId === receiverId ? this.#pending : this.#calls.get(receiverId);
    if (pending === undefined) return 'unexpected-response';
    // A peer answers under the key that it was asked under: this one is still in use, or mac1 had not verified.
    const keys = psk === pending.psk ? readResponse(psk, pending.state, message) : undefined;
    if (keys === undefined) return 'decrypt';
    const { sequence, localId } = pending;
    if (sequence === undefined) this.#calls.delete(localId);
    else this.#pending = undefined;
    this.#authenticated.set(localId, { remoteId: message.senderId, handshake: { keys } });
    this.#origins.set(localId, from);
    return { sequence, localId };
  }

  /** Once per id. `released`: it was let go of meanwhile. `unusable`: the caller's ephemeral key is none, or its PSK was given up. */
  complete(localId: SessionId): Completed | 'released' | 'unusable' {
    const authenticated = this.#authenticated.get(localId);
    const from = this.#origins.get(localId);
    if (authenticated === undefined || from === undefined) return 'released';
    this.#authenticated.delete(localId);
    const { remoteId, handshake } = authenticated;
    if ('keys' in handshake) return { remoteId, keys: handshake.keys, from };
    const { psk } = handshake;
    if (psk.gone) return 'unusable';
    const made = createResponse(this.#remote, handshake.responder, {
      psk,
      senderId: localId,
      receiverId: remoteId,
      ephemeral: this.#generateKeyPair(),
    });
    return made === undefined ? 'unusable' : { remoteId, keys: made.keys, response: made.datagram, from };
  }

  /** Where the handshake of a session came from; undefined for adopted ones. */
  origin(localId: SessionId): Endpoint | undefined {
    return this.#origins.get(localId);
  }

  release(localId: SessionId): void {
    const handshake = this.#authenticated.get(localId)?.handshake;
    if (handshake !== undefined && 'keys' in handshake) {
      handshake.keys.sendKey.fill(0);
      handshake.keys.receiveKey.fill(0);
    }
    this.#authenticated.delete(localId);
    this.#calls.delete(localId);
    this.#origins.delete(localId);
    this.#ids.release(localId);
  }
}
