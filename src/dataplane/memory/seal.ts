import { chacha20poly1305 } from '@noble/ciphers/chacha.js';

/*
 * A data datagram, docs/protocol.md: u64 session id, u64 counter (both little-endian), 16-byte tag, ciphertext.
 * The same bytes as the kernel engine's, so that what holds here holds on the wire.
 */
export const HEADER_BYTES = 32;
const TAG_BYTES = 16;
const NONCE_BYTES = 12;

export interface Header {
  readonly sessionId: bigint;
  readonly counter: bigint;
}

/** The first 16 bytes of any datagram; undefined for one that is too short to be data. */
export function readHeader(datagram: Uint8Array): Header | undefined {
  if (datagram.length < HEADER_BYTES) return undefined;
  const view = viewOf(datagram);
  return { sessionId: view.getBigUint64(0, true), counter: view.getBigUint64(8, true) };
}

/** RFC 8439, section 2.8; nonce = 0x00000000 || counter, associated data = the first 16 bytes. */
export function seal(key: Uint8Array, header: Header, frame: Uint8Array): Uint8Array {
  const datagram = new Uint8Array(HEADER_BYTES + frame.length);
  const view = viewOf(datagram);
  view.setBigUint64(0, header.sessionId, true);
  view.setBigUint64(8, header.counter, true);
  const aad = datagram.subarray(0, 16);
  const sealed = chacha20poly1305(key, nonceOf(header.counter), aad).encrypt(frame);
  datagram.set(sealed.subarray(frame.length), 16);
  datagram.set(sealed.subarray(0, frame.length), HEADER_BYTES);
  return datagram;
}

/** The frame, or undefined where the tag does not verify. */
export function open(key: Uint8Array, datagram: Uint8Array): Uint8Array | undefined {
  const header = readHeader(datagram);
  if (header === undefined) return undefined;
  const frameBytes = datagram.length - HEADER_BYTES;
  const sealed = new Uint8Array(frameBytes + TAG_BYTES);
  sealed.set(datagram.subarray(HEADER_BYTES), 0);
  sealed.set(datagram.subarray(16, HEADER_BYTES), frameBytes);
  try {
    return chacha20poly1305(key, nonceOf(header.counter), datagram.subarray(0, 16)).decrypt(sealed);
  } catch {
    // The library throws for a wrong tag, and for nothing else that can happen here.
    return undefined;
  }
}

function nonceOf(counter: bigint): Uint8Array {
  const nonce = new Uint8Array(NONCE_BYTES);
  viewOf(nonce).setBigUint64(4, counter, true);
  return nonce;
}

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

/** As many counters behind the newest as the kernel engine accepts (RFC 6479 ring of 64 words, one of them in use). */
export const REPLAY_WINDOW = 4032n;

/** Which counters were accepted. */
export class ReplayWindow {
  #latest = -1n;
  readonly #seen = new Set<bigint>();

  /** False: seen before, or too old to tell. Call only for authentic datagrams. */
  accept(counter: bigint): boolean {
    if (counter + REPLAY_WINDOW <= this.#latest || this.#seen.has(counter)) return false;
    this.#seen.add(counter);
    if (counter > this.#latest) this.#latest = counter;
    if (this.#seen.size > 2 * Number(REPLAY_WINDOW)) this.#forget();
    return true;
  }

  #forget(): void {
    for (const counter of this.#seen) if (counter + REPLAY_WINDOW <= this.#latest) this.#seen.delete(counter);
  }
}
