import { createHash, createHmac, timingSafeEqual } from 'node:crypto';
import { blake2s as keyedBlake2s } from '@noble/hashes/blake2.js';

/** BLAKE2s digest and Noise's HASHLEN, bytes. */
export const HASH_LEN = 32;
/** mac1 and mac2, bytes. */
export const MAC_LEN = 16;

/** Unkeyed BLAKE2s-256 (RFC 7693) of the parts in a row. OpenSSL's is three times as fast as a portable one here. */
export function blake2s(...parts: readonly Uint8Array[]): Uint8Array {
  const hash = createHash('blake2s256');
  for (const part of parts) hash.update(part);
  return hash.digest();
}

/** HMAC (RFC 2104) with BLAKE2s-256; 32 bytes. */
export function hmacBlake2s(key: Uint8Array, ...parts: readonly Uint8Array[]): Uint8Array {
  const hmac = createHmac('blake2s256', key);
  for (const part of parts) hmac.update(part);
  return hmac.digest();
}

/** Noise's HKDF with two outputs of 32 bytes (rev 34, section 4.3). */
export function hkdf2(chainingKey: Uint8Array, input: Uint8Array): [Uint8Array, Uint8Array] {
  const temporary = hmacBlake2s(chainingKey, input);
  const first = hmacBlake2s(temporary, Uint8Array.of(1));
  const second = hmacBlake2s(temporary, first, Uint8Array.of(2));
  temporary.fill(0);
  return [first, second];
}

/** Noise's HKDF with three outputs of 32 bytes (rev 34, section 4.3). */
export function hkdf3(chainingKey: Uint8Array, input: Uint8Array): [Uint8Array, Uint8Array, Uint8Array] {
  const temporary = hmacBlake2s(chainingKey, input);
  const first = hmacBlake2s(temporary, Uint8Array.of(1));
  const second = hmacBlake2s(temporary, first, Uint8Array.of(2));
  const third = hmacBlake2s(temporary, second, Uint8Array.of(3));
  temporary.fill(0);
  return [first, second, third];
}

/** BLAKE2s-128 keyed with 32 bytes (RFC 7693, section 2.5): OpenSSL 3.0 offers no keyed form, hence noble. */
export function macBlake2s(key: Uint8Array, data: Uint8Array): Uint8Array {
  return keyedBlake2s(data, { key, dkLen: MAC_LEN });
}

/** Compares secrets in constant time. Different lengths are unequal. */
export function equalBytes(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && timingSafeEqual(a, b);
}

const MAC1_LABEL = Buffer.from('omni mac1');

/**
 * Key of mac1 in messages to the owner of `publicKey`:
 * BLAKE2s-256("omni mac1" || recipient's Ed25519 public key, 32 bytes || PSK, 32 bytes).
 * The packet filter in front of the socket holds the node's own.
 */
export function mac1Key(publicKey: Uint8Array, psk: Uint8Array): Uint8Array {
  return blake2s(MAC1_LABEL, publicKey, psk);
}
