import { readFileSync } from 'node:fs';
import { xchacha20poly1305 } from '@noble/ciphers/chacha.js';
import { blake2s } from '@noble/hashes/blake2.js';
import { MlKem768 } from 'mlkem';
import { ReferenceHandshake } from './reference.ts';

/** The vectors of docs/protocol.md for version 2 and for cookies, made without anything of src/session. */

export const unhex = (text: string): Uint8Array => Uint8Array.from(Buffer.from(text, 'hex'));
export const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');

export interface NodeVector {
  readonly seed: string;
  readonly ed25519Public: string;
  readonly x25519Private: string;
  readonly x25519Public: string;
  readonly mac1Key: string;
}

/** Those of version 1, whose nodes, ids and ephemerals the others share. */
export const classic = JSON.parse(readFileSync(new URL('../../../vectors/protocol.json', import.meta.url), 'utf8')) as {
  readonly cluster: string;
  readonly psk: string;
  readonly initiator: NodeVector;
  readonly responder: NodeVector;
  readonly handshake: Readonly<
    Record<
      'initiatorEphemeral' | 'responderEphemeral' | 'initiatorId' | 'responderId' | 'timestampNs' | 'initiation',
      string
    >
  >;
};

const bytes = (from: number, length: number) => Uint8Array.from({ length }, (_, index) => (from + index) & 0xff);
const concat = (...parts: readonly Uint8Array[]) => Uint8Array.from(parts.flatMap((part) => [...part]));
const ascii = (text: string) => new TextEncoder().encode(text);
const mac = (key: Uint8Array, data: Uint8Array) => blake2s(data, { key, dkLen: 16 });

function u64(value: string): Uint8Array {
  const encoded = new Uint8Array(8);
  new DataView(encoded.buffer).setBigUint64(0, BigInt(value), true);
  return encoded;
}

const header = (type: number, version: number) =>
  Uint8Array.from([...new Array(8).fill(0), type, version, 0, 0, 0, 0, 0, 0]);

export async function hybridVectors() {
  const { cluster, psk, initiator, responder, handshake } = classic;
  const kem = new MlKem768();
  const [kemSeed, kemMessage] = [bytes(0xa0, 64), bytes(0xe0, 32)];
  const [e1, decapsulationKey] = await kem.deriveKeyPair(kemSeed);
  const prologue = concat(ascii('OmniNervous v2'), Uint8Array.of(cluster.length), ascii(cluster));
  const common = { hybrid: true, prologue, psk: unhex(psk) };
  const caller = new ReferenceHandshake({
    ...common,
    initiator: true,
    s: unhex(initiator.x25519Private),
    e: unhex(handshake.initiatorEphemeral),
    rs: unhex(responder.x25519Public),
  });
  const called = new ReferenceHandshake({
    ...common,
    initiator: false,
    s: unhex(responder.x25519Private),
    e: unhex(handshake.responderEphemeral),
  });
  const firstHeader = concat(header(1, 2), u64(handshake.initiatorId));
  for (const side of [caller, called]) side.mixHash('bound 1', firstHeader);
  const first = caller.writeMessage1(u64(handshake.timestampNs), e1);
  const afterFirst = caller.trace.at(-1);
  called.readMessage1(first);
  const [ciphertext, secret] = await kem.encap(called.re1 ?? new Uint8Array(), kemMessage);
  const secondHeader = concat(header(2, 2), u64(handshake.responderId), u64(handshake.initiatorId));
  for (const side of [caller, called]) side.mixHash('bound 2', secondHeader);
  const second = called.writeMessage2(new Uint8Array(), { ciphertext, secret });
  const ours = await kem.decap(ciphertext, decapsulationKey);
  caller.readMessage2(second, () => ours);
  const keys = caller.split();
  return {
    about:
      'Test vectors of docs/protocol.md, version 2. The nodes, their names, ids, X25519 ephemerals and the time stamp are those of protocol.json. Bytes are hexadecimal. Made with noble and mlkem.',
    prologue: hex(prologue),
    kemSeed: hex(kemSeed),
    kemMessage: hex(kemMessage),
    kemCiphertext: hex(ciphertext),
    kemSecret: hex(secret),
    initiation: hex(withMac1(concat(firstHeader, first), 128, responder.mac1Key)),
    hashAfterInitiation: afterFirst?.h ?? '',
    chainingKeyAfterInitiation: afterFirst?.ck ?? '',
    response: hex(withMac1(concat(secondHeader, second), 80, initiator.mac1Key)),
    hashAfterResponse: called.trace.at(-1)?.h ?? '',
    initiatorToResponderKey: hex(keys.sendKey),
    responderToInitiatorKey: hex(keys.receiveKey),
  };
}

const ADDRESSES = [
  { address: '192.0.2.1', port: 51820, bytes: '00000000000000000000ffffc0000201' },
  { address: '198.51.100.254', port: 1, bytes: '00000000000000000000ffffc63364fe' },
  { address: '2001:db8::f00d:1', port: 65535, bytes: '20010db80000000000000000f00d0001' },
] as const;

/** Under two secrets, of initiations of both versions, from addresses of both families. */
export async function cookieVectors() {
  const { psk, responder, handshake } = classic;
  const initiations = [unhex(handshake.initiation), unhex((await hybridVectors()).initiation)];
  const publicKey = unhex(responder.ed25519Public);
  const cookieKey = blake2s(concat(ascii('omni cookie'), publicKey, unhex(psk)));
  const cases = [bytes(0x11, 32), bytes(0xc0, 32)].flatMap((secret, nth) =>
    initiations.flatMap((initiation) =>
      ADDRESSES.map(({ address, port, bytes: place }, which) => {
        const cookie = mac(secret, concat(unhex(place), Uint8Array.of(port >> 8, port & 0xff)));
        const covered = initiation.slice(0, 128);
        const mac1 = initiation.slice(-32, -16);
        const mac2 = mac(concat(cookie, new Uint8Array(16)), concat(covered, mac1));
        const nonce = bytes(0x30 + 8 * which + nth, 24);
        const sealed = xchacha20poly1305(cookieKey, nonce, mac1).encrypt(cookie);
        const reply = concat(header(3, initiation[9] ?? 0), u64(handshake.initiatorId), nonce, sealed);
        return {
          version: initiation[9] ?? 0,
          address,
          port,
          secret: hex(secret),
          cookie: hex(cookie),
          covered: hex(covered),
          mac1: hex(mac1),
          mac2: hex(mac2),
          nonce: hex(nonce),
          reply: hex(withMac1(reply, 80, responder.mac1Key)),
        };
      }),
    ),
  );
  return {
    about:
      'Cookies of docs/protocol.md: what the responder of protocol.json makes for initiators at some addresses; covered and mac1 are of the initiations there and in hybrid.json. mac1 of a reply is under the mac1 key of the node that sends it. Bytes are hexadecimal. Made with noble.',
    cookieKey: hex(cookieKey),
    cases,
  };
}

function withMac1(message: Uint8Array, covered: number, key: string): Uint8Array {
  return concat(message, mac(unhex(key), message.slice(0, covered)), new Uint8Array(16));
}
