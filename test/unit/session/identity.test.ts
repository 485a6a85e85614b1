import { execFileSync } from 'node:child_process';
import {
  chmodSync,
  chownSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { inspect } from 'node:util';
import { ed25519, x25519 } from '@noble/curves/ed25519.js';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { OmniError } from '../../../src/errors.ts';
import { isCurvePoint } from '../../../src/manifest/keys.ts';
import { createIdentity, identityOf, readIdentity, readPsk, writeIdentity } from '../../../src/session/identity.ts';
import { montgomeryKeys } from '../../../src/session/keys.ts';

const MKFIFO = '/usr/bin/mkfifo';
let folder = '';
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'omni-identity-'));
});
afterEach(() => rmSync(folder, { recursive: true }));

function failureOf(run: () => unknown): OmniError {
  try {
    run();
  } catch (error) {
    if (error instanceof OmniError) return error;
    throw error;
  }
  throw new Error('it did not fail');
}

describe('identity.key', () => {
  test('is read back as it was written: one base64 line, mode 0600, folder made', () => {
    const path = join(folder, 'etc', 'identity.key');
    const identity = createIdentity();
    writeIdentity(path, identity);
    expect(readFileSync(path, 'ascii')).toMatch(/^[A-Za-z0-9+/]{43}=\n$/);
    expect(statSync(path).mode & 0o777).toBe(0o600);
    const read = readIdentity(path);
    expect(read.publicKey).toBe(identity.publicKey);
    expect(read.keyPair.publicKey).toEqual(identity.keyPair.publicKey);
    expect(isCurvePoint(read.publicKeyBytes)).toBe(true);
  });

  test('keeps mode 0600 under any umask', () => {
    const path = join(folder, 'identity.key');
    const before = process.umask(0);
    try {
      writeIdentity(path, createIdentity());
    } finally {
      process.umask(before);
    }
    expect(statSync(path).mode & 0o777).toBe(0o600);
  });

  test('is never overwritten', () => {
    const path = join(folder, 'identity.key');
    const first = createIdentity();
    writeIdentity(path, first);
    const error = failureOf(() => writeIdentity(path, createIdentity()));
    expect(error).toMatchObject({ code: 'identity-exists', exitCode: 2 });
    expect(error.fix).toBeTruthy();
    expect(readIdentity(path).publicKey).toBe(first.publicKey);
  });

  test('through a symbolic link is not overwritten either', () => {
    const path = join(folder, 'identity.key');
    symlinkSync(join(folder, 'elsewhere'), path);
    expect(failureOf(() => writeIdentity(path, createIdentity())).code).toBe('identity-exists');
  });

  test('that group or others can get at is refused', () => {
    const path = join(folder, 'identity.key');
    writeIdentity(path, createIdentity());
    for (const mode of [0o640, 0o604, 0o660, 0o601, 0o622]) {
      chmodSync(path, mode);
      expect(failureOf(() => readIdentity(path))).toMatchObject({ code: 'identity-exposed', exitCode: 2 });
    }
    chmodSync(path, 0o400);
    expect(readIdentity(path).publicKey).toHaveLength(44);
  });

  test.each([
    ['empty', ''],
    ['short', Buffer.alloc(31).toString('base64')],
    ['long', Buffer.alloc(33).toString('base64')],
    ['url-safe', Buffer.alloc(32, 0xfb).toString('base64url')],
    ['unpadded', Buffer.alloc(32, 7).toString('base64').slice(0, 43)],
    ['hexadecimal', Buffer.alloc(32, 7).toString('hex')],
    ['two lines', `${Buffer.alloc(32, 7).toString('base64')}\n${Buffer.alloc(32, 8).toString('base64')}`],
    ['huge', 'A'.repeat(1 << 20)],
    ['binary', Buffer.alloc(32, 0xff).toString('latin1')],
  ])('%s content is refused without a word of it', (_, content) => {
    const path = join(folder, 'identity.key');
    writeFileSync(path, content, { mode: 0o600, encoding: 'latin1' });
    const error = failureOf(() => readIdentity(path));
    expect(error).toMatchObject({ code: 'identity-invalid', exitCode: 2 });
    if (content.length > 8) expect(inspect(error, { depth: 5 })).not.toContain(content.slice(0, 16));
  });

  test('that is missing, a folder or a pipe', () => {
    expect(failureOf(() => readIdentity(join(folder, 'none')))).toMatchObject({
      code: 'identity-missing',
      exitCode: 2,
    });
    expect(failureOf(() => readIdentity(folder))).toMatchObject({ code: 'identity-unreadable', exitCode: 2 });
    const pipe = join(folder, 'pipe');
    execFileSync(MKFIFO, ['-m', '600', pipe]);
    expect(failureOf(() => readIdentity(pipe))).toMatchObject({ code: 'identity-unreadable', exitCode: 2 });
  });

  test('where nothing can be written', () => {
    const path = join(folder, 'file');
    writeFileSync(path, '');
    const error = failureOf(() => writeIdentity(join(path, 'identity.key'), createIdentity()));
    expect(error).toMatchObject({ code: 'identity-unwritable', exitCode: 2 });
  });
});

