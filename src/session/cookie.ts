import { xchacha20poly1305 } from '@noble/ciphers/chacha.js';
import { parseIp } from '../manifest/net.ts';
import type { Endpoint } from '../reconcile/dataplane.ts';
import { type CookieMessage, cookieHeader, type InitiationMessage, macsOf, withoutMacs } from './codec.ts';
import { blake2s, equalBytes, MAC_LEN, macBlake2s } from './hash.ts';

/**
 * Cookies (docs/protocol.md): a node that has more to do than it can answers an initiation with a number that only it
 * can make, bound to the address that the initiation came from. Whoever sends it back as the key of mac2 receives there.
 * The packet filter verifies mac2 as well (bpf/lib/control.h) and computes the same bytes.
 */

const COOKIE_LABEL = Buffer.from('omni cookie');
/** `::ffff:0:0/96` (RFC 4291, section 2.5.5.2). */
const MAPPED = Uint8Array.from([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff]);
/** A cookie is half of a BLAKE2s key; zeros are the rest. */
const MAC2_KEY_LEN = 32;

/** BLAKE2s-128 keyed with `secret` over address (16 bytes; IPv4 is mapped) || port (u16), both in network order. */
export function cookieOf(secret: Uint8Array, from: Endpoint): Uint8Array {
  const bytes = Buffer.alloc(18);
  bytes.set(addressBytes(from.address));
  bytes.writeUInt16BE(from.port, 16);
  return macBlake2s(secret, bytes);
}

/** BLAKE2s-128 keyed with cookie || 16 zero bytes, over what mac1 covers, then mac1. */
export function mac2Of(cookie: Uint8Array, datagram: Uint8Array): Uint8Array {
  const key = new Uint8Array(MAC2_KEY_LEN);
  key.set(cookie);
  const { covered, mac1 } = macsOf(datagram);
  return macBlake2s(key, Buffer.concat([covered, mac1]));
}

/** The same datagram, with its sender's address proved. */
export function withMac2(datagram: Uint8Array, cookie: Uint8Array): Uint8Array {
  const proved = Uint8Array.from(datagram);
  macsOf(proved).mac2.set(mac2Of(cookie, datagram));
  return proved;
}

/** Whether the sender of an initiation holds a cookie that one of `secrets` makes for `from`. */
export function provesAddress(secrets: readonly Uint8Array[], datagram: Uint8Array, from: Endpoint): boolean {
  const { mac2 } = macsOf(datagram);
  if (mac2.every((byte) => byte === 0)) return false;
  return secrets.some((secret) => equalBytes(mac2Of(cookieOf(secret, from), datagram), mac2));
}

/** BLAKE2s-256("omni cookie" || the Ed25519 key of the node that makes cookies, 32 bytes || PSK, 32 bytes). */
export function cookieKey(publicKey: Uint8Array, psk: Uint8Array): Uint8Array {
  return blake2s(COOKIE_LABEL, publicKey, psk);
}

/** The keys of a cookie reply: both those of the node that sends it, and of the PSK that the initiation came under. */
export interface CookieKeys {
  /** `cookieKey`. */
  readonly sealing: Uint8Array;
  /** The one that the initiation's mac1 is made with. */
  readonly mac1: Uint8Array;
}

/** A reply to `initiation`, sealed for whoever knows its mac1. `nonce`: 24 random bytes. */
export function createCookieReply(
  keys: CookieKeys,
  initiation: { readonly message: InitiationMessage; readonly datagram: Uint8Array },
  cookie: Uint8Array,
  nonce: Uint8Array,
): Uint8Array {
  const { version, senderId } = initiation.message;
  const sealed = xchacha20poly1305(keys.sealing, nonce, macsOf(initiation.datagram).mac1).encrypt(cookie);
  const reply = withoutMacs(cookieHeader(version, senderId), Buffer.concat([nonce, sealed]));
  const { covered, mac1 } = macsOf(reply);
  mac1.set(macBlake2s(keys.mac1, covered));
  return reply;
}

/** The cookie, 16 bytes. Undefined: not by the node that `initiation` was sent to, or not in answer to it. */
export function readCookieReply(
  keys: CookieKeys,
  initiation: Uint8Array,
  reply: { readonly message: CookieMessage; readonly datagram: Uint8Array },
): Uint8Array | undefined {
  const { covered, mac1 } = macsOf(reply.datagram);
  if (!equalBytes(macBlake2s(keys.mac1, covered), mac1)) return undefined;
  const { nonce, sealed } = reply.message;
  try {
    const cookie = xchacha20poly1305(keys.sealing, nonce, macsOf(initiation).mac1).decrypt(sealed);
    return cookie.length === MAC_LEN ? cookie : undefined;
  } catch {
    return undefined; // with a key, a nonce and a text of the right lengths: the tag does not verify
  }
}

/** 16 bytes, network order; a zone is none of the sender's business. */
function addressBytes(address: string): Uint8Array {
  const ip = parseIp(address.replace(/%.*$/, ''));
  if (!ip.ok) throw new RangeError(`not an IP address: ${ip.problem}`);
  return ip.value.family === 4 ? Uint8Array.from([...MAPPED, ...ip.value.bytes]) : ip.value.bytes;
}
