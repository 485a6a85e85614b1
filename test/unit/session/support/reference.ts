import { chacha20poly1305 } from '@noble/ciphers/chacha.js';
import { x25519 } from '@noble/curves/ed25519.js';
import { blake2s } from '@noble/hashes/blake2.js';
import { hmac } from '@noble/hashes/hmac.js';

/**
 * Noise IKpsk2 written down token by token from the specification (rev 34) with another library for every primitive:
 * slow, obvious, and with nothing in common with src/session. Records h and ck after every step.
 */
export class ReferenceHandshake {
  readonly trace: { readonly step: string; readonly h: string; readonly ck: string }[] = [];
  readonly #initiator: boolean;
  readonly #psk: Uint8Array;
  readonly #s: Uint8Array;
  readonly #e: Uint8Array;
  rs: Uint8Array | undefined;
  re: Uint8Array | undefined;
  #h: Uint8Array;
  #ck: Uint8Array;
  #k: Uint8Array | undefined;
  #n = 0;

  constructor(options: {
    readonly initiator: boolean;
    readonly prologue: Uint8Array;
    readonly psk: Uint8Array;
    readonly s: Uint8Array;
    readonly e: Uint8Array;
    readonly rs?: Uint8Array;
  }) {
    this.#initiator = options.initiator;
    this.#psk = options.psk;
    this.#s = options.s;
    this.#e = options.e;
    this.rs = options.rs;
    const name = new TextEncoder().encode('Noise_IKpsk2_25519_ChaChaPoly_BLAKE2s');
    this.#h = blake2s(name); // longer than HASHLEN
    this.#ck = this.#h;
    this.mixHash('prologue', options.prologue);
    this.mixHash('pre-message s', options.initiator ? this.#need(options.rs) : x25519.getPublicKey(options.s));
  }

  mixHash(step: string, data: Uint8Array): void {
    this.#h = blake2s(Uint8Array.from([...this.#h, ...data]));
    this.#record(step);
  }

  /** -> e, es, s, ss */
  writeMessage1(payload: Uint8Array): Uint8Array {
    const e = x25519.getPublicKey(this.#e);
    this.#token('e', e);
    this.#mixKey('es', x25519.getSharedSecret(this.#e, this.#need(this.rs)));
    const s = this.#encrypt('s', x25519.getPublicKey(this.#s));
    this.#mixKey('ss', x25519.getSharedSecret(this.#s, this.#need(this.rs)));
    return Uint8Array.from([...e, ...s, ...this.#encrypt('payload', payload)]);
  }

  readMessage1(message: Uint8Array): Uint8Array {
    this.re = message.slice(0, 32);
    this.#token('e', this.re);
    this.#mixKey('es', x25519.getSharedSecret(this.#s, this.re));
    this.rs = this.#decrypt('s', message.slice(32, 80));
    this.#mixKey('ss', x25519.getSharedSecret(this.#s, this.rs));
    return this.#decrypt('payload', message.slice(80));
  }

  /** <- e, ee, se, psk */
  writeMessage2(payload: Uint8Array): Uint8Array {
    const e = x25519.getPublicKey(this.#e);
    this.#token('e', e);
    this.#mixKey('ee', x25519.getSharedSecret(this.#e, this.#need(this.re)));
    this.#mixKey('se', x25519.getSharedSecret(this.#e, this.#need(this.rs)));
    this.#mixKeyAndHash(this.#psk);
    return Uint8Array.from([...e, ...this.#encrypt('payload', payload)]);
  }

  readMessage2(message: Uint8Array): Uint8Array {
    this.re = message.slice(0, 32);
    this.#token('e', this.re);
    this.#mixKey('ee', x25519.getSharedSecret(this.#e, this.re));
    this.#mixKey('se', x25519.getSharedSecret(this.#s, this.re));
    this.#mixKeyAndHash(this.#psk);
    return this.#decrypt('payload', message.slice(32));
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
