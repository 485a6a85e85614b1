import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { PublicKey } from '../../../src/manifest/model.ts';
import { keptFile } from '../../../src/session/kept.ts';
import { MAX_TIMESTAMP_NS, Timestamps } from '../../../src/session/timestamps.ts';
import { MemoryText } from './support/node.ts';

const [peer, other, self, next] = ['peer', 'other', 'self', 'next'] as [PublicKey, PublicKey, PublicKey, PublicKey];
const second = 1_000_000_000n;
const year2200 = 7_258_118_400n * second;

async function opened(kept = new MemoryText(), identities: readonly [PublicKey, ...PublicKey[]] = [self]) {
  const { timestamps, problem } = await Timestamps.open(kept, identities);
  return { kept, timestamps, problem };
}

function containing(text: string): MemoryText {
  const kept = new MemoryText();
  kept.text = text;
  return kept;
}

describe('own time stamps', () => {
  test('are the clock while it runs forward, and the last plus one where it does not', async () => {
    const { timestamps } = await opened();
    expect(await timestamps.next(100n * second)).toEqual({ timestampNs: 100n * second });
    expect(await timestamps.next(100n * second)).toEqual({ timestampNs: 100n * second + 1n });
    expect(await timestamps.next(5n)).toEqual({ timestampNs: 100n * second + 2n });
    expect(await timestamps.next(200n * second)).toEqual({ timestampNs: 200n * second });
  });

  test('exceed everything sent before, after a crash at any point and with any clock', async () => {
    const kept = new MemoryText();
    let greatest = 0n;
    for (const clock of [1_000n, 1_010n, 0n, 0n, 1_011n, 5_000n, 4_000n, 10n]) {
      const { timestamps } = await opened(kept); // the process before was killed
      for (let round = 0n; round < 5n; round++) {
        const { timestampNs } = await timestamps.next((clock + round * 7n) * second);
        expect(timestampNs).toBeGreaterThan(greatest);
        greatest = timestampNs;
      }
    }
    expect(greatest).toBeLessThan(6_000n * second); // restarts do not run away from the clock
  });

  test('do not follow a clock that says 2200 or later: no peer would hear anything older again', async () => {
    const { timestamps } = await opened();
    await timestamps.next(100n * second);
    expect((await timestamps.next(year2200 + 1n)).timestampNs).toBe(100n * second + 1n);
    expect((await timestamps.next(2n ** 64n)).timestampNs).toBe(100n * second + 2n);
    expect((await timestamps.next(year2200)).timestampNs).toBe(year2200);
    expect((await timestamps.next(101n * second)).timestampNs).toBeLessThan(MAX_TIMESTAMP_NS);
  });

  test('cost a write a minute, not one each', async () => {
    const { kept, timestamps } = await opened();
    for (let tenth = 0n; tenth < 1200n; tenth++) await timestamps.next(1000n * second + (tenth * second) / 10n);
    expect(kept.writes).toBeLessThanOrEqual(3);
  });

  test('wait for the disk before they are used', async () => {
    const { kept, timestamps } = await opened();
    const release: (() => void)[] = [];
    const write = kept.write.bind(kept);
    kept.write = async (text) => {
      await new Promise<void>((resolve) => release.push(resolve));
      await write(text);
    };
    let used = 0;
    const both = [timestamps.next(second), timestamps.next(second)].map((next) => next.then(() => used++));
    await new Promise((resolve) => setImmediate(resolve));
    expect(used).toBe(0);
    release[0]?.();
    await Promise.all(both);
    expect(used).toBe(2);
  });

  test('are given though the disk refuses, and that is told', async () => {
    const { kept, timestamps } = await opened();
    kept.write = async () => {
      throw new Error('read-only');
    };
    const { timestampNs, problem } = await timestamps.next(second);
    expect(timestampNs).toBe(second);
    expect(problem).toMatchObject({ code: 'handshake-state-unusable', class: 'retry' });
  });
});

describe("callers' time stamps", () => {
  test('are remembered across restarts once saved, for the identity that was called', async () => {
    const { kept, timestamps } = await opened();
    timestamps.confirmed(self, peer, 42n);
    timestamps.confirmed(next, peer, 41n);
    timestamps.confirmed(self, peer, 40n);
    expect(timestamps.greatest(self, peer)).toBe(42n);
    expect(await timestamps.save()).toBeUndefined();
    const again = (await opened(kept)).timestamps;
    expect([again.greatest(self, peer), again.greatest(next, peer)]).toEqual([42n, 41n]);
    expect(again.greatest(self, other)).toBe(0n);
  });

  test('nothing new, nothing written', async () => {
    const { kept, timestamps } = await opened();
    await timestamps.save();
    timestamps.confirmed(self, peer, 42n);
    await timestamps.save();
    timestamps.confirmed(self, peer, 42n);
    await timestamps.save();
    expect(kept.writes).toBe(1);
  });

  test('of more callers than any fleet has the longest unheard go first', async () => {
    const { kept, timestamps } = await opened();
    for (let index = 0; index < 65_536; index++) timestamps.confirmed(self, `${index}=` as PublicKey, 7n);
    timestamps.confirmed(self, '0=' as PublicKey, 8n); // heard again
    timestamps.confirmed(self, peer, 1n);
    await timestamps.save();
    const again = (await opened(kept)).timestamps;
    const heard = ['0=', '1=', '2=', peer].map((key) => again.greatest(self, key as PublicKey));
    expect(heard).toEqual([8n, 0n, 7n, 1n]);
  });

  test('of identities that this node no longer has are kept for a few', async () => {
    const keys = Array.from({ length: 9 }, (_, index) => `key ${index}` as PublicKey);
    const { kept, timestamps } = await opened();
    for (const [index, key] of keys.entries()) {
      timestamps.setIdentities([key]);
      timestamps.confirmed(key, peer, BigInt(index + 1));
    }
    timestamps.setIdentities([keys[8] as PublicKey, self]);
    await timestamps.save();
    const again = (await opened(kept)).timestamps;
    expect(keys.map((key) => again.greatest(key, peer))).toEqual([0n, 0n, 0n, 0n, 0n, 6n, 7n, 8n, 9n]);
  });
});

