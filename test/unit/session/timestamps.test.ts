import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { PublicKey } from '../../../src/manifest/model.ts';
import { keptFile } from '../../../src/session/kept.ts';
import { Timestamps } from '../../../src/session/timestamps.ts';
import { MemoryText } from './support/node.ts';

const peer = 'peer' as PublicKey;
const second = 1_000_000_000n;

async function opened(kept = new MemoryText()) {
  const { timestamps, problem } = await Timestamps.open(kept);
  return { kept, timestamps, problem };
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

describe("peers' time stamps", () => {
  test('are remembered across restarts once saved', async () => {
    const { kept, timestamps } = await opened();
    timestamps.accepted(peer, 42n);
    expect(timestamps.greatest(peer)).toBe(42n);
    expect(await timestamps.save()).toBeUndefined();
    const again = await opened(kept);
    expect(again.timestamps.greatest(peer)).toBe(42n);
    expect(again.timestamps.greatest('other' as PublicKey)).toBe(0n);
  });

  test('nothing new, nothing written', async () => {
    const { kept, timestamps } = await opened();
    await timestamps.save();
    expect(kept.writes).toBe(0);
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
    const { timestamps, problem } = await Timestamps.open(keptFile(path));
    expect(problem).toBeUndefined();
    timestamps.accepted(peer, 1n);
    await timestamps.next(second);
    expect(JSON.parse(readFileSync(path, 'utf8'))).toEqual({
      version: 1,
      own: String(61n * second),
      peers: { peer: '1' },
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
    '{"version":1,"own":"1","peers":{"a":"x"}}',
  ])('damaged (%s) is told and begun anew', async (text) => {
    const path = join(folder, 'handshake.json');
    writeFileSync(path, text);
    const { timestamps, problem } = await Timestamps.open(keptFile(path));
    expect(problem).toMatchObject({ code: 'handshake-state-unusable' });
    expect(await timestamps.next(7n * second)).toEqual({ timestampNs: 7n * second });
    expect((await Timestamps.open(keptFile(path))).problem).toBeUndefined();
  });

  test('unreadable is told', async () => {
    const { problem } = await Timestamps.open(keptFile(folder));
    expect(problem).toMatchObject({ code: 'handshake-state-unusable' });
  });
});
