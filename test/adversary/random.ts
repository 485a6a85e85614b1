import { randomInt } from 'node:crypto';

/**
 * A generator of repeatable numbers (xorshift32): what it makes depends on its seed alone. The seed comes from
 * OMNI_SEED, or is drawn and printed, so that a failed run can be repeated.
 */
export class Random {
  #state: number;

  constructor(seed: number) {
    // The state must not be zero; neighbouring seeds must not begin alike.
    this.#state = (Math.imul(seed ^ 0x9e3779b9, 0x85ebca6b) | 1) >>> 0;
    for (let i = 0; i < 8; i++) this.u32();
  }

  u32(): number {
    let x = this.#state;
    x ^= x << 13;
    x ^= x >>> 17;
    x ^= x << 5;
    this.#state = x >>> 0;
    return this.#state;
  }

  /** From 0 to `bound` - 1. */
  below(bound: number): number {
    return Math.floor((this.u32() / 0x1_0000_0000) * bound);
  }

  chance(probability: number): boolean {
    return this.u32() / 0x1_0000_0000 < probability;
  }

  pick<T>(values: readonly T[]): T {
    const value = values[this.below(values.length)];
    if (value === undefined) throw new RangeError('nothing to pick from');
    return value;
  }

  /** One of `[weight, value]`. */
  weighted<T>(values: readonly (readonly [number, T])[]): T {
    let at = this.below(values.reduce((sum, [weight]) => sum + weight, 0));
    for (const [weight, value] of values) {
      if (at < weight) return value;
      at -= weight;
    }
    throw new RangeError('nothing to pick from');
  }

  bytes(length: number): Buffer {
    const bytes = Buffer.alloc(length);
    for (let i = 0; i < length; i++) bytes[i] = this.u32() >>> 24;
    return bytes;
  }
}

export function seedOfRun(): number {
  const given = process.env.OMNI_SEED;
  const seed = given === undefined ? randomInt(0x7fff_ffff) : Number(given);
  if (!Number.isSafeInteger(seed)) throw new RangeError(`OMNI_SEED is a whole number, not ${given}`);
  return seed;
}
