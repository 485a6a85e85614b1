import { cookieKey } from './cookie.ts';
import { equalBytes, mac1Key } from './hash.ts';
import { copySecret } from './secret-bytes.ts';

const PSK_LEN = 32;
/** The key in force, and its neighbour while it is being changed. */
const MAX_PSKS = 2;

/** A pre-shared key, and what it makes of messages to this node and of its cookies. Whoever holds one across a wait asks `gone`. */
export class Psk {
  /** 32 bytes; zeros for a cluster that has no secret. */
  readonly bytes: Uint8Array;
  /** 32 bytes. */
  readonly mac1Key: Uint8Array;
  /** 32 bytes: this node seals its cookies with it. */
  readonly cookieKey: Uint8Array;
  #gone = false;

  constructor(publicKey: Uint8Array, bytes: Uint8Array) {
    if (bytes.length !== PSK_LEN) throw new RangeError('a pre-shared key is 32 bytes');
    this.bytes = copySecret(bytes);
    this.mac1Key = mac1Key(publicKey, bytes);
    this.cookieKey = cookieKey(publicKey, bytes);
  }

  /** Given up and wiped: no handshake that began under it may end. */
  get gone(): boolean {
    return this.#gone;
  }

  wipe(): void {
    this.#gone = true;
    this.bytes.fill(0);
    this.mac1Key.fill(0);
    this.cookieKey.fill(0);
  }
}

/** The keys that handshakes may be made under: this node begins its own with the first and answers to each. */
export class Psks {
  readonly #publicKey: Uint8Array;
  #accepted: readonly [Psk, ...Psk[]];

  /** `publicKey`: this node's Ed25519 key, 32 bytes. `psks` are copied. */
  constructor(publicKey: Uint8Array, psks: readonly Uint8Array[]) {
    this.#publicKey = publicKey;
    this.#accepted = this.#take(psks, []);
  }

  get current(): Psk {
    return this.#accepted[0];
  }

  get accepted(): readonly Psk[] {
    return this.#accepted;
  }

  /** Handshakes under way go on under a key that stays, wherever it stands now; keys that go are wiped. */
  replace(psks: readonly Uint8Array[]): void {
    const before = this.#accepted;
    this.#accepted = this.#take(psks, before);
    for (const psk of before) if (!this.#accepted.includes(psk)) psk.wipe();
  }

  /** Gives all of them up. */
  wipe(): void {
    for (const psk of this.#accepted) psk.wipe();
  }

  #take(psks: readonly Uint8Array[], known: readonly Psk[]): readonly [Psk, ...Psk[]] {
    const taken = psks.map(
      (bytes) => known.find((psk) => equalBytes(psk.bytes, bytes)) ?? new Psk(this.#publicKey, bytes),
    );
    const [current, ...others] = taken;
    if (current === undefined || taken.length > MAX_PSKS) throw new RangeError(`one to ${MAX_PSKS} pre-shared keys`);
    return [current, ...others];
  }
}
