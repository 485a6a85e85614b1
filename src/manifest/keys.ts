import { hash } from 'node:crypto';
import { OmniError } from '../errors.ts';
import { pointProblem } from './curve.ts';
import type { CanonicalKey, Fleet, MacAddress, PublicKey } from './model.ts';

const PUBLIC_KEY_BYTES = 32;

/** Why a text is no public key. `encoding`: not canonical base64 of 32 bytes; `point`: nobody can hold such a key. */
export interface KeyProblem {
  readonly what: 'encoding' | 'point';
  readonly problem: string;
}

/** Bounded: a fleet's keys stay, a hostile series of fleets does not fill the memory. First in, first out. */
class Cache<V> {
  readonly #values = new Map<string, V>();
  readonly #limit: number;
  readonly #compute: (key: string) => V;

  constructor(limit: number, compute: (key: string) => V) {
    this.#limit = limit;
    this.#compute = compute;
  }

  get(key: string): V {
    const known = this.#values.get(key);
    if (known !== undefined) return known;
    const value = this.#compute(key);
    if (this.#values.size >= this.#limit) {
      const oldest = this.#values.keys().next();
      if (oldest.done !== true) this.#values.delete(oldest.value);
    }
    this.#values.set(key, value);
    return value;
  }
}

/** Two keys per peer of the largest fleet that we speak of, and some. */
const CACHED_KEYS = 65_536;

function decode(text: string): Uint8Array | string {
  if (!/^[A-Za-z0-9+/]*={0,2}$/.test(text)) {
    return /^[A-Za-z0-9_-]+={0,2}$/.test(text)
      ? 'it is base64url; standard base64 has + and / in place of - and _'
      : 'it has characters that are not base64';
  }
  const bytes = Buffer.from(text, 'base64');
  if (bytes.length !== PUBLIC_KEY_BYTES) return `it is ${bytes.length} bytes and not ${PUBLIC_KEY_BYTES}`;
  if (bytes.toString('base64') !== text) return 'it is not canonical base64: its padding is wrong';
  return bytes;
}

const POINT_PROBLEMS = {
  'no point': 'there is no such point on the curve',
  'small order': 'the point has a small order',
} as const;

const problems = new Cache<KeyProblem | 'none'>(CACHED_KEYS, (text) => {
  const bytes = decode(text);
  if (typeof bytes === 'string') return { what: 'encoding', problem: bytes };
  const problem = pointProblem(bytes);
  return problem === undefined ? 'none' : { what: 'point', problem: POINT_PROBLEMS[problem] };
});

/** Undefined where `text` is canonical base64 of a valid Ed25519 public key. Results are cached. */
export function keyProblem(text: string): KeyProblem | undefined {
  const found = problems.get(text);
  return found === 'none' ? undefined : found;
}

/** Parses a key from outside; the error never repeats the text, which may be a secret in the wrong place. */
export function parsePublicKey(text: string): PublicKey {
  const found = keyProblem(text);
  if (found !== undefined) {
    throw new OmniError(`this is not an Ed25519 public key: ${found.problem}`, {
      code: 'invalid-public-key',
      class: 'stall',
      fix: 'Give the public key as `omni init` printed it: 44 characters of base64.',
    });
  }
  return text as PublicKey;
}

/** Whether 32 bytes are an Ed25519 point (RFC 8032, 5.1.3, canonical) that is not of small order. */
export function isCurvePoint(bytes: Uint8Array): boolean {
  return bytes.length === PUBLIC_KEY_BYTES && pointProblem(bytes) === undefined;
}

export function publicKeyBytes(key: PublicKey): Uint8Array {
  return Buffer.from(key, 'base64');
}

const BASE64 = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/';
/** Of the 44 characters of a key, the one that carries the sign of x: bit 7 of byte 31 is bit 3 of this digit. */
const SIGN_AT = 41;
const SIGN_BIT = 8;

/**
 * The form in which keys are compared. The two Ed25519 keys of one ordinate, P and -P, differ in the sign bit and have the
 * same X25519 key (RFC 7748, 4.1), so one private key serves both.
 */
export function canonicalKey(key: PublicKey): CanonicalKey {
  return withDigit(key, (digit) => digit & ~SIGN_BIT) as string as CanonicalKey;
}

/** The Peer that has a key or its negative, as its current or its next one. */
export function holderOf({ peerByKey }: Pick<Fleet, 'peerByKey'>, key: PublicKey | CanonicalKey): string | undefined {
  const same = key as PublicKey;
  return peerByKey.get(same) ?? peerByKey.get(withDigit(same, (digit) => digit ^ SIGN_BIT));
}

function withDigit(key: PublicKey, change: (digit: number) => number): PublicKey {
  const digit = BASE64.indexOf(key.charAt(SIGN_AT));
  const changed = change(digit);
  if (changed === digit) return key;
  return `${key.slice(0, SIGN_AT)}${BASE64.charAt(changed)}${key.slice(SIGN_AT + 1)}` as PublicKey;
}

/** BLAKE2s-256 (RFC 7693); node's takes 1 us where noble's takes 11, and a cold start needs 20,000. */
function blake2s(domain: string, key: string): Buffer {
  return hash('blake2s256', Buffer.concat([Buffer.from(domain), Buffer.from(key, 'base64')]), 'buffer');
}

const macs = new Cache<MacAddress>(CACHED_KEYS, (key) => {
  const digest = blake2s('omni mac', key);
  const first = ((digest[0] ?? 0) | 0x02) & 0xfe;
  const rest = [...digest.subarray(1, 6)];
  return [first, ...rest].map((byte) => byte.toString(16).padStart(2, '0')).join(':') as MacAddress;
});

/** The MAC of the node's interface: 6 bytes of BLAKE2s-256("omni mac" || key), locally administered, no group. */
export function macOf(publicKey: PublicKey): MacAddress {
  return macs.get(publicKey);
}

const peerIds = new Cache<bigint>(CACHED_KEYS, (key) => {
  const id = blake2s('omni peer id', key).readBigUInt64LE(0);
  return id === 0n ? 1n : id;
});

/** u64, little-endian first 8 bytes of BLAKE2s-256("omni peer id" || key); 0 is nobody, so it is never 0. */
export function peerIdOf(publicKey: PublicKey): bigint {
  return peerIds.get(publicKey);
}

/** For people: the beginning of the key, as it stands in the manifest. Not for decisions. */
export function fingerprint(publicKey: PublicKey): string {
  return `${publicKey.slice(0, 10)}…`;
}

/** As `fingerprint`, for a key that is the same as `other` or its negative. */
export function fingerprintBeside(publicKey: PublicKey, other: PublicKey): string {
  return publicKey === other ? fingerprint(publicKey) : `${fingerprint(publicKey)} (with the other sign)`;
}
