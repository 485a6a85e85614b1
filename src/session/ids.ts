import { randomBytes } from 'node:crypto';
import type { SessionId } from '../reconcile/dataplane.ts';
import { hmacBlake2s } from './hash.ts';
import { copySecret } from './secret-bytes.ts';

/**
 * Receiver-chosen session ids: the first 8 bytes, little-endian, of HMAC-BLAKE2s(boot secret, u64 counter). Nobody
 * outside this process can tell the next one, or that two ids are the same node's.
 */
export class SessionIds {
  #secret: Uint8Array;
  #counter = 0n;

  /** `secret`: 32 random bytes that live as long as the process; copied. */
  constructor(secret: Uint8Array = randomBytes(32)) {
    this.#secret = copySecret(secret);
  }

  /** Ids of another secret from now on: somebody else may have the one of before. */
  renew(): void {
    this.#secret.fill(0);
    this.#secret = randomBytes(32);
  }

  /** A fresh id, never 0 and none that `inUse` knows: an adopted session may bear any. */
  next(inUse: (id: SessionId) => boolean): SessionId {
    for (;;) {
      const counter = Buffer.alloc(8);
      counter.writeBigUInt64LE(this.#counter++);
      const id = Buffer.from(hmacBlake2s(this.#secret, counter)).readBigUInt64LE();
      if (id !== 0n && !inUse(id)) return id;
    }
  }
}
