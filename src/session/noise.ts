import { DH_LEN, type DhKeyPair } from './dh.ts';
import { type Encapsulate, KEM_KEY_LEN, KEM_TEXT_LEN, type KemKeyPair } from './kem.ts';
import { bind, mixDh, mixEphemeral, receiveKem, type Sealed, sendKem, start } from './noise-tokens.ts';
import {
  copyOf,
  decryptAndHash,
  encryptAndHash,
  mixKeyAndHash,
  type SymmetricState,
  split,
  TAG_LEN,
} from './symmetric.ts';

/**
 * Two patterns with ChaChaPoly and BLAKE2s. Noise_IKpsk2 (The Noise Protocol Framework, rev 34, sections 7.5 and 9) with
 * X25519, and the same with hybrid forward secrecy by ML-KEM-768 (KEM-based Hybrid Forward Secrecy for Noise, rev 1,
 * sections 4 and 5; FIPS 203):
 *
 *     <- s                     <- s
 *     ...                      ...
 *     -> e, es, s, ss          -> e, es, e1, s, ss
 *     <- e, ee, se, psk        <- e, ee, ekem1, se, psk
 *
 * A handshake is hybrid where its initiator has a KEM key pair. Pure: states are values that no function here changes (their owner
 * wipes them), ephemerals and randomness are arguments. Reading returns undefined where a tag does not verify or a key is none. `bound` is what the carrier sends
 * in the clear before a message; both sides MixHash it first, so that a changed header fails the first tag after it.
 * With empty `bound` these are the patterns as published.
 */
const NOTHING = new Uint8Array(0);
const SEALED_STATIC_LEN = DH_LEN + TAG_LEN;
const SEALED_KEM_KEY_LEN = KEM_KEY_LEN + TAG_LEN;
const SEALED_KEM_TEXT_LEN = KEM_TEXT_LEN + TAG_LEN;

/** An initiator that has sent message 1. */
export interface InitiatorState {
  readonly symmetric: SymmetricState;
  readonly local: DhKeyPair;
  readonly ephemeral: DhKeyPair;
  /** Of a hybrid handshake. Whoever drops the state wipes it. */
  readonly kem?: KemKeyPair;
}

/** A responder that has read who calls, but not yet the payload: nothing but one DH was spent on a stranger. */
export interface CallerState {
  readonly symmetric: SymmetricState;
  readonly remoteStatic: Uint8Array;
  readonly remoteEphemeral: Uint8Array;
  /** Of a hybrid handshake: the initiator's encapsulation key. */
  readonly remoteKem?: Uint8Array;
  readonly encryptedPayload: Uint8Array;
}

/** A responder that has read message 1. */
export interface ResponderState {
  readonly symmetric: SymmetricState;
  readonly remoteStatic: Uint8Array;
  readonly remoteEphemeral: Uint8Array;
  readonly remoteKem?: Uint8Array;
}

/** 32 bytes each, in this node's view. */
export interface TransportKeys {
  readonly sendKey: Uint8Array;
  readonly receiveKey: Uint8Array;
}

/**
 * Message 1: e, 32 bytes || hybrid: encrypted encapsulation key, 1,200 || encrypted static, 48 || encrypted payload.
 * Undefined: `remoteStatic` is of low order.
 */
export function writeMessage1(options: {
  readonly prologue: Uint8Array;
  readonly local: DhKeyPair;
  readonly ephemeral: DhKeyPair;
  readonly kem?: KemKeyPair;
  readonly remoteStatic: Uint8Array;
  readonly bound: Uint8Array;
  readonly payload: Uint8Array;
}): { readonly state: InitiatorState; readonly message: Uint8Array } | undefined {
  const { local, ephemeral, kem, remoteStatic } = options;
  let symmetric = bind(start(kem !== undefined, options.prologue, remoteStatic), options.bound);
  symmetric = mixEphemeral(symmetric, ephemeral.publicKey);
  const es = mixDh(symmetric, ephemeral, remoteStatic);
  if (es === undefined) return undefined;
  const [afterKem, encryptedKem] = kem === undefined ? [es, NOTHING] : encryptAndHash(es, kem.publicKey);
  const [afterStatic, encryptedStatic] = encryptAndHash(afterKem, local.publicKey);
  const ss = mixDh(afterStatic, local, remoteStatic);
  if (ss === undefined) return undefined;
  const [afterPayload, encryptedPayload] = encryptAndHash(ss, options.payload);
  return {
    state: { symmetric: afterPayload, local, ephemeral, ...(kem === undefined ? {} : { kem }) },
    message: Buffer.concat([ephemeral.publicKey, encryptedKem, encryptedStatic, encryptedPayload]),
  };
}

