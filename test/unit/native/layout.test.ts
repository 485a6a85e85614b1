import { spawnSync } from 'node:child_process';
import { cpSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  decodeOmniConfig,
  decodeOmniEndpoint,
  decodeSessionEntry,
  encodeFdbKey,
  encodeOmniConfig,
  encodeOmniEndpoint,
  encodeSessionEntry,
  OMNI_LAYOUT_VERSION,
  OMNI_REPLAY_WORDS,
  OmniDrop,
  OmniPeerFlags,
  omniDropNames,
  type SessionEntry,
  sessionEntryLayout,
} from '../../../src/dataplane/kernel/layout.ts';

const root = join(import.meta.dirname, '../../..');
const u64 = fc.bigInt({ min: 0n, max: 2n ** 64n - 1n });
const u32 = fc.integer({ min: 0, max: 2 ** 32 - 1 });
const words = (count: number) => fc.array(u32, { minLength: count, maxLength: count });

const session: fc.Arbitrary<SessionEntry> = fc.record({
  flags: u32,
  peer: u64,
  remoteId: u64,
  createdNs: u64,
  rekeyAfterNs: u64,
  expiresNs: u64,
  rxKey: words(8),
  txKey: words(8),
  rxPackets: u64,
  rxBytes: u64,
  rxLastNs: u64,
  rxDataLastNs: u64,
  replayLatest: u64,
  replayWindow: fc.array(u64, { minLength: OMNI_REPLAY_WORDS, maxLength: OMNI_REPLAY_WORDS }),
  txCounter: u64,
  txBytes: u64,
  txLastNs: u64,
  txDataLastNs: u64,
});

describe('codecs', () => {
  it('read back what they wrote, at any offset', () => {
    fc.assert(
      fc.property(session, fc.nat(16), (value, offset) => {
        const encoded = encodeSessionEntry(value);
        expect(encoded.length).toBe(sessionEntryLayout.size);
        // The spin lock: user space writes zero, whatever is there.
        expect(encoded.readUInt32LE(sessionEntryLayout.fields.lock.offset)).toBe(0);
        const moved = Buffer.concat([Buffer.alloc(offset, 0xff), encoded, Buffer.alloc(3, 0xff)]);
        expect(decodeSessionEntry(moved, offset)).toEqual(value);
      }),
      { numRuns: 50 },
    );
  });

  it('write ports in network order and nested structs in place', () => {
    const endpoint = {
      remote: { bytes: Uint8Array.from({ length: 16 }, (_, i) => i) },
      local: { bytes: new Uint8Array(16).fill(0xaa) },
      remotePort: 0x1234,
      localPort: 51820,
    };
    const encoded = encodeOmniEndpoint(endpoint);
    expect(encoded.toString('hex')).toBe(`000102030405060708090a0b0c0d0e0f${'aa'.repeat(16)}1234ca6c00000000`);
    expect(decodeOmniEndpoint(encoded)).toEqual(endpoint);
  });

  it('write the configuration as the programs read it', () => {
    const config = {
      localMac: Uint8Array.of(2, 0, 0, 0, 0, 1),
      port: 51820,
      ifindexOuter: 7,
      ifindexInner: 6,
      firstContactsPerSecond: 20,
      newSessionsPerSecond: 10,
      arpSuppression: 1,
    };
    const encoded = encodeOmniConfig(config);
    expect(encoded.subarray(0, 24).toString('hex')).toBe('020000000001ca6c0700000006000000140000000a000000');
    expect(decodeOmniConfig(encoded)).toEqual(config);
  });

  it('refuse what does not fit', () => {
    expect(() => encodeFdbKey({ mac: new Uint8Array(5) })).toThrow(RangeError);
    expect(() => encodeFdbKey({ mac: new Uint8Array(7) })).toThrow(RangeError);
    const [value] = fc.sample(session, 1);
    if (value === undefined) throw new Error('no sample');
    expect(() => encodeSessionEntry({ ...value, flags: 2 ** 32 })).toThrow(RangeError);
    expect(() => encodeSessionEntry({ ...value, peer: -1n })).toThrow(RangeError);
    expect(() => encodeSessionEntry({ ...value, rxKey: value.rxKey.slice(1) })).toThrow(RangeError);
    expect(() => decodeSessionEntry(new Uint8Array(sessionEntryLayout.size - 1))).toThrow(RangeError);
    expect(() => decodeSessionEntry(new Uint8Array(sessionEntryLayout.size), 1)).toThrow(RangeError);
  });
});

describe('enums and constants', () => {
  it('name every drop reason by its value', () => {
    expect(omniDropNames).toHaveLength(OmniDrop.max);
    expect(omniDropNames[OmniDrop.fdbMiss]).toBe('fdb-miss');
    expect(omniDropNames[OmniDrop.internal]).toBe('internal');
  });

  it('keep a word of their own where one name begins another', () => {
    expect(OmniPeerFlags).toEqual({ endpoint: 1, endpointObserved: 2, router: 4, dhcpServer: 8 });
  });

  it('carry the macros of the header', () => {
    const header = readFileSync(join(root, 'bpf/omni_types.h'), 'utf8');
    expect(header).toContain(`#define OMNI_LAYOUT_VERSION ${OMNI_LAYOUT_VERSION}\n`);
  });
});

describe('generate-layout', () => {
  const script = 'scripts/generate-layout.mjs';
  const check = (folder: string) => spawnSync(process.execPath, [script, '--check'], { cwd: folder, encoding: 'utf8' });

  /** A package of links to ours, but for the generator and its output, which are copies. */
  function copyOfPackage(): string {
    const folder = mkdtempSync(join(tmpdir(), 'omni-layout-'));
    for (const name of ['node_modules', 'native', 'build', 'bpf', '.gitignore', 'biome.json', 'package.json']) {
      symlinkSync(join(root, name), join(folder, name));
    }
    for (const name of [script, 'src/dataplane/kernel/layout.ts']) cpSync(join(root, name), join(folder, name));
    return folder;
  }

  it('finds the committed file up to date', () => {
    const result = check(root);
    expect(result.stderr).toBe('');
    expect(result.status).toBe(0);
  });

  it('shows the lines in which a file differs, and fails', () => {
    const folder = copyOfPackage();
    try {
      const file = join(folder, 'src/dataplane/kernel/layout.ts');
      writeFileSync(file, readFileSync(file, 'utf8').replace('expiresNs: { offset: 40', 'expiresNs: { offset: 44'));
      const result = check(folder);
      expect(result.status).toBe(1);
      expect(result.stderr).toMatch(/^-.*expiresNs: \{ offset: 44/m);
      expect(result.stderr).toMatch(/^\+.*expiresNs: \{ offset: 40/m);
      expect(result.stderr).toContain('node scripts/generate-layout.mjs');
    } finally {
      rmSync(folder, { recursive: true });
    }
  });
});
