import { peerIdOf } from '../../manifest/keys.ts';
import type { PublicKey } from '../../manifest/model.ts';

/** Ids are random u64s: somewhere behind a taken one is a free one. */
const LARGEST = 2n ** 64n - 1n;

/**
 * The ids by which an interface's maps know its peers. A peer's id is made from its key when it comes, and is a mere handle
 * from then on: it stays when the key changes. Peers that went are remembered, as rows may still name them.
 */
export class PeerIds {
  readonly #keys = new Map<bigint, PublicKey>();
  /** By the key that a peer has, and by those that it went by. */
  readonly #ids = new Map<PublicKey, bigint>();
  readonly #nextKeys = new Map<bigint, PublicKey>();

  /** What a map says. */
  learn(id: bigint, publicKey: PublicKey): void {
    this.#keys.set(id, publicKey);
    this.#ids.set(publicKey, id);
  }

  /** The key that a peer has now. */
  keyOf(id: bigint): PublicKey | undefined {
    return this.#keys.get(id);
  }

  /** By the key that the peer has, or that it went by until a moment ago. */
  find(publicKey: PublicKey): bigint | undefined {
    return this.#ids.get(publicKey);
  }

  /** The other key that the peer is said to have; no map holds it. */
  nextKeyOf(id: bigint): PublicKey | undefined {
    return this.#nextKeys.get(id);
  }

  setNextKey(id: bigint, publicKey: PublicKey | undefined): void {
    if (publicKey === undefined) this.#nextKeys.delete(id);
    else this.#nextKeys.set(id, publicKey);
  }

  /** The id of the peer that has this key, be it new. */
  allot(publicKey: PublicKey): bigint {
    const known = this.#ids.get(publicKey);
    if (known !== undefined && this.#keys.get(known) === publicKey) return known;
    let id = peerIdOf(publicKey);
    while (this.#keys.has(id)) id = id === LARGEST ? 1n : id + 1n;
    this.learn(id, publicKey);
    return id;
  }

  /** From now on the peer has another key; an id that was allotted to that one is nobody's any more. */
  rename(id: bigint, publicKey: PublicKey): void {
    const other = this.#ids.get(publicKey);
    if (other !== undefined && other !== id && this.#keys.get(other) === publicKey) this.#keys.delete(other);
    this.learn(id, publicKey);
  }
}
