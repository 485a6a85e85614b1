import type { PostQuantum } from '../manifest/model.ts';
import type { Endpoint, SessionId } from '../reconcile/dataplane.ts';
import { type CookieMessage, Version } from './codec.ts';
import { cookieKey, readCookieReply } from './cookie.ts';
import { Cookies } from './cookies.ts';
import type { DhKeyPair } from './dh.ts';
import { createInitiation, type LocalParty, type Prologues, type RemoteParty } from './handshake.ts';
import { mac1Key } from './hash.ts';
import type { KemKeyPair } from './kem.ts';
import type { InitiatorState } from './noise.ts';
import type { Psk } from './psks.ts';
import { wipe } from './symmetric.ts';
import { Tries, type Try } from './tries.ts';

/** Gives out session ids and takes them back. */
export interface IdSource {
  allocate(): SessionId;
  release(id: SessionId): void;
  /** No answer to the initiation that offered it is welcome any more. */
  settled(id: SessionId): void;
}

/** As whom this node calls, with which ephemerals, and when. */
export interface InitiationServices {
  readonly prologues: Prologues;
  /** The identity to call as, now. */
  caller(): LocalParty;
  generateKeyPair(): DhKeyPair;
  generateKemKeyPair(): KemKeyPair;
  /** Milliseconds of a clock that never jumps. */
  now(): number;
}

/** What the applied revision says of handshakes with the peer. */
export interface ExchangePolicy {
  readonly postQuantum: PostQuantum;
  /** The peer's keys: the one that it is called by, and during a change the other one. */
  readonly remotes: readonly [RemoteParty, ...RemoteParty[]];
}

/**
 * How many initiations of an attempt may be answered: the last one and those before it. A responder has no room for the
 * sessions of more: one that is not confirmed yet, and two previous ones.
 */
const WELCOME_ANSWERS = 3;

/** An initiation of an attempt. */
export interface Attempted {
  readonly sequence: number;
  readonly timestampNs: bigint;
  /** Its number within the attempt, from 0. */
  readonly tries: number;
  /** How long it may be answered, milliseconds, though others leave after it. */
  readonly welcomeMs: number;
}

/** An initiation, ready to leave. */
export interface Offer {
  readonly localId: SessionId;
  readonly datagram: Uint8Array;
}

/** One that left and was not answered. */
export interface Pending extends Offer {
  /** Undefined: it went to a given endpoint, beside any attempt. */
  readonly sequence: number | undefined;
  readonly version: Version;
  readonly state: InitiatorState;
  readonly psk: Psk;
  readonly remote: RemoteParty;
  /** Its answer is welcome until then, and while no other one has left. */
  readonly welcomeUntilMs: number;
  /** A cookie came in answer to it: there will be no other. */
  readonly cookieTaken: boolean;
}

/** The initiations to one peer: how the next one is made, and which may still be answered. */
export class Initiations {
  readonly #services: InitiationServices;
  readonly #ids: IdSource;
  #policy: ExchangePolicy;
  /** In the order in which they were made. */
  readonly #pending = new Map<SessionId, Pending>();
  readonly #tries = new Tries();
  readonly #cookies = new Cookies();

  constructor(services: InitiationServices, policy: ExchangePolicy, ids: IdSource) {
    this.#services = services;
    this.#policy = policy;
    this.#ids = ids;
  }

  configure(policy: ExchangePolicy): void {
    this.#policy = policy;
  }

  /** One of an attempt; a few before it may still be answered. Undefined: the peer's key is of low order. */
  attempt({ sequence, timestampNs, tries, welcomeMs }: Attempted): Offer | undefined {
    const nowMs = this.#services.now();
    this.#makeRoom(nowMs);
    const way = this.#tries.attempt(this.#callable(), tries, nowMs);
    return this.#create({ sequence, welcomeUntilMs: nowMs + welcomeMs }, timestampNs, way);
  }

  /** One that takes no other one's place. Undefined: as above. */
  call(timestampNs: bigint): Offer | undefined {
    const way = this.#tries.call(this.#callable(), this.#services.now());
    return this.#create({ sequence: undefined, welcomeUntilMs: Number.POSITIVE_INFINITY }, timestampNs, way);
  }

