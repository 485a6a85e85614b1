import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmdirSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { projectRoot } from '../../lab/lab.ts';
import { type BpfMap, loadNative } from '../../src/dataplane/kernel/native.ts';
import { OUTER } from './frames.ts';

interface Vectors {
  readonly block: readonly { section: string; key: string; nonce: string; counter: number; keystream: string }[];
  readonly encryption: readonly {
    section: string;
    key: string;
    nonce: string;
    counter: number;
    plaintext: string;
    ciphertext: string;
  }[];
  readonly mac: readonly { section: string; key: string; message: string; tag: string }[];
  readonly macKey: readonly { section: string; key: string; nonce: string; macKey: string }[];
  readonly aead: readonly {
    section: string;
    key: string;
    nonce: string;
    aad: string;
    plaintext: string;
    ciphertext: string;
    tag: string;
  }[];
}

/** RFC 8439's own examples; binary values are in hex. */
export function rfc8439(): Vectors {
  return JSON.parse(readFileSync(join(projectRoot, 'test/vectors/rfc8439.json'), 'utf8')) as Vectors;
}

const PROGRAMS = ['chacha20', 'poly1305', 'blake2s', 'seal', 'open'] as const;
const FORGED = 1;

/** Constants, key, block counter, nonce: RFC 8439, section 2.3. */
function state(key: Uint8Array, counter: number, nonce: Uint8Array): Buffer {
  const count = Buffer.alloc(4);
  count.writeUInt32LE(counter);
  return Buffer.concat([Buffer.from('expand 32-byte k'), key, count, nonce]);
}

interface Sealing {
  readonly key: Uint8Array;
  readonly nonce: Uint8Array;
  readonly aad: Uint8Array;
}

/** The ciphers and the hash inside BPF, each as a program of its own that a test run works on (bpf/omni_selftest.bpf.c). */
export class Selftest {
  readonly #native = loadNative();
  readonly #folder: string;
  readonly #input: BpfMap;

  private constructor(folder: string, input: BpfMap) {
    this.#folder = folder;
    this.#input = input;
  }

  static async load(): Promise<Selftest> {
    const native = loadNative();
    const folder = mkdtempSync(join(tmpdir(), 'omni-test-primitives-'));
    native.mountBpffs({ path: folder });
    await native.loadObject({
      object: join(projectRoot, 'build/bpf/omni_selftest.bpf.o'),
      pinMaps: folder,
      pinPrograms: Object.fromEntries(PROGRAMS.map((name) => [`selftest_${name}`, join(folder, name)])),
      rodata: {},
    });
    return new Selftest(folder, new native.BpfMap({ pin: join(folder, 'selftest_map') }));
  }

  close(): void {
    this.#input.close();
    execFileSync('umount', [this.#folder]);
    rmdirSync(this.#folder);
  }

  chacha20(key: Uint8Array, counter: number, nonce: Uint8Array, text: Uint8Array): Buffer {
    const out: Buffer[] = [];
    let next = state(key, counter, nonce);
    for (let at = 0; at < text.length; at += 64) {
      const block = Buffer.alloc(64);
      block.set(text.subarray(at, at + 64));
      const data = this.#run('chacha20', Buffer.concat([next, block]));
      next = data.subarray(0, 64);
      out.push(data.subarray(64));
    }
    return Buffer.concat(out).subarray(0, text.length);
  }

  poly1305(key: Uint8Array, message: Uint8Array): Buffer {
    const partial = message.length % 16 !== 0;
    const padded = Buffer.alloc(Math.ceil(message.length / 16) * 16);
    padded.set(message);
    if (partial) padded[message.length] = 1;
    this.#setInput(new Uint8Array(64), 0, partial);
    return this.#run('poly1305', Buffer.concat([key, padded, new Uint8Array(16)])).subarray(-16);
  }

  /** One call of the compression function (RFC 7693, section 3.2): chain and counter of 40 bytes, and a block of 64. */
  blake2s(chain: Uint8Array, count: Uint8Array, block: Uint8Array): Buffer {
    return this.#run('blake2s', Buffer.concat([chain, count, block])).subarray(0, 40);
  }

  /** The packet, sealed in place: tag and ciphertext. */
  seal(sealing: Sealing, plaintext: Uint8Array): Buffer {
    this.#setSealing(sealing);
    return this.#run('seal', sealedPacket(sealing.aad, new Uint8Array(16), plaintext));
  }

  /** `packet` as `sealedPacket` makes it; what comes back is the whole of it. */
  open(sealing: Sealing, packet: Buffer): { readonly forged: boolean; readonly packet: Buffer } {
    this.#setSealing(sealing);
    const { retval, data } = this.#native.testRun({ pin: join(this.#folder, 'open'), data: packet });
    if (retval !== 0 && retval !== FORGED) throw new Error(`selftest_open returned ${retval}`);
    return { forged: retval === FORGED, packet: data };
  }

  #run(program: (typeof PROGRAMS)[number], data: Uint8Array): Buffer {
    const result = this.#native.testRun({ pin: join(this.#folder, program), data });
    if (result.retval !== 0) throw new Error(`selftest_${program} returned ${result.retval}`);
    return result.data;
  }

  #setSealing({ key, nonce, aad }: Sealing): void {
    this.#setInput(state(key, 0, nonce), aad.length, false);
  }

  #setInput(cipher: Uint8Array, aadLength: number, partial: boolean): void {
    const tail = Buffer.alloc(8);
    tail.writeUInt32LE(aadLength);
    tail.writeUInt32LE(Number(partial), 4);
    this.#input.update({ key: Buffer.alloc(4), value: Buffer.concat([cipher, tail]) });
  }
}

/** A packet of the shape that lib/aead.h works on. */
export function sealedPacket(aad: Uint8Array, tag: Uint8Array, text: Uint8Array): Buffer {
  const padded = Buffer.alloc(16);
  padded.set(aad);
  return Buffer.concat([Buffer.alloc(OUTER, 0xee), padded, tag, text]);
}
