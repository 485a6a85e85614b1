import { createPrivateKey, createPublicKey, diffieHellman, generateKeyPairSync, type KeyObject } from 'node:crypto';
import { x25519 } from '@noble/curves/ed25519.js';

/** X25519 public keys, private keys and shared secrets, bytes (RFC 7748). */
export const DH_LEN = 32;

/** An X25519 key pair that keeps its private half to itself. */
export interface DhKeyPair {
  /** 32 bytes. */
  readonly publicKey: Uint8Array;
  /** 32 bytes; undefined where the result is all zero: the remote key is of low order (RFC 7748, section 6.1). */
  agree(remotePublicKey: Uint8Array): Uint8Array | undefined;
}

/** A new key pair from the system's random source. */
export function generateKeyPair(): DhKeyPair {
  const { privateKey } = generateKeyPairSync('x25519');
  const { x } = privateKey.export({ format: 'jwk' });
  if (x === undefined) throw new TypeError('an X25519 private key exports its public half');
  return wrap(privateKey, Buffer.from(x, 'base64url'));
}

/** The key pair of 32 private bytes (clamped by X25519 itself). `publicKey`, where known, saves a multiplication. */
export function keyPairOf(privateBytes: Uint8Array, publicKey?: Uint8Array): DhKeyPair {
  const ownPublic = publicKey ?? x25519.getPublicKey(privateBytes);
  const privateKey = createPrivateKey({
    key: { kty: 'OKP', crv: 'X25519', d: base64url(privateBytes), x: base64url(ownPublic) },
    format: 'jwk',
  });
  return wrap(privateKey, ownPublic);
}

function wrap(privateKey: KeyObject, publicKey: Uint8Array): DhKeyPair {
  return {
    publicKey,
    agree(remotePublicKey) {
      // JWK is the fast way in: OpenSSL's DER decoder takes eight times as long.
      const key = { kty: 'OKP', crv: 'X25519', x: base64url(remotePublicKey) };
      const remote = createPublicKey({ key, format: 'jwk' });
      try {
        const secret = diffieHellman({ privateKey, publicKey: remote });
        return secret.some((byte) => byte !== 0) ? secret : undefined;
      } catch (error) {
        // OpenSSL refuses to derive an all-zero secret.
        if ((error as NodeJS.ErrnoException).code === 'ERR_OSSL_FAILED_DURING_DERIVATION') return undefined;
        throw error;
      }
    },
  };
}

function base64url(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('base64url');
}
