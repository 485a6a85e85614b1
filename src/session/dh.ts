import { createPrivateKey, createPublicKey, diffieHellman, generateKeyPairSync, type KeyObject } from 'node:crypto';

/** X25519 public keys, private keys and shared secrets, bytes (RFC 7748). */
export const DH_LEN = 32;

/** An X25519 key pair that keeps its private half to itself. */
export interface DhKeyPair {
  /** 32 bytes. */
  readonly publicKey: Uint8Array;
  /** 32 bytes; undefined where the result is all zero: the remote key is of low order (RFC 7748, section 6.1). */
  agree(remotePublicKey: Uint8Array): Uint8Array | undefined;
}

/** Node encodes one half and keeps the other a key object where it is asked to; its types do not know. */
const generate = generateKeyPairSync as unknown as (
  type: 'x25519',
  options: { readonly publicKeyEncoding: { readonly type: 'spki'; readonly format: 'der' } },
) => { readonly publicKey: Buffer; readonly privateKey: KeyObject };

/**
 * A new key pair from the system's random source. Its private half never leaves OpenSSL, which wipes it in the end. The
 * generator itself encodes the public half: an export of the key object that collects garbage meanwhile may wait for
 * itself for good, since the generator's job locks the key once more when it is collected (Node 20).
 */
export function generateKeyPair(): DhKeyPair {
  const { privateKey, publicKey } = generate('x25519', { publicKeyEncoding: { type: 'spki', format: 'der' } });
  return wrap(privateKey, publicKey.subarray(-DH_LEN));
}

/** The key pair of 32 private bytes (clamped by X25519 itself), which the caller wipes. */
export function keyPairOf(privateBytes: Uint8Array): DhKeyPair {
  const privateKey = privateKeyOf('x25519', privateBytes);
  return wrap(privateKey, rawPublicKey(createPublicKey(privateKey)));
}

/** The 32 bytes of an Ed25519 seed's public key (RFC 8032, section 5.1.5). The caller wipes the seed. */
export function ed25519PublicKey(seed: Uint8Array): Uint8Array {
  return rawPublicKey(createPublicKey(privateKeyOf('ed25519', seed)));
}

/** PrivateKeyInfo (RFC 8410, section 7) up to the key's 32 bytes; the last byte of the algorithm tells the two apart. */
const PKCS8_PREFIXES = {
  x25519: Buffer.from('302e020100300506032b656e04220420', 'hex'),
  ed25519: Buffer.from('302e020100300506032b657004220420', 'hex'),
} as const;

/** By way of DER and not of JWK, whose members are strings, which nobody can wipe. */
function privateKeyOf(curve: keyof typeof PKCS8_PREFIXES, privateBytes: Uint8Array): KeyObject {
  const prefix = PKCS8_PREFIXES[curve];
  const der = Buffer.from(new ArrayBuffer(prefix.length + DH_LEN)); // off the heap: secret-bytes.ts
  try {
    der.set(prefix);
    der.set(privateBytes, prefix.length);
    return createPrivateKey({ key: der, format: 'der', type: 'pkcs8' });
  } finally {
    der.fill(0);
  }
}

/** Of a *public* key object: the private one's JWK holds both halves. */
function rawPublicKey(publicKey: KeyObject): Uint8Array {
  const { x } = publicKey.export({ format: 'jwk' });
  if (x === undefined) throw new TypeError('a key on a Montgomery or Edwards curve exports x');
  return Buffer.from(x, 'base64url');
}

function wrap(privateKey: KeyObject, publicKey: Uint8Array): DhKeyPair {
  return {
    publicKey,
    agree(remotePublicKey) {
      // JWK is the fast way in: OpenSSL's DER decoder takes eight times as long. A public key may be a string.
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
