import { randomBytes } from 'node:crypto';
import { ml_kem768 } from '@noble/post-quantum/ml-kem.js';

/** ML-KEM-768 encapsulation keys and ciphertexts, bytes (FIPS 203, table 3). */
export const KEM_KEY_LEN = 1184;
export const KEM_TEXT_LEN = 1088;

/** An ML-KEM-768 key pair that keeps its decapsulation key to itself. */
export interface KemKeyPair {
  /** 1,184 bytes. */
  readonly publicKey: Uint8Array;
  /**
   * 32 bytes, to be wiped by the caller. A ciphertext that is none gives a secret that nobody else has (implicit
   * rejection; FIPS 203, section 6.3). Throws TypeError after `wipe`.
   */
  decapsulate(ciphertext: Uint8Array): Uint8Array;
  /** Overwrites the decapsulation key. Idempotent. */
  wipe(): void;
}

/** A new key pair from the system's random source. */
export function generateKemKeyPair(): KemKeyPair {
  const seed = randomBytes(64);
  const pair = kemKeyPairOf(seed);
  seed.fill(0);
  return pair;
}

/** ML-KEM.KeyGen_internal(d, z) of the 64 bytes d || z (FIPS 203, section 6.1). */
export function kemKeyPairOf(seed: Uint8Array): KemKeyPair {
  const { publicKey, secretKey } = ml_kem768.keygen(seed);
  let wiped = false;
  return {
    publicKey,
    decapsulate(ciphertext) {
      if (wiped) throw new TypeError('the decapsulation key was wiped');
      return ml_kem768.decapsulate(ciphertext, secretKey);
    },
    wipe() {
      wiped = true;
      secretKey.fill(0);
    },
  };
}

/** Makes a shared secret for the owner of an encapsulation key. Undefined: it is none (FIPS 203, section 7.2). */
export type Encapsulate = (
  publicKey: Uint8Array,
) => { readonly ciphertext: Uint8Array; readonly secret: Uint8Array } | undefined;

/** With randomness of the system. The caller wipes the secret. */
export const encapsulate: Encapsulate = (publicKey) => encapsulateWith(publicKey, randomBytes(32));

/** ML-KEM.Encaps_internal: `message` is 32 random bytes, and is overwritten. */
export function encapsulateWith(publicKey: Uint8Array, message: Uint8Array): ReturnType<Encapsulate> {
  try {
    const { cipherText, sharedSecret } = ml_kem768.encapsulate(publicKey, message);
    return { ciphertext: cipherText, secret: sharedSecret };
  } catch {
    return undefined; // with a message of 32 bytes there is no other failure than a key of another length, or not reduced
  } finally {
    message.fill(0);
  }
}