describe('an identity', () => {
  test('prints no secret', () => {
    const identity = identityOf(new Uint8Array(32).fill(0x41));
    const secret = Buffer.alloc(32, 0x41);
    const printed = inspect(identity, { depth: 9, showHidden: true }) + JSON.stringify(identity);
    expect(printed).not.toContain(secret.toString('base64'));
    expect(printed).not.toContain('65, 65, 65');
    expect(printed).not.toContain('41 41 41');
  });

  test('refuses a seed of another length', () => {
    expect(() => identityOf(new Uint8Array(31))).toThrow(RangeError);
  });

  test("derives the X25519 pair that noble's conversion gives", () => {
    for (let round = 0; round < 20; round++) {
      const identity = createIdentity();
      const seed = identity.seed();
      expect(Buffer.from(identity.publicKeyBytes)).toEqual(Buffer.from(ed25519.getPublicKey(seed)));
      const secret = ed25519.utils.toMontgomerySecret(seed);
      const other = x25519.utils.randomSecretKey();
      expect(Buffer.from(identity.keyPair.publicKey)).toEqual(Buffer.from(x25519.getPublicKey(secret)));
      expect(Buffer.from(identity.keyPair.agree(x25519.getPublicKey(other)) ?? [])).toEqual(
        Buffer.from(x25519.getSharedSecret(other, identity.keyPair.publicKey)),
      );
    }
  });
});

describe('psk', () => {
  test('is zeros where the node has none', () => {
    expect(readPsk(undefined)).toEqual(new Uint8Array(32));
  });

  test('is read from a file that only its owner reads', () => {
    const path = join(folder, 'psk');
    writeFileSync(path, `${Buffer.alloc(32, 5).toString('base64')}\n`, { mode: 0o600 });
    expect(Buffer.from(readPsk(path))).toEqual(Buffer.alloc(32, 5));
    chmodSync(path, 0o644);
    expect(failureOf(() => readPsk(path))).toMatchObject({ code: 'psk-exposed', exitCode: 2 });
    expect(failureOf(() => readPsk(join(folder, 'none')))).toMatchObject({ code: 'psk-missing', exitCode: 2 });
  });
});

test.skipIf(process.getuid?.() !== 0)('a key that root makes belongs to whom the state folder belongs to', () => {
  const state = join(folder, 'of-somebody');
  mkdirSync(state);
  chownSync(state, 65_534, 65_534);
  writeIdentity(join(state, 'identity.key'), createIdentity());
  expect(statSync(join(state, 'identity.key'))).toMatchObject({ uid: 65_534, gid: 65_534 });
});

describe("peers' keys", () => {
  test("a batch is what noble's conversion gives for each", () => {
    const keys = Array.from({ length: 64 }, () => ed25519.getPublicKey(ed25519.utils.randomSecretKey()));
    expect(montgomeryKeys(keys).map((key) => Buffer.from(key))).toEqual(
      keys.map((key) => Buffer.from(ed25519.utils.toMontgomery(key))),
    );
    expect(montgomeryKeys([])).toEqual([]);
  });

  test('the neutral element has no image', () => {
    const neutral = new Uint8Array(32);
    neutral[0] = 1;
    const fine = ed25519.getPublicKey(new Uint8Array(32));
    expect(() => montgomeryKeys([fine, neutral])).toThrow(RangeError);
  });
});
