import { bech32 } from '@scure/base';
import { publicKeyBytes } from '../manifest/keys.ts';
import type { PublicKey } from '../manifest/model.ts';
import { x25519PrivateKey } from '../session/identity.ts';
import { montgomeryKeys } from '../session/keys.ts';

/*
 * Nodes' keys as the `age` program writes X25519 ones (age-encryption.org/v1, "The X25519 recipient type"): the keys of
 * handshakes, derived from the Ed25519 ones, in Bech32.
 */

/** `age1…` of a node's public key: what others encrypt to it with. */
export function ageRecipient(publicKey: PublicKey): string {
  const [u] = montgomeryKeys([publicKeyBytes(publicKey)]);
  return bech32.encodeFromBytes('age', u ?? new Uint8Array());
}

/** `AGE-SECRET-KEY-1…` of an Ed25519 seed, 32 bytes: as secret as the seed itself. */
export function ageIdentity(seed: Uint8Array): string {
  const scalar = x25519PrivateKey(seed);
  try {
    return bech32.encodeFromBytes('AGE-SECRET-KEY-', scalar).toUpperCase();
  } finally {
    scalar.fill(0);
  }
}
