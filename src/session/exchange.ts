import type { Endpoint, SessionId } from '../reconcile/dataplane.ts';
import { type CookieMessage, type InitiationMessage, type ResponseMessage, Version } from './codec.ts';
import { type Made, mayServeMs } from './fitness.ts';
import {
  type AuthenticHandshake,
  createResponse,
  type RemoteParty,
  readInitiation,
  readResponse,
} from './handshake.ts';
import { equalBytes } from './hash.ts';
import {
  type Attempted,
  type ExchangePolicy,
  type IdSource,
  type InitiationServices,
  Initiations,
  type Offer,
} from './initiations.ts';
import type { Encapsulate } from './kem.ts';
import type { CallerState, ResponderState, TransportKeys } from './noise.ts';
import type { Psk } from './psks.ts';
import { wipe } from './symmetric.ts';

export type { ExchangePolicy, IdSource, Offer } from './initiations.ts';

export interface ExchangeServices extends InitiationServices {
  readonly encapsulate: Encapsulate;
}

/** A handshake that is through, as far as this node is concerned. */
export interface Completed {
  readonly remoteId: SessionId;
  readonly hybrid: boolean;
  /** The caller wipes them. */
  readonly keys: TransportKeys;
  /** For responders: what to send, once the session is installed. */
  readonly response?: Uint8Array;
  readonly from: Endpoint;
}

interface Authenticated {
  readonly remoteId: SessionId;
  readonly version: Version;
  readonly remote: RemoteParty;
  readonly handshake: { readonly keys: TransportKeys } | { readonly responder: ResponderState; readonly psk: Psk };
}

const UNLIMITED = Number.POSITIVE_INFINITY;

/** The handshake messages that pass between this node and one peer, and the secrets in between. No I/O, no timers. */
export class Exchange {
  readonly #services: ExchangeServices;
  readonly #ids: IdSource;
  readonly #initiations: Initiations;
  #policy: ExchangePolicy;
  #keyDropped = false;
  readonly #authenticated = new Map<SessionId, Authenticated>();
  readonly #origins = new Map<SessionId, Endpoint>();
  readonly #made = new Map<SessionId, Made>();

  constructor(services: ExchangeServices, policy: ExchangePolicy, ids: IdSource) {
    this.#services = services;
    this.#policy = policy;
    this.#ids = ids;
    this.#initiations = new Initiations(services, policy, ids);
  }

