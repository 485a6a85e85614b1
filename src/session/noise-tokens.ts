import type { DhKeyPair } from './dh.ts';
import type { Encapsulate, KemKeyPair } from './kem.ts';
import {
  decryptAndHash,
  encryptAndHash,
  initializeSymmetric,
  mixHash,
  mixKey,
  type SymmetricState,
  wipe,
} from './symmetric.ts';

/** The tokens of noise.ts, one function each. Pure, except that secrets are overwritten once they are mixed in, and states once they are used up. */

/** Modifiers join by a plus sign, and the KEM's name follows the Diffie-Hellman function's (rev 34, section 8; HFS, section 5). */
const CLASSIC_NAME = 'Noise_IKpsk2_25519_ChaChaPoly_BLAKE2s';
const HYBRID_NAME = 'Noise_IKhfs+psk2_25519+MLKEM768_ChaChaPoly_BLAKE2s';

/** InitializeSymmetric, prologue, and the pre-message `<- s`. */
export function start(hybrid: boolean, prologue: Uint8Array, responderStatic: Uint8Array): SymmetricState {
  const symmetric = initializeSymmetric(hybrid ? HYBRID_NAME : CLASSIC_NAME);
  return mixHash(mixHash(symmetric, prologue), responderStatic);
}

/** What the carrier sends in the clear before a message; nothing where that is empty. */
export function bind(symmetric: SymmetricState, bound: Uint8Array): SymmetricState {
  return bound.length === 0 ? symmetric : mixHash(symmetric, bound);
}

/** Token e in a pattern with a PSK (section 9.2): the ephemeral is hashed and also mixed into the key. */
export function mixEphemeral(symmetric: SymmetricState, publicKey: Uint8Array): SymmetricState {
  return mixKey(mixHash(symmetric, publicKey), publicKey);
}

/** Tokens ee, es, se, ss. Undefined: `remote` is of low order. */
export function mixDh(symmetric: SymmetricState, own: DhKeyPair, remote: Uint8Array): SymmetricState | undefined {
  const secret = own.agree(remote);
  if (secret !== undefined) return mixSecret(symmetric, secret);
  wipe(symmetric);
  return undefined;
}

/** What EncryptAndHash leaves: the state, and the ciphertext with its tag. */
export type Sealed = readonly [SymmetricState, Uint8Array];

/** Token ekem1, sent. Undefined: the initiator's key is none. */
export function sendKem(
  symmetric: SymmetricState,
  publicKey: Uint8Array,
  encapsulate: Encapsulate,
): Sealed | undefined {
  const made = encapsulate(publicKey);
  if (made === undefined) {
    wipe(symmetric);
    return undefined;
  }
  const [sealed, encrypted] = encryptAndHash(symmetric, made.ciphertext);
  return [mixSecret(sealed, made.secret), encrypted];
}

/** Token ekem1, received. */
export function receiveKem(
  symmetric: SymmetricState,
  own: KemKeyPair,
  encrypted: Uint8Array,
): SymmetricState | undefined {
  const opened = decryptAndHash(symmetric, encrypted);
  return opened && mixSecret(opened[0], own.decapsulate(opened[1]));
}

/** MixKey, after which nobody needs the secret any more. */
function mixSecret(symmetric: SymmetricState, secret: Uint8Array): SymmetricState {
  const mixed = mixKey(symmetric, secret);
  secret.fill(0);
  return mixed;
}
