import { randomBytes } from 'node:crypto';

const SECRET_LEN = 32;
/** How long cookies are made of one secret; its cookies are good for as long again. */
const ROTATE_MS = 120_000;
/** The newest, and the one before. */
const KEPT = 2;

/**
 * What this node's cookies are made of. A secret that made a cookie is replaced within 120 s and worthless after 240 s;
 * one that made none is nobody's business, so a node that is at peace needs no timer.
 */
export class CookieSecrets {
  readonly #random: (length: number) => Uint8Array;
  readonly #setTimer: (delayMs: number, run: () => void) => () => void;
  readonly #changed: (secrets: readonly Uint8Array[]) => void;
  #secrets: readonly [Uint8Array, ...Uint8Array[]];
  /** Rotations until no cookie is valid any more. */
  #due = 0;
  #cancel: (() => void) | undefined;

  /** `changed`: told of every new set; it must copy. */
  constructor(options: {
    readonly setTimer: (delayMs: number, run: () => void) => () => void;
    readonly changed: (secrets: readonly Uint8Array[]) => void;
    readonly random?: (length: number) => Uint8Array;
  }) {
    this.#random = options.random ?? randomBytes;
    this.#setTimer = options.setTimer;
    this.#changed = options.changed;
    this.#secrets = [this.#random(SECRET_LEN)];
  }

  /** Newest first. */
  get accepted(): readonly Uint8Array[] {
    return this.#secrets;
  }

  /** The one to make a cookie of, now. */
  take(): Uint8Array {
    this.#due = KEPT;
    this.#arm();
    return this.#secrets[0];
  }

  /** Cookies of secrets so far are worthless at once: somebody else may have those. */
  renew(): void {
    const before = this.#secrets;
    this.#secrets = [this.#random(SECRET_LEN)];
    this.#changed(this.#secrets);
    for (const secret of before) secret.fill(0);
  }

  /** Wipes. */
  stop(): void {
    this.#cancel?.();
    this.#cancel = undefined;
    for (const secret of this.#secrets) secret.fill(0);
  }

  #arm(): void {
    this.#cancel ??= this.#setTimer(ROTATE_MS, () => {
      this.#cancel = undefined;
      this.#rotate();
      this.#due--;
      if (this.#due > 0) this.#arm();
    });
  }

  #rotate(): void {
    const before = this.#secrets;
    this.#secrets = [this.#random(SECRET_LEN), ...before.slice(0, KEPT - 1)];
    this.#changed(this.#secrets);
    for (const secret of before.slice(KEPT - 1)) secret.fill(0);
  }
}
