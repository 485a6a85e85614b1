import { createHash, randomBytes } from 'node:crypto';
import type { PublicKey } from '../manifest/model.ts';
import { type DhKeyPair, ed25519PublicKey, keyPairOf } from './dh.ts';
import { publicKeyText } from './keys.ts';
import { copySecret } from './secret-bytes.ts';
import { createSecretFile, readSecretFile } from './secrets.ts';

/** Ed25519 seeds, X25519 keys and PSKs, bytes. */
const KEY_LEN = 32;

/** Who this node is. Secrets stay inside closures: nothing that prints an identity can print them. */
export interface Identity {
  /** Ed25519: the name of this node in manifests. */
  readonly publicKey: PublicKey;
  /** Its 32 bytes. */
  readonly publicKeyBytes: Uint8Array;
  /** X25519, derived: the static key of handshakes. */
  readonly keyPair: DhKeyPair;
  /** A copy of the Ed25519 seed (RFC 8032, section 5.1.5), 32 bytes. The caller wipes it. */
  seed(): Uint8Array;
}

/** A new identity from the system's random source. */
export function createIdentity(): Identity {
  const seed = randomBytes(KEY_LEN);
  try {
    return identityOf(seed);
  } finally {
    seed.fill(0);
  }
}

/**
 * The identity of an Ed25519 seed, which is copied. X25519's private key is the clamped first half of SHA-512(seed), the scalar that
 * Ed25519 itself signs with, and its public key is the image of the Ed25519 one under the birational map
 * (RFC 7748, section 4.1; RFC 8032, section 5.1.5): whoever knows one public key knows the other.
 */
export function identityOf(seed: Uint8Array): Identity {
  if (seed.length !== KEY_LEN) throw new RangeError('an Ed25519 seed is 32 bytes');
  const secret = copySecret(seed);
  const publicKeyBytes = ed25519PublicKey(secret);
  const scalar = x25519PrivateKey(secret);
  try {
    return {
      publicKey: publicKeyText(publicKeyBytes),
      publicKeyBytes,
      keyPair: keyPairOf(scalar),
      seed: () => copySecret(secret),
    };
  } finally {
    scalar.fill(0);
  }
}

/** SHA-512(seed)[0..32], clamped. 32 bytes, secret, for the caller to wipe. */
export function x25519PrivateKey(seed: Uint8Array): Uint8Array {
  const digest = createHash('sha512').update(seed).digest();
  const scalar = copySecret(digest.subarray(0, KEY_LEN));
  digest.fill(0);
  scalar[0] = (scalar[0] ?? 0) & 0xf8;
  scalar[31] = ((scalar[31] ?? 0) & 0x7f) | 0x40;
  return scalar;
}

/**
 * Writes `identity.key`: one line, base64 of the seed, mode 0600. Makes the folder if need be.
 * Throws OmniError `identity-exists` rather than overwrite: a lost key is a lost node.
 */
export function writeIdentity(path: string, identity: Identity): void {
  createSecretFile(path, identity.seed(), {
    what: 'identity',
    existsFix: 'Keep it: it is this node. To make another node, name another file with --identity.',
  });
}

/**
 * Reads `identity.key`. Throws OmniError, exit code 2: `identity-missing`, `identity-unreadable`, `identity-exposed`
 * (group or others may read it), `identity-invalid`.
 */
export function readIdentity(path: string): Identity {
  const seed = readSecretFile(path, { what: 'identity', missingFix: 'Run `omni init` to make it.', length: KEY_LEN });
  try {
    return identityOf(seed);
  } finally {
    seed.fill(0);
  }
}

/**
 * The cluster's pre-shared key: a file as `identity.key`, 32 bytes; all zero where the node has none.
 * Throws OmniError, exit code 2: `psk-missing`, `psk-unreadable`, `psk-exposed`, `psk-invalid`.
 */
export function readPsk(path: string | undefined): Uint8Array {
  if (path === undefined) return new Uint8Array(KEY_LEN);
  const missingFix = 'Make one with `openssl rand -base64 32`, mode 0600, the same on every node of the cluster.';
  return readSecretFile(path, { what: 'psk', missingFix, length: KEY_LEN });
}
