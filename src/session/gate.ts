import { randomBytes } from 'node:crypto';
import type { PostQuantum } from '../manifest/model.ts';
import type { Endpoint } from '../reconcile/dataplane.ts';
import { type CookieMessage, decodeHandshake, type InitiationMessage, type ResponseMessage, Version } from './codec.ts';
import { cookieOf, createCookieReply, provesAddress } from './cookie.ts';
import type { CookieSecrets } from './cookie-secrets.ts';
import type { FailureReason } from './counts.ts';
import { type AuthenticHandshake, authenticate } from './handshake.ts';
import { Overload } from './overload.ts';
import type { Parties } from './parties.ts';

/** XChaCha20's nonce, bytes. */
const NONCE_LEN = 24;

export interface GateServices {
  readonly parties: Parties;
  readonly cookieSecrets: CookieSecrets;
  /** Milliseconds of a clock that never jumps. */
  now(): number;
  reply(datagram: Uint8Array, to: Endpoint): void;
  refused(reason: FailureReason): void;
}

/** What may go on to the peers. A cookie reply is authenticated by the one who asked. */
export type Admitted =
  | { readonly type: 'initiation'; readonly handshake: AuthenticHandshake<InitiationMessage> }
  | { readonly type: 'response'; readonly handshake: AuthenticHandshake<ResponseMessage> }
  | { readonly type: 'cookie'; readonly message: CookieMessage };

/**
 * What a handshake message must show before anything is spent on it: shape, mac1, and a sender that receives where it
 * says, under load or where its source was answered a moment ago. The packet filter in front of the socket asks the same;
 * it alone limits those that prove their address, as no engine without one is reached from a network.
 */
export class Gate {
  readonly #services: GateServices;
  readonly #overload = new Overload();

  constructor(services: GateServices) {
    this.#services = services;
  }

  /** Undefined: it is refused, and counted. Draws no reply but a cookie, and that from members only. */
  admit(datagram: Uint8Array, from: Endpoint, mode: PostQuantum): Admitted | undefined {
    const message = decodeHandshake(datagram);
    if (message === undefined) return this.#refuse('malformed');
    if (message.type === 'cookie') return { type: 'cookie', message };
    const under = authenticate(this.#services.parties.all, datagram);
    if (under === undefined) return this.#refuse('mac1');
    if (message.type === 'response') return { type: 'response', handshake: { message, ...under } };
    const handshake = { message, ...under };
    if (mode === 'required' && message.version === Version.classic) return this.#refuse('version');
    return this.#hasTime(handshake, datagram, from) ? { type: 'initiation', handshake } : undefined;
  }

  /** Whether Diffie-Hellman may be spent on it. */
  #hasTime(handshake: AuthenticHandshake<InitiationMessage>, datagram: Uint8Array, from: Endpoint): boolean {
    const { cookieSecrets, now, refused } = this.#services;
    if (provesAddress(cookieSecrets.accepted, datagram, from)) return true;
    const verdict = this.#overload.arrive(from.address, now());
    if (verdict === 'answer') return true;
    refused(verdict === 'drop' ? 'overload' : 'unproven');
    if (verdict === 'cookie') this.#sendCookie(handshake, datagram, from);
    return false;
  }

  #sendCookie({ message, psk }: AuthenticHandshake<InitiationMessage>, datagram: Uint8Array, from: Endpoint): void {
    const keys = { sealing: psk.cookieKey, mac1: psk.mac1Key };
    const cookie = cookieOf(this.#services.cookieSecrets.take(), from);
    this.#services.reply(createCookieReply(keys, { message, datagram }, cookie, randomBytes(NONCE_LEN)), from);
  }

  #refuse(reason: FailureReason): undefined {
    this.#services.refused(reason);
    return undefined;
  }
}
