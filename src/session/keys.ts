import { ed25519 } from '@noble/curves/ed25519.js';
import { publicKeyBytes } from '../manifest/keys.ts';
import type { PublicKey } from '../manifest/model.ts';

const Field = ed25519.Point.Fp;

/** Canonical base64 of 32 public bytes. */
export function publicKeyText(bytes: Uint8Array): PublicKey {
  return Buffer.from(bytes).toString('base64') as PublicKey;
}

/**
 * X25519 public keys of Ed25519 ones: u = (1 + y) / (1 - y) (RFC 7748, section 4.1), 32 bytes each, in the same order.
 * One inversion serves all (Montgomery's trick): 3 us a key where a conversion alone takes 100 us, which is what lets
 * a node start with ten thousand peers. The keys are valid points: manifests are checked for that.
 * Throws RangeError for y = 1, the neutral element, which has no image.
 */
export function montgomeryKeys(publicKeys: readonly Uint8Array[]): Uint8Array[] {
  const ys = publicKeys.map((bytes) => {
    const y = Uint8Array.from(bytes);
    y[31] = (y[31] ?? 0) & 0x7f; // the top bit is the sign of x
    return Field.fromBytes(y);
  });
  const denominators = ys.map((y) => Field.sub(Field.ONE, y));
  if (denominators.some((denominator) => Field.is0(denominator))) {
    throw new RangeError('the neutral element is no public key');
  }
  const inverses = Field.invertBatch(denominators);
  return ys.map((y, index) => Field.toBytes(Field.mul(Field.add(Field.ONE, y), inverses[index] ?? Field.ZERO)));
}

/** `montgomeryKeys` by key text that remembers what it converted, and forgets what it is not asked to keep. */
export class MontgomeryCache {
  #known = new Map<PublicKey, Uint8Array>();

  /** Converts what is new in `publicKeys` in one batch, drops all others, returns the whole. */
  retain(publicKeys: Iterable<PublicKey>): ReadonlyMap<PublicKey, Uint8Array> {
    const wanted = [...publicKeys];
    const missing = wanted.filter((key) => !this.#known.has(key));
    const converted = montgomeryKeys(missing.map(publicKeyBytes));
    const fresh = new Map(missing.map((key, index) => [key, converted[index]]));
    const kept = new Map<PublicKey, Uint8Array>();
    for (const key of wanted) {
      const bytes = this.#known.get(key) ?? fresh.get(key);
      if (bytes !== undefined) kept.set(key, bytes);
    }
    this.#known = kept;
    return kept;
  }
}
