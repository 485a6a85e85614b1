import { secretBytes } from './secret-bytes.ts';

/** Base64 (RFC 4648, section 4) of secrets, from bytes to bytes: a string cannot be wiped. */

const ALPHABET = Buffer.from('ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/', 'latin1');
const PAD = '='.charCodeAt(0);
/** By character; 255: it is none of the alphabet. */
const VALUES = new Uint8Array(256).fill(255);
for (const [value, character] of ALPHABET.entries()) VALUES[character] = value;

/** The text's ASCII bytes, padded. The caller wipes them. */
export function encodeSecret(secret: Uint8Array): Uint8Array {
  const text = secretBytes(Math.ceil(secret.length / 3) * 4).fill(PAD);
  for (let from = 0, to = 0; from < secret.length; from += 3, to += 4) {
    const [first = 0, second = 0, third = 0] = secret.subarray(from, from + 3);
    const group = (first << 16) | (second << 8) | third;
    const characters = Math.min(4, secret.length - from + 1);
    for (let at = 0; at < characters; at++) text[to + at] = ALPHABET[(group >> (18 - 6 * at)) & 63] ?? PAD;
  }
  return text;
}

/** The secret, for the caller to wipe. Undefined: the text is not canonical, padded base64, of which one secret has one. */
export function decodeSecret(text: Uint8Array): Uint8Array | undefined {
  if (text.length % 4 !== 0) return undefined;
  const padding = text.at(-1) !== PAD ? 0 : text.at(-2) !== PAD ? 1 : 2;
  const secret = secretBytes((text.length / 4) * 3 - padding);
  let invalid = 0;
  for (let from = 0, to = 0; from < text.length; from += 4, to += 3) {
    let group = 0;
    for (let at = 0; at < 4; at++) {
      const value = from + at >= text.length - padding ? 0 : (VALUES[text[from + at] ?? 0] ?? 255);
      invalid |= value & 0xc0;
      group = (group << 6) | (value & 63);
    }
    secret.set([group >> 16, (group >> 8) & 255, group & 255].slice(0, secret.length - to), to);
    // What a byte does not take of the last character must be zero.
    if (from + 4 === text.length) invalid |= group & ((1 << (8 * padding)) - 1);
  }
  if (invalid === 0) return secret;
  secret.fill(0);
  return undefined;
}

/** What is between white space at both ends; the same memory. */
export function trimmed(text: Uint8Array): Uint8Array {
  let [start, end] = [0, text.length];
  while (start < end && isSpace(text[start])) start++;
  while (end > start && isSpace(text[end - 1])) end--;
  return text.subarray(start, end);
}

/** ASCII's. */
function isSpace(character: number | undefined): boolean {
  return character === 0x20 || (character !== undefined && character >= 0x09 && character <= 0x0d);
}
