import { createCipheriv, createDecipheriv } from 'node:crypto';
import { blake2s, HASH_LEN, hkdf2, hkdf3 } from './hash.ts';
import { copySecret } from './secret-bytes.ts';

/** Poly1305 tag, bytes. */
export const TAG_LEN = 16;

/**
 * Noise's SymmetricState with its CipherState (rev 34, sections 5.1 and 5.2). Every step makes a new one and uses up the one
 * before: secrets that the new one does not share are overwritten, and all of them where a step fails. What a failed message
 * must leave as it was is copied first (`copyOf`). Whoever holds the last one wipes it.
 */
export interface SymmetricState {
  readonly chainingKey: Uint8Array;
  readonly hash: Uint8Array;
  readonly key?: Uint8Array;
  readonly nonce: bigint;
}

/** InitializeSymmetric. */
export function initializeSymmetric(protocolName: string): SymmetricState {
  const name = Buffer.from(protocolName, 'ascii');
  const hash = name.length <= HASH_LEN ? Buffer.concat([name], HASH_LEN) : blake2s(name);
  return { chainingKey: Uint8Array.from(hash), hash, nonce: 0n };
}

/** For steps that may fail and be tried again from here. */
export function copyOf(state: SymmetricState): SymmetricState {
  const { chainingKey, key } = state;
  return {
    ...state,
    chainingKey: copySecret(chainingKey),
    ...(key === undefined ? {} : { key: copySecret(key) }),
  };
}

/** Overwrites the secrets. The hash is none: it is of what was on the wire. Idempotent. */
export function wipe({ chainingKey, key }: SymmetricState): void {
  chainingKey.fill(0);
  key?.fill(0);
}

/** MixHash. */
export function mixHash(state: SymmetricState, data: Uint8Array): SymmetricState {
  return { ...state, hash: blake2s(state.hash, data) };
}

/** MixKey. */
export function mixKey(state: SymmetricState, input: Uint8Array): SymmetricState {
  const [chainingKey, key] = hkdf2(state.chainingKey, input);
  wipe(state);
  return { ...state, chainingKey, key, nonce: 0n };
}

/** MixKeyAndHash. */
export function mixKeyAndHash(state: SymmetricState, input: Uint8Array): SymmetricState {
  const [chainingKey, toHash, key] = hkdf3(state.chainingKey, input);
  const { hash } = mixHash(state, toHash);
  toHash.fill(0);
  wipe(state);
  return { hash, chainingKey, key, nonce: 0n };
}

/** EncryptAndHash; the ciphertext ends with the tag. */
export function encryptAndHash(state: SymmetricState, plaintext: Uint8Array): [SymmetricState, Uint8Array] {
  const ciphertext = seal(keyOf(state), state.nonce, state.hash, plaintext);
  return [{ ...mixHash(state, ciphertext), nonce: state.nonce + 1n }, ciphertext];
}

/** DecryptAndHash; undefined if the tag does not verify. */
export function decryptAndHash(
  state: SymmetricState,
  ciphertext: Uint8Array,
): [SymmetricState, Uint8Array] | undefined {
  const plaintext = open(keyOf(state), state.nonce, state.hash, ciphertext);
  if (plaintext === undefined) {
    wipe(state);
    return undefined;
  }
  return [{ ...mixHash(state, ciphertext), nonce: state.nonce + 1n }, plaintext];
}

/** Split: the keys from initiator to responder, and back. */
export function split(state: SymmetricState): [Uint8Array, Uint8Array] {
  return hkdf2(state.chainingKey, new Uint8Array(0));
}

/** ChaCha20-Poly1305 (RFC 8439, section 2.8) with the nonce 4 zero bytes || u64 little-endian; ciphertext || tag. */
function seal(key: Uint8Array, nonce: bigint, associated: Uint8Array, plaintext: Uint8Array): Uint8Array {
  const cipher = createCipheriv('chacha20-poly1305', key, nonceBytes(nonce), { authTagLength: TAG_LEN });
  cipher.setAAD(associated, { plaintextLength: plaintext.length });
  return Buffer.concat([cipher.update(plaintext), cipher.final(), cipher.getAuthTag()]);
}

function open(key: Uint8Array, nonce: bigint, associated: Uint8Array, ciphertext: Uint8Array): Uint8Array | undefined {
  const length = ciphertext.length - TAG_LEN;
  if (length < 0) return undefined;
  const decipher = createDecipheriv('chacha20-poly1305', key, nonceBytes(nonce), { authTagLength: TAG_LEN });
  decipher.setAAD(associated, { plaintextLength: length });
  decipher.setAuthTag(ciphertext.subarray(length));
  const plaintext = decipher.update(ciphertext.subarray(0, length));
  try {
    decipher.final();
    return plaintext;
  } catch {
    return undefined; // final() has no other failure than a tag that does not verify
  }
}

function nonceBytes(nonce: bigint): Uint8Array {
  const bytes = Buffer.alloc(12);
  bytes.writeBigUInt64LE(nonce, 4);
  return bytes;
}

function keyOf(state: SymmetricState): Uint8Array {
  if (state.key === undefined) throw new TypeError('every IKpsk2 ciphertext follows a MixKey');
  return state.key;
}