describe('files of other builds', () => {
  test('one that knows no identities loses no protection: its rows count for each that the node has', async () => {
    const kept = containing(`{"version":1,"own":"${90n * second}","peers":{"peer":"42"}}`);
    const { timestamps, problem } = await opened(kept, [self, next]);
    expect(problem).toBeUndefined();
    expect([timestamps.greatest(self, peer), timestamps.greatest(next, peer)]).toEqual([42n, 42n]);
    expect((await timestamps.next(5n)).timestampNs).toBe(90n * second + 1n);
  });

  test('finds in ours what it needs: version 1, its own bound, and the rows of the identity in use', async () => {
    const { kept, timestamps } = await opened();
    await timestamps.next(5n * second);
    timestamps.confirmed(next, peer, 41n);
    timestamps.confirmed(self, peer, 42n);
    timestamps.setIdentities([next, self]);
    await timestamps.save();
    const { version, own, peers } = JSON.parse(kept.text ?? '') as Record<string, unknown>;
    expect({ version, own, peers }).toEqual({ version: 1, own: String(65n * second), peers: { peer: '41' } });
  });
});

describe('the file', () => {
  let folder = '';
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'omni-handshake-'));
  });
  afterEach(() => rmSync(folder, { recursive: true }));

  test('is replaced as a whole, mode 0600, leaving nothing else', async () => {
    const path = join(folder, 'handshake.json');
    const { timestamps, problem } = await Timestamps.open(keptFile(path), [self]);
    expect(problem).toBeUndefined();
    timestamps.confirmed(self, peer, 1n);
    await timestamps.next(second);
    expect(JSON.parse(readFileSync(path, 'utf8'))).toEqual({
      version: 1,
      own: String(61n * second),
      peers: { peer: '1' },
      self,
    });
    expect(statSync(path).mode & 0o777).toBe(0o600);
    expect(readdirSync(folder)).toEqual(['handshake.json']);
  });

  test.each([
    '',
    '{',
    'null',
    '{}',
    '{"version":2,"own":"1","peers":{}}',
    '{"version":1,"own":1,"peers":{}}',
    '{"version":1,"own":"-1","peers":{}}',
    '{"version":1,"own":"18446744073709551615","peers":{}}',
    '[]',
  ])('damaged (%s) is told and begun anew', async (text) => {
    const path = join(folder, 'handshake.json');
    writeFileSync(path, text);
    const { timestamps, problem } = await Timestamps.open(keptFile(path), [self]);
    expect(problem).toMatchObject({ code: 'handshake-state-unusable' });
    expect(await timestamps.next(7n * second)).toEqual({ timestampNs: 7n * second });
    expect((await Timestamps.open(keptFile(path), [self])).problem).toBeUndefined();
  });

  test.each([
    ['"x"', 'a row that is no number'],
    ['7', 'a number'],
    ['"-1"', 'a negative one'],
    ['"18446744073709551615"', 'one from after the year 2200, as an older build took it'],
    ['null', 'nothing'],
  ])('of which a row is damaged (%s) keeps the others: %s', async (row) => {
    const peers = `{"bad":${row},"peer":"42"}`;
    const kept = containing(`{"version":1,"own":"7","peers":${peers},"self":"self","others":{"next":${peers}}}`);
    const { timestamps, problem } = await opened(kept);
    expect(problem).toMatchObject({ code: 'handshake-state-unusable', message: expect.stringContaining('bad') });
    expect([timestamps.greatest(self, peer), timestamps.greatest(next, peer)]).toEqual([42n, 42n]);
    expect(timestamps.greatest(self, 'bad' as PublicKey)).toBe(0n);
    expect((await timestamps.next(1n)).timestampNs).toBe(8n);
    await timestamps.save();
    expect((await opened(kept)).problem).toBeUndefined();
  });

  test('of which the own bound is damaged keeps what callers sent', async () => {
    const { timestamps, problem } = await opened(containing('{"version":1,"own":"x","peers":{"peer":"42"}}'));
    expect(problem).toMatchObject({ code: 'handshake-state-unusable' });
    expect(timestamps.greatest(self, peer)).toBe(42n);
  });

  test('unreadable is told', async () => {
    const { problem } = await Timestamps.open(keptFile(folder), [self]);
    expect(problem).toMatchObject({ code: 'handshake-state-unusable' });
  });
});
