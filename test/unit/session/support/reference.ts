import { chacha20poly1305 } from '@noble/ciphers/chacha.js';
import { x25519 } from '@noble/curves/ed25519.js';
import { blake2s } from '@noble/hashes/blake2.js';
import { hmac } from '@noble/hashes/hmac.js';

/**
 * Noise IKpsk2, and IKhfs+psk2 (HFS rev 1), written down token by token from the specifications with another library for
 * every primitive: slow, obvious, and with nothing in common with src/session. Records h and ck after every step.
 * What the KEM makes is given.
 */
export class ReferenceHandshake {
  readonly trace: { readonly step: string; readonly h: string; readonly ck: string }[] = [];
  readonly #initiator: boolean;
  readonly #hybrid: boolean;
  readonly #psk: Uint8Array;
  readonly #s: Uint8Array;
  readonly #e: Uint8Array;
  rs: Uint8Array | undefined;
  /** The initiator's encapsulation key, as the responder read it. */
  re1: Uint8Array | undefined;
  re: Uint8Array | undefined;
  #h: Uint8Array;
  #ck: Uint8Array;
  #k: Uint8Array | undefined;
  #n = 0;

  constructor(options: {
    readonly initiator: boolean;
    readonly hybrid?: boolean;
    readonly prologue: Uint8Array;
    readonly psk: Uint8Array;
    readonly s: Uint8Array;
    readonly e: Uint8Array;
    readonly rs?: Uint8Array;
  }) {
    this.#initiator = options.initiator;
    this.#hybrid = options.hybrid ?? false;
    this.#psk = options.psk;
    this.#s = options.s;
    this.#e = options.e;
    this.rs = options.rs;
    const protocol = this.#hybrid
      ? 'Noise_IKhfs+psk2_25519+MLKEM768_ChaChaPoly_BLAKE2s'
      : 'Noise_IKpsk2_25519_ChaChaPoly_BLAKE2s';
    const name = new TextEncoder().encode(protocol);
    this.#h = blake2s(name); // longer than HASHLEN
    this.#ck = this.#h;
    this.mixHash('prologue', options.prologue);
    this.mixHash('pre-message s', options.initiator ? this.#need(options.rs) : x25519.getPublicKey(options.s));
  }

  mixHash(step: string, data: Uint8Array): void {
    this.#h = blake2s(Uint8Array.from([...this.#h, ...data]));
    this.#record(step);
  }

  /** -> e, es, s, ss; hybrid: -> e, es, e1, s, ss */
  writeMessage1(payload: Uint8Array, e1?: Uint8Array): Uint8Array {
    const e = x25519.getPublicKey(this.#e);
    this.#token('e', e);
    this.#mixKey('es', x25519.getSharedSecret(this.#e, this.#need(this.rs)));
    const sealedKem = this.#hybrid ? this.#encrypt('e1', this.#need(e1)) : [];
    const s = this.#encrypt('s', x25519.getPublicKey(this.#s));
    this.#mixKey('ss', x25519.getSharedSecret(this.#s, this.#need(this.rs)));
    return Uint8Array.from([...e, ...sealedKem, ...s, ...this.#encrypt('payload', payload)]);
  }

  readMessage1(message: Uint8Array): Uint8Array {
    const at = this.#hybrid ? 32 + 1184 + 16 : 32;
    this.re = message.slice(0, 32);
    this.#token('e', this.re);
    this.#mixKey('es', x25519.getSharedSecret(this.#s, this.re));
    if (this.#hybrid) this.re1 = this.#decrypt('e1', message.slice(32, at));
    this.rs = this.#decrypt('s', message.slice(at, at + 48));
    this.#mixKey('ss', x25519.getSharedSecret(this.#s, this.rs));
    return this.#decrypt('payload', message.slice(at + 48));
  }

  /** <- e, ee, se, psk; hybrid: <- e, ee, ekem1, se, psk */
  writeMessage2(
    payload: Uint8Array,
    ekem1?: { readonly ciphertext: Uint8Array; readonly secret: Uint8Array },
  ): Uint8Array {
    const e = x25519.getPublicKey(this.#e);
    this.#token('e', e);
    this.#mixKey('ee', x25519.getSharedSecret(this.#e, this.#need(this.re)));
    const sealedKem = this.#hybrid ? this.#encrypt('ekem1', this.#need(ekem1?.ciphertext)) : [];
    if (this.#hybrid) this.#mixKey('ekem1 key', this.#need(ekem1?.secret));
    this.#mixKey('se', x25519.getSharedSecret(this.#e, this.#need(this.rs)));
    this.#mixKeyAndHash(this.#psk);
    return Uint8Array.from([...e, ...sealedKem, ...this.#encrypt('payload', payload)]);
  }

  /** `decapsulate`: the initiator's KEM. */
  readMessage2(message: Uint8Array, decapsulate?: (ciphertext: Uint8Array) => Uint8Array): Uint8Array {
    const at = this.#hybrid ? 32 + 1088 + 16 : 32;
    this.re = message.slice(0, 32);
    this.#token('e', this.re);
    this.#mixKey('ee', x25519.getSharedSecret(this.#e, this.re));
    if (this.#hybrid) {
      const ciphertext = this.#decrypt('ekem1', message.slice(32, at));
      this.#mixKey('ekem1 key', this.#need(decapsulate?.(ciphertext)));
    }
    this.#mixKey('se', x25519.getSharedSecret(this.#s, this.re));
    this.#mixKeyAndHash(this.#psk);
    return this.#decrypt('payload', message.slice(at));
  }

  /** Keys from initiator to responder, and back. */
  split(): { readonly sendKey: Uint8Array; readonly receiveKey: Uint8Array } {
    const [first, second] = this.#hkdf(new Uint8Array(0));
    return this.#initiator ? { sendKey: first, receiveKey: second } : { sendKey: second, receiveKey: first };
  }

  #token(name: string, publicKey: Uint8Array): void {
    this.mixHash(name, publicKey);
    this.#mixKey(`${name} key`, publicKey);
  }

  #mixKey(step: string, input: Uint8Array): void {
    const [ck, k] = this.#hkdf(input);
    this.#ck = ck;
    this.#k = k;
    this.#n = 0;
    this.#record(step);
  }

  #mixKeyAndHash(input: Uint8Array): void {
    const [ck, toHash, k] = this.#hkdf(input);
    this.#ck = ck;
    this.mixHash('psk hash', toHash);
    this.#k = k;
    this.#n = 0;
    this.#record('psk');
  }

  #hkdf(input: Uint8Array): [Uint8Array, Uint8Array, Uint8Array] {
    const temporary = hmac(blake2s, this.#ck, input);
    const first = hmac(blake2s, temporary, Uint8Array.of(1));
    const second = hmac(blake2s, temporary, Uint8Array.from([...first, 2]));
    return [first, second, hmac(blake2s, temporary, Uint8Array.from([...second, 3]))];
  }

  #encrypt(step: string, plaintext: Uint8Array): Uint8Array {
    const ciphertext = chacha20poly1305(this.#need(this.#k), this.#nonce(), this.#h).encrypt(plaintext);
    this.mixHash(step, ciphertext);
    return ciphertext;
  }

  #decrypt(step: string, ciphertext: Uint8Array): Uint8Array {
    const plaintext = chacha20poly1305(this.#need(this.#k), this.#nonce(), this.#h).decrypt(ciphertext);
    this.mixHash(step, ciphertext);
    return plaintext;
  }

  #nonce(): Uint8Array {
    const nonce = new Uint8Array(12);
    new DataView(nonce.buffer).setUint32(4, this.#n++, true);
    return nonce;
  }

  #need(bytes: Uint8Array | undefined): Uint8Array {
    if (bytes === undefined) throw new Error('the pattern is out of order');
    return bytes;
  }

  #record(step: string): void {
    const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString('hex');
    this.trace.push({ step, h: hex(this.#h), ck: hex(this.#ck) });
  }
}
