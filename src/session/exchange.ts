import type { Endpoint, SessionId } from '../reconcile/dataplane.ts';
import type { InitiationMessage, ResponseMessage } from './codec.ts';
import type { DhKeyPair } from './dh.ts';
import {
  createInitiation,
  createResponse,
  type LocalParty,
  type RemoteParty,
  readInitiation,
  readResponse,
} from './handshake.ts';
import type { CallerState, InitiatorState, ResponderState, TransportKeys } from './noise.ts';

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
  readonly sequence: number;
  readonly localId: SessionId;
  readonly state: InitiatorState;
}

interface Authenticated {
  readonly remoteId: SessionId;
  readonly handshake: { readonly keys: TransportKeys } | { readonly responder: ResponderState };
}

/** The handshake messages that pass between this node and one peer, and the secrets in between. No I/O, no timers. */
export class Exchange {
  readonly #local: LocalParty;
  readonly #remote: RemoteParty;
  readonly #ids: IdSource;
  readonly #generateKeyPair: () => DhKeyPair;
  #pending: Pending | undefined;
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
    const localId = this.#ids.allocate();
    const ephemeral = this.#generateKeyPair();
    const made = createInitiation(this.#local, this.#remote, { senderId: localId, timestampNs, ephemeral });
    if (made === undefined) this.#ids.release(localId);
    else this.#pending = { sequence, localId, state: made.state };
    return made?.datagram;
  }

  /** An answer to the pending initiation is no longer welcome. */
  abandon(): void {
    if (this.#pending !== undefined) this.release(this.#pending.localId);
    this.#pending = undefined;
  }

  /** Undefined: the caller cannot prove to be this peer. Else the id that a response would offer, held until `release`. */
  readInitiation(
    message: InitiationMessage,
    caller: CallerState,
    from: Endpoint,
  ): { readonly localId: SessionId; readonly timestampNs: bigint } | undefined {
    const read = readInitiation(this.#local, caller);
    if (read === undefined) return undefined;
    const localId = this.#ids.allocate();
    this.#authenticated.set(localId, { remoteId: message.senderId, handshake: { responder: read.state } });
    this.#origins.set(localId, from);
    return { localId, timestampNs: read.timestampNs };
  }

  /** A wrong response changes nothing: the right one may follow. */
  readResponse(
    message: ResponseMessage,
    from: Endpoint,
  ): { readonly sequence: number; readonly localId: SessionId } | 'unexpected-response' | 'decrypt' {
    const pending = this.#pending;
    if (pending?.localId !== message.receiverId) return 'unexpected-response';
    const keys = readResponse(this.#local, pending.state, message);
    if (keys === undefined) return 'decrypt';
    const { sequence, localId } = pending;
    this.#pending = undefined;
    this.#authenticated.set(localId, { remoteId: message.senderId, handshake: { keys } });
    this.#origins.set(localId, from);
    return { sequence, localId };
  }

  /** Once per id. `released`: it was let go of meanwhile. `low-order`: the caller's ephemeral key is none. */
  complete(localId: SessionId): Completed | 'released' | 'low-order' {
    const authenticated = this.#authenticated.get(localId);
    const from = this.#origins.get(localId);
    if (authenticated === undefined || from === undefined) return 'released';
    this.#authenticated.delete(localId);
    const { remoteId, handshake } = authenticated;
    if ('keys' in handshake) return { remoteId, keys: handshake.keys, from };
    const made = createResponse(this.#local, this.#remote, handshake.responder, {
      senderId: localId,
      receiverId: remoteId,
      ephemeral: this.#generateKeyPair(),
    });
    return made === undefined ? 'low-order' : { remoteId, keys: made.keys, response: made.datagram, from };
  }

  /** Where the handshake of a session came from; undefined for adopted ones. */
  origin(localId: SessionId): Endpoint | undefined {
    return this.#origins.get(localId);
  }

  release(localId: SessionId): void {
    this.#authenticated.delete(localId);
    this.#origins.delete(localId);
    this.#ids.release(localId);
  }
}