  /** Handshakes under way that the new policy rules out end in vain. */
  configure(policy: ExchangePolicy): void {
    const before = this.#policy.remotes;
    this.#policy = policy;
    this.#keyDropped ||= before.some((remote) => !this.#knows(remote));
    this.#initiations.configure(policy);
    for (const { localId, remote, version } of this.#initiations.pending) {
      if (!this.#knows(remote) || !this.#takes(version)) this.release(localId);
    }
  }

  /** Whether the session's handshake was a hybrid one; undefined: there is no such session. */
  isHybrid(localId: SessionId): boolean | undefined {
    return this.#made.get(localId)?.hybrid;
  }

  /** A session that an earlier process left. */
  adopt(localId: SessionId, hybrid: boolean): void {
    this.#made.set(localId, { hybrid, remoteKey: undefined });
  }

  /** How long the session may still serve, milliseconds; Infinity: as long as it lives. */
  mayServeMs(localId: SessionId): number {
    const made = this.#made.get(localId);
    if (made === undefined) return UNLIMITED;
    const { postQuantum, remotes } = this.#policy;
    const keys = remotes.map(({ publicKey }) => publicKey);
    return mayServeMs(made, { mode: postQuantum, keys, keyDropped: this.#keyDropped });
  }

  /** An initiation of an attempt; the few before it may still be answered. Undefined: the peer's key is of low order. */
  initiate(attempted: Attempted): Offer | undefined {
    return this.#initiations.attempt(attempted);
  }

  /** An initiation that takes no other one's place: its answer is welcome until `release`. Undefined: as above. */
  call(timestampNs: bigint): Offer | undefined {
    return this.#initiations.call(timestampNs);
  }

  /** An initiation as it is to leave for `to`: where the peer asked lately, it shows that we receive where we send from. */
  prove(datagram: Uint8Array, to: Endpoint): Uint8Array {
    return this.#initiations.prove(datagram, to);
  }

  /** Answers to initiations of the attempt are no longer welcome. */
  abandon(): void {
    this.#initiations.abandon();
  }

  /** Answers to whatever left so far are no longer welcome. */
  abandonAll(): void {
    for (const { localId } of this.#initiations.pending) this.release(localId);
  }

  /** An answer to the initiation that offered `localId` is still welcome. */
  awaits(localId: SessionId): boolean {
    return this.#initiations.find(localId) !== undefined;
  }

  /** Undefined: the caller cannot prove to be this peer. Else the id that a response would offer, held until `release`. */
  readInitiation(
    { message, local, psk }: AuthenticHandshake<InitiationMessage>,
    caller: CallerState,
    from: Endpoint,
  ): { readonly localId: SessionId; readonly timestampNs: bigint } | undefined {
    const remote = this.#policy.remotes.find(({ staticKey }) => equalBytes(staticKey, caller.remoteStatic));
    if (remote === undefined) return undefined;
    const read = readInitiation(local, caller);
    if (read === undefined) return undefined;
    const { senderId: remoteId, version } = message;
    const localId = this.#ids.allocate();
    this.#authenticate(localId, { remoteId, version, remote, handshake: { responder: read.state, psk } }, from);
    return { localId, timestampNs: read.timestampNs };
  }

  /** A wrong response changes nothing: the right one may follow. */
  readResponse(
    { message, psk }: AuthenticHandshake<ResponseMessage>,
    from: Endpoint,
  ): { readonly sequence: number | undefined; readonly localId: SessionId } | 'unexpected-response' | 'decrypt' {
    const pending = this.#initiations.find(message.receiverId);
    if (pending === undefined) return 'unexpected-response';
    // A peer answers under the key that it was asked under: this one is still in use, or mac1 had not verified.
    const keys = psk === pending.psk ? readResponse(psk, pending.state, message) : undefined;
    if (keys === undefined) return 'decrypt';
    const { sequence, localId, version, remote } = pending;
    this.#initiations.settle(localId);
    this.#initiations.answered(version);
    this.#authenticate(localId, { remoteId: message.senderId, version, remote, handshake: { keys } }, from);
    return { sequence, localId };
  }

  /**
   * The initiation that is to leave again, once, to where the reply came from, and now with proof; undefined where another
   * one of the attempt did.
   */
  readCookie(
    reply: { readonly message: CookieMessage; readonly datagram: Uint8Array },
    from: Endpoint,
  ): Offer | undefined | 'unexpected-response' | 'cookie' {
    const pending = this.#initiations.find(reply.message.receiverId);
    if (pending === undefined) return 'unexpected-response';
    if (!this.#initiations.takeCookie(pending, reply, from)) return 'cookie';
    if (this.#initiations.otherProves(pending)) return undefined;
    return { localId: pending.localId, datagram: this.#initiations.prove(pending.datagram, from) };
  }

  /**
   * Once per id. `released`: it was let go of meanwhile. `unusable`: a key of the caller's is none, or the PSK, the peer's
   * key or the kind of handshake was given up.
   */
  complete(localId: SessionId): Completed | 'released' | 'unusable' {
    const authenticated = this.#authenticated.get(localId);
    const from = this.#origins.get(localId);
    if (authenticated === undefined || from === undefined) return 'released';
    if (this.mayServeMs(localId) < UNLIMITED) return 'unusable'; // and released in a moment
    this.#authenticated.delete(localId);
    const { remoteId, remote, version, handshake } = authenticated;
    const hybrid = version === Version.hybrid;
    if ('keys' in handshake) return { remoteId, hybrid, keys: handshake.keys, from };
    const { psk, responder } = handshake;
    if (psk.gone) {
      wipe(responder.symmetric);
      return 'unusable';
    }
    // Its initiation is fresh. One that calls in the older way may well answer in the newer one.
    if (hybrid) this.#initiations.answered(version);
    const made = createResponse(remote, responder, {
      psk,
      senderId: localId,
      receiverId: remoteId,
      ephemeral: this.#services.generateKeyPair(),
      encapsulate: this.#services.encapsulate,
    });
    return made === undefined ? 'unusable' : { remoteId, hybrid, keys: made.keys, response: made.datagram, from };
  }

  /** Where the handshake of a session came from; undefined for adopted ones. */
  origin(localId: SessionId): Endpoint | undefined {
    return this.#origins.get(localId);
  }

  release(localId: SessionId): void {
    this.#initiations.settle(localId);
    const handshake = this.#authenticated.get(localId)?.handshake;
    if (handshake !== undefined && 'keys' in handshake) {
      handshake.keys.sendKey.fill(0);
      handshake.keys.receiveKey.fill(0);
    } else if (handshake !== undefined) wipe(handshake.responder.symmetric);
    this.#authenticated.delete(localId);
    this.#origins.delete(localId);
    this.#made.delete(localId);
    this.#ids.release(localId);
  }

  #authenticate(localId: SessionId, authenticated: Authenticated, from: Endpoint): void {
    const { version, remote } = authenticated;
    this.#authenticated.set(localId, authenticated);
    this.#origins.set(localId, from);
    this.#made.set(localId, { hybrid: version === Version.hybrid, remoteKey: remote.publicKey });
  }

  #knows({ publicKey }: RemoteParty): boolean {
    return this.#policy.remotes.some((remote) => equalBytes(remote.publicKey, publicKey));
  }

  #takes(version: Version): boolean {
    return version === Version.hybrid || this.#policy.postQuantum !== 'required';
  }
}