/** The first half of reading message 1: e, es, (e1,) s. */
export function readCaller(options: {
  readonly hybrid: boolean;
  readonly prologue: Uint8Array;
  readonly local: DhKeyPair;
  readonly bound: Uint8Array;
  readonly message: Uint8Array;
}): CallerState | undefined {
  const { hybrid, local, message } = options;
  const staticAt = hybrid ? DH_LEN + SEALED_KEM_KEY_LEN : DH_LEN;
  const payloadAt = staticAt + SEALED_STATIC_LEN;
  if (message.length < payloadAt + TAG_LEN) return undefined;
  const remoteEphemeral = Uint8Array.from(message.subarray(0, DH_LEN));
  const fresh = bind(start(hybrid, options.prologue, local.publicKey), options.bound);
  const es = mixDh(mixEphemeral(fresh, remoteEphemeral), local, remoteEphemeral);
  if (es === undefined) return undefined;
  const kem = hybrid ? decryptAndHash(es, message.subarray(DH_LEN, staticAt)) : undefined;
  if (hybrid && kem === undefined) return undefined;
  const [afterKem, remoteKem] = kem ?? [es];
  const opened = decryptAndHash(afterKem, message.subarray(staticAt, payloadAt));
  if (opened === undefined) return undefined;
  return {
    symmetric: opened[0],
    remoteStatic: opened[1],
    remoteEphemeral,
    ...(remoteKem === undefined ? {} : { remoteKem }),
    encryptedPayload: Uint8Array.from(message.subarray(payloadAt)),
  };
}

/** The second half of reading message 1: ss and the payload. */
export function readPayload(
  caller: CallerState,
  local: DhKeyPair,
): { readonly state: ResponderState; readonly payload: Uint8Array } | undefined {
  const ss = mixDh(copyOf(caller.symmetric), local, caller.remoteStatic);
  const opened = ss && decryptAndHash(ss, caller.encryptedPayload);
  if (opened === undefined) return undefined;
  const { encryptedPayload, ...kept } = caller;
  return { state: { ...kept, symmetric: opened[0] }, payload: opened[1] };
}

/**
 * Message 2: e, 32 bytes || hybrid: encrypted ciphertext, 1,104 || encrypted payload; and the responder's transport keys.
 * Undefined: a key of the initiator's is none.
 */
export function writeMessage2(options: {
  readonly state: ResponderState;
  readonly ephemeral: DhKeyPair;
  readonly encapsulate: Encapsulate;
  readonly psk: Uint8Array;
  readonly bound: Uint8Array;
  readonly payload: Uint8Array;
}): { readonly message: Uint8Array; readonly keys: TransportKeys; readonly symmetric: SymmetricState } | undefined {
  const { state, ephemeral } = options;
  const symmetric = mixEphemeral(bind(copyOf(state.symmetric), options.bound), ephemeral.publicKey);
  const ee = mixDh(symmetric, ephemeral, state.remoteEphemeral);
  if (ee === undefined) return undefined;
  const { remoteKem } = state;
  const ekem: Sealed | undefined =
    remoteKem === undefined ? [ee, NOTHING] : sendKem(ee, remoteKem, options.encapsulate);
  if (ekem === undefined) return undefined;
  const [afterKem, encryptedKem] = ekem;
  const se = mixDh(afterKem, ephemeral, state.remoteStatic);
  if (se === undefined) return undefined;
  const [final, encryptedPayload] = encryptAndHash(mixKeyAndHash(se, options.psk), options.payload);
  const [toResponder, toInitiator] = split(final);
  return {
    message: Buffer.concat([ephemeral.publicKey, encryptedKem, encryptedPayload]),
    keys: { sendKey: toInitiator, receiveKey: toResponder },
    symmetric: final,
  };
}

/** Reads message 2; the initiator's transport keys. */
export function readMessage2(options: {
  readonly state: InitiatorState;
  readonly psk: Uint8Array;
  readonly bound: Uint8Array;
  readonly message: Uint8Array;
}): { readonly payload: Uint8Array; readonly keys: TransportKeys; readonly symmetric: SymmetricState } | undefined {
  const { state, message } = options;
  const { kem } = state;
  const payloadAt = kem === undefined ? DH_LEN : DH_LEN + SEALED_KEM_TEXT_LEN;
  if (message.length < payloadAt + TAG_LEN) return undefined;
  const remoteEphemeral = Uint8Array.from(message.subarray(0, DH_LEN));
  const symmetric = mixEphemeral(bind(copyOf(state.symmetric), options.bound), remoteEphemeral);
  const ee = mixDh(symmetric, state.ephemeral, remoteEphemeral);
  const ekem = ee && (kem === undefined ? ee : receiveKem(ee, kem, message.subarray(DH_LEN, payloadAt)));
  const se = ekem && mixDh(ekem, state.local, remoteEphemeral);
  const opened = se && decryptAndHash(mixKeyAndHash(se, options.psk), message.subarray(payloadAt));
  if (opened === undefined) return undefined;
  const [toResponder, toInitiator] = split(opened[0]);
  return { payload: opened[1], keys: { sendKey: toResponder, receiveKey: toInitiator }, symmetric: opened[0] };
}
