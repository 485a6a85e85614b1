import { rfc8439, Selftest } from '../../bpf/selftest.ts';
import type { KernelReport } from '../report.ts';

const hex = (text: string) => Buffer.from(text, 'hex');

/** RFC 8439's vectors through the ciphers as this kernel verified, compiled and runs them. */
export async function runSelftest(): Promise<KernelReport['selftest']> {
  const vectors = rfc8439();
  const selftest = await Selftest.load();
  const wrong: string[] = [];
  let count = 0;
  const check = (name: string, found: Buffer, expected: string) => {
    count++;
    if (found.toString('hex') !== expected) wrong.push(name);
  };
  try {
    for (const { section, key, nonce, counter, keystream } of vectors.block) {
      check(`${section} block`, selftest.chacha20(hex(key), counter, hex(nonce), new Uint8Array(64)), keystream);
    }
    for (const { section, key, nonce, counter, plaintext, ciphertext } of vectors.encryption) {
      check(`${section} cipher`, selftest.chacha20(hex(key), counter, hex(nonce), hex(plaintext)), ciphertext);
    }
    for (const { section, key, nonce, macKey } of vectors.macKey) {
      check(`${section} key`, selftest.chacha20(hex(key), 0, hex(nonce), new Uint8Array(32)), macKey);
    }
    for (const { section, key, message, tag } of vectors.mac) {
      check(`${section} mac`, selftest.poly1305(hex(key), hex(message)), tag);
    }
    for (const { section, key, nonce, aad, plaintext, ciphertext, tag } of vectors.aead) {
      const sealing = { key: hex(key), nonce: hex(nonce), aad: hex(aad) };
      const sealed = selftest.seal(sealing, hex(plaintext));
      check(`${section} sealed`, sealed.subarray(-hex(ciphertext).length - 16), tag + ciphertext);
      const { forged, packet } = selftest.open(sealing, sealed);
      check(`${section} opened`, packet.subarray(-hex(plaintext).length), plaintext);
      if (forged) wrong.push(`${section} refused`);
      sealed.writeUInt8(sealed.readUInt8(sealed.length - 1) ^ 1, sealed.length - 1);
      if (!selftest.open(sealing, sealed).forged) wrong.push(`${section} forgery accepted`);
    }
  } finally {
    selftest.close();
  }
  return { vectors: count, wrong };
}
