import { DH_LEN, type DhKeyPair } from './dh.ts';
import {
  decryptAndHash,
  encryptAndHash,
  initializeSymmetric,
  mixHash,
  mixKey,
  mixKeyAndHash,
  type SymmetricState,
  split,
  TAG_LEN,
} from './symmetric.ts';

/**
 * Noise_IKpsk2 (The Noise Protocol Framework, rev 34, sections 7.5 and 9) with X25519, ChaChaPoly and BLAKE2s:
 *
 *     <- s
 *     ...
 *     -> e, es, s, ss
 *     <- e, ee, se, psk
 *
 * Pure: states are values, ephemerals are arguments. Reading returns undefined where a tag does not verify or a key
 * is of low order. `bound` is what the carrier sends in the clear before a message; both sides MixHash it first, so
 * that a changed header fails the first tag after it. With empty `bound` this is the pattern as published.
 */
const PROTOCOL_NAME = 'Noise_IKpsk2_25519_ChaChaPoly_BLAKE2s';

const STATIC_END = DH_LEN + DH_LEN + TAG_LEN;

/** An initiator that has sent message 1. */
export interface InitiatorState {
  readonly symmetric: SymmetricState;
  readonly local: DhKeyPair;
  readonly ephemeral: DhKeyPair;
}

/** A responder that has read who calls, but not yet the payload: nothing but one DH was spent on a stranger. */
export interface CallerState {
  readonly symmetric: SymmetricState;
  readonly remoteStatic: Uint8Array;
  readonly remoteEphemeral: Uint8Array;
  readonly encryptedPayload: Uint8Array;
}

/** A responder that has read message 1. */
export interface ResponderState {
  readonly symmetric: SymmetricState;
  readonly remoteStatic: Uint8Array;
  readonly remoteEphemeral: Uint8Array;
}

/** 32 bytes each, in this node's view. */
export interface TransportKeys {
  readonly sendKey: Uint8Array;
  readonly receiveKey: Uint8Array;
}

/** Message 1: e, 32 bytes || encrypted static, 48 || encrypted payload. Undefined: `remoteStatic` is of low order. */
export function writeMessage1(options: {
  readonly prologue: Uint8Array;
  readonly local: DhKeyPair;
  readonly ephemeral: DhKeyPair;
  readonly remoteStatic: Uint8Array;
  readonly bound: Uint8Array;
  readonly payload: Uint8Array;
}): { readonly state: InitiatorState; readonly message: Uint8Array } | undefined {
  const { local, ephemeral, remoteStatic } = options;
  let symmetric = bind(start(options.prologue, remoteStatic), options.bound);
  symmetric = mixEphemeral(symmetric, ephemeral.publicKey);
  const es = mixDh(symmetric, ephemeral, remoteStatic);
  if (es === undefined) return undefined;
  const [afterStatic, encryptedStatic] = encryptAndHash(es, local.publicKey);
  const ss = mixDh(afterStatic, local, remoteStatic);
  if (ss === undefined) return undefined;
  const [afterPayload, encryptedPayload] = encryptAndHash(ss, options.payload);
  return {
    state: { symmetric: afterPayload, local, ephemeral },
    message: Buffer.concat([ephemeral.publicKey, encryptedStatic, encryptedPayload]),
  };
}

/** The first half of reading message 1: e, es, s. */
export function readCaller(options: {
  readonly prologue: Uint8Array;
  readonly local: DhKeyPair;
  readonly bound: Uint8Array;
  readonly message: Uint8Array;
}): CallerState | undefined {
  const { local, message } = options;
  if (message.length < STATIC_END + TAG_LEN) return undefined;
  const remoteEphemeral = Uint8Array.from(message.subarray(0, DH_LEN));
  const symmetric = mixEphemeral(bind(start(options.prologue, local.publicKey), options.bound), remoteEphemeral);
  const es = mixDh(symmetric, local, remoteEphemeral);
  const opened = es && decryptAndHash(es, message.subarray(DH_LEN, STATIC_END));
  if (opened === undefined) return undefined;
  return {
    symmetric: opened[0],
    remoteStatic: opened[1],
    remoteEphemeral,
    encryptedPayload: Uint8Array.from(message.subarray(STATIC_END)),
  };
}

/** The second half of reading message 1: ss and the payload. */
export function readPayload(
  caller: CallerState,
  local: DhKeyPair,
): { readonly state: ResponderState; readonly payload: Uint8Array } | undefined {
  const ss = mixDh(caller.symmetric, local, caller.remoteStatic);
  const opened = ss && decryptAndHash(ss, caller.encryptedPayload);
  if (opened === undefined) return undefined;
  const { remoteStatic, remoteEphemeral } = caller;
  return { state: { symmetric: opened[0], remoteStatic, remoteEphemeral }, payload: opened[1] };
}

/** Message 2: e, 32 bytes || encrypted payload; and the responder's transport keys. */
export function writeMessage2(options: {
  readonly state: ResponderState;
  readonly ephemeral: DhKeyPair;
  readonly psk: Uint8Array;
  readonly bound: Uint8Array;
  readonly payload: Uint8Array;
}): { readonly message: Uint8Array; readonly keys: TransportKeys; readonly symmetric: SymmetricState } | undefined {
  const { state, ephemeral } = options;
  const symmetric = mixEphemeral(bind(state.symmetric, options.bound), ephemeral.publicKey);
  const ee = mixDh(symmetric, ephemeral, state.remoteEphemeral);
  const se = ee && mixDh(ee, ephemeral, state.remoteStatic);
  if (se === undefined) return undefined;
  const [final, encryptedPayload] = encryptAndHash(mixKeyAndHash(se, options.psk), options.payload);
  const [toResponder, toInitiator] = split(final);
  return {
    message: Buffer.concat([ephemeral.publicKey, encryptedPayload]),
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
  if (message.length < DH_LEN + TAG_LEN) return undefined;
  const remoteEphemeral = Uint8Array.from(message.subarray(0, DH_LEN));
  const symmetric = mixEphemeral(bind(state.symmetric, options.bound), remoteEphemeral);
  const ee = mixDh(symmetric, state.ephemeral, remoteEphemeral);
  const se = ee && mixDh(ee, state.local, remoteEphemeral);
  const opened = se && decryptAndHash(mixKeyAndHash(se, options.psk), message.subarray(DH_LEN));
  if (opened === undefined) return undefined;
  const [toResponder, toInitiator] = split(opened[0]);
  return { payload: opened[1], keys: { sendKey: toResponder, receiveKey: toInitiator }, symmetric: opened[0] };
}

function start(prologue: Uint8Array, responderStatic: Uint8Array): SymmetricState {
  return mixHash(mixHash(initializeSymmetric(PROTOCOL_NAME), prologue), responderStatic);
}

function bind(symmetric: SymmetricState, bound: Uint8Array): SymmetricState {
  return bound.length === 0 ? symmetric : mixHash(symmetric, bound);
}

/** Token e in a pattern with a PSK (section 9.2): the ephemeral is hashed and also mixed into the key. */
function mixEphemeral(symmetric: SymmetricState, publicKey: Uint8Array): SymmetricState {
  return mixKey(mixHash(symmetric, publicKey), publicKey);
}

function mixDh(symmetric: SymmetricState, own: DhKeyPair, remote: Uint8Array): SymmetricState | undefined {
  const secret = own.agree(remote);
  return secret && mixKey(symmetric, secret);
}