  /** Those of an attempt are no longer to be answered. */
  abandon(): void {
    for (const pending of this.#attempted()) this.#giveUp(pending);
  }

  get pending(): readonly Pending[] {
    return [...this.#pending.values()];
  }

  find(localId: SessionId): Pending | undefined {
    return this.#pending.get(localId);
  }

  /** It was answered, or nobody waits for it any more. Idempotent. */
  settle(localId: SessionId): void {
    const pending = this.find(localId);
    if (pending === undefined) return;
    pending.state.kem?.wipe();
    wipe(pending.state.symmetric);
    this.#pending.delete(localId);
    this.#ids.settled(localId);
  }

  /** The peer speaks that version. */
  answered(version: Version): void {
    this.#tries.answered(version, this.#services.now());
  }

  /** The same initiation, with mac2 where the peer handed out a cookie at `to` lately. */
  prove(datagram: Uint8Array, to: Endpoint): Uint8Array {
    return this.#cookies.prove(placeOf(to), datagram, this.#services.now());
  }

  /** Keeps the cookie that `reply`, from `from`, brought. False: it brought none, or is the second one. */
  takeCookie(
    pending: Pending,
    reply: { readonly message: CookieMessage; readonly datagram: Uint8Array },
    from: Endpoint,
  ): boolean {
    const { psk, remote } = pending;
    if (pending.cookieTaken || psk.gone || reply.message.version !== pending.version) return false;
    const keys = { sealing: cookieKey(remote.publicKey, psk.bytes), mac1: mac1Key(remote.publicKey, psk.bytes) };
    const cookie = readCookieReply(keys, pending.datagram, reply);
    if (cookie === undefined) return false;
    this.#cookies.keep(placeOf(from), cookie, this.#services.now());
    this.#pending.set(pending.localId, { ...pending, cookieTaken: true });
    return true;
  }

  /** Another one of the same attempt left again with proof: the peer has enough to do. */
  otherProves({ localId, sequence }: Pending): boolean {
    return sequence !== undefined && this.#attempted().some((each) => each.cookieTaken && each.localId !== localId);
  }

  #callable(): { readonly mode: PostQuantum; readonly hasNextKey: boolean } {
    return { mode: this.#policy.postQuantum, hasNextKey: this.#policy.remotes.length > 1 };
  }

  #attempted(): readonly Pending[] {
    return this.pending.filter(({ sequence }) => sequence !== undefined);
  }

  /** For one more of an attempt: what is too old, or one too many, is no longer to be answered. */
  #makeRoom(nowMs: number): void {
    const attempted = this.#attempted();
    attempted.forEach((pending, index) => {
      const after = attempted.length - index;
      if (after >= WELCOME_ANSWERS || nowMs >= pending.welcomeUntilMs) this.#giveUp(pending);
    });
  }

  #giveUp({ localId }: Pending): void {
    this.settle(localId);
    this.#ids.release(localId);
  }

  #create(about: Pick<Pending, 'sequence' | 'welcomeUntilMs'>, timestampNs: bigint, way: Try): Pending | undefined {
    const services = this.#services;
    const [current, next] = this.#policy.remotes;
    const remote = way.key === 'next' ? (next ?? current) : current;
    const localId = this.#ids.allocate();
    const ephemeral = services.generateKeyPair();
    const kem: { readonly kem?: KemKeyPair } =
      way.version === Version.hybrid ? { kem: services.generateKemKeyPair() } : {};
    const made = createInitiation(
      { prologues: services.prologues, local: services.caller(), remote },
      { senderId: localId, timestampNs, ephemeral, ...kem },
    );
    if (made === undefined) {
      kem.kem?.wipe();
      this.#ids.release(localId);
      return undefined;
    }
    const pending = { ...made, ...about, localId, version: way.version, remote, cookieTaken: false };
    this.#pending.set(localId, pending);
    return pending;
  }
}

function placeOf({ address, port }: Endpoint): string {
  return `${address} ${port}`;
}
