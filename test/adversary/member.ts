import { createCipheriv, createDecipheriv, randomBytes } from 'node:crypto';
import { until } from '../../lab/shell.ts';
import { type CookieMessage, decodeHandshake } from '../../src/session/codec.ts';
import { cookieKey, readCookieReply, withMac2 } from '../../src/session/cookie.ts';
import { keyPairOf } from '../../src/session/dh.ts';
import {
  createInitiation,
  type LocalParty,
  prologuesOf,
  type RemoteParty,
  readResponse,
} from '../../src/session/handshake.ts';
import { mac1Key } from '../../src/session/hash.ts';
import { type Identity, identityOf } from '../../src/session/identity.ts';
import { montgomeryKeys } from '../../src/session/keys.ts';
import { Psks } from '../../src/session/psks.ts';

/** A cluster without a pre-shared key. */
const NO_PSK = new Uint8Array(32);

/** What a session's owner may do with it, and what the programs never would. */
export interface Keys {
  readonly sendKey: Uint8Array;
  readonly receiveKey: Uint8Array;
  /** The receiver's id for it: what datagrams to it begin with. */
  readonly remoteId: bigint;
  readonly localId: bigint;
}

export function partyOf(identity: Identity): LocalParty {
  return {
    publicKey: identity.publicKey,
    keyPair: identity.keyPair,
    psks: new Psks(identity.publicKeyBytes, [NO_PSK]),
  };
}

function remoteOf(publicKey: Uint8Array): RemoteParty {
  const [staticKey] = montgomeryKeys([publicKey]);
  if (staticKey === undefined) throw new TypeError('a key has an image');
  return { publicKey, staticKey };
}

/** An initiation by `local` to a node, as anybody with that key pair can make it. */
export function initiation(
  local: LocalParty,
  remote: Uint8Array,
  options: { readonly cluster?: string; readonly timestampNs?: bigint; readonly senderId?: bigint } = {},
) {
  const senderId = options.senderId ?? randomBytes(8).readBigUInt64LE();
  const made = createInitiation(
    { prologues: prologuesOf(options.cluster ?? 'warehouse'), local, remote: remoteOf(remote) },
    {
      senderId: senderId as never,
      timestampNs: options.timestampNs ?? BigInt(Date.now()) * 1_000_000n,
      ephemeral: keyPairOf(randomBytes(32)),
    },
  );
  if (made === undefined) throw new Error('the key is of low order');
  return { ...made, senderId };
}

/** The keys that a response to `made` brings; undefined: it is none. */
function finish(made: ReturnType<typeof initiation>, payload: Uint8Array): Keys | undefined {
  const message = decodeHandshake(payload);
  if (message?.type !== 'response' || message.receiverId !== made.senderId) return undefined;
  const keys = readResponse(made.psk, made.state, message);
  return keys && { ...keys, remoteId: message.senderId, localId: made.senderId };
}

/** The datagram with a cookie of the node that sent `reply`; undefined: it is no cookie reply to it. */
export function withCookie(datagram: Uint8Array, victim: Uint8Array, reply: Uint8Array): Uint8Array | undefined {
  const message = decodeHandshake(reply);
  if (message?.type !== 'cookie') return undefined;
  const cookie = readCookieReply({ sealing: cookieKey(victim, NO_PSK), mac1: mac1Key(victim, NO_PSK) }, datagram, {
    message: message as CookieMessage,
    datagram: reply,
  });
  return cookie && withMac2(datagram, cookie);
}

function nonce(counter: bigint): Buffer {
  const bytes = Buffer.alloc(12);
  bytes.writeBigUInt64LE(counter, 4);
  return bytes;
}

/**
 * One member's session with a victim, in user space: it encrypts whatever frame it likes, as the owner of a machine can
 * who has its session keys.
 */
export class Sealer {
  readonly #keys: Keys;
  #counter = 0n;

  constructor(keys: Keys) {
    this.#keys = keys;
  }

  /** UDP payload: header and ciphertext (docs/protocol.md, section 5). */
  seal(frame: Uint8Array): Buffer {
    const counter = this.#counter++;
    const header = Buffer.alloc(16);
    header.writeBigUInt64LE(this.#keys.remoteId);
    header.writeBigUInt64LE(counter, 8);
    const cipher = createCipheriv('chacha20-poly1305', this.#keys.sendKey, nonce(counter), { authTagLength: 16 });
    cipher.setAAD(header, { plaintextLength: frame.length });
    const text = cipher.update(frame);
    cipher.final();
    return Buffer.concat([header, cipher.getAuthTag(), text]);
  }

  /** The frame inside; undefined: not of this session. */
  open(payload: Buffer): Buffer | undefined {
    if (payload.length < 32 || payload.readBigUInt64LE(0) !== this.#keys.localId) return undefined;
    const counter = payload.readBigUInt64LE(8);
    const decipher = createDecipheriv('chacha20-poly1305', this.#keys.receiveKey, nonce(counter), {
      authTagLength: 16,
    });
    decipher.setAAD(payload.subarray(0, 16), { plaintextLength: payload.length - 32 });
    decipher.setAuthTag(payload.subarray(16, 32));
    const frame = decipher.update(payload.subarray(32));
    decipher.final();
    return frame;
  }
}

export interface Carrier {
  /** Sends a UDP payload to the victim. */
  readonly send: (payload: Uint8Array) => void;
  /** UDP payloads that came back so far. */
  readonly heard: readonly Buffer[];
}

/** Makes a session as `identity`, by whatever way the carrier takes; answers a cookie. */
export async function handshake(
  identity: Identity,
  victim: Uint8Array,
  carrier: Carrier,
  timeoutMs = 10_000,
): Promise<Sealer> {
  const local = partyOf(identity);
  let made = initiation(local, victim);
  let sentMs = 0;
  let from = carrier.heard.length;
  return await until(
    'the victim answers the handshake',
    () => {
      for (; from < carrier.heard.length; from++) {
        const payload = carrier.heard[from];
        const keys = payload && finish(made, payload);
        if (keys !== undefined) {
          const sealer = new Sealer(keys);
          // The first datagram confirms the session.
          carrier.send(sealer.seal(Buffer.alloc(0)));
          return sealer;
        }
        const proved = payload && withCookie(made.datagram, victim, payload);
        if (proved !== undefined) carrier.send(proved);
      }
      if (performance.now() - sentMs > 1_000) {
        made = initiation(local, victim);
        sentMs = performance.now();
        carrier.send(made.datagram);
      }
      return undefined;
    },
    timeoutMs,
    5,
  );
}

/** The identity of a lab's host, from its file: whoever has the machine has it. */
export function stolen(seedText: string): Identity {
  return identityOf(Buffer.from(seedText.trim(), 'base64'));
}
