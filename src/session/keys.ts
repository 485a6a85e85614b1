import { ed25519 } from '@noble/curves/ed25519.js';
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
