import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, mkdtempSync, openSync, readFileSync, readSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Readable } from 'node:stream';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, expect, test } from 'vitest';

/** No private key is a text anywhere in a process's memory: a string cannot be wiped, and outlives what it was made for. */

const SCRIPT = fileURLToPath(new URL('support/private-halves.mjs', import.meta.url));
const END = Buffer.alloc(32);
const KEYS = 103;
/** Characters in a row that no text of other bytes has by chance: 120 bits. */
const NEEDLE_LEN = 20;
const CHUNK = 16 << 20;

let folder = '';
let child: ChildProcess | undefined;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'omni-private-'));
});
afterEach(() => {
  child?.kill('SIGKILL');
  rmSync(folder, { recursive: true });
});

/** The private bytes that the child has, which it holds on to until it is killed. */
async function privateBytes(how: 'ours' | 'jwk'): Promise<readonly Buffer[]> {
  child = spawn(process.execPath, ['--expose-gc', SCRIPT, how, join(folder, 'identity.key')], {
    stdio: ['pipe', 'ignore', 'inherit', 'pipe'],
  });
  let bytes = Buffer.alloc(0);
  for await (const chunk of child.stdio[3] as Readable) {
    bytes = Buffer.concat([bytes, chunk as Buffer]);
    if (bytes.subarray(-32).equals(END) && bytes.length % 32 === 0) break;
  }
  const keys = Array.from({ length: bytes.length / 32 - 1 }, (_, at) => bytes.subarray(at * 32, (at + 1) * 32));
  expect(keys).toHaveLength(KEYS);
  return keys;
}

/** By the first characters of what is looked for: which of `needles` the writable memory of the child holds. */
function found(needles: readonly string[]): readonly string[] {
  const pid = child?.pid ?? 0;
  const byStart = new Map<number, string[]>();
  for (const needle of needles) {
    const start = Buffer.from(needle, 'latin1').readUInt32LE();
    byStart.set(start, [...(byStart.get(start) ?? []), needle]);
  }
  const hits = new Set<string>();
  const memory = openSync(`/proc/${pid}/mem`, 'r');
  const buffer = Buffer.alloc(CHUNK + NEEDLE_LEN);
  try {
    for (const line of readFileSync(`/proc/${pid}/maps`, 'utf8').split('\n')) {
      const [, from, to] = /^([0-9a-f]+)-([0-9a-f]+) rw/.exec(line) ?? [];
      if (from === undefined || to === undefined) continue;
      const end = BigInt(`0x${to}`);
      for (let at = BigInt(`0x${from}`); at < end; at += BigInt(CHUNK)) {
        const length = Number(end - at < BigInt(buffer.length) ? end - at : BigInt(buffer.length));
        search(buffer.subarray(0, read(memory, buffer, length, at)), byStart, hits);
      }
    }
  } finally {
    closeSync(memory);
  }
  return [...hits];
}

function read(memory: number, buffer: Buffer, length: number, position: bigint): number {
  try {
    return readSync(memory, buffer, 0, length, position);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EIO') return 0; // unmapped meanwhile, or no memory
    throw error;
  }
}

function search(memory: Buffer, byStart: ReadonlyMap<number, readonly string[]>, hits: Set<string>): void {
  let start = 0;
  for (let at = 0; at < memory.length; at++) {
    start = (start >>> 8) | ((memory[at] ?? 0) << 24);
    for (const needle of byStart.get(start >>> 0) ?? []) {
      if (memory.toString('latin1', at - 3, at - 3 + NEEDLE_LEN) === needle) hits.add(needle);
    }
  }
}

function texts(keys: readonly Buffer[]): readonly string[] {
  return keys
    .flatMap((key) => (['base64', 'base64url', 'hex'] as const).map((form) => key.toString(form).slice(0, NEEDLE_LEN)))
    .filter((text, at, all) => all.indexOf(text) === at);
}

test('of ephemeral keys, a seed and a key file none is found', { timeout: 60_000 }, async () => {
  expect(found(texts(await privateBytes('ours')))).toEqual([]);
});

test('and they would be found', { timeout: 60_000 }, async () => {
  expect(found(texts(await privateBytes('jwk'))).length).toBeGreaterThan(10);
  child?.stdin?.end();
  expect(await once(child as ChildProcess, 'exit')).toEqual([0, null]);
});
