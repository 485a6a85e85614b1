import { createCipheriv, createDecipheriv, hkdfSync } from 'node:crypto';
import { setImmediate } from 'node:timers/promises';
import { base64nopad } from '@scure/base';
import { type Identity, type Recipient, Stanza } from 'age-encryption';
import { type DhKeyPair, generateKeyPair } from '../session/dh.ts';

/*
 * age's X25519 recipient stanza (age-encryption.org/v1) over the key pairs of sessions, which keep their private halves to
 * themselves; the library's own takes it as a text that nobody can wipe, and 20 times as long, which a thousand members
 * would feel.
 *
 *     -> X25519 <ephemeral public key>
 *     <file key, 16 bytes, and tag>
 */
const TYPE = 'X25519';
const INFO = 'age-encryption.org/v1/X25519';
const CIPHER = 'chacha20-poly1305';
const KEY_LEN = 32;
const FILE_KEY_LEN = 16;
const TAG_LEN = 16;
/** Every wrapping key is used once. */
const NONCE = new Uint8Array(12);
/** Stanzas of others that are tried before the event loop has its turn: a few milliseconds. */
const BATCH = 64;

/** Encrypts to an X25519 key, 32 bytes. */
export function recipientOf(publicKey: Uint8Array): Recipient {
  return {
    wrapFileKey(fileKey) {
      const ephemeral = generateKeyPair();
      const shared = ephemeral.agree(publicKey);
      if (shared === undefined) throw new RangeError('a key of low order is no recipient');
      const cipher = createCipheriv(CIPHER, wrappingKey(shared, ephemeral.publicKey, publicKey), NONCE, {
        authTagLength: TAG_LEN,
      });
      const body = Buffer.concat([cipher.update(fileKey), cipher.final(), cipher.getAuthTag()]);
      return [new Stanza([TYPE, base64nopad.encode(ephemeral.publicKey)], body)];
    },
  };
}

/** Decrypts with a node's key pair. `attempted`: a file's header was read; `matched`: one of its stanzas is for this key. */
export class NodeIdentity implements Identity {
  attempted = false;
  matched = false;
  readonly #keyPair: DhKeyPair;

  constructor(keyPair: DhKeyPair) {
    this.#keyPair = keyPair;
  }

  async unwrapFileKey(stanzas: Stanza[]): Promise<Uint8Array | null> {
    this.attempted = true;
    for (const [index, stanza] of stanzas.entries()) {
      if (index % BATCH === BATCH - 1) await setImmediate();
      const fileKey = stanza.args[0] === TYPE ? this.#open(stanza) : undefined;
      if (fileKey === undefined) continue;
      this.matched = true;
      return fileKey;
    }
    return null;
  }

  /** Undefined: for somebody else. Throws for what is no X25519 stanza, as the format demands. */
  #open({ args, body }: Stanza): Uint8Array | undefined {
    const share = base64nopad.decode(args[1] ?? '');
    if (args.length !== 2 || share.length !== KEY_LEN || body.length !== FILE_KEY_LEN + TAG_LEN) {
      throw new RangeError('a malformed X25519 stanza');
    }
    const shared = this.#keyPair.agree(share);
    if (shared === undefined) throw new RangeError('an X25519 stanza with a key of low order');
    const key = wrappingKey(shared, share, this.#keyPair.publicKey);
    const decipher = createDecipheriv(CIPHER, key, NONCE, { authTagLength: TAG_LEN });
    decipher.setAuthTag(body.subarray(FILE_KEY_LEN));
    const fileKey = decipher.update(body.subarray(0, FILE_KEY_LEN));
    try {
      decipher.final();
      return fileKey;
    } catch {
      fileKey.fill(0);
      return undefined;
    }
  }
}

/** HKDF-SHA-256 (RFC 5869) of the shared secret, salted with both public keys. Wipes `shared`. */
function wrappingKey(shared: Uint8Array, share: Uint8Array, recipient: Uint8Array): Uint8Array {
  const key = hkdfSync('sha256', shared, Buffer.concat([share, recipient]), INFO, KEY_LEN);
  shared.fill(0);
  return new Uint8Array(key);
}
