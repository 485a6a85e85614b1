/*
 * Memory for secrets that are to be wiped. V8 keeps the bytes of small arrays on its own heap, and leaves a copy behind when
 * it moves them: at a garbage collection, or when a system call is to read them. An ArrayBuffer made first stays where it is.
 */

export function secretBytes(length: number): Uint8Array<ArrayBuffer> {
  return new Uint8Array(new ArrayBuffer(length));
}

export function copySecret(secret: Uint8Array): Uint8Array<ArrayBuffer> {
  const copy = secretBytes(secret.length);
  copy.set(secret);
  return copy;
}
